package testdb_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/testdb"
)

const envOwner = "TESTDB_OWNER"

// TestMain lets this binary also be the owner that is killed in TestServerDiesWithItsOwner.
func TestMain(m *testing.M) {
	if os.Getenv(envOwner) != "" {
		pg, err := testdb.StartPostgres("")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(pg.DSN())
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Every test has a database of its own.
func TestDatabasesAreSeparate(t *testing.T) {
	pg := testdb.Postgres(t)
	a, b := pg.NewDatabase(t), pg.NewDatabase(t)
	pg.MustExec(t, a, "create table only_here()")
	if err := pg.Exec(context.Background(), b, "table only_here"); err == nil {
		t.Error("one test's table is visible in another's database")
	}
}

// A server does not outlive a process that is killed without a word.
func TestServerDiesWithItsOwner(t *testing.T) {
	if os.Getenv(testdb.EnvPostgres) != "" {
		t.Skip("the server is not ours: " + testdb.EnvPostgres + " is set")
	}
	testdb.Postgres(t) // skips where there is no server to start
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), envOwner+"=1")
	if _, err := owner.StdinPipe(); err != nil { // stays open: the owner does not end by itself
		t.Fatal(err)
	}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgconn.Connect(t.Context(), strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // says that it was killed

	// The server going down is what ends this wait.
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := conn.WaitForNotification(limit); limit.Err() != nil {
		t.Errorf("the server is still there: %v", err)
	}
}
