package stages_test

import (
	"fmt"
	"strings"
	"testing"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// A parameter is worth in an expression what its value would be in the text of the query, also where the expression
// takes its type from it: nothing is cut, and a NULL and an empty text may stand anywhere. What SQL Server is told is
// TestSQLServerParamTypes'.
func TestParamsInExpressions(t *testing.T) {
	const setup = "create table t (id int, day date, at timestamp null, amount decimal(14,2), name varchar(20))"
	pg := testdb.Postgres(t)
	dsn := pg.NewDatabase(t)
	row := "insert into t values (1, '2024-02-29', '2024-02-29 12:00:00', 12.50, 'all')"
	pg.MustExec(t, dsn, setup+";"+row)
	dsns := map[string]string{"postgres": dsn, "mysql": createMySQL(t, setup, row), "sqlite": createSQLite(t, setup, row)}
	text := func(s string) pipeline.Arg { return pipeline.Arg{Type: pipeline.ArgText, Text: s} }
	number := func(s string) pipeline.Arg { return pipeline.Arg{Type: pipeline.ArgInt, Text: s} }
	decimal := func(s string) pipeline.Arg { return pipeline.Arg{Type: pipeline.ArgDecimal, Text: s} }
	day := func(s string) pipeline.Arg { return pipeline.Arg{Type: pipeline.ArgDate, Text: s} }
	null := pipeline.Arg{Type: pipeline.ArgNull}
	long := strings.Repeat("é", 5000)
	for _, c := range []struct {
		sql  string
		arg  pipeline.Arg
		want string
		only string // the databases that know it; "" is all
	}{
		{"select :p", null, "NULL", ""},
		{"select coalesce(:p, 'all branches')", null, "all branches", ""},
		{"select coalesce(:p, 'all branches')", text("a"), "a", ""},
		{"select coalesce(:p, 'all branches')", text(""), "", ""},
		{"select coalesce(nullif(:p, 'a'), 'all branches')", text("a"), "all branches", ""},
		{"select concat(:p, ' and more')", text("a"), "a and more", ""},
		{"select concat(:p, ' and more')", number("7"), "7 and more", ""},
		{"select concat('<', :p, '>')", text(long), "<" + long + ">", ""},
		{"select case when :p is null then 'none' else 'some' end", null, "none", ""},
		{"select case when :p is null then 'none' else 'some' end", text(""), "some", ""},
		{"select case when :p is null then 'none' else 'some' end", number("0"), "some", ""},
		{"select case when :p is null then 'none' else 'some' end", day("2024-02-29"), "some", ""},
		{"select case when :p is null then 'none' else 'some' end", pipeline.Arg{Type: pipeline.ArgBool, Text: "false"}, "some", ""},
		{"select id from t where :p is null or day >= :p", null, "1", ""},
		{"select id from t where :p is null or day >= :p", day("2024-03-01"), "", ""},
		{"select id from t where day = :p or at > :p or :p is null", day("2024-02-29"), "1", ""},
		{"select id from t where amount = :p or :p is null", decimal("12.50"), "1", ""},
		{"select id from t where name = :p or :p is null", text("all"), "1", ""},
		{"select id from t where (:p is null or id = :p) and (:p is null or amount > :p)", number("1"), "1", ""},
		{"select :p + 1", number("3000000000"), "3000000001", ""},
		{"select :p + 1", decimal("12.5"), "13.5", ""},
		{"select :p + 1", decimal("0.000001"), "1.000001", ""},
		{"select coalesce(:p, 0)", decimal("12.5"), "12.5", ""},
		{"select coalesce(:p, 0)", number("9007199254740993"), "9007199254740993", ""},
		{"select :p * 1.25", number("7"), "8.75", ""},
		{"select id + :p from t", decimal("0.25"), "1.25", ""},
		{"select sum(amount) * :p from t", decimal("1.5"), "18.75", ""},
		{"select coalesce(:p, amount) from t", null, "12.5", ""},
		{"select coalesce(:p, amount) from t", decimal("0.125"), "0.125", ""},
		{"select coalesce(:p, name) from t", null, "all", ""},
		{"select case when :p then amount else 1.125 end from t", pipeline.Arg{Type: pipeline.ArgBool, Text: "true"}, "12.5", ""},
		{"select case when :p then amount else 1.125 end from t", pipeline.Arg{Type: pipeline.ArgBool, Text: "false"}, "1.125", ""},
		{"select :p + 1", day("2024-02-29"), "2024-03-01", "postgres"},
		{"select (:p + interval '1 day')::date", day("2024-02-29"), "2024-03-01", "postgres"},
		{"select :p + interval 1 day", day("2024-02-29"), "2024-03-01", "mysql"},
		{"select to_char(:p, '999.99')", decimal("12.5"), "  12.50", "postgres"},
		{"select id from t where at = any(array[:p, :p])", day("2024-02-29"), "", "postgres"},
		{"select id from t limit :p", number("1"), "1", ""},
		{"select name from t group by name, :p order by :p", text("x"), "all", "postgres mysql"},
	} {
		for driver, dsn := range dsns {
			if c.only != "" && !strings.Contains(c.only, driver) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s %.30s/%s", c.sql, c.arg.Type, c.arg.Text, driver), func(t *testing.T) {
				c.arg.Name = "p"
				s := openRequest(t, driver, pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: c.sql, Args: []pipeline.Arg{c.arg}}}})
				rows, _ := texts(t, s, 0, 10)
				got := strings.Join(rows, "\n")
				if strings.Contains(got, ".") && c.arg.Type != pipeline.ArgText { // databases differ by the zeros at the end
					got = strings.TrimRight(got, "0")
					c.want = strings.TrimRight(c.want, "0")
				}
				if got != c.want {
					t.Errorf("got %.60q, want %.60q", got, c.want)
				}
			})
		}
	}
}

// Several queries with parameters that PostgreSQL cannot type are described in one session, within one snapshot; what
// no type helps is the server's first error.
func TestPostgresParamsAgain(t *testing.T) {
	pg := testdb.Postgres(t)
	args := []pipeline.Arg{{Name: "p", Type: pipeline.ArgNull}, {Name: "d", Type: pipeline.ArgDecimal, Text: "0.5"}}
	var queries []pipeline.Query
	for _, sql := range []string{"select 1 as a", "select :p is null as a", "select :d + 1 as a", "select 1 as a where :p is null or current_date > :p"} {
		queries = append(queries, pipeline.Query{SQL: sql, Args: args})
	}
	s := openRequest(t, "postgres", pipeline.Request{DSN: pg.DSN(), Snapshot: true, Queries: queries})
	for q, want := range []string{"1", "true", "1.5", "1"} {
		rows, _ := texts(t, s, q, 10)
		same(t, queries[q].SQL, rows, []string{want})
	}
	for sql, want := range map[string]string{
		"select :p is null, nosuch(:p)":      "function nosuch(unknown) does not exist",
		"select a.* from json_each(:d) as a": "cannot deconstruct a scalar",
		"select :p is null from nowhere":     `relation "nowhere" does not exist`,
	} {
		err := attempt(t, "postgres", pipeline.Request{DSN: pg.DSN(), Queries: []pipeline.Query{{SQL: sql, Args: args}}})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
