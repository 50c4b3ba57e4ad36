package stages_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/minitds"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// Nothing that a query writes is kept, however it is described and wherever it stands in a session: not by describing
// alone, as check does it, and not by running.
func TestSQLServerKeepsNothing(t *testing.T) {
	write := []string{"a row"}
	ends := "it ends the transaction that it runs in"
	for name, c := range map[string]struct {
		answer minitds.Answer
		error  string
	}{
		"a write after the rows":             {minitds.Answer{Late: write}, ""},
		"a write of what cannot be told":     {minitds.Answer{Does: write, Opaque: true}, ""},
		"a procedure that switches it off":   {minitds.Answer{Does: write, Tricks: true}, ""},
		"one that ends what it begins":       {minitds.Answer{Does: []string{"begin", "a row", "commit"}, Tricks: true}, ""},
		"one that commits too much":          {minitds.Answer{Does: []string{"a row", "commit", "another"}, Tricks: true}, ends},
		"the same, after its rows":           {minitds.Answer{Late: []string{"a row", "commit", "another"}, Tricks: true}, ends},
		"one that cannot be described":       {minitds.Answer{Does: []string{"a row", "commit", "another"}, Opaque: true}, ends},
		"one that rolls back":                {minitds.Answer{Does: []string{"a row", "rollback", "another"}, Tricks: true}, ends},
		"one that rolls back, and no more":   {minitds.Answer{Does: []string{"a row", "rollback"}, Opaque: true}, ends},
		"one that rolls back and reads":      {minitds.Answer{Does: []string{"rollback", "a row"}}, ends},
		"one that rolls back and begins":     {minitds.Answer{Does: []string{"rollback", "begin", "a row"}}, ends},
		"one that commits what is not begun": {minitds.Answer{Does: []string{"commit", "rollback", "a row", "rollback", "commit"}}, "no corresponding BEGIN TRANSACTION"},
	} {
		for server, config := range map[string]minitds.Config{"2019": {}, "2008": {Major: 10}, "Babelfish": {Babelfish: true}} {
			for place, queries := range map[string][]string{"alone": {"q"}, "first": {"q", "plain"}, "last": {"plain", "q"}} {
				t.Run(name+"/"+server+"/"+place, func(t *testing.T) {
					c.answer.Columns, c.answer.Rows = anInt, [][]any{{1}}
					s, dsn := answered(t, config, minitds.Script{"q": c.answer, "plain": {Columns: anInt, Rows: [][]any{{2}}}})
					if session, err := sqlserverOpen(t.Context(), dsn, queries...); err == nil {
						closes(t, session)
					} else if c.error == "" {
						t.Errorf("described: %v", err)
					}
					err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries(queries)})
					if c.error == "" && err != nil || c.error != "" && (!pipeline.IsPermanent(err) || !strings.Contains(err.Error(), c.error)) {
						t.Errorf("run: %v", err)
					}
					await(t, s, func(r minitds.Record) bool { return r.Open == 0 })
					if r := s.Record(); len(r.Kept) > 0 || r.Committed > 0 {
						t.Errorf("kept %q, committed %d times", r.Kept, r.Committed)
					}
				})
			}
		}
	}
}

// A session rolls back at its end, which gives up its locks, also when its query is still running.
func TestSQLServerRollsBack(t *testing.T) {
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt, Rows: [][]any{{1}}, Times: 100_000, Opaque: true, Does: []string{"a row"}}})
	session, err := sqlserverOpen(t.Context(), dsn, "q")
	if err != nil {
		t.Fatal(err)
	}
	closes(t, session)
	if r := s.Record(); r.RolledBack != 1 || r.Attentions != 1 || len(r.Kept) > 0 {
		t.Errorf("%+v", r)
	}
}

// A COMMIT or ROLLBACK in the text of a query is refused before a server is asked. What only looks like one is not.
func TestSQLServerEndsInText(t *testing.T) {
	s, dsn := answered(t, minitds.Config{}, nil)
	for _, sql := range []string{"select 1 as a; commit; insert into t values (1)", "insert t values (1)\nCOMMIT TRAN\nselect 1", "begin tran select 1 as n rollback", "if @@trancount>0 Commit; select 1",
		"select 1 as n;rollback", "/* */commit--\nselect 1", "select 'a'commit"} {
		err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{sql})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "leave COMMIT and ROLLBACK out") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if n := len(s.Record().Logins); n > 0 {
		t.Errorf("%d logins", n)
	}
	for _, sql := range []string{"select 'commit' as n, \"rollback\" as r", "select [commit] from t -- rollback", "select @commit, committed, rollbacks from #rollback /* commit */", "select x from t where n = :commit", "select commit_date, last_rollback from t"} {
		err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{sql})})
		if err == nil || strings.Contains(err.Error(), "leave COMMIT") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// A describe that has to run, whose cancel the server does not confirm in time, goes on with another connection.
func TestSQLServerDialsAnew(t *testing.T) {
	const many = 100_000
	opaque := minitds.Answer{Columns: anInt, Rows: [][]any{{1}}, Times: many, Opaque: true}
	for name, config := range map[string]minitds.Config{"SQL Server": {DeafToCancel: true}, "Babelfish": {DeafToCancel: true, Babelfish: true}} {
		t.Run(name, func(t *testing.T) {
			s, dsn := answered(t, config, minitds.Script{"plain": {Columns: anInt, Rows: [][]any{{2}}}, "opaque": opaque, "other": opaque})
			session := open(t, "sqlserver", dsn, "plain", "opaque", "other")
			for q, want := range []int{1, many, many} {
				if rows, _ := texts(t, session, q, 10_000); len(rows) != want {
					t.Errorf("query %d has %d rows, want %d", q, len(rows), want)
				}
			}
			closes(t, session)
			r := s.Record()
			if want := 3; len(r.Logins) != want {
				t.Errorf("%d logins, want %d", len(r.Logins), want)
			}
			if r.Committed != 0 {
				t.Errorf("committed %d times", r.Committed)
			}
		})
	}
}

// Of several queries the first, whose rows are asked for first, is left running when it has to run to be described.
func TestSQLServerFirstQueryRunsOnce(t *testing.T) {
	opaque := minitds.Answer{Columns: anInt, Rows: [][]any{{1}}, Opaque: true, Does: []string{"ran"}}
	s, dsn := answered(t, minitds.Config{Babelfish: true}, minitds.Script{"first": opaque, "second": opaque})
	session := open(t, "sqlserver", dsn, "first", "second")
	for q := range 2 {
		if err := session.Stream(t.Context(), q, columnar.NewBuilder(session.Columns(q)), full, drop); err != nil {
			t.Fatal(err)
		}
	}
	closes(t, session)
	if got := []int{ran(s, "first"), ran(s, "second")}; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("the queries were run %v times", got)
	}
}

// Babelfish is known by its property, which SQL Server does not have. Nothing asks it for what it cannot answer, and
// all that it can run delivers.
func TestSQLServerBabelfish(t *testing.T) {
	for _, sql := range []string{"declare @n int = 1; select @n as n", "with c as (select 1 as n) select n from c", "exec report", "select 1 as n into #t; select n from #t"} {
		s, dsn := answered(t, minitds.Config{Babelfish: true, Major: 12}, minitds.Script{sql: {Columns: anInt, Rows: [][]any{{1}}}})
		session := open(t, "sqlserver", dsn, sql)
		if got := session.Server(); got != "Babelfish, as SQL Server 12.0.4261.1" {
			t.Errorf("the server is %q", got)
		}
		rows, _ := texts(t, session, 0, 10)
		same(t, sql, rows, []string{"1"})
		for _, r := range s.Record().Requests {
			if strings.Contains(r.SQL, "FMTONLY") || strings.HasPrefix(r.Procedure, "sp_describe") {
				t.Errorf("asked %+v", r)
			}
		}
	}
}

// What has to run to be described does not, where it is to be described alone.
func TestSQLServerMustRun(t *testing.T) {
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"opaque": {Columns: anInt, Opaque: true, Does: []string{"ran"}}})
	_, err := stages.Kinds()["sqlserver"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, NoRun: true, Queries: asQueries([]string{"opaque"})})
	if !errors.Is(err, pipeline.ErrMustRun) || !pipeline.IsPermanent(err) {
		t.Errorf("the error is %v", err)
	}
	if n := ran(s, "opaque"); n != 1 { // with FMTONLY on
		t.Errorf("it was asked for %d times", n)
	}
}
