package stages

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"

	"fanmill/pipeline"
)

// SQL Server has no read-only transaction. What a query writes is undone instead: queries run, and are described where
// that runs them, in a transaction that is never committed and rolled back at the end.
//
// A query could end that transaction itself. A COMMIT or ROLLBACK in its text is refused. For those in procedures there
// are two precautions: the transaction is begun twice, so that a COMMIT too many ends the inner one, which keeps
// nothing; and what is written after a ROLLBACK begins another transaction (IMPLICIT_TRANSACTIONS), which nobody
// commits either. Afterwards @@TRANCOUNT tells.

// sqlserverGuard begins the inner transaction and tells how many there are.
const (
	sqlserverGuard   = "SET IMPLICIT_TRANSACTIONS ON; BEGIN TRANSACTION; " + sqlserverLevel
	sqlserverUnguard = "SET IMPLICIT_TRANSACTIONS OFF"
	sqlserverLevel   = "SELECT @@TRANCOUNT AS level"
)

var errSQLServerEnds = pipeline.Permanent(errors.New("it ends the transaction that it runs in, which is there to keep nothing of what a query writes: " +
	"leave COMMIT and ROLLBACK out, also of the procedures that it calls, or give it a procedure that begins what it ends"))

// sqlserverEnds finds a COMMIT or ROLLBACK in the text of a query. Both are reserved words: unquoted they are nothing
// else.
func sqlserverEnds(sql string) bool {
	for i := 0; i < len(sql); {
		if end := sqlserverDialect.skip(sql, i); end > i {
			i = end
			continue
		}
		word := sqlWord(sql[i:])
		if word == "" {
			i++
			continue
		}
		named := i > 0 && strings.IndexByte("@#$:", sql[i-1]) >= 0
		if !named && (strings.EqualFold(word, "commit") || strings.EqualFold(word, "rollback")) {
			return true
		}
		i += len(word)
	}
	return false
}

// begin begins the transaction. Nothing commits it.
func (s *sqlserverSession) begin(ctx context.Context) error {
	if s.began {
		return nil
	}
	defer context.AfterFunc(ctx, s.link.close)()
	isolation := sql.LevelDefault
	if s.snapshot {
		isolation = sql.LevelSnapshot
	}
	// The driver goes back to this context when it rolls back: then another may be the one that counts.
	if _, err := s.conn.BeginTx(context.WithoutCancel(ctx), driver.TxOptions{Isolation: driver.IsolationLevel(isolation)}); err != nil {
		return s.fail(ctx, "begin a transaction", err)
	}
	s.began = true
	// A compatible server that knows no such setting is read without the precautions.
	level, err := s.level(ctx, sqlserverGuard)
	if isSQLServerMessage(err) {
		level, err = s.level(ctx, sqlserverLevel)
	}
	if err != nil && !isSQLServerMessage(err) {
		return s.fail(ctx, "begin a transaction", err)
	}
	s.levels = level
	return nil
}

// level asks how many transactions there are; 0 from a server that does not say.
func (s *sqlserverSession) level(ctx context.Context, text string) (int64, error) {
	_, rows, err := s.read(ctx, text, nil)
	if err != nil || len(rows) != 1 || len(rows[0]) != 1 {
		return 0, err
	}
	n, _ := rows[0][0].(int64)
	return n, nil
}

// kept reports a query that has ended the transaction.
func (s *sqlserverSession) kept(ctx context.Context) error {
	if s.levels == 0 {
		return nil
	}
	n, err := s.level(ctx, sqlserverLevel)
	switch {
	case err == nil && n == s.levels:
		return nil
	case err == nil, sqlserverNoTransaction(err):
		return errSQLServerEnds
	default:
		return err
	}
}

// sqlserverNoTransaction reports what the driver says, and no server, once the server has ended the transaction.
func sqlserverNoTransaction(err error) bool {
	var e mssql.Error
	return errors.As(err, &e) && e.Number == 0 && strings.Contains(e.Message, "does not have an active transaction")
}

// rollback ends the transaction that describing a query began.
func (s *sqlserverSession) rollback(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.link.close)()
	s.began, s.levels = false, 0
	if err := s.conn.Rollback(); err != nil {
		return err
	}
	if _, _, err := s.read(ctx, sqlserverUnguard, nil); err != nil && !isSQLServerMessage(err) {
		return err
	}
	return nil
}

// undo rolls back at the end, so that the locks are given up now: a server takes its time to notice that a connection
// is gone. One that does not answer rolls back then.
func (s *sqlserverSession) undo() {
	if !s.began {
		return
	}
	s.began = false
	cut := time.AfterFunc(sqlserverCancelWait, s.link.close)
	defer cut.Stop()
	_ = s.conn.Rollback()
}

// redial replaces a connection on which a cancel was not confirmed in time, as over a slow line: what the server has
// sent already may take longer to arrive. Nothing is lost with it: the transaction of the queries has not begun.
func (s *sqlserverSession) redial(ctx context.Context) (err error) {
	s.link.close()
	s.began, s.levels, s.run = false, 0, nil
	if s.conn, s.link, err = s.target.connect(ctx); err != nil {
		return err
	}
	return s.settle(ctx)
}

// errSQLServerCommits refuses a query by its text.
func (q *sqlserverQuery) refused() error {
	if sqlserverEnds(q.sql) {
		return pipeline.Permanent(fmt.Errorf("%s: %w", q.label, errSQLServerEnds))
	}
	return nil
}
