package testdb

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
)

var shared struct {
	once sync.Once
	pg   *PG
	err  error
}

// Postgres is the server of this test binary: the one that FANMILL_TEST_POSTGRES names, or a private one, started by
// the first test that asks and stopped with the binary. Where there is neither, the test is skipped, or fails if
// FANMILL_REQUIRE_SERVICES is set.
func Postgres(t testing.TB) *PG {
	t.Helper()
	shared.once.Do(func() {
		if dsn := os.Getenv(EnvPostgres); dsn != "" {
			shared.pg = &PG{dsn: dsn}
			return
		}
		shared.pg, shared.err = StartPostgres("")
	})
	switch {
	case errors.Is(shared.err, errNoPostgres):
		missing(t, "%v", shared.err)
	case shared.err != nil:
		t.Fatal(shared.err)
	}
	return shared.pg
}

// NewDatabase makes an empty database for one test and returns its DSN. It is dropped when the test ends.
func (pg *PG) NewDatabase(t testing.TB) string {
	t.Helper()
	name := "fanmill_" + randomHex()
	dsn, err := pg.CreateDatabase(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// MustExec runs statements on the database of a DSN.
func (pg *PG) MustExec(t testing.TB, dsn, sql string) {
	t.Helper()
	if err := pg.Exec(context.Background(), dsn, sql); err != nil {
		t.Fatal(err)
	}
}
