// Package testdb runs private database servers for tests and benchmarks: nothing has to be installed as a service,
// configured, or cleaned up. A server lives in a temporary folder, listens on 127.0.0.1 only and does not outlive the
// process that started it, even if that process is killed.
package testdb

import (
	"os"
	"testing"
)

// Environment variables that steer which servers tests use.
const (
	// EnvPostgres is the DSN of a server to use instead of a private one. Its user must be allowed to create databases.
	EnvPostgres = "FANMILL_TEST_POSTGRES"
	// EnvMySQL is the DSN of a MySQL or MariaDB server to use instead of a private one, as user:password@tcp(host:port)/. Its user must
	// be allowed to create databases and users.
	EnvMySQL = "FANMILL_TEST_MYSQL"
	// EnvRequire makes a missing server a failure instead of a skipped test. Continuous integration sets it to 1.
	EnvRequire = "FANMILL_REQUIRE_SERVICES"
)

// missing skips the test because a server is not there, or fails it where everything has to run.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if v := os.Getenv(EnvRequire); v != "" && v != "0" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
