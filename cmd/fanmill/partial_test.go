package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// readJSON reads a file that fanmill wrote.
func readJSON[T any](t *testing.T, path string) (v T) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	return v
}

// Invariant 7, on PostgreSQL: one branch of eight refuses the login. The others are delivered, the run is partial and names it, in the
// manifest, the checkpoint and the output; once its password is right, a resume asks only that one, and the artifacts are complete.
func TestOneBranchRefusesLogin(t *testing.T) {
	t.Parallel()
	pg := testdb.Postgres(t)
	w := newWorld(t, 10)
	w.conns = nil
	for i := range 8 {
		dsn := pg.NewDatabase(t)
		pg.MustExec(t, dsn, fmt.Sprintf(`create table sale (branch text, id int, amount numeric(14,2));
			insert into sale select 'Branch_%03d', i, i * 1.25 from generate_series(1, %d) i`, i+1, 100*(i+1)))
		w.conns = append(w.conns, worldConn{id: fmt.Sprintf("conn_%d", i+1), name: fmt.Sprintf("Branch_%03d", i+1), dsn: dsn, rows: 100 * (i + 1)})
	}
	const broken = 3
	right := w.conns[broken].dsn
	w.conns[broken].dsn = "${BRANCH_DSN}"
	w.query = "select * from sale order by id"
	w.write()

	wrong := wrongPassword(t, right)
	out := w.mustRun(exitPartial, []string{"BRANCH_DSN=" + wrong})
	if !strings.Contains(out, "Branch_004") || !strings.Contains(out, "--resume") {
		t.Errorf("the output does not name the branch and the way on:\n%s", out)
	}
	if n := w.whole(); n != 7 {
		t.Errorf("%d sheets were delivered, want 7", n)
	}
	report := readJSON[pipeline.Report](t, w.xlsx()+".manifest.json")
	for i, c := range report.Connections {
		want := pipeline.ReportSettled
		if i == broken {
			want = pipeline.ReportFailed
		}
		if c.State != want || i == broken && (c.Error == "" || c.Attempts != 1) || i != broken && c.Rows[0] != int64(w.conns[i].rows) {
			t.Errorf("the manifest says %+v, want %s", c, want)
		}
	}
	checkpointFile := filepath.Join(w.dir, "logs", "checkpoints", "gst.json")
	public := readJSON[pipeline.PublicCheckpoint](t, checkpointFile)
	if !slices.Equal(public.FailedConnectionIDs, []string{"conn_4"}) || len(public.CompletedConnectionIDs) != 7 || public.TotalConnections != 8 {
		t.Errorf("the checkpoint says %+v", public)
	}

	w.askedSince()
	w.mustRun(exitComplete, []string{"BRANCH_DSN=" + right}, "--resume")
	if asked := w.askedSince(); !slices.Equal(asked, []string{right}) {
		t.Errorf("the resume asked %v", asked)
	}
	if n := w.whole(); n != 8 {
		t.Errorf("%d sheets after the resume, want 8", n)
	}
	w.tabsInJobOrder()
	w.tidy()
	if _, err := os.Stat(checkpointFile); !os.IsNotExist(err) {
		t.Errorf("full success left the checkpoint: %v", err)
	}
}

// The CSV's header is fixed when the run begins, by the branches that answer then. One that answers later, and has a column that is not in
// it, is turned away there alone, and by name; the workbook has it. What is delivered somewhere keeps its query (R7).
func TestColumnSeenLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, 20, 30)
	right := w.conns[1].dsn
	w.conns[1].dsn = filepath.ToSlash(filepath.Join(w.dir, "missing.db"))
	w.queries = map[int]string{1: "select *, 7 as discount from sale limit 20"}
	w.write()
	w.mustRun(exitPartial, nil)
	if n := w.whole(); n != 2 {
		t.Errorf("the workbook has %d sheets, want 2", n)
	}
	w.conns[1].dsn = right
	w.write()
	out := w.mustRun(exitPartial, nil, "--resume")
	if n := w.whole(); n != 3 {
		t.Errorf("the workbook has %d sheets after the resume, want 3", n)
	}
	if rows := w.csvRows(); len(rows) != 2 || rows[w.conns[1].name] != 0 {
		t.Errorf("the CSV has %v", rows)
	}
	if !strings.Contains(out, "Failed to write CSV progressively for "+w.conns[1].name+": columns differ from the header: extra discount") {
		t.Errorf("the output does not name the branch and its column:\n%s", out)
	}
	delete(w.queries, 1)
	w.write()
	if out := w.mustRun(exitFailed, nil, "--resume"); !strings.Contains(out, "query of connection conn_2 changed") {
		t.Errorf("a changed query of a delivered connection was not refused:\n%s", out)
	}
}

// R7: a resume of a job that has changed is refused, naming everything that changed.
func TestChangedJobIsRefused(t *testing.T) {
	w := newWorld(t, 10, 20, 30)
	if code, out := w.run([]string{"FANMILL_FAILPOINT=after-publish:2"}); code != -1 {
		t.Fatalf("exit code %d; it said:\n%s", code, out)
	}
	w.conns[0].name = "Renamed"
	w.conns = w.conns[:2]
	w.write()
	out := w.mustRun(exitFailed, nil, "--resume")
	for _, want := range []string{"conn_3 is gone", `conn_1 was named "Branch_001", is "Renamed"`} {
		if !strings.Contains(out, want) {
			t.Errorf("the refusal does not say %q:\n%s", want, out)
		}
	}
}

// wrongPassword is a DSN with another password.
func wrongPassword(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "not-"+pipeline.NewToken())
	return u.String()
}

// What a partial run leaves does not push out the last whole file that is kept, and a user's own file of that name is nobody's to remove.
func TestPreviousIsTheLastWholeFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, 20)
	w.mustRun(exitComplete, nil)
	whole, err := os.ReadFile(w.csv())
	if err != nil {
		t.Fatal(err)
	}
	right := w.conns[1].dsn
	w.conns[1].dsn = filepath.ToSlash(filepath.Join(w.dir, "missing.db"))
	w.write()
	for range 2 {
		w.mustRun(exitPartial, nil)
		if kept, err := os.ReadFile(w.csv() + ".previous"); err != nil || string(kept) != string(whole) {
			t.Fatalf("the last whole file is not kept: %v", err)
		}
	}
	w.conns[1].dsn = right
	w.write()
	w.mustRun(exitComplete, nil)
	w.tidy()
	own := w.csv() + ".previous"
	if err := errors.Join(os.Remove(w.csv()), os.WriteFile(own, []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	w.mustRun(exitComplete, nil)
	if kept, err := os.ReadFile(own); err != nil || string(kept) != "mine" {
		t.Errorf("the user's own file is %q, %v", kept, err)
	}
}

// Invariant 9: a text in a column of numbers stays a text, and leaves its neighbours numbers that add up; the CSV quotes it.
func TestTextAmongNumbers(t *testing.T) {
	w := newWorld(t, 1)
	path := filepath.Join(w.dir, "odd.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`create table sale (id integer, amount decimal(14,2)); insert into sale values (1, 12.5), (2, 'n/a, "late"'), (3, 7), (4, null)`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	w.conns[0].dsn, w.query = filepath.ToSlash(path), "select * from sale order by id"
	w.write()
	w.mustRun(exitComplete, nil)
	text, err := os.ReadFile(w.csv())
	if want := "id,amount\r\n1,12.50\r\n2,\"n/a, \"\"late\"\"\"\r\n3,7.00\r\n4,\r\n"; err != nil || string(text) != want {
		t.Errorf("the CSV is %q, want %q, %v", text, want, err)
	}
	book, err := excelize.OpenFile(w.xlsx())
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	for cell, want := range map[string]excelize.CellType{"B2": excelize.CellTypeUnset, "B3": excelize.CellTypeInlineString, "B4": excelize.CellTypeUnset} {
		if got, err := book.GetCellType(w.conns[0].name, cell); err != nil || got != want {
			t.Errorf("%s has type %v, want %v, %v", cell, got, want, err)
		}
	}
}
