package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// newJob is a world with a job of its own; destinations name files in the folder out.
func newJob(t *testing.T, job object) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4", "--parallel", "1"}
	w.put(job)
	return w
}

func (w *world) put(job object) {
	w.t.Helper()
	writeJob(w.t, w.job(), job)
}

// out is a file in the folder of artifacts.
func (w *world) out(name string) string { return filepath.Join(w.dir, "out", name) }

// holds compares a text file.
func (w *world) holds(name, want string) {
	w.t.Helper()
	if text, err := os.ReadFile(w.out(name)); err != nil || string(text) != want {
		w.t.Errorf("%s is %q, want %q, %v", name, text, want, err)
	}
}

// files lists what is in the folder of artifacts.
func (w *world) files() (names []string) {
	w.t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, "out"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// book reads the cells of a workbook's sheets as they are shown, but for the Summary, and its tabs in their order.
func (w *world) book(name string) (tabs []string, cells map[string][][]string) {
	w.t.Helper()
	f, err := excelize.OpenFile(w.out(name))
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	cells = map[string][][]string{}
	for _, tab := range f.GetSheetList() {
		tabs = append(tabs, tab)
		if tab == "Summary" {
			continue
		}
		if cells[tab], err = f.GetRows(tab); err != nil {
			w.t.Fatal(err)
		}
	}
	return tabs, cells
}

// branches are three small ones, with two queries' tables.
func branches(t *testing.T) []object {
	t.Helper()
	var out []object
	for i, name := range []string{"Delhi", "Pune", "Agra"} {
		out = append(out, object{"id": "conn_" + itoa(i+1), "name": name, "driver": "sqlite", "dsn": sqliteDB(t, `
			create table sale (id integer, amount decimal(14,2), note text); create table back (id integer, reason text);
			insert into sale values (`+itoa(10*i+1)+`, 1.5, '`+name+`'), (`+itoa(10*i+2)+`, -2, null);
			insert into back values (`+itoa(10*i+1)+`, 'broken')`)})
	}
	return out
}

var twoQueries = []object{{"name": "sales", "sql": "select * from sale order by id"}, {"name": "returns", "sql": "select * from back order by id"}}

// outPath is relative: the child runs in the world's folder.
func outPath(name string) string { return "out/" + name }

// Several queries: a workbook has a sheet for each of each branch, a CSV a file for each, named after it.
func TestFilePerQuery(t *testing.T) {
	w := newJob(t, object{"id": "gst", "queries": twoQueries, "connections": branches(t), "destinations": []object{
		{"type": "csv", "filePath": outPath("gst.csv")}, {"type": "csv", "filePath": outPath("{query}/all.csv")}, {"type": "excel", "filePath": outPath("gst.xlsx")}}})
	said := w.mustRun(exitComplete, nil)
	for _, want := range []string{"Progressive CSV write: Pune (2 rows) appended destination=csv.sales", "Progressive CSV write: Pune (1 rows) appended destination=csv-2.returns",
		"Progressive Excel write: Pune (3 rows) appended", "Memory cleaned for Pune"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log does not say %q:\n%s", want, said)
		}
	}
	sales := "id,amount,note\r\n1,1.50,Delhi\r\n2,-2.00,\r\n11,1.50,Pune\r\n12,-2.00,\r\n21,1.50,Agra\r\n22,-2.00,\r\n"
	returns := "id,reason\r\n1,broken\r\n11,broken\r\n21,broken\r\n"
	for name, want := range map[string]string{"gst-sales.csv": sales, "gst-returns.csv": returns, "sales/all.csv": sales, "returns/all.csv": returns} {
		w.holds(name, want)
	}
	tabs, cells := w.book("gst.xlsx")
	if want := []string{"Delhi sales", "Delhi returns", "Pune sales", "Pune returns", "Agra sales", "Agra returns", "Summary"}; !slices.Equal(tabs, want) {
		t.Errorf("the tabs are %v, want %v", tabs, want)
	}
	if rows := cells["Agra returns"]; len(rows) != 2 || !slices.Equal(rows[1], []string{"21", "broken"}) {
		t.Errorf("the sheet Agra returns has %v", rows)
	}
	var status screen.StatusView
	w.asked1(&status, "status", "gst", "--json")
	var rows []int64
	for _, d := range status.Destinations {
		rows = append(rows, d.Rows)
	}
	if want := []int64{6, 3, 6, 3, 9}; !slices.Equal(rows, want) {
		t.Errorf("the destinations are said to have %v rows, want %v", rows, want)
	}
}

// {connection} in a path makes a file for each branch, workbook or CSV. A branch that fails leaves no file and keeps nobody's back; a resume
// makes its, and leaves the others as their users have them by then.
func TestFilePerConnection(t *testing.T) {
	all := branches(t)
	right := all[1]["dsn"]
	all[1]["dsn"] = filepath.ToSlash(filepath.Join(t.TempDir(), "missing.db"))
	job := object{"id": "gst", "query": "select * from sale order by id", "connections": all, "destinations": []object{
		{"type": "csv", "filePath": outPath("{connection}.csv")}, {"type": "excel", "filePath": outPath("{connection}.xlsx")}}}
	w := newJob(t, job)
	if said := w.mustRun(exitPartial, nil); !strings.Contains(said, "Pune") {
		t.Errorf("it does not name the branch:\n%s", said)
	}
	w.holds("Delhi.csv", "id,amount,note\r\n1,1.50,Delhi\r\n2,-2.00,\r\n")
	w.holds("Agra.csv", "id,amount,note\r\n21,1.50,Agra\r\n22,-2.00,\r\n")
	for _, name := range []string{"Pune.csv", "Pune.xlsx"} {
		if slices.Contains(w.files(), name) {
			t.Errorf("the branch that failed has a file: %v", w.files())
		}
	}
	if report := readJSON[pipeline.Report](t, w.out("Pune.csv.manifest.json")); len(report.Connections) != 1 || report.Connections[0].State != pipeline.ReportFailed {
		t.Errorf("the report of the missing file says %+v", report.Connections)
	}
	if err := os.WriteFile(w.out("Delhi.csv"), []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.askedSince()
	all[1]["dsn"] = right
	w.put(job)
	w.mustRun(exitComplete, nil, "--resume")
	if asked := w.askedSince(); len(asked) != 1 || asked[0] != right {
		t.Errorf("the resume asked %v", asked)
	}
	w.holds("Delhi.csv", "mine\n")
	w.holds("Pune.csv", "id,amount,note\r\n11,1.50,Pune\r\n12,-2.00,\r\n")
	var status screen.StatusView
	w.asked1(&status, "status", "gst", "--json")
	if size := sizeOf(w.out("Delhi.csv")) + sizeOf(w.out("Pune.csv")) + sizeOf(w.out("Agra.csv")); status.Destinations[0].Bytes != size || size == 0 {
		t.Errorf("the files are said to have %d bytes, not %d", status.Destinations[0].Bytes, size)
	}
	for _, name := range []string{"Delhi", "Pune", "Agra"} {
		if _, cells := w.book(name + ".xlsx"); len(cells[name]) != 3 {
			t.Errorf("the workbook of %s has %v", name, cells)
		}
	}
	if names := w.files(); len(names) != 3*2*2 { // and a report beside each
		t.Errorf("the folder has %v", names)
	}
}

// Appending adds to what is there: the CSV's rows under its one header, the workbook's sheets beside those of before. A run that was given
// up in the middle leaves nothing behind for the next.
func TestAppend(t *testing.T) {
	t.Parallel()
	all := branches(t)[:2]
	job := object{"id": "gst", "query": "select id, amount from sale order by id", "connections": all, "destinations": []object{
		{"type": "csv", "filePath": outPath("gst.csv"), "mode": "append"}, {"type": "excel", "filePath": outPath("gst.xlsx"), "mode": "append"}}}
	w := newJob(t, job)
	w.mustRun(exitComplete, nil)
	first := "id,amount\r\n1,1.50\r\n2,-2.00\r\n11,1.50\r\n12,-2.00\r\n"
	w.holds("gst.csv", first)
	for i, c := range all {
		changeDB(t, c["dsn"].(string), "update sale set amount = amount + "+itoa(i+1))
	}
	second := "1,2.50\r\n2,-1.00\r\n11,3.50\r\n12,0.00\r\n"
	w.mustRun(exitComplete, nil)
	w.holds("gst.csv", first+second)
	grown := func(amounts ...string) { // the first one of each sheet
		t.Helper()
		tabs, cells := w.book("gst.xlsx")
		if len(tabs) != len(amounts)+1 || tabs[len(amounts)] != "Summary" || !slices.Equal(tabs[:2], []string{"Delhi", "Pune"}) {
			t.Fatalf("the tabs are %v, want those of %d runs, and a summary at the end", tabs, len(amounts)/2)
		}
		for i, amount := range amounts { // those of later runs are told apart by their day
			if rows := cells[tabs[i]]; i > 1 && !strings.HasPrefix(tabs[i], tabs[i%2]+" (") || len(rows) != 3 || rows[1][1] != amount {
				t.Errorf("the sheet %s has %v, want %s first", tabs[i], rows, amount)
			}
		}
	}
	grown("1.50", "1.50", "2.50", "3.50")
	// A third run is killed when it has published a branch; a fourth begins where the second ended.
	for _, c := range all {
		changeDB(t, c["dsn"].(string), "update sale set amount = 1000")
	}
	if code, out := w.run([]string{"FANMILL_FAILPOINT=before-final-publish:2"}); code != -1 {
		t.Fatalf("exit code %d: the place was not reached; it said:\n%s", code, out)
	}
	if text, err := os.ReadFile(w.out("gst.csv")); err != nil || !strings.HasPrefix(string(text), first+second) || !strings.Contains(string(text), "1000.00") {
		t.Fatalf("the killed run published %q, %v", text, err)
	}
	for _, c := range all {
		changeDB(t, c["dsn"].(string), "update sale set amount = 101")
	}
	w.mustRun(exitComplete, nil)
	w.holds("gst.csv", first+second+"1,101.00\r\n2,101.00\r\n11,101.00\r\n12,101.00\r\n")
	grown("1.50", "1.50", "2.50", "3.50", "101.00", "101.00")
	// A file that is not ours to append to is left alone, and the refusal says why.
	job["query"] = "select id as number, amount from sale order by id"
	w.put(job)
	if out := w.mustRun(exitPartial, nil); !strings.Contains(out, "rows cannot be appended to") || !strings.Contains(out, "number") {
		t.Errorf("another header was not refused:\n%s", out)
	}
	w.holds("gst.csv", first+second+"1,101.00\r\n2,101.00\r\n11,101.00\r\n12,101.00\r\n")
}

// Columns are named, ordered, hidden and formatted as the job asks, in both kinds of file.
func TestColumnOptions(t *testing.T) {
	w := newJob(t, object{"id": "gst", "query": "select * from sale order by id", "connections": branches(t)[:1], "destinations": []object{
		{"type": "csv", "filePath": outPath("gst.csv"), "columns": object{"amount": object{"rename": "Amount, net", "order": 1}, "note": object{"hide": true}}},
		{"type": "excel", "filePath": outPath("gst.xlsx"), "summary": false,
			"columns": object{"amount": object{"rename": "Amount", "order": 1, "format": "#,##0.000", "width": 31}, "note": object{"hide": true}}},
	}})
	w.mustRun(exitComplete, nil)
	w.holds("gst.csv", "\"Amount, net\",id\r\n1.50,1\r\n-2.00,2\r\n")
	f, err := excelize.OpenFile(w.out("gst.xlsx"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if tabs := f.GetSheetList(); !slices.Equal(tabs, []string{"Delhi"}) {
		t.Errorf("the tabs are %v, and no summary was wanted", tabs)
	}
	rows, err := f.GetRows("Delhi")
	if err != nil || len(rows) != 3 || !slices.Equal(rows[0], []string{"Amount", "id", "note"}) || rows[1][0] != "1.500" {
		t.Errorf("the sheet has %v, %v", rows, err)
	}
	if width, err := f.GetColWidth("Delhi", "A"); err != nil || width < 31 || width >= 32 {
		t.Errorf("the column is %v wide, %v", width, err)
	}
	for column, want := range map[string]bool{"A": true, "B": true, "C": false} {
		if visible, err := f.GetColVisible("Delhi", column); err != nil || visible != want {
			t.Errorf("column %s is visible: %v, %v", column, visible, err)
		}
	}
}

// Where each query has its file, options are for the columns of all queries: only what none of them returns is noted.
func TestColumnOptionsOfSeveralQueries(t *testing.T) {
	options := object{"amount": object{"order": 1}, "reason": object{"rename": "Why"}, "amuont": object{"hide": true}}
	w := newJob(t, object{"id": "gst", "queries": twoQueries, "connections": branches(t)[:1], "destinations": []object{
		{"type": "csv", "filePath": outPath("gst.csv"), "columns": options}, {"type": "excel", "filePath": outPath("{query}.xlsx"), "columns": options}}})
	v, _ := w.runJSON(exitComplete, nil)
	w.holds("gst-returns.csv", "id,Why\r\n1,broken\r\n")
	for _, n := range v.Connections[0].Notes {
		if !strings.Contains(n.Text, "amuont") || strings.Contains(n.Text, "reason") {
			t.Errorf("%s has the note %q", n.Destination, n.Text)
		}
	}
	if n := len(v.Connections[0].Notes); n != 4 {
		t.Errorf("there are %d notes, one for each file is wanted: %+v", n, v.Connections[0].Notes)
	}
}

// What a CSV may look like: byte order mark, NULL, guarded formulas, the branch's name, quotes, line ends, no header.
func TestCSVOptions(t *testing.T) {
	db := sqliteDB(t, `create table sale (id integer, note text);
		insert into sale values (-1, '=cmd|x'), (2, null), (3, ''), (4, 'NULL'), (5, '+1'), (6, '@a;b'), (7, 'plain')`)
	w := newJob(t, object{"id": "gst", "query": "select * from sale order by abs(id)", "connections": []object{{"id": "c", "name": "Delhi", "driver": "sqlite", "dsn": db}},
		"destinations": []object{
			{"id": "a", "type": "csv", "filePath": outPath("a.csv"), "bom": true, "nullText": "NULL", "formulaGuard": true, "connectionColumn": true, "lineEnd": "lf"},
			{"id": "b", "type": "csv", "filePath": outPath("b.csv"), "connectionColumn": "branch", "quoting": "nonNumeric", "delimiter": ";", "includeHeaders": false},
		}})
	w.mustRun(exitComplete, nil)
	w.holds("a.csv", "\ufeff_connection,id,note\nDelhi,-1,'=cmd|x\nDelhi,2,NULL\nDelhi,3,\"\"\nDelhi,4,\"NULL\"\nDelhi,5,'+1\nDelhi,6,'@a;b\nDelhi,7,plain\n")
	w.holds("b.csv", "\"Delhi\";-1;\"=cmd|x\"\r\n\"Delhi\";2;\r\n\"Delhi\";3;\"\"\r\n\"Delhi\";4;\"NULL\"\r\n\"Delhi\";5;\"+1\"\r\n\"Delhi\";6;\"@a;b\"\r\n\"Delhi\";7;\"plain\"\r\n")
}

// onDrift union: the CSV has the columns of all branches, matched by name; what a branch lacks is NULL, and the report names it.
func TestHeaderIsTheUnion(t *testing.T) {
	w := newJob(t, object{"id": "gst", "query": "select * from sale order by 1", "destinations": []object{{"type": "csv", "filePath": outPath("gst.csv"), "nullText": "-"}},
		"connections": []object{
			{"id": "a", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (id integer, amount integer); insert into sale values (1, 10)")},
			{"id": "b", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (amount integer, id integer, note text); insert into sale values (20, 2, 'x')")},
			{"id": "c", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (id integer, amount decimal(14,2), discount integer); insert into sale values (3, 30.5, 3)")},
		}})
	v, said := w.runJSON(exitComplete, nil)
	w.holds("gst.csv", "id,amount,note,discount\r\n1,10,-,-\r\n2,20,x,-\r\n3,30.50,-,3\r\n")
	wants := map[string][]string{"a": {"lacks note, discount: NULL there"}, "b": {"lacks discount: NULL there"}, "c": {"lacks note: NULL there"}}
	report := readJSON[pipeline.Report](t, w.out("gst.csv.manifest.json"))
	for i, c := range report.Connections {
		for _, want := range wants[c.ID] {
			if !slices.Contains(c.Notes, want) {
				t.Errorf("the report of %s has the notes %q, want %q", c.ID, c.Notes, want)
			}
			if !slices.ContainsFunc(v.Connections[i].Notes, func(n screen.NoteView) bool { return n.Text == want }) {
				t.Errorf("the result has the notes %+v of %s, want %q", v.Connections[i].Notes, c.ID, want)
			}
		}
	}
	if !strings.Contains(said, "columns differ: b has also note") {
		t.Errorf("the log does not name what differs:\n%s", said)
	}
}
