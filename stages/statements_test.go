package stages_test

import (
	"fmt"
	"strings"
	"testing"

	"fanmill/internal/minitds"
	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// A query may begin with a comment or a WITH, end with a semicolon, and be any statement that returns rows; a column
// without a name has its place for one, and two may have the same.
func TestStatements(t *testing.T) {
	shapes := []struct {
		sql, names, rows string
		not              string // who does not have it
	}{
		{"-- of the day\nselect 1 as n", "n", "1", ""},
		{"/* of the day */ select 1 as n;", "n", "1", ""},
		{"with w as (select 1 as n) select n from w; -- done", "n", "1", ""},
		{"select 1 as n, 2 as n", "n n", "1|2", ""},
		{"select 1 as \"\", 2 as n, 3 as \"\"", "column1 n column3", "1|2|3", "postgres mysql"},
		{"select 1 as '', 2 as n", "column1 n", "1|2", "postgres sqlserver sqlite"},
		{"values (1, 2)", "", "1|2", "sqlserver"},
		{"set nocount on; select 1 as n", "n", "1", "postgres mysql sqlite"},
		{"declare @t table (n int); insert @t values (1); select n from @t", "n", "1", "postgres mysql sqlite"},
		{"exec report", "n", "1", "postgres mysql sqlite"},
		{"call report(1)", "n", "1", "sqlserver mysql sqlite"},
		{"select noisy() as n", "n", "1", "sqlserver mysql sqlite"},
	}
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		switch db.driver {
		case "postgres":
			testdb.Postgres(t).MustExec(t, dsn, "create procedure report(inout n int) language sql as 'select n'; "+
				"create function noisy() returns int language plpgsql as 'begin raise notice ''a notice''; raise warning ''a warning''; return 1; end'")
		case "sqlserver":
			for _, c := range shapes {
				var columns []minitds.Column
				for n := range strings.SplitSeq(c.names, " ") {
					if strings.HasPrefix(n, "column") {
						n = ""
					}
					columns = append(columns, minitds.Column{Name: n, Type: minitds.Int})
				}
				var row []any
				for v := range strings.SplitSeq(c.rows, "|") {
					row = append(row, v)
				}
				if !strings.Contains(c.not, db.driver) {
					script.add(c.sql, minitds.Answer{Columns: columns, Rows: [][]any{row}, Then: &minitds.Answer{Info: "Completion time: now"}})
				}
			}
		}
		for _, c := range shapes {
			if strings.Contains(c.not, db.driver) {
				continue
			}
			s := open(t, db.driver, dsn, c.sql)
			var names []string
			for _, column := range s.Columns(0) {
				names = append(names, column.Name)
			}
			if got := strings.Join(names, " "); got != c.names && c.names != "" {
				t.Errorf("%s has the columns %q", c.sql, got)
			}
			rows, _ := texts(t, s, 0, 10)
			same(t, c.sql, rows, []string{c.rows})
		}
	})
}

// A row may have as many columns as its database can return, NULLs in any of them.
func TestWideRows(t *testing.T) {
	most := map[string]int{"postgres": 1664, "sqlite": 2000, "mysql": 4096, "sqlserver": 4096}
	each(t, func(t *testing.T, db database) {
		dsn := db.dsn(t)
		for _, n := range []int{6, 7, 8, 9, 63, 64, 65, 1025, most[db.driver]} {
			var sql, want []string
			var columns []minitds.Column
			var row []any
			for i := range n {
				columns = append(columns, minitds.Column{Name: fmt.Sprint("c", i), Type: minitds.Int})
				v := fmt.Sprint(i)
				if i%3 == 0 || i == n-1 {
					v, row = "NULL", append(row, nil)
				} else {
					row = append(row, i)
				}
				sql, want = append(sql, v+" as c"+fmt.Sprint(i)), append(want, v)
			}
			query := "select " + strings.Join(sql, ",")
			script.add(query, minitds.Answer{Columns: columns, Rows: [][]any{row}})
			rows, _ := texts(t, open(t, db.driver, dsn, query), 0, 10)
			same(t, fmt.Sprint(n, " columns"), rows, []string{strings.Join(want, "|")})
		}
	})
}

// What is told of a write and of a CALL in brackets is what is wrong and not something else.
func TestRefusedStatements(t *testing.T) {
	my := createMySQL(t, "create table t (a int)", "create procedure report() select a from t")
	lite := createSQLite(t, "create table t (a int)")
	for _, c := range []struct{ driver, dsn, sql, want string }{
		{"mysql", my, "/* now */ -- and\n (call report())", "syntax"},
		{"mysql", my, "insert into t values (1)", "READ ONLY transaction"},
		{"mysql", my, "optimize table t", "it is no query"},
		{"sqlite", lite, "insert into t values (1) returning a", "opened to be read only"},
	} {
		err := attempt(t, c.driver, pipeline.Request{DSN: c.dsn, Queries: asQueries([]string{c.sql})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
}

// What is quoted in a query follows the sql_mode that the DSN sets.
func TestMySQLModesOfTheDSN(t *testing.T) {
	dsn := createMySQL(t)
	arg := []pipeline.Arg{{Name: "n", Type: pipeline.ArgInt, Text: "7"}}
	for mode, query := range map[string]string{
		"NO_BACKSLASH_ESCAPES": `select '\' as a, :n as n, ':n' as b`,
		"ANSI_QUOTES":          `select '\\' as "a\", :n as n, ':n' as "b"`,
	} {
		s := openRequest(t, "mysql", pipeline.Request{DSN: dsn + "?sql_mode=%27" + mode + "%27", Queries: []pipeline.Query{{SQL: query, Args: arg}}})
		rows, _ := textsAll(t, s)
		same(t, mode, rows, []string{`\|7|:n`})
	}
}

// Texts arrive as UTF-8 whatever encoding their database has. Where it has none, what is not UTF-8 is shown as the
// bytes that it consists of, and a query that would change the encoding on the way fails.
func TestPostgresEncodings(t *testing.T) {
	pg := testdb.Postgres(t)
	for encoding, c := range map[string]struct {
		insert string
		want   []string
		typ    string
	}{
		"LATIN1":    {`chr(71) || chr(252) || chr(223)`, []string{"Güß"}, "text"},
		"EUC_JP":    {`convert_from('\xe697a5e69cac', 'UTF8')`, []string{"日本"}, "text"},
		"SQL_ASCII": {`E'G\xfc\xdf'), ('plain'), (E'\xc3\xbc'), ('`, []string{"0x47fcdf", "plain", "ü", ""}, "mixed"},
	} {
		name := fmt.Sprint("fanmill_", strings.ToLower(encoding))
		pg.MustExec(t, pg.DSN(), "drop database if exists "+name)
		pg.MustExec(t, pg.DSN(), "create database "+name+" template template0 encoding '"+encoding+"' lc_collate 'C' lc_ctype 'C'")
		t.Cleanup(func() { pg.MustExec(t, pg.DSN(), "drop database "+name+" with (force)") })
		dsn := strings.Replace(pg.DSN(), "/postgres?", "/"+name+"?", 1)
		if encoding == "SQL_ASCII" {
			c.insert += "'"
		}
		pg.MustExec(t, dsn, "create table t (id serial, a text)")
		pg.MustExec(t, dsn, "insert into t (a) values ("+c.insert+")")
		rows, types := texts(t, open(t, "postgres", dsn, "select a from t order by id"), 0, 10)
		same(t, encoding, append(rows, types...), append(c.want, c.typ))
		if encoding == "SQL_ASCII" {
			pg.MustExec(t, dsn, `do $$ begin execute E'create view named as select 1 as "Gr\xf6\xdfe"'; end $$`)
			same(t, "name", []string{open(t, "postgres", dsn, "select * from named").Columns(0)[0].Name}, []string{"Gr\uFFFD\uFFFDe"})
		}
	}
	err := attempt(t, "postgres", pipeline.Request{DSN: pg.DSN(), Queries: asQueries([]string{"select set_config('client_encoding', 'LATIN1', false), 'ü'"})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "it sets client_encoding to LATIN1") {
		t.Errorf("the error is %v", err)
	}
}
