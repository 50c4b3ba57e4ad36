package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fanmill/internal/sheetsfake"
	"fanmill/internal/soak"
	"fanmill/internal/verify"
)

const sheetsRobot = "robot@fake.iam.gserviceaccount.com"

// sheetsWorld is a job that writes a spreadsheet of the fake in the test's process: a tab for each connection, and
// beside it one tab for all, by another destination.
type sheetsWorld struct {
	*world
	fake *sheetsfake.Server
	book *sheetsfake.Book

	mu     sync.Mutex
	victim *exec.Cmd // is killed with
	left   int       // this request from now; 0 is never
	drop   bool      // which is not carried out then
}

func newSheetsWorld(t *testing.T, rows ...int) *sheetsWorld {
	t.Helper()
	fake, err := sheetsfake.Start(sheetsfake.Options{PerUser: 1_000_000, PerProject: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	w := &sheetsWorld{world: newWorld(t, rows...), fake: fake, book: fake.Create("doc", sheetsRobot)}
	if err := os.WriteFile(filepath.Join(w.dir, "key.json"), fake.KeyFile(sheetsRobot), 0o600); err != nil {
		t.Fatal(err)
	}
	fake.OnCall(w.see)
	text, err := os.ReadFile(w.job())
	if err != nil {
		t.Fatal(err)
	}
	var job map[string]any
	if err := json.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	sheet := func(more ...string) map[string]any {
		d := map[string]any{"type": "sheets", "spreadsheet": "doc", "credentials": "${file:key.json}", "endpoint": fake.URL(), "flushRows": 1000, "flushInterval": "1s"}
		for i := 0; i < len(more); i += 2 {
			d[more[i]] = more[i+1]
		}
		return d
	}
	job["destinations"] = []any{map[string]any{"type": "csv", "filePath": filepath.ToSlash(w.csv())}, sheet("id", "each"), sheet("id", "all", "type", "google-sheets", "tab", "All", "mode", "append")}
	if text, err = json.Marshal(job); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.job(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// see kills a process at a request.
func (w *sheetsWorld) see(sheetsfake.Call) sheetsfake.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return sheetsfake.Fault{}
	}
	if w.left--; w.left > 0 {
		return sheetsfake.Fault{}
	}
	_ = w.victim.Process.Kill()
	return sheetsfake.Fault{Drop: w.drop}
}

func (w *sheetsWorld) arm(victim *exec.Cmd, left int, drop bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.victim, w.left, w.drop = victim, left, drop
}

// cellText is a cell as text, as it is stored.
func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return strings.ToUpper(fmt.Sprint(v))
	}
}

// exactTabs compares every cell of both destinations with the databases.
func (w *sheetsWorld) exactTabs() {
	w.t.Helper()
	truth, columns := w.truth()
	each, all := verify.Dataset{}, verify.Dataset{}
	add := func(cells *verify.Cells, row []any) {
		texts := make([]string, len(row))
		for i := range row {
			texts[i] = cellText(row[i])
		}
		if err := cells.Row(texts); err != nil {
			w.t.Fatal(err)
		}
	}
	names := func(row []any) (out []string) {
		for _, v := range row {
			out = append(out, v.(string))
		}
		return out
	}
	for _, c := range w.conns {
		tab := w.book.Values(c.name)
		if len(tab) == 0 {
			w.t.Fatalf("there is no tab %s", c.name)
		}
		cells := verify.NewCells(names(tab[0]), columns)
		for _, row := range tab[1:] {
			add(cells, row)
		}
		each[c.name] = cells.Table()
	}
	tab := w.book.Values("All")
	of := map[string]*verify.Cells{}
	for _, c := range w.conns {
		of[c.name] = verify.NewCells(names(tab[0][1:]), columns)
	}
	for _, row := range tab[1:] {
		add(of[row[0].(string)], row[1:])
	}
	for name, cells := range of {
		all[name] = cells.Table()
	}
	for what, got := range map[string]verify.Dataset{"tabs of each": each, "tab of all": all} {
		if d := verify.DiffLoose(truth, got); len(d) > 0 {
			w.t.Errorf("%s: %s", what, strings.Join(d, "\n"))
		}
	}
	for _, t := range w.book.Tabs() {
		if t.Hidden {
			w.t.Errorf("the hidden tab %q is left", t.Title)
		}
	}
}

// wholeTabs checks at any moment that a visible tab has whole connections only.
func (w *sheetsWorld) wholeTabs() {
	w.t.Helper()
	want := map[string]int{}
	for _, c := range w.conns {
		want[c.name] = c.rows
	}
	counts := map[string]int{}
	for _, t := range w.book.Tabs() {
		rows := w.book.Values(t.Title)
		switch _, ours := want[t.Title]; {
		case t.Hidden:
		case t.Title == "All":
			for _, row := range rows[1:] {
				counts[row[0].(string)]++
			}
		case ours && len(rows) != want[t.Title]+1:
			w.t.Errorf("the tab %s has %d rows, want %d", t.Title, len(rows), want[t.Title]+1)
		}
	}
	for name, n := range counts {
		if n != want[name] {
			w.t.Errorf("the tab of all has %d rows of %s, want %d", n, name, want[name])
		}
	}
}

// Invariants 1, 3 and 6: killed at requests, whether they were carried out or not, the spreadsheet has whole
// connections only, and the last resume ends exact, cell for cell, nothing twice.
func TestSheetsKilledAtRequests(t *testing.T) {
	t.Parallel()
	w := newSheetsWorld(t, 3000, 200, 1200, 0, 1, 700)
	random := rand.New(rand.NewPCG(3, 4))
	kills, enough := 0, soak.Rounds(4, 10)
	for n := 1; ; n++ {
		var args []string
		if n > 1 {
			args = append(args, "--resume")
		}
		cmd, out := w.command(nil, args...)
		if kills < enough {
			w.arm(cmd, 4+random.IntN(6), n%2 == 0)
		} else {
			w.arm(cmd, 0, false)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		w.arm(nil, 0, false)
		w.wholeTabs()
		if cmd.ProcessState.Success() {
			break
		}
		if code := cmd.ProcessState.ExitCode(); code == -1 {
			kills++
		} else if !blamed(code, out.String()) {
			t.Fatalf("exit code %d instead of being killed; it said:\n%s", code, out)
		}
	}
	w.exactTabs()
	t.Logf("%d kills, %d batches", kills, len(w.book.Batches()))
	if kills < 3 {
		t.Errorf("only %d kills", kills)
	}
}

// A sharing that is taken away is found before the first query. Taken away later it leaves the rows owed; a resume
// sends them and asks nobody.
func TestSheetsSharingTakenAway(t *testing.T) {
	t.Parallel()
	w := newSheetsWorld(t, 50, 20)
	w.args = append(w.args, "--destination-timeout", "1s")
	w.book.Share(sheetsRobot, sheetsfake.Reader)
	if out := w.mustRun(exitFailed, nil); !strings.Contains(out, sheetsRobot) || len(w.askedSince()) > 0 {
		t.Errorf("it said:\n%s", out)
	}
	w.book.Share(sheetsRobot, sheetsfake.Writer)
	var batches atomic.Int32
	w.fake.OnCall(func(c sheetsfake.Call) sheetsfake.Fault {
		if c.Kind == "batchUpdate" {
			if batches.Add(1) > 2 { // the probes of both destinations
				return sheetsfake.Fault{Status: 403, Reason: "forbidden", Message: "The caller does not have permission"}
			}
		}
		return sheetsfake.Fault{}
	})
	if out := w.mustRun(exitPartial, nil); !strings.Contains(out, "share the spreadsheet with that address") {
		t.Errorf("it said:\n%s", out)
	}
	w.fake.OnCall(nil)
	w.askedSince()
	w.mustRun(exitComplete, nil, "--resume")
	if asked := w.askedSince(); len(asked) > 0 {
		t.Errorf("asked: %q", slices.Compact(asked))
	}
	w.exactTabs()
}
