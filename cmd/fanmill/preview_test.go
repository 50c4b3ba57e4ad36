package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// previewJob has two branches and two queries, of which the first never ends by itself.
func previewJob(t *testing.T) string {
	t.Helper()
	db := sqliteDB(t, `create table sale (id integer, day date, amount decimal(14,2), note text);
		insert into sale values (1, '2026-04-01', 12.5, null), (2, '2026-04-02', -3, ''), (3, null, null, 'NULL')`)
	queries := []object{
		{"name": "endless", "sql": "with recursive n(i) as (select 1 union all select i + 1 from n) select i as id from n"},
		{"name": "sales", "sql": "select * from sale where id >= :from order by id"},
	}
	return writeJob(t, "", object{"id": "gst", "queries": queries, "params": object{"from": 1}, "connections": []object{
		{"id": "conn_1", "name": "Delhi", "driver": "sqlite", "dsn": filepath.ToSlash(filepath.Join(t.TempDir(), "missing.db"))},
		{"id": "conn_2", "name": "Pune", "driver": "sqlite", "dsn": db},
	}, "destinations": []object{{"type": "excel", "filePath": filepath.ToSlash(filepath.Join(t.TempDir(), "gst.xlsx"))}}})
}

// The preview shows rows as they are: NULL, the empty text and a text that says NULL are three things, and every column has its type.
func TestPreviewTellsValuesApart(t *testing.T) {
	job := previewJob(t)
	code, out, problems := call("preview", job, "--connection", "conn_2", "--query", "sales", "--json")
	if code != exitComplete {
		t.Fatalf("exit code %d: %s%s", code, out, problems)
	}
	var v struct {
		Connection, Query, Server string
		Columns                   []struct{ Name, Type string }
		Rows                      [][]any
		More                      bool
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := [][]any{{"1", "2026-04-01", "12.50", nil}, {"2", "2026-04-02", "-3.00", ""}, {"3", nil, nil, "NULL"}}
	if !reflect.DeepEqual(v.Rows, want) || v.More || v.Connection != "Pune" || v.Query != "sales" || !strings.HasPrefix(v.Server, "SQLite ") {
		t.Errorf("it shows %+v, want %v", v, want)
	}
	var types []string
	for _, c := range v.Columns {
		types = append(types, c.Name+" "+c.Type)
	}
	if got := strings.Join(types, ", "); got != "id int, day date, amount decimal(14,2), note text" {
		t.Errorf("the columns are %s", got)
	}

	code, out, problems = call("preview", job, "--connection", "conn_2", "--query", "sales", "--param", "from=2")
	if code != exitComplete {
		t.Fatalf("exit code %d: %s%s", code, out, problems)
	}
	for _, want := range []string{"Pune, query sales, SQLite ", "decimal(14,2)", "<NULL>", `""`, " NULL", "2 rows of 4 columns"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table does not say %q:\n%s", want, out)
		}
	}
}

// The preview stops a query after the rows it was asked for, however many more there are, and says that there are more.
func TestPreviewStopsTheQuery(t *testing.T) {
	job := previewJob(t)
	for _, args := range [][]string{{"--rows", "3"}, nil} { // without --query the first one; without --rows 20
		code, out, problems := call(append([]string{"preview", job, "--connection", "conn_2", "--json"}, args...)...)
		if code != exitComplete {
			t.Fatalf("exit code %d: %s%s", code, out, problems)
		}
		var v struct {
			Query string
			Rows  [][]string
			More  bool
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		rows := 20
		if args != nil {
			rows = 3
		}
		if v.Query != "endless" || len(v.Rows) != rows || !v.More || v.Rows[2][0] != "3" {
			t.Errorf("%v: it shows %+v", args, v)
		}
	}
	if _, out, _ := call("preview", job, "--connection", "conn_2", "--rows", "3"); !strings.Contains(out, "the first 3 rows of 1 column") {
		t.Errorf("the table does not say that there are more:\n%s", out)
	}
}

// What is wrong with the command line is said with what there is, and has the exit code of a bad command line; a branch that cannot be
// read has that of a failure.
func TestPreviewRefuses(t *testing.T) {
	job := previewJob(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--connection", "conn_9"}, exitBadJob, "conn_9"},
		{[]string{"--connection", "conn_2", "--query", "returns"}, exitBadJob, "it has endless, sales"},
		{[]string{"--connection", "conn_2", "--rows", "0"}, exitBadJob, "--rows"},
		{[]string{"--connection", "conn_2", "--param", "form=2"}, exitBadJob, `did you mean "from"?`},
		{[]string{"--connection", "conn_2", "--param", "from"}, exitBadJob, "NAME=VALUE"},
		{nil, exitFailed, "connection Delhi: "}, // the first one
	} {
		if code, out, problems := call(append([]string{"preview", job}, c.args...)...); code != c.code || !strings.Contains(problems, c.want) || out != "" {
			t.Errorf("%v: exit code %d, want %d; it said %q, %q, want %q", c.args, code, c.code, out, problems, c.want)
		}
	}
}

// Instants are shown in the job's time zone, also beside a value that is none, as the CSV has them.
func TestPreviewShowsTheJobsZone(t *testing.T) {
	db := sqliteDB(t, `create table sale (id integer, at timestamptz);
		insert into sale values (1, '2024-07-01 00:00:00.5Z'), (2, 'infinity'), (3, '2024-07-01T18:30:00+05:30'), (4, null)`)
	for query, want := range map[string]string{
		"select id, at from sale where id <> 2 order by id": "2024-07-01 05:30:00.5+05:30 2024-07-01 18:30:00+05:30 <nil>",
		"select id, at from sale order by id":               "2024-07-01 05:30:00.5+05:30 infinity 2024-07-01 18:30:00+05:30 <nil>",
	} {
		job := writeJob(t, "", object{"id": "gst", "timeZone": "Asia/Kolkata", "query": query, "connections": []object{{"id": "a", "driver": "sqlite", "dsn": db}},
			"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})
		code, out, problems := call("preview", job, "--json")
		var v struct{ Rows [][]any }
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitComplete {
			t.Fatalf("exit code %d, %v: %s%s", code, err, out, problems)
		}
		var got []string
		for _, row := range v.Rows {
			got = append(got, fmt.Sprint(row[1]))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s shows %q, want %q", query, got, want)
		}
	}
}
