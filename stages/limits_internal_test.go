package stages

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	mssql "github.com/microsoft/go-mssqldb"

	"fanmill/pipeline"
)

// What ends a query for its time is told from what a person, a standby or another transaction did, in words of the
// setting. Versions and languages that no test server has are here.
func TestLimitsOfServers(t *testing.T) {
	pg := func(code, message string) error {
		return pgError(context.Background(), "query", &pgconn.PgError{Code: code, Message: message}, nil)
	}
	my := func(number uint16, state string) error {
		return mysqlError("query", &mysqlServerError{number: number, state: state, message: "m"}, nil)
	}
	ms := func(number int32, class uint8) error {
		return sqlserverError("query", mssql.Error{Number: number, Class: class, Message: "m"}, nil)
	}
	for _, c := range []struct {
		name  string
		err   error
		once  bool
		words string
	}{
		{"postgres", pg("57014", "canceling statement due to statement timeout"), true, "statement_timeout=0"},
		{"in German", pg("57014", "storniere Anfrage wegen Zeitüberschreitung der Anfrage"), true, "statement_timeout=0"},
		{"cockroach", pg("57014", "query execution canceled due to statement timeout"), true, "statement_timeout=0"},
		{"a person", pg("57014", "canceling statement due to user request"), false, ""},
		{"a standby", pg("57014", "canceling statement due to conflict with recovery"), false, ""},
		{"postgres 17", pg("25P04", "terminating connection due to transaction timeout"), true, "transaction_timeout=0"},
		{"idle", pg("25P03", "terminating connection due to idle-in-transaction timeout"), true, "idle_in_transaction_session_timeout"},
		{"a lock", pg("55P03", "canceling statement due to lock timeout"), false, "lock_timeout=0"},
		{"nowait", pg("55P03", `could not obtain lock on relation "sale"`), false, ""},
		{"pgbouncer 1.18", pg("08P01", "query timeout"), true, "query_timeout, a setting of PgBouncer"},
		{"pgbouncer", pg("08P01", "query_timeout"), true, "query_timeout, a setting of PgBouncer"},
		{"pgbouncer 1.24", pg("08P01", "transaction timeout"), true, "transaction_timeout, a setting of PgBouncer"},
		{"pgbouncer idle", pg("08P01", "idle transaction timeout"), true, "idle_transaction_timeout, a setting of PgBouncer"},
		{"pgbouncer full", pg("08P01", "query_wait_timeout"), false, ""},
		{"pgbouncer server", pg("08P01", "server conn crashed?"), false, ""},
		{"mysql", my(3024, "HY000"), true, "max_execution_time=0"},
		{"mariadb", my(1969, "70100"), true, "max_statement_time=0"},
		{"mysql killed", my(1317, "70100"), false, ""},
		{"mysql lock", my(1205, "HY000"), false, "innodb_lock_wait_timeout"},
		{"sqlserver cost", ms(8649, 17), true, "query governor cost limit"},
		{"sqlserver memory", ms(8657, 17), true, "Resource Governor"},
		{"sqlserver memory for now", ms(8645, 17), false, "Resource Governor"},
		{"sqlserver lock", ms(1222, 16), false, "LOCK_TIMEOUT"},
		{"azure", ms(40549, 16), true, "Azure SQL Database"},
	} {
		if !errors.Is(c.err, pipeline.ErrTransient) || pipeline.IsPermanent(c.err) {
			t.Errorf("%s: it is worth no other try: %v", c.name, c.err)
		}
		if got := errors.Is(c.err, pipeline.ErrOnceMore); got != c.once {
			t.Errorf("%s: worth one more try and no other: %t, want %t: %v", c.name, got, c.once, c.err)
		}
		if !strings.Contains(c.err.Error(), c.words) {
			t.Errorf("%s: it does not say %q: %v", c.name, c.words, c.err)
		}
	}
}
