package stages_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// waitForQueries waits until n queries run on a database besides the one that asks.
func waitForQueries(t *testing.T, dsn string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for {
		res, err := conn.Exec(ctx, "select pid from pg_stat_activity where datname = current_database() and state = 'active' and pid <> pg_backend_pid()").ReadAll()
		if err != nil {
			t.Fatalf("waiting for %d running queries: %v", n, err)
		}
		if len(res[0].Rows) == n {
			return
		}
	}
}

// Every built-in type arrives with its exact value. The text is the CSV field.
func TestPostgresTypes(t *testing.T) {
	cases := []struct{ expr, typ, text string }{
		{"true", "bool", "true"},
		{"(-32768)::int2", "int", "-32768"},
		{"2147483647::int4", "int", "2147483647"},
		{"(-9223372036854775808)::int8", "int", "-9223372036854775808"},
		{"4294967295::oid", "int", "4294967295"},
		{"1.1::float4", "float32", "1.1"},
		{"'-Infinity'::float4", "float32", "-Infinity"},
		{"0.1::float8", "float", "0.1"},
		{"'NaN'::float8", "float", "NaN"},
		{"1234.5::numeric(14,2)", "decimal(14,2)", "1234.50"},
		{"(-0.01)::numeric(14,2)", "decimal(14,2)", "-0.01"},
		{"0::numeric(14,2)", "decimal(14,2)", "0.00"},
		{"10000::numeric(14,2)", "decimal(14,2)", "10000.00"},
		{"100000000::numeric(20,0)", "decimal(20,0)", "100000000"},
		{"0.0001::numeric(14,4)", "decimal(14,4)", "0.0001"},
		{"0.00001::numeric(14,5)", "decimal(14,5)", "0.00001"},
		{"99999999999999999999999999999999999999::numeric(38,0)", "decimal(38,0)", "99999999999999999999999999999999999999"},
		{"(-999999999999999999999999999999999999.99)::numeric(38,2)", "decimal(38,2)", "-999999999999999999999999999999999999.99"},
		{"0.00000000000000000000000000000000000001::numeric(38,38)", "decimal(38,38)", "0.00000000000000000000000000000000000001"},
		{"'NaN'::numeric(14,2)", "numeric", "NaN"},
		{"1.5::numeric(50,2)", "numeric", "1.50"},
		{"1.500", "numeric", "1.500"},
		{"-0.000012", "numeric", "-0.000012"},
		{"1e20::numeric", "numeric", "100000000000000000000"},
		{"12345678901234567890123456789012345678901234567890.00100::numeric", "numeric", "12345678901234567890123456789012345678901234567890.00100"},
		{"'NaN'::numeric", "numeric", "NaN"},
		{"date '2024-02-29'", "date", "2024-02-29"},
		{"date '0044-03-15 BC'", "date", "-0043-03-15"},
		{"date '5874897-12-31'", "date", "5874897-12-31"},
		{"date 'infinity'", "text", "infinity"},
		{"time '24:00'", "time", "24:00:00"},
		{"time '01:02:03.000004'", "time", "01:02:03.000004"},
		{"timetz '01:02:03+05:30'", "text", "01:02:03+05:30"},
		{"timestamp '1999-12-31 23:59:59.999999'", "timestamp", "1999-12-31 23:59:59.999999"},
		{"timestamp '4713-01-01 00:00 BC'", "timestamp", "-4712-01-01 00:00:00"},
		{"timestamp '294276-12-31 23:59:59'", "text", "294276-12-31 23:59:59"},
		{"timestamp '-infinity'", "text", "-infinity"},
		{"timestamptz '2024-01-01 00:00+05:30'", "timestamptz", "2023-12-31 18:30:00+00:00"},
		{"timestamptz 'infinity'", "text", "infinity"},
		{"interval '1 year 2 months 3 days 04:05:06.7'", "text", "1 year 2 mons 3 days 04:05:06.7"},
		{"'a''b'::text", "text", "a'b"},
		{"'ab'::char(4)", "text", "ab  "},
		{"'ab'::varchar(4)", "text", "ab"},
		{"'n'::name", "text", "n"},
		{`'x'::"char"`, "text", "x"},
		{`'{"a": 1}'::json`, "text", `{"a": 1}`},
		{`'{"b":1,"a":2}'::jsonb`, "text", `{"a": 2, "b": 1}`},
		{"'<a/>'::xml", "text", "<a/>"},
		{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "text", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{`'\x00ff'::bytea`, "binary", "0x00ff"},
		{"array[1,null,3]", "text", "{1,NULL,3}"},
		{"array[0.1::float8]", "text", "{0.1}"},
		{"array[date '2024-12-31']", "text", "{2024-12-31}"},
		{`array['\x0aff'::bytea]`, "text", `{"\\x0aff"}`},
		{"'10.0.0.1/8'::inet", "text", "10.0.0.1/8"},
		{"B'101'", "text", "101"},
		{"int4range(1,5)", "text", "[1,5)"},
		{"row(1,'x')", "text", "(1,x)"},
		{"point(1,2)", "text", "(1,2)"},
		{"'red'::colour", "text", "red"},
		{"12.5::amount", "decimal(14,2)", "12.50"},
		{"7::positive", "int", "7"},
		{"null", "text", "NULL"},
		{"null::numeric(14,2)", "decimal(14,2)", "NULL"},
	}
	pg := testdb.Postgres(t)
	dsn := pg.NewDatabase(t)
	pg.MustExec(t, dsn, "create type colour as enum ('red', 'green'); create domain amount as numeric(14,2); create domain positive as int check (value > 0)")
	// Settings of a server must not show in the text.
	pg.MustExec(t, dsn, `do $$ begin execute format('alter database %I set datestyle = ''SQL, DMY''; ', current_database());
		execute format('alter database %I set intervalstyle = ''iso_8601''', current_database());
		execute format('alter database %I set bytea_output = ''escape''', current_database());
		execute format('alter database %I set extra_float_digits = ''-15''', current_database()); end $$`)
	for _, c := range cases {
		rows, types := texts(t, open(t, "postgres", dsn, "select "+c.expr+" as v"), 0, 10)
		if types[0] != c.typ || rows[0] != c.text {
			t.Errorf("%s is %s %q, want %s %q", c.expr, types[0], rows[0], c.typ, c.text)
		}
	}
}

// A value that its column cannot hold widens one batch; the text of its neighbours does not change.
func TestPostgresWidening(t *testing.T) {
	dsn := createPostgres(t, "create table w (id int, d numeric(14,2), day date, ts timestamp, moment timestamptz)",
		`insert into w values (1, 1.5, '2024-01-01', '2024-01-01', '2024-01-01 00:00+00'), (2, 'NaN', 'infinity', '-infinity', 'infinity'),
		(3, 2.5, '2024-01-03', '2024-01-03 12:00', '2024-01-03 00:00+00'), (4, 3, '2024-01-04', '2024-01-04', '2024-01-04 00:00+00')`)
	s := open(t, "postgres", dsn, "select * from w order by id")
	rows, types := texts(t, s, 0, 3)
	same(t, "rows", rows, []string{
		"1|1.50|2024-01-01|2024-01-01 00:00:00|2024-01-01 00:00:00+00:00",
		"2|NaN|infinity|-infinity|infinity",
		"3|2.50|2024-01-03|2024-01-03 12:00:00|2024-01-03 00:00:00+00:00",
		"4|3.00|2024-01-04|2024-01-04 00:00:00|2024-01-04 00:00:00+00:00"})
	same(t, "types of the last batch", types, []string{"int", "decimal(14,2)", "date", "timestamp", "timestamptz"})
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

// A server that goes away in the middle of a result is worth another try, whether it says goodbye or not.
func TestPostgresKilledMidStream(t *testing.T) {
	pg := testdb.Postgres(t)
	t.Run("terminated", func(t *testing.T) {
		dsn := pg.NewDatabase(t)
		err := streamUntil(t, dsn, func() error { return pg.TerminateSessions(t.Context(), dsn) })
		if err == nil || pipeline.IsPermanent(err) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("crashed", func(t *testing.T) {
		if err := pg.Crash(); err != nil {
			t.Skip(err)
		}
		dsn := pg.NewDatabase(t)
		err := streamUntil(t, dsn, pg.Crash)
		if err == nil || pipeline.IsPermanent(err) {
			t.Errorf("the error is %v", err)
		}
	})
}

// streamUntil runs an endless query and does something to the server after its first batch.
func streamUntil(t *testing.T, dsn string, do func() error) error {
	s := open(t, "postgres", dsn, "select generate_series(1, 100000000000)")
	done := false
	return s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		b.Reset()
		if done {
			return nil
		}
		done = true
		return do()
	})
}

// An error in the middle of a result has the server's words and ends the stream; bad data is permanent.
func TestPostgresErrorMidStream(t *testing.T) {
	s := open(t, "postgres", testdb.Postgres(t).DSN(), "select 1 / (100000 - n) as v from generate_series(1, 200000) as n")
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error { b.Reset(); return nil })
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "division by zero") || !strings.Contains(err.Error(), "22012") {
		t.Errorf("the error is %v", err)
	}
}

// A login that is refused, a database that is not there are permanent; a server that does not answer may be back. None of
// these errors, nor one about the DSN itself, holds the password.
func TestPostgresConnectErrors(t *testing.T) {
	const secret = "s3cr3t%2Fp@ss"
	good, err := url.Parse(testdb.Postgres(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(u *url.URL)) string {
		u := *good
		change(&u)
		return u.String()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	wrong := url.UserPassword("postgres", secret)
	for _, c := range []struct {
		name, dsn string
		permanent bool
		want      string
	}{
		{"password", with(func(u *url.URL) { u.User = wrong }), true, "28P01"},
		{"database", with(func(u *url.URL) { u.Path = "/nowhere" }), true, "3D000"},
		{"refused", with(func(u *url.URL) { u.User = wrong; u.Host = closed.Addr().String() }), false, "refused"},
		{"name", with(func(u *url.URL) { u.User = wrong; u.Host = "branch.invalid:5432" }), false, "branch.invalid"},
		{"unescaped", "postgres://me:" + secret + "%zz@127.0.0.1/db", true, "%40"},
		{"slash", "postgres://me:s3cr3t/p@ss@127.0.0.1/db", true, "%2F"},
		{"digits then slash", "postgres://me:1234/s3cr3t@127.0.0.1/db", true, "%2F"},
		{"list", "host=127.0.0.1 password=s3cr3t x y", true, "host="},
		{"quote", "host=127.0.0.1 password='s3cr3t", true, "host="},
		{"port", "host=127.0.0.1 password=s3cr3t port=s3cr3tx", true, "port"},
		{"ca", "host=127.0.0.1 password=s3cr3t sslmode=verify-full sslrootcert=/nowhere/s3cr3t.pem", true, "TLS"},
		{"empty", "  ", true, "empty"},
	} {
		_, err := stages.Drivers()["postgres"].Open(t.Context(), c.dsn, asQueries([]string{"select 1"}))
		switch {
		case err == nil:
			t.Errorf("%s: accepted", c.name)
		case pipeline.IsPermanent(err) != c.permanent, !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: permanent %v: %v", c.name, pipeline.IsPermanent(err), err)
		case strings.Contains(err.Error(), "s3cr3t"), strings.Contains(err.Error(), "p@ss"), strings.Contains(err.Error(), "1234"):
			t.Errorf("%s: the password is in the error: %v", c.name, err)
		}
	}
}

// Rows come through TLS as they do without; a certificate that nobody vouches for is refused for good when the DSN asks for that.
func TestPostgresTLS(t *testing.T) {
	pg := testdb.Postgres(t)
	if !pg.TLS() {
		t.Skip("this server has no TLS")
	}
	with := func(mode string) string { return strings.Replace(pg.DSN(), "sslmode=disable", "sslmode="+mode, 1) }
	s := open(t, "postgres", with("require"), "select ssl from pg_stat_ssl where pid = pg_backend_pid()", "select generate_series(1, 100000)")
	rows, _ := texts(t, s, 0, 10)
	same(t, "encrypted", rows, []string{"true"})
	if rows, _ = texts(t, s, 1, 1000); len(rows) != 100000 {
		t.Errorf("%d rows", len(rows))
	}
	_, err := stages.Drivers()["postgres"].Open(t.Context(), with("verify-full"), asQueries([]string{"select 1"}))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "sslrootcert") {
		t.Errorf("the error is %v", err)
	}
}
