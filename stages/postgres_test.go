package stages_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

func init() {
	databases = append(databases, database{
		driver: "postgres",
		server: "PostgreSQL 1",
		dsn:    func(t testing.TB) string { return createPostgres(t, postgresKinds...) },
		hosts: map[string]string{
			"postgres://me:pw@Branch.example/db":             "branch.example:5432",
			"postgresql://me@[::1]:5433/db?sslmode=disable":  "[::1]:5433",
			"host=10.0.0.1 port=6432 user=me password='p w'": "10.0.0.1:6432",
			"host=one.example,two.example user=me":           "one.example:5432",
			"host=/var/run/postgresql user=me":               "",
			"postgres://me:p/w@127.0.0.1/db@":                "",
			"postgres://me:pw@pool:6543/db?pool_max_conns=5": "pool:6543",
		},
		series: func(n int) string {
			return fmt.Sprintf("select n, (n / 100.0)::numeric(14,2) as amount, 'row ' || n as name from (select generate_series(1, %d) as n) as s", n)
		},
		endless: `select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b`,
		write:   "with w as (insert into t values (1) returning a) select * from w",
		params: `select :i::int, case when 12.5 = :d then 'equal' end, case when :day = date '2024-02-29' then 'equal' end, :txt::text, case when :b then 'yes' else 'no' end,
			case when :none::text is null then 'null' end, :i, ':i'`,
		noTable: `relation "nowhere" does not exist`,
		syntax:  `syntax error at or near "selekt"`,
		wrongPassword: func(t testing.TB) (dsn, password, words string) {
			u, err := url.Parse(testdb.Postgres(t).DSN())
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword("postgres", "s3cr3t/p@ss")
			return u.String(), "s3cr3t", "password authentication failed"
		},
		busy:     func(t testing.TB, dsn string, n int) { postgresActivity(t, dsn, "state = 'active'", n) },
		sessions: func(t testing.TB, dsn string, n int) { postgresActivity(t, dsn, "true", n) },
		kill: func(t testing.TB, dsn string) {
			if err := testdb.Postgres(t).TerminateSessions(t.Context(), dsn); err != nil {
				t.Error(err)
			}
		},
		exec: func(t testing.TB, dsn, statement string) { testdb.Postgres(t).MustExec(t, dsn, statement) },
	})
}

var postgresKinds = []string{
	`create table t (a int)`,
	`create table kinds (id int, b boolean, i bigint, f float8, d numeric(14,2), day date, clock time, ts timestamp, moment timestamptz, txt text, bin bytea)`,
	`insert into kinds values
		(1, true, 9007199254740993, 0.1, 12.3, '2024-02-29', '23:59:59.5', '2024-02-29 12:00:00.123456', '2024-02-29T12:00:00+05:30', 'नमस्ते, "x"', '\x00ff'),
		(2, false, -9223372036854775808, -1e300, -999999999999.99, '0001-01-01', '00:00', '1900-01-01 00:00:00', '1999-12-31 23:59:59Z', '', ''),
		(3, null, null, null, null, null, null, null, null, null, null),
		(4, true, 9223372036854775807, 1e-7, 0, '9999-12-31', '12:34:56', '9999-12-31 23:59:59.999999', '2024-07-01 00:00:00.5-03:00', E'\ta\n', '\xdeadbeef')`,
}

func createPostgres(t testing.TB, statements ...string) string {
	t.Helper()
	pg := testdb.Postgres(t)
	dsn := pg.NewDatabase(t)
	for _, s := range statements {
		pg.MustExec(t, dsn, s)
	}
	return dsn
}

// postgresActivity waits until n sessions of a database that match a condition are there besides the one that asks.
func postgresActivity(t testing.TB, dsn, condition string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for {
		res, err := conn.Exec(ctx, "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' and "+condition).ReadAll()
		if err != nil {
			t.Fatalf("waiting for %d sessions: %v", n, err)
		}
		if len(res[0].Rows) == n {
			return
		}
	}
}

// A value larger than the read buffer arrives whole.
func TestPostgresLargeValue(t *testing.T) {
	s := open(t, "postgres", testdb.Postgres(t).DSN(), "select repeat('é', 1000000) as t, 7 as n from generate_series(1, 3)")
	rows, _ := texts(t, s, 0, 2)
	want := strings.Repeat("é", 1000000) + "|7"
	if len(rows) != 3 || rows[0] != want || rows[2] != want {
		t.Errorf("%d rows, the first of %d bytes", len(rows), len(rows[0]))
	}
}

// A server that crashes in the middle of a result is worth another try.
func TestPostgresCrash(t *testing.T) {
	pg := testdb.Postgres(t)
	if err := pg.Crash(); err != nil {
		t.Skip(err) // it is not ours
	}
	s := open(t, "postgres", pg.NewDatabase(t), "select generate_series(1, 100000000000)")
	crashed := false
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		b.Reset()
		if crashed {
			return nil
		}
		crashed = true
		return pg.Crash()
	})
	if !errors.Is(err, pipeline.ErrTransient) || pipeline.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
}

// An error in the middle of a result has the server's words and ends the stream; bad data is permanent.
func TestPostgresErrorMidStream(t *testing.T) {
	s := open(t, "postgres", testdb.Postgres(t).DSN(), "select 1 / (100000 - n) as v from generate_series(1, 200000) as n")
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error { b.Reset(); return nil })
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "division by zero") || !strings.Contains(err.Error(), "22012") {
		t.Errorf("the error is %v", err)
	}
}

// Parameters by number have no values; beside those by name they would get the wrong ones.
func TestPostgresNumberedParams(t *testing.T) {
	dsn := testdb.Postgres(t).DSN()
	for _, sql := range []string{"select oid from pg_class where oid = $1", "select oid from pg_class where oid = $1 and relname = :x", "select :x::text, $2"} {
		err := attempt(t, "postgres", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: sql, Args: []pipeline.Arg{{Name: "x", Type: pipeline.ArgText, Text: "a"}}}}})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "by number ($1, ...)") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	rows, _ := texts(t, openRequest(t, "postgres", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: "select '$1', $a$ $2 $a$, :x::date, :x::text -- $3",
		Args: []pipeline.Arg{{Name: "x", Type: pipeline.ArgDate, Text: "2024-02-29"}}}}}), 0, 10)
	same(t, "rows", rows, []string{"$1| $2 |2024-02-29|2024-02-29"})
}

// A rehearsal finds what describing a query does not: a right that is missing, a value that its place does not take. It runs nothing, and the query
// runs afterwards.
func TestPostgresRehearsal(t *testing.T) {
	dsn := testdb.Postgres(t).DSN()
	param := []pipeline.Arg{{Name: "x", Type: pipeline.ArgText, Text: "n/a"}}
	s := openRequest(t, "postgres", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{
		{SQL: "select 1 as n from pg_sleep(1000)"}, {SQL: "select 7 as n"}, {SQL: "select oid from pg_class where oid = :x", Args: param}}})
	r, ok := s.(pipeline.Rehearser)
	if !ok {
		t.Fatal("a session of PostgreSQL cannot rehearse")
	}
	for q := range 2 {
		if err := r.Rehearse(t.Context(), q); err != nil {
			t.Errorf("query %d: %v", q, err)
		}
	}
	rows, _ := texts(t, s, 1, 10)
	same(t, "rows", rows, []string{"7"})
	if err := r.Rehearse(t.Context(), 2); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `invalid input syntax for type oid: "n/a"`) {
		t.Errorf("a value that is no number: %v", err)
	}
}

// A value that its place in the query does not take fails with the server's words, before anything runs or while it does.
func TestPostgresWrongParams(t *testing.T) {
	dsn := testdb.Postgres(t).DSN()
	for sql, want := range map[string]string{
		"select 1 where :x = 1":           `invalid input syntax for type integer: "n/a"`,
		"select 1 where :x > 1 and :x is": "syntax error at end of input",
		"select 1 where :x = relname":     `column "relname" does not exist`,
	} {
		err := attempt(t, "postgres", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: sql, Args: []pipeline.Arg{{Name: "x", Type: pipeline.ArgText, Text: "n/a"}}}}})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "at character") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
