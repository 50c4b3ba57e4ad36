package stages_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// wantLimit checks that an error names a limit of a server's and what lifts it, and is worth one more try.
func wantLimit(t *testing.T, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, pipeline.ErrOnceMore) || !errors.Is(err, pipeline.ErrTransient) || pipeline.IsPermanent(err) {
		t.Errorf("the error is not one for a second try: %v", err)
	}
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

const pgEndless = "select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b"

// A server's limit for the time of a query is named, with the setting that lifts it; so is a wait for a lock, which
// may end by itself.
func TestPostgresLimits(t *testing.T) {
	dsn := createPostgres(t, "create table sale (id int)")
	err := attempt(t, "postgres", pipeline.Request{DSN: dsn + "&statement_timeout=50", Queries: asQueries([]string{pgEndless})})
	wantLimit(t, err, "due to statement timeout (SQLSTATE 57014)", "statement_timeout=0 in the DSN")

	holder, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close(context.Background())
	if _, err := holder.Exec(t.Context(), "begin; lock table sale in access exclusive mode").ReadAll(); err != nil {
		t.Fatal(err)
	}
	err = attempt(t, "postgres", pipeline.Request{DSN: dsn + "&lock_timeout=50", Queries: asQueries([]string{"select id from sale"})})
	if !errors.Is(err, pipeline.ErrTransient) || errors.Is(err, pipeline.ErrOnceMore) || !strings.Contains(err.Error(), "lock_timeout=0 in the DSN") {
		t.Errorf("a lock held by somebody else: %v", err)
	}
}

// The advice is one that works: what is set for the database is lifted by the DSN.
func TestPostgresLimitIsLifted(t *testing.T) {
	dsn := createPostgres(t)
	testdb.Postgres(t).MustExec(t, dsn, `do $$ begin execute format('alter database %I set statement_timeout = 50', current_database()); end $$`)
	wantLimit(t, attempt(t, "postgres", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"select pg_sleep(0.2)"})}))
	if err := attempt(t, "postgres", pipeline.Request{DSN: dsn + "&statement_timeout=0", Queries: asQueries([]string{"select pg_sleep(0.2)"})}); err != nil {
		t.Error(err)
	}
}

// PgBouncer's own limits are named as PgBouncer's.
func TestPostgresPoolLimits(t *testing.T) {
	direct := createPostgres(t)
	err := attempt(t, "postgres", pipeline.Request{DSN: pooled(t, direct, "transaction", "query_timeout = 1"), Queries: asQueries([]string{pgEndless})})
	wantLimit(t, err, "query_timeout, a setting of PgBouncer")

	s := open(t, "postgres", pooled(t, direct, "transaction", "idle_transaction_timeout = 1"), "select 1 as n")
	postgresActivity(t, direct, "state = 'idle in transaction'", 0) // the pooler has ended it
	err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(*columnar.Builder) error { return nil })
	wantLimit(t, err, "idle_transaction_timeout, a setting of PgBouncer")
}

func TestMySQLLimits(t *testing.T) {
	m := testdb.MariaDB(t)
	dsn := createMySQL(t)
	endless := mysqlSeries(1_000_000_000)
	err := attempt(t, "mysql", pipeline.Request{DSN: dsn + "?max_statement_time=0.05", Queries: asQueries([]string{endless})})
	wantLimit(t, err, "error 1969", "max_statement_time=0 in the DSN")

	// The limit of a user, which is lifted as the advice says.
	user := "u" + pipeline.NewToken()
	m.MustExec(t, dsn, fmt.Sprintf("create user %s identified by 'p' with max_statement_time 0.05; grant select on *.* to %[1]s", user))
	t.Cleanup(func() { m.MustExec(t, m.DSN(), "drop user "+user) })
	c := m.Config()
	c.User, c.Passwd = user, "p"
	const slow = "select sleep(0.2) as n"
	wantLimit(t, attempt(t, "mysql", pipeline.Request{DSN: c.FormatDSN(), Queries: asQueries([]string{endless})}), "max_statement_time")
	c.Params = map[string]string{"max_statement_time": "0"}
	if err := attempt(t, "mysql", pipeline.Request{DSN: c.FormatDSN(), Queries: asQueries([]string{slow})}); err != nil {
		t.Error(err)
	}
}
