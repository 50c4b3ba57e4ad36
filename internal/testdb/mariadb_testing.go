package testdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

var sharedMaria struct {
	once sync.Once
	m    *Maria
	err  error
}

// MariaDB is the server of this test binary: the one that FANMILL_TEST_MYSQL names, or a private one, started by the first test
// that asks and stopped with the binary. Where there is neither, the test is skipped, or fails if FANMILL_REQUIRE_SERVICES is set.
func MariaDB(t testing.TB) *Maria {
	t.Helper()
	sharedMaria.once.Do(func() {
		dsn := os.Getenv(EnvMySQL)
		if dsn == "" {
			sharedMaria.m, sharedMaria.err = StartMariaDB("")
			return
		}
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			sharedMaria.err = fmt.Errorf("%s: %w", EnvMySQL, err)
			return
		}
		c.DBName = ""
		sharedMaria.m = &Maria{config: c}
	})
	switch {
	case errors.Is(sharedMaria.err, errNoMariaDB):
		missing(t, "%v", sharedMaria.err)
	case sharedMaria.err != nil:
		t.Fatal(sharedMaria.err)
	}
	return sharedMaria.m
}

// NewDatabase makes an empty database for one test and returns its DSN. It is dropped when the test ends.
func (m *Maria) NewDatabase(t testing.TB) string {
	t.Helper()
	name := "fanmill_" + randomHex()
	dsn, err := m.CreateDatabase(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// MustExec runs statements on the database of a DSN.
func (m *Maria) MustExec(t testing.TB, dsn, statements string) {
	t.Helper()
	if err := m.Exec(context.Background(), dsn, statements); err != nil {
		t.Fatal(err)
	}
}
