package main

import (
	"encoding/json"
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

// manifestNotes are what an artifact's manifest says of a connection.
func manifestNotes(t *testing.T, artifact, id string) string {
	t.Helper()
	raw, err := os.ReadFile(artifact + ".manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Connections []struct {
			ID    string
			Notes []string
		}
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for _, c := range m.Connections {
		if c.ID == id {
			return strings.Join(c.Notes, "\n")
		}
	}
	t.Fatalf("the manifest has no connection %s", id)
	return ""
}

// A header that stands twice is named by validate where the options make it so, by check where the columns do, and in
// the manifests; no value stands under another column than its own.
func TestTwinsAreNamed(t *testing.T) {
	both := sqliteDB(t, "create table sale (id int, net int, gross int); insert into sale values (1, 10, 11)")
	one := sqliteDB(t, "create table sale (id int, gross int); insert into sale values (2, 22)")
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4", "--parallel", "1"}
	columns := object{"net": object{"rename": "Amount"}, "gross": object{"rename": "Amount"}}
	job := object{"id": "gst", "connections": []object{
		{"id": "a", "name": "Pune", "driver": "sqlite", "dsn": both, "query": "select id, net, gross, net as id from sale"},
		{"id": "b", "name": "Pune\u00a0", "driver": "sqlite", "dsn": one, "query": "select id, gross from sale"}},
		"destinations": []object{csvTo(w.dir, "gst.csv", object{"columns": columns, "connectionColumn": "id"}),
			{"type": "excel", "filePath": filepath.ToSlash(filepath.Join(w.dir, "gst.xlsx")), "columns": columns}}}
	writeJob(t, w.job(), job)

	code, _, problems := call("validate", w.job())
	for _, want := range []string{"destinations[0].columns: in the header Amount stands 2 times", "destinations[1].columns: in the header Amount stands 2 times",
		`connections[1].name: "Pune\u00a0" is easily taken for "Pune", the name of connections[0]`} {
		if code != exitComplete || !strings.Contains(unquotedLog(problems), want) {
			t.Errorf("validate ends with %d and does not say %s:\n%s", code, want, problems)
		}
	}
	if code, _, problems := call("validate", "--strict", w.job()); code != exitBadJob || !strings.Contains(problems, "Amount stands 2 times") {
		t.Errorf("validate --strict ends with %d: %s", code, problems)
	}
	v := checkJSON(t, exitComplete, w.job())
	if got := strings.Join(v.Warnings, "\n"); got != "destination csv: in the header id stands 4 times\ndestination csv: in the header Amount stands 2 times" {
		t.Errorf("of the CSV it warns %s", got)
	}
	for i, want := range []string{"destination excel: in the header id stands 2 times\ndestination excel: in the header Amount stands 2 times",
		"id stands once here, and not as often elsewhere: which is which cannot be told"} {
		if got := strings.Join(v.Connections[i].Warnings, "\n"); got != want {
			t.Errorf("of connection %d it warns %s", i, got)
		}
	}

	w.mustRun(exitComplete, nil)
	text, err := os.ReadFile(filepath.Join(w.dir, "gst.csv"))
	if want := "id,id,Amount,Amount,id,id\r\nPune,1,10,11,10,\r\nPune\u00a0,,,22,,2\r\n"; err != nil || string(text) != want {
		t.Errorf("the file is %q, %v, want %q", text, err, want)
	}
	for _, want := range []string{"in the header id stands 4 times", "in the header Amount stands 2 times", `connection b is called "Pune\u00a0", and this one "Pune"`} {
		if got := manifestNotes(t, filepath.Join(w.dir, "gst.csv"), "a"); !strings.Contains(got, want) {
			t.Errorf("the manifest does not say %s: %s", want, got)
		}
	}
	for _, want := range []string{"in the header id stands 2 times", "in the header Amount stands 2 times"} {
		if got := manifestNotes(t, filepath.Join(w.dir, "gst.xlsx"), "a"); !strings.Contains(got, want) {
			t.Errorf("the manifest does not say %s: %s", want, got)
		}
	}
}

// unquotedLog undoes what a log line does to the quotes in it.
func unquotedLog(text string) string {
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text)
}
