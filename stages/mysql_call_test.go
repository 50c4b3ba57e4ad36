package stages_test

import (
	"context"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// A procedure's rows are delivered like a SELECT's. What it returns is known once it runs; what cannot be had of it is said.
func TestMySQLCall(t *testing.T) {
	dsn := createMySQL(t, "create table t (a int, d decimal(14,2), s text)", "insert into t values (1, 1.5, 'x'), (2, -2.25, null), (3, 0, '')",
		"create procedure report(least int) begin declare n int; set n = least; select * from t where a >= n order by a; end",
		"create procedure temporary() begin create temporary table mine as select * from t; select * from mine; end",
		"create procedure big() begin select seq as n from seq_1_to_200000; do 0; end",
		"create procedure nothing() begin do 1; end",
		"create procedure two() begin select 1 as n; select 2 as n; end",
		"create procedure broken() begin select a from t; signal sqlstate '45000' set message_text = 'the report is broken'; end",
		"create procedure writes() begin insert into t values (4, 4, 'd'); select a from t; end",
		"create procedure commits() begin commit; insert into t values (5, 5, 'e'); select a from t; end",
		"create procedure results() begin select a from t; do sleep(1000); select a from t; end",
		"create procedure slow() begin select a from t; do sleep(1000); end")
	ask := func(sql string, args ...pipeline.Arg) pipeline.Request {
		return pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: sql, Args: args}}}
	}

	s := openRequest(t, "mysql", ask("-- the report\nCall report(:least)", pipeline.Arg{Name: "least", Type: pipeline.ArgInt, Text: "2"}))
	var types []string
	for _, c := range s.Columns(0) {
		types = append(types, c.Name+" "+c.Type())
	}
	same(t, "columns", types, []string{"a int", "d decimal(14,2)", "s text"})
	rows, _ := texts(t, s, 0, 2)
	same(t, "rows", rows, []string{"2|-2.25|NULL", "3|0.00|"})
	if rows, _ := texts(t, openRequest(t, "mysql", ask("call big()")), 0, 5000); len(rows) != 200_000 || rows[199_999] != "200000" {
		t.Errorf("%d rows of a large result", len(rows))
	}

	for sql, want := range map[string]string{
		"call nothing()":   "it returns no columns",
		"call two()":       "it returns more than one result; give each a query of its own",
		"call broken()":    "the report is broken",
		"call writes()":    "READ ONLY transaction",
		"call commits()":   "READ ONLY transaction",
		"call temporary()": "READ ONLY transaction",
		"call missing()":   "does not exist",
		"call report()":    "Incorrect number of arguments",
	} {
		if err := attempt(t, "mysql", ask(sql)); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
	snapshot := ask("call big()")
	snapshot.Snapshot = true
	if err := attempt(t, "mysql", snapshot); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `turn "snapshot" off`) {
		t.Errorf("a snapshot: %v", err)
	}
	several := pipeline.Request{DSN: dsn, Queries: asQueries([]string{"select 1 as n", "call big()"})}
	if err := attempt(t, "mysql", several); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "give it a job of its own") {
		t.Errorf("several queries: %v", err)
	}

	// Whenever it is given up it ends on the server: described only, while it works after its rows, and between two results.
	for sql, stream := range map[string]bool{"call slow()": false, "call slow() -- streamed": true, "call results()": true} {
		given := openRequest(t, "mysql", ask(sql))
		mysqlActivity(t, dsn, "info like '%sleep%'", 1)
		if stream {
			ctx, cancel := context.WithCancel(t.Context())
			b := columnar.NewBuilder(given.Columns(0))
			rows := func(b *columnar.Builder) bool { cancel(); return false }
			if err := given.Stream(ctx, 0, b, rows, func(*columnar.Builder) error { return nil }); err == nil {
				t.Errorf("%s: it ended", sql)
			}
			cancel()
		}
		if err := given.Close(); err != nil {
			t.Error(err)
		}
		mysqlActivity(t, dsn, "info like '%sleep%'", 0)
	}
}
