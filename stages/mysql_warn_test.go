package stages_test

import (
	"strings"
	"testing"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// MariaDB takes "status" for a text, whether there is such a column or not; unless the session's sql_mode, which the
// server or the DSN decides, has ANSI_QUOTES. The warning says so, and what to write.
func TestMySQLWarnsOfDoubleQuotes(t *testing.T) {
	dsn := createMySQL(t, "create table sale (id int, state text)", "insert into sale values (1, 'open')")
	const query = `select id, "state" as "State" from sale where "status" = 'open' or "state" = "state" -- "no"`
	s := open(t, "mysql", dsn, query)
	rows, _ := texts(t, s, 0, 10)
	same(t, "what the server makes of it", rows, []string{"1|state"})
	got := s.(pipeline.Warner).Warnings(0)
	for i, want := range []string{
		"query: \"state\" is a text on this server, not a column: write `state` for a column, 'state' for a text, or let the DSN say sql_mode='ANSI_QUOTES'",
		"query: \"status\" is a text on this server",
	} {
		if len(got) != 2 || !strings.HasPrefix(got[i], want) {
			t.Errorf("it warns %q, want %q", got, want)
		}
	}
	ansi := dsn + "&sql_mode=%27ANSI_QUOTES%27"
	if !strings.Contains(dsn, "?") {
		ansi = dsn + "?sql_mode=%27ANSI_QUOTES%27"
	}
	if got := open(t, "mysql", ansi, `select "state" from sale`).(pipeline.Warner).Warnings(0); got != nil {
		t.Errorf("with ANSI_QUOTES: %q", got)
	}
	if err := attempt(t, "mysql", pipeline.Request{DSN: ansi, Queries: asQueries([]string{query})}); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "'status'") {
		t.Errorf("with ANSI_QUOTES: %v", err)
	}
}

// The like of it in PostgreSQL: the name of a table is the whole row as a text. "..." is always a name.
func TestPostgresNames(t *testing.T) {
	dsn := testdb.Postgres(t).NewDatabase(t)
	testdb.Postgres(t).MustExec(t, dsn, "create table sale (id int, state text); insert into sale values (1, 'open')")
	rows, _ := texts(t, open(t, "postgres", dsn, "select sale from sale"), 0, 10)
	same(t, "select sale from sale", rows, []string{"(1,open)"})
	for _, query := range []string{`select id from sale where "status" = 'open'`, `select s.name from sale s`, `select s.text from sale s`, `select sale.sale from sale`, `select "Id" from sale`} {
		if err := attempt(t, "postgres", pipeline.Request{DSN: dsn, Queries: asQueries([]string{query})}); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("%s: %v", query, err)
		}
	}
}
