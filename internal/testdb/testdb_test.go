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

const (
	envOwner    = "TESTDB_OWNER"
	cannotStart = "the server does not start: " // what an owner prints in place of a DSN
)

// TestMain lets this binary also be the owner that is killed in the tests of what becomes of its server.
func TestMain(m *testing.M) {
	var dsn string
	var err error
	switch os.Getenv(envOwner) {
	case "postgres":
		var pg *testdb.PG
		if pg, err = testdb.StartPostgres(""); err == nil {
			dsn = pg.DSN()
		}
	case "mariadb":
		var maria *testdb.Maria
		if maria, err = testdb.StartMariaDB(""); err == nil {
			dsn = maria.DSN()
		}
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Print(cannotStart, err)
		os.Exit(1)
	}
	fmt.Println(dsn)
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// startOwner starts a process that owns a server of this kind, and returns it with the server's DSN.
func startOwner(t *testing.T, kind string) (*exec.Cmd, string) {
	t.Helper()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), envOwner+"="+kind)
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
	from := bufio.NewReader(out)
	line, err := from.ReadString('\n')
	if err != nil && line == "" {
		t.Fatal(err)
	}
	if said, failed := strings.CutPrefix(line, cannotStart); failed {
		rest, _ := io.ReadAll(from) // all that the server said
		t.Fatal(said + string(rest))
	}
	return owner, strings.TrimSpace(line)
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
	owner, dsn := startOwner(t, "postgres")
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("%q: %v", dsn, err)
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
