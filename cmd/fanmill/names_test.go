package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/testdb"
)

// A branch of SQLite that lacks a column which the query names in double quotes fails by that name, in the check, the
// preview and the run. The others are delivered, and none of its rows.
func TestNameThatIsNotThere(t *testing.T) {
	good := sqliteDB(t, "create table sale (id int, status text); insert into sale values (1, 'open'), (2, 'closed')")
	bad := sqliteDB(t, "create table sale (id int, state text); insert into sale values (3, 'open'), (4, 'closed')")
	const want = `no such column: "status": there is no column of this name; if it is meant as a text, write it in single quotes: 'status'`
	for _, query := range []string{`select id from sale where "status" <> 'closed'`, `select id from sale where "status" = 'open'`, `select id from sale where 'open' in ("status")`} {
		w := &world{t: t, dir: t.TempDir()}
		w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4"}
		writeJob(t, w.job(), object{"id": "gst", "query": query, "connections": []object{
			{"id": "good", "driver": "sqlite", "dsn": good}, {"id": "bad", "driver": "sqlite", "dsn": bad}}, "destinations": []object{csvTo(w.dir, "gst.csv", nil)}})
		if v := checkJSON(t, exitPartial, w.job()); v.Failing != 1 || !v.Connections[1].Reachable || !strings.Contains(v.Connections[1].Error, want) {
			t.Errorf("the check says %+v", v)
		}
		if code, out, problems := call("preview", w.job(), "--connection", "bad"); code == exitComplete || !strings.Contains(out+problems, want) {
			t.Errorf("the preview ends with %d and says %s%s", code, out, problems)
		}
		if out := w.mustRun(exitPartial, nil); !strings.Contains(out, want) {
			t.Errorf("the run says\n%s", out)
		}
		if text, err := os.ReadFile(filepath.Join(w.dir, "gst.csv")); err != nil || string(text) != "id\r\n1\r\n" {
			t.Errorf("the file is %q, %v", text, err)
		}
	}
}

// MariaDB has no such switch: the check warns once for all branches of the same mind.
func TestCheckWarnsOfDoubleQuotes(t *testing.T) {
	maria := testdb.MariaDB(t)
	var connections []object
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		dsn := maria.NewDatabase(t)
		maria.MustExec(t, dsn, "create table sale (id int, state text)")
		connections = append(connections, object{"id": id, "driver": "mariadb", "dsn": dsn})
	}
	job := writeJob(t, "", object{"id": "gst", "query": `select id as "No" from sale where "status" = 'open'`, "connections": connections,
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})
	const want = "\"status\" is a text on this server, not a column: write `status` for a column, 'status' for a text"
	for _, c := range checkJSON(t, exitComplete, job).Connections {
		if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], want) {
			t.Errorf("of %s it warns %q", c.ID, c.Warnings)
		}
	}
	_, out, _ := call("check", job)
	if flat := strings.Join(strings.Fields(out), " "); strings.Count(flat, want) != 1 || !strings.Contains(flat, "(a, b, c, 2 more)") {
		t.Errorf("it says\n%s", out)
	}
	if _, out, _ = call("check", "--verbose", job); !strings.Contains(strings.Join(strings.Fields(out), " "), "(a, b, c, d, e)") {
		t.Errorf("with --verbose it says\n%s", out)
	}
}
