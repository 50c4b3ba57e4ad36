package stages_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// What cannot be opened is a permanent error that names the path.
func TestSQLiteOpenErrors(t *testing.T) {
	dir := t.TempDir()
	note := filepath.Join(dir, "note.txt")
	if err := os.WriteFile(note, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "branch 12.db")
	for dsn, want := range map[string]string{
		gone:                         gone,
		"file:" + gone + "?mode=rwc": gone,
		dir:                          "folder",
		note:                         "not a database",
		"":                           "empty",
		":memory:":                   "no such file",
	} {
		_, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: asQueries([]string{"select 1 from sqlite_master"})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) || dsn == note && !strings.Contains(err.Error(), note) {
			t.Errorf("%q: %v", dsn, err)
		}
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("a missing database was created")
	}
}

// A database in WAL mode is read while its owner writes, including what is only in the WAL; so are paths with odd characters,
// and a URI cannot ask for more than reading.
func TestSQLiteWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "शाखा 100%.db")
	run := owner(t, path)
	for _, s := range []string{"pragma journal_mode = wal", "create table t (a int)", "insert into t values (1)", "insert into t values (2)"} {
		must(t, run(s))
	}
	uri := "file:" + strings.ReplaceAll(filepath.ToSlash(path), "%", "%25") + "?mode=rwc&cache=private"
	for _, dsn := range []string{path, uri} {
		s := open(t, "sqlite", dsn, "select a from t order by a")
		err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), func(b *columnar.Builder) bool { return b.Rows() == 1 }, func(b *columnar.Builder) error {
			b.Reset()
			return run("update t set a = a + 10") // the reader does not stand in the writer's way
		})
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
	rows, _ := texts(t, open(t, "sqlite", path, "select count(*), max(a) > 2 from t"), 0, 10)
	same(t, "rows", rows, []string{"2|1"})
}

// owner is another program's connection to a database: a function that runs a statement on it.
func owner(t *testing.T, path string) func(statement string) error {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(statement string) error {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), statement)
		return err
	}
}

// must fails a test whose own statement failed.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A lock that another program holds is waited for, and given back; while it lasts the context can end the wait.
func TestSQLiteLocked(t *testing.T) {
	path := createSQLite(t, "create table t (a int)", "insert into t values (7)")
	run := owner(t, path)
	s := open(t, "sqlite", path, "select a from t")
	must(t, run("begin exclusive"))
	cancelWhen(t, s, func() {})

	result := make(chan error, 1)
	go func() {
		result <- s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
			if b.Rows() != 1 {
				return fmt.Errorf("%d rows", b.Rows())
			}
			return nil
		})
	}()
	must(t, run("rollback"))
	if err := soon(t, "a stream", func() error { return <-result }); err != nil {
		t.Error(err)
	}
	must(t, run("begin exclusive")) // would fail if the reader had kept its lock
	must(t, run("rollback"))
}

// A table that changes its columns between describing and streaming is noticed; the next attempt describes it anew.
func TestSQLiteChangedTable(t *testing.T) {
	path := createSQLite(t, "create table t (a int)", "insert into t values (7)")
	s := open(t, "sqlite", path, "select * from t")
	must(t, owner(t, path)("alter table t add column b int"))
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error { return nil })
	if err == nil || pipeline.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
}

// How long a lock is waited for can be said in the DSN; the database that stays locked is worth another try.
func TestSQLiteBusyTimeout(t *testing.T) {
	path := createSQLite(t, "create table t (a int)")
	must(t, owner(t, path)("begin exclusive"))
	const usual = 10 * time.Second // which a DSN that is not heeded would take
	for dsn, wait := range map[string]time.Duration{
		"file:" + path + "?busy_timeout=150":              150 * time.Millisecond,
		"file:" + path + "?cache=private&_busy_timeout=0": 0,
	} {
		at := time.Now()
		err := attempt(t, "sqlite", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"select a from t"})})
		if took := time.Since(at); !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "locked") || took < wait || took >= usual {
			t.Errorf("%s: after %v: %v", dsn, took, err)
		}
	}
	err := attempt(t, "sqlite", pipeline.Request{DSN: "file:" + path + "?busy_timeout=soon", Queries: asQueries([]string{"select a from t"})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `"soon"`) {
		t.Errorf("the error is %v", err)
	}
}

// Without a write-ahead log a snapshot keeps writers out, until it ends.
func TestSQLiteSnapshotKeepsWritersOut(t *testing.T) {
	path := createSQLite(t, "create table t (a int)")
	run := owner(t, path)
	s := openRequest(t, "sqlite", pipeline.Request{DSN: path, Snapshot: true, Queries: asQueries([]string{qCount})})
	if err := run("insert into t values (1)"); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a write during the snapshot: %v", err)
	}
	closes(t, s)
	if err := run("insert into t values (1)"); err != nil {
		t.Errorf("a write after it: %v", err)
	}
}

// An argument is bound as SQLite would read it in a statement; what it cannot hold exactly is refused.
func TestSQLiteParams(t *testing.T) {
	path := createSQLite(t, "create table t (a decimal(20,2))", "insert into t values (12.3), (5)")
	for _, c := range []struct {
		sql  string
		typ  pipeline.ArgType
		text string
		want string
	}{
		{"select a from t where a = :x", pipeline.ArgDecimal, "12.30", "12.30"},
		{"select typeof(:x)", pipeline.ArgDecimal, "12", "integer"},
		{"select typeof(:x), typeof(:x + 1)", pipeline.ArgText, "12", "text|integer"},
		{"select :x", pipeline.ArgDecimal, "-000123456789012.345000", "-123456789012.345"},
		{"select :x", pipeline.ArgDecimal, "123456789012345.67", "error: 15 digits"},
		{"select :x", pipeline.ArgDecimal, "1e3", "error: not a decimal"},
		{"select :x", pipeline.ArgInt, "9223372036854775808", "error: 64 bits"},
		{"select :x", pipeline.ArgBool, "perhaps", "error: neither true"},
		{"select typeof(:x)", pipeline.ArgNull, "", "null"},
		{"select :x || '' is ''", pipeline.ArgText, "", "1"},
		{"select a from t where a = ?", pipeline.ArgInt, "5", "error: by number"},
		{"select a from t where a = @x", pipeline.ArgInt, "5", "error: by number"},
		{"select a from t where a = ?1 or :x", pipeline.ArgInt, "5", "error: by number"},
		{"select a from t where a = :y", pipeline.ArgInt, "5", "error: :y, and the job's params are x"},
	} {
		got := ""
		r := pipeline.Request{DSN: path, Queries: []pipeline.Query{{SQL: c.sql, Args: []pipeline.Arg{{Name: "x", Type: c.typ, Text: c.text}}}}}
		want, refused := strings.CutPrefix(c.want, "error: ")
		if refused {
			err := attempt(t, "sqlite", r)
			if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %q: %v", c.sql, c.text, err)
			}
			continue
		}
		rows, _ := texts(t, openRequest(t, "sqlite", r), 0, 10)
		if got = strings.Join(rows, " "); got != want {
			t.Errorf("%s with %q: %q, want %q", c.sql, c.text, got, want)
		}
	}
}
