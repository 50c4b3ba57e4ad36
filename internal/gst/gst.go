// Package gst makes demonstration data: the sales registers of Indian branch offices under the Goods and Services Tax,
// one SQLite database per branch, or one PostgreSQL table for measurements. The data is invented, but behaves like the
// real thing: numbers that are text (leading zeros, 16 digits), names in several scripts, amounts that add up to
// the paisa, remarks that would break a careless CSV, NULL beside the empty text. The same seed gives the same data.
package gst

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Branch is one generated database.
type Branch struct {
	ID   string // "conn_1"
	Name string // "Branch_001", which is also the column branch of every row
	Path string
	Rows int
}

// Table is the statement that makes a branch's only table, sale.
const Table = `CREATE TABLE sale (
  branch          TEXT NOT NULL,
  invoice_no      TEXT NOT NULL,
  invoice_date    DATE NOT NULL,
  gstin           TEXT,
  customer        TEXT NOT NULL,
  place_of_supply TEXT NOT NULL,
  hsn             TEXT NOT NULL,
  item            TEXT NOT NULL,
  quantity        DECIMAL(12,3) NOT NULL,
  unit            TEXT NOT NULL,
  rate            DECIMAL(12,2) NOT NULL,
  gst_rate        DECIMAL(5,2) NOT NULL,
  taxable_value   DECIMAL(14,2) NOT NULL,
  cgst            DECIMAL(14,2) NOT NULL,
  sgst            DECIMAL(14,2) NOT NULL,
  igst            DECIMAL(14,2) NOT NULL,
  total           DECIMAL(14,2) NOT NULL,
  ack_no          TEXT,
  created_at      TIMESTAMP NOT NULL,
  remarks         TEXT
)`

// Query reads a branch whole, in the order it was written.
const Query = "select * from sale order by rowid"

// MoneyColumns are the columns whose sums an accountant would compare.
func MoneyColumns() []string {
	return []string{"taxable_value", "cgst", "sgst", "igst", "total"}
}

// Generate makes the databases of that many branches in dir, each with about rows sales (within a fifth), replacing files
// of the same names. progress, unless nil, hears the number of branches done, from one goroutine at a time. A database
// stands under its name only when it is complete.
func Generate(ctx context.Context, dir string, branches, rows int, seed uint64, progress func(done int)) ([]Branch, error) {
	if branches < 1 || rows < 0 {
		return nil, fmt.Errorf("generate demo data: %d branches of %d rows; there must be at least one branch", branches, rows)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("generate demo data: %w", err)
	}
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := make([]Branch, branches)
	errs := make([]error, branches)
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(branches, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				if out[i], errs[i] = branch(ctx, dir, i, branches, rows, seed); errs[i] != nil {
					cancel()
					continue
				}
				mu.Lock()
				if done++; progress != nil {
					progress(done)
				}
				mu.Unlock()
			}
		})
	}
feed:
	for i := range branches {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if err := caller.Err(); err != nil { // a database may put what that does to it in other words
		return nil, fmt.Errorf("generate demo data: %w", err)
	}
	// The first failure cancels the others: show it, not what it caused.
	var canceled error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		} else if err != nil {
			canceled = err
		}
	}
	if canceled != nil {
		return nil, fmt.Errorf("generate demo data: %w", canceled)
	}
	return out, nil
}

// branch makes the database of branch i of n.
func branch(ctx context.Context, dir string, i, n, rows int, seed uint64) (Branch, error) {
	width := max(3, len(fmt.Sprint(n)))
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	b := Branch{
		ID:   fmt.Sprintf("conn_%d", i+1),
		Name: fmt.Sprintf("Branch_%0*d", width, i+1),
		Path: filepath.Join(dir, fmt.Sprintf("branch_%0*d.db", width, i+1)),
		Rows: rows - rows/5 + rng.IntN(2*(rows/5)+1),
	}
	tmp := b.Path + ".tmp"
	if err := fill(ctx, tmp, newRegister(rng, b.Name, i), b.Rows); err != nil {
		_ = os.Remove(tmp)
		return b, fmt.Errorf("generate %s: %w", b.Path, err)
	}
	if err := os.Rename(tmp, b.Path); err != nil {
		_ = os.Remove(tmp)
		return b, fmt.Errorf("generate %s: %w", b.Path, err)
	}
	return b, nil
}

// fill writes a new database in one transaction. Nothing is synced: data that a crash spoils is made again.
func fill(ctx context.Context, path string, r *register, rows int) (err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1) // the pragmas are the connection's
	for _, s := range []string{"PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA locking_mode=EXCLUSIVE", Table} {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := insert(ctx, tx, r, rows); err != nil {
		return err
	}
	return tx.Commit()
}

// rowsPerInsert makes the driver's cost per statement small against the rows.
const rowsPerInsert = 25

func insert(ctx context.Context, tx *sql.Tx, r *register, rows int) error {
	args := make([]any, 0, rowsPerInsert*columns)
	for _, batch := range []int{rowsPerInsert, 1} {
		stmt, err := tx.PrepareContext(ctx, insertSQL(batch))
		if err != nil {
			return err
		}
		for rows >= batch {
			args = args[:0]
			for range batch {
				args = r.next(args)
			}
			if _, err := stmt.ExecContext(ctx, args...); err != nil {
				return errors.Join(err, stmt.Close())
			}
			rows -= batch
		}
		if err := stmt.Close(); err != nil {
			return err
		}
	}
	return nil
}
