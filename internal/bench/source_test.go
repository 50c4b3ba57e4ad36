package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/testdb"
	"fanmill/pipeline/columnar"
)

// startSources starts every database with that many rows. One that is not there skips the test, or fails it where everything has to run.
func startSources(t *testing.T, rows int) map[string]*database {
	t.Helper()
	b := &bench{options: options{rows: rows}, tmp: t.TempDir()}
	b.pg, b.why = startServer(t.Context(), "", rows)
	if b.pg != nil {
		t.Cleanup(func() {
			if err := b.pg.stop(); err != nil {
				t.Error(err)
			}
		})
	}
	out := map[string]*database{}
	for _, s := range sources {
		db, err := s.start(t.Context(), b)
		if err != nil {
			if v := os.Getenv(testdb.EnvRequire); v != "" && v != "0" {
				t.Fatalf("%s: %v", s.name, err)
			}
			t.Skipf("%s: %v", s.name, err)
		}
		t.Cleanup(func() {
			if err := db.stop(); err != nil {
				t.Errorf("stop %s: %v", s.name, err)
			}
		})
		out[s.name] = db
	}
	return out
}

// The databases are asked for the same work: the same rows, value for value, under the same names. And every reader reads all of them.
func TestSourcesHaveTheSameRows(t *testing.T) {
	const rows = 2500
	all := startSources(t, rows)
	want := dump(t, all["PostgreSQL"])
	if len(want) != 1+rows {
		t.Fatalf("PostgreSQL: %d rows, not %d", len(want)-1, rows)
	}
	for name, db := range all {
		got := dump(t, db)
		if len(got) != len(want) {
			t.Errorf("%s: %d rows, not %d", name, len(got)-1, rows)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s, line %d:\n got %s\nwant %s", name, i, got[i], want[i])
				break
			}
		}
		own := []peer{{kind: readStage, dsn: db.dsn}, {kind: readEncode, dsn: db.dsn}}
		for _, p := range append(own, db.peers...) {
			if n, err := readers[p.kind](t.Context(), db.driver, p.dsn, db.query); err != nil || n != rows {
				t.Errorf("%s, %s: %d rows, %v", name, p.kind, n, err)
			}
		}
	}
}

// The scripted server sends as many rows as are asked for, also where that is no multiple of its block.
func TestSQLServerSendsAllRows(t *testing.T) {
	b := &bench{options: options{rows: 2*sqlserverBlock + 11}}
	db, err := startSQLServerSource(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := readers[readStage](t.Context(), db.driver, db.dsn, db.query); err != nil || n != b.rows {
		t.Errorf("%d rows, not %d: %v", n, b.rows, err)
	}
	if err := db.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// dump is the names of the columns, and every row as text, in the order of their numbers.
func dump(t *testing.T, db *database) []string {
	t.Helper()
	out := []string{""}
	n, err := readColumns(t.Context(), db.driver, db.dsn, db.query, func(b *columnar.Builder) error {
		body, err := b.Encode()
		if err != nil {
			return err
		}
		batch, err := columnar.Decode(bytes.Clone(body))
		if err != nil {
			return err
		}
		var names []string
		for i := range batch.Cols {
			names = append(names, batch.Cols[i].Name)
		}
		out[0] = strings.Join(names, "|")
		var clock columnar.Clock
		for r := range batch.Rows {
			line := fmt.Sprintf("%08d", batch.Cols[0].Longs[r])
			for i := range batch.Cols[1:] {
				v := &batch.Cols[1+i]
				text := "NULL"
				if !v.Null(r) {
					text = strings.TrimSuffix(string(v.AppendText(nil, r, &clock)), "+00:00") // only PostgreSQL's column is one of instants
				}
				line += "|" + text
			}
			out = append(out, line)
		}
		return nil
	})
	if err != nil || n != len(out)-1 {
		t.Fatalf("%s: %d rows of %d: %v", db.driver, len(out)-1, n, err)
	}
	slices.Sort(out[1:]) // PostgreSQL promises no order
	return out
}

// The part prints each database with its driver's own loops and an aim; one that is not there is left out, and the output says why.
func TestSourcesPart(t *testing.T) {
	present := sources
	defer func() { sources = present }()
	sources = []source{{"Oracle", func(context.Context, *bench) (*database, error) {
		return nil, errors.New("no such server: install one")
	}},
		present[2], present[3]}
	var out bytes.Buffer
	b := &bench{options: options{rows: 1500, runs: 1}, out: &out, tmp: t.TempDir()}
	if err := benchSources(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"[sources]", "Oracle: left out", "SQLite 3.", "modernc.org/sqlite, database/sql", "speaks its protocol", "go-mssqldb, packets of 8000"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if got := strings.Count(out.String(), "  aim: "); got != 4 {
		t.Errorf("%d aims, not 4:\n%s", got, out.String())
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(line)); n > 101 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if len(b.left) != 1 || b.left[0].what != "sources of Oracle" || !strings.Contains(b.left[0].why.Error(), "install one") {
		t.Errorf("left out: %v", b.left)
	}
}

// A child that read fewer rows than it was asked for has measured nothing.
func TestChildThatReadsLessFails(t *testing.T) {
	b := &bench{options: options{rows: 1000}, tmp: t.TempDir()}
	db, err := startSQLiteSource(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	b.rows++
	if _, err := b.reader("less", db, peer{kind: readStage, dsn: db.dsn}).run(t.Context()); err == nil || !strings.Contains(err.Error(), "1000 rows, not 1001") {
		t.Errorf("%v", err)
	}
}
