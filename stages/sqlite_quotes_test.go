package stages_test

import (
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// branchWithTexts is a database whose own schema has texts in double quotes, as SQLite allows.
var branchWithTexts = []string{
	`create table sale (id integer primary key, state text, amount int, size text generated always as (case when amount > 5 then "big" else "small" end), check (state <> "none"))`,
	`create index by_amount on sale (amount) where state = "open"`,
	`create index by_mark on sale (state || "x")`,
	`create trigger opened after insert on sale begin update sale set state = "open" where id = new.id and new.state = "new"; end`,
	`create view open_sale as select id, amount, "label" as what from sale where state = "open"`,
	`create view labelled as select * from open_sale where what = "label" order by id`,
	`insert into sale (id, state, amount) values (1, 'new', 3), (2, 'closed', 9)`,
}

// In a query "..." is a name, and one that is not there is an error that names it and the way out. What the database
// says in its own views, triggers, generated columns, constraints and indexes means what it means to the branch's
// programs.
func TestSQLiteDoubleQuotesAreNames(t *testing.T) {
	dsn := createSQLite(t, branchWithTexts...)
	for query, want := range map[string]string{
		`select id as "No" from sale order by "No"`:                                                   "1 2",
		`select "state" from sale order by "id"`:                                                      "open closed",
		`select size from sale where "state" = 'open'`:                                                "small",
		`select "what" from open_sale`:                                                                "label",
		`select id from labelled`:                                                                     "1",
		"select \"id\" || \"what\" as \"a`b\"\"c\" from labelled -- \"it's\"":                         "1label",
		`select "x" from (select id as "x" from open_sale where what = 'no "label"' or "amount" = 3)`: "1",
		`select id from sale where amount = 3 and state || 'x' = 'openx'`:                             "1",
	} {
		s := open(t, "sqlite", dsn, query)
		rows, _ := texts(t, s, 0, 100)
		same(t, query, rows, strings.Fields(want))
		if strings.Contains(query, "a`b") && s.Columns(0)[0].Name != "a`b\"c" {
			t.Errorf("%s: the column is called %s", query, s.Columns(0)[0].Name)
		}
	}
	for query, name := range map[string]string{
		`select id from sale where "status" = 'open'`:                       "status",
		`select id, "status" from sale`:                                     "status",
		`select id from sale order by "status"`:                             "status",
		`select id from sale group by "status"`:                             "status",
		`select count(*) from sale having "status" > 1`:                     "status",
		`select sum(case when "status" = 'open' then amount end) from sale`: "status",
		`select a.id from sale a join sale b on "a.id" = b.id`:              "a.id",
		`with w as (select "status" as s from sale) select * from w`:        "status",
		`select id from sale where state = "it's"`:                          "it's",
		`select id from sale where id in (select "status")`:                 "status",
		`select id, "status" from labelled`:                                 "status",
		`select id from labelled where "Status" = 'open'`:                   "Status",
		`select date("now")`:                                                "now",
	} {
		_, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: query}}})
		want := `no such column: "` + name + `": there is no column of this name; if it is meant as a text, write it in single quotes: '` + strings.ReplaceAll(name, "'", "''") + `' (SQLite 1)`
		if err == nil || !strings.Contains(err.Error(), want) || !pipeline.IsPermanent(err) {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
	// Other names have no such way out, and SQLite's own words.
	for query, want := range map[string]string{
		"select `status` from sale":                  "no such column: status (SQLite 1)",
		`select s."status" from sale s`:              "no such column: s.status (SQLite 1)",
		`select [status] from labelled`:              "no such column: status (SQLite 1)",
		`select "what", s.status from labelled s`:    "no such column: s.status (SQLite 1)",
		`select "what" from labelled where nope = 1`: "no such column: nope (SQLite 1)",
		`select id from "sales"`:                     "no such table: sales (SQLite 1)",
	} {
		_, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: query}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", query, err, want)
		}
	}
}

// Several queries of one connection: one that reads such a view leaves the others as strict as they were.
func TestSQLiteDoubleQuotesByQuery(t *testing.T) {
	dsn := createSQLite(t, branchWithTexts...)
	queries := []pipeline.Query{{SQL: "select * from labelled"}, {SQL: `select "state" from sale`}, {SQL: `select "what" from labelled where id = :id`, Args: []pipeline.Arg{{Name: "id", Type: pipeline.ArgInt, Text: "1"}}}}
	s, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: queries})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for q, want := range []string{"1|3|label", "open closed", "label"} {
		rows, _ := texts(t, s, q, 100)
		same(t, queries[q].SQL, rows, strings.Fields(want))
	}
	queries[1].SQL = `select "status" from sale`
	if _, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: queries}); err == nil || !strings.Contains(err.Error(), `no such column: "status"`) {
		t.Error(err)
	}
}

// A database that is altered after it was described is prepared again by SQLite itself, by the same rules.
func TestSQLiteDoubleQuotesAfterAlter(t *testing.T) {
	dsn := createSQLite(t, append(branchWithTexts, "create table note (id int, text text)", "insert into note values (1, 'x')")...)
	queries := []pipeline.Query{{SQL: `select id from note where "text" = 'text'`}, {SQL: "select * from labelled"}, {SQL: `select "id" from note`}}
	s, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: queries})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	i := slices.IndexFunc(databases, func(db database) bool { return db.driver == "sqlite" })
	databases[i].exec(t, dsn, "alter table note drop column text")
	rows, _ := texts(t, s, 1, 100)
	same(t, queries[1].SQL, rows, []string{"1|3|label"})
	rows, _ = texts(t, s, 2, 100)
	same(t, queries[2].SQL, rows, []string{"1"})
	err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), func(*columnar.Builder) bool { return false }, func(b *columnar.Builder) error {
		t.Errorf("%d rows of a column that is gone", b.Rows())
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), `no such column: "text"`) {
		t.Error(err)
	}
}
