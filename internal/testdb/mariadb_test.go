package testdb_test

import (
	"context"
	"database/sql"
	"os"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fanmill/internal/testdb"
)

// Every test has a database of its own, also on MariaDB.
func TestMariaDatabasesAreSeparate(t *testing.T) {
	m := testdb.MariaDB(t)
	a, b := m.NewDatabase(t), m.NewDatabase(t)
	m.MustExec(t, a, "create table only_here (n int); insert into only_here values (1)")
	if err := m.Exec(context.Background(), b, "select * from only_here"); err == nil {
		t.Error("one test's table is visible in another's database")
	}
}

// A MariaDB server does not outlive a process that is killed without a word.
func TestMariaDiesWithItsOwner(t *testing.T) {
	if os.Getenv(testdb.EnvMySQL) != "" {
		t.Skip("the server is not ours: " + testdb.EnvMySQL + " is set")
	}
	testdb.MariaDB(t) // skips where there is no server to start
	owner, dsn := startOwner(t, "mariadb")
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("%q: %v", dsn, err)
	}
	defer conn.Close()
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // says that it was killed

	// The server going down is what ends this wait.
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := conn.ExecContext(limit, "do sleep(600)"); limit.Err() != nil {
		t.Errorf("the server is still there: %v", err)
	}
}

// A server that crashed comes back under the same DSN, with what was committed.
func TestMariaCrash(t *testing.T) {
	m := testdb.MariaDB(t)
	dsn := m.NewDatabase(t)
	m.MustExec(t, dsn, "create table t (n int)")
	if err := m.Crash(); err != nil {
		t.Skip(err)
	}
	m.MustExec(t, dsn, "insert into t values (1)")
}
