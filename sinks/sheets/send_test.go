package sheets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/sheets"
)

// big is so many rows that they do not fit one batch.
const big = 400

// G1: 56 connections of 150 rows alone meet no 429, and go together: a few writes.
func TestManyConnectionsGoTogether(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.client.BatchBytes(2 << 20)
	d := w.doc(config(56))
	var all []*sheets.Connection
	for i := range 56 {
		all = append(all, connection(t, i, 150, "a"))
	}
	w.must(d, all...)
	for i := range 56 {
		w.holds(fmt.Sprintf("B%d", i+1), rows{n: 150, tag: "a"})
	}
	if c := w.Counts(); c.Refused > 0 || c.Writes > 3 {
		t.Errorf("%+v", c)
	}
	w.clean()
}

// G1: 56 connections that flush one by one meet no 429 either: the governor waits.
func TestConnectionsOneByOneMeetNoQuota(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	for round := range 3 {
		d := w.doc(run(config(56), round+1))
		for i := range 56 {
			w.must(d, connection(t, i, 10, "a"))
		}
	}
	if c := w.Counts(); c.Refused > 0 || c.Writes != 3*56 || w.clock.slept == 0 {
		t.Errorf("%+v, slept %s", c, w.clock.slept)
	}
}

// A quota that others have spent is waited for, and is no failure.
func TestQuotaSpentByOthers(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{PerUser: 5})
	d := w.doc(config(20))
	for i := range 20 {
		w.must(d, connection(t, i, 10, "a"))
	}
	if c := w.Counts(); c.Refused == 0 {
		t.Errorf("%+v: nothing was refused", c)
	}
	w.holds("B20", rows{n: 10, tag: "a"})
}

// G6: what refers to a tab survives two runs that replace its rows, large and small; fewer rows leave none of the old.
func TestReplaceKeepsTabAndReferences(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.must(w.doc(config(1)), connection(t, 0, 100, "a"))
	tabs := w.book.Tabs()
	w.book.Put("Sheet1", 0, 0, "='B1'!B2")
	w.book.Put("Sheet1", 1, 0, "=SUM('B1'!A2:A)")
	w.book.Name("data", "B1", 0, 0, 101, 2)
	w.book.Paint("B1", 1, 1, "yellow")
	for i, n := range []int{big, 50} {
		tag := fmt.Sprintf("run%d", i+2)
		w.must(w.doc(run(config(1), i+2)), connection(t, 0, n, tag))
		w.holds("B1", rows{n: n, tag: tag})
		named, ok := w.book.Named("data")
		v := w.book.Values("Sheet1")
		if v[0][0] != tag+" 1" || v[1][0] != float64(n*(n+1)/2) || !ok || named[1][1] != tag+" 1" {
			t.Errorf("references show %v, the named range %v %v", v, ok, named[:2])
		}
		if got := w.book.Tabs(); got[1].ID != tabs[1].ID || len(got) != 2 {
			t.Errorf("tabs %v", got)
		}
		w.clean()
	}
}

// swap: tabs has the new tab in the place of the old one.
func TestSwapTabs(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(2)
	c.Swap = sheets.SwapTabs
	for i := range 2 {
		w.must(w.doc(run(c, i+1)), connection(t, 0, 30, "a"), connection(t, 1, big, fmt.Sprint(i)))
		if got := w.book.Tabs(); len(got) != 3 || got[1].Title != "B1" || got[2].Title != "B2" {
			t.Errorf("tabs %v", got)
		}
		w.holds("B1", rows{n: 30, tag: "a"})
		w.holds("B2", rows{n: big, tag: fmt.Sprint(i)})
		w.clean()
	}
	c.All = "All"
	w.must(w.doc(run(c, 3)), connection(t, 0, 30, "a"), connection(t, 1, 20, "b"))
	w.holds("All", rows{30, "a", "B1"}, rows{20, "b", "B2"})
}

// append goes on where the ledger of the last run ended, twice; other columns and a user's cells below are refused.
func TestAppend(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(2)
	c.Mode = sheets.Append
	w.must(w.doc(c), connection(t, 0, 20, "a"), connection(t, 1, 0, "x"))
	w.must(w.doc(run(c, 2)), connection(t, 0, big, "b"), connection(t, 1, 5, "x"))
	w.must(w.doc(run(c, 3)), connection(t, 0, 3, "c"), connection(t, 1, 0, "x"))
	w.holds("B1", rows{n: 20, tag: "a"}, rows{n: big, tag: "b"}, rows{n: 3, tag: "c"})
	w.holds("B2", rows{n: 5, tag: "x"})
	w.clean()
	other := of(0, columns[:1], batch(t, columns[:1], 1, func(b *columnar.Builder, _ int) { b.Column(0).Long(1) }))
	if r, err := w.doc(run(c, 4)).Send(context.Background(), []*sheets.Connection{other}); err != nil || !strings.Contains(r.Rejected[0], "other columns") {
		t.Errorf("other columns: %v %v", r, err)
	}
}

// Rows that somebody has written below ours are not written over.
func TestAppendLooksBelow(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(1)
	c.Mode = sheets.Append
	w.must(w.doc(c), connection(t, 0, 0, "a")) // a grid of two rows, one of which is free
	w.book.Put("B1", 1, 0, "a note")
	r, err := w.doc(run(c, 2)).Send(context.Background(), []*sheets.Connection{connection(t, 0, 3, "b")})
	if err != nil || !strings.Contains(r.Held[0], "below fanmill's last row") || w.book.Values("B1")[1][0] != "a note" {
		t.Errorf("%v %v %v", r, err, w.book.Values("B1"))
	}
}

// One tab of all connections: replaced by the first of a run, then appended to, in the order of the commits.
func TestOneTab(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(3)
	c.All = "All"
	for i := range 2 {
		d := w.doc(run(c, i+1))
		w.must(d, connection(t, 0, 10, "a"), connection(t, 1, big, "b"))
		w.must(d, connection(t, 2, 7, "c"))
		w.holds("All", rows{10, "a", "B1"}, rows{big, "b", "B2"}, rows{7, "c", "B3"})
		w.clean()
	}
	w.must(w.doc(run(c, 3)), connection(t, 2, 2, "c"))
	w.holds("All", rows{2, "c", "B3"})
	for title, want := range map[string]int{"All": 3} {
		if _, pattern := w.book.Format(title, 1, 0); pattern != "@" || len(w.book.Values(title)) != want {
			t.Errorf("format %q", pattern)
		}
	}
}

// G11, sequence 24: a tab without our mark is never touched, whatever its title; nor is another job's, or a copy's.
func TestOthersTabsStay(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.book.AddTab("b1", 2, 2)
	w.book.Put("b1", 0, 0, "mine")
	w.must(w.doc(config(1)), connection(t, 0, 5, "a"))
	w.holds("B1 (2)", rows{n: 5, tag: "a"})
	other := config(1)
	other.Owner.Job = "other"
	w.must(w.doc(other), connection(t, 0, 4, "b"))
	w.must(w.doc(run(config(1), 2)), connection(t, 0, 3, "c"))
	w.holds("B1 (2)", rows{n: 3, tag: "c"})
	w.holds("B1 (3)", rows{n: 4, tag: "b"})
	if v := w.book.Values("b1"); len(v) != 1 || v[0][0] != "mine" {
		t.Errorf("the user's tab has %v", v)
	}
	w.book.Copy("copy")
	of := run(config(1), 2)
	of.Spreadsheet = "copy"
	if settled, err := w.doc(of).Load(context.Background()); err != nil || len(settled) > 0 {
		t.Errorf("a copied ledger is believed: %v %v", settled, err)
	}
}

// A tab that a user renamed is known by its mark; titles that two connections want go in the job's order.
func TestTitles(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := config(3)
	c.Connections[1].Titles[0] = "b1"
	c.Connections[2].Titles[0] = strings.Repeat("x", 120)
	d := w.doc(c)
	w.must(d, connection(t, 1, 2, "second"))
	w.must(d, connection(t, 0, 1, "first"), connection(t, 2, 3, "third"))
	w.holds("B1", rows{n: 1, tag: "first"})
	w.holds("b1 (2)", rows{n: 2, tag: "second"})
	w.holds(strings.Repeat("x", 100), rows{n: 3, tag: "third"})
	w.book.Rename("B1", "Berlin")
	w.must(w.doc(run(c, 2)), connection(t, 0, 4, "again"))
	w.holds("Berlin", rows{n: 4, tag: "again"})
}

// G4: what does not fit the grids is refused with figures, before anything of it is written; others go on.
func TestGridLimit(t *testing.T) {
	sheets.MostCells(t, 30_000)
	w := newWorld(t, sheetsfake.Options{MostCells: 30_000})
	d := w.doc(config(2))
	r, err := d.Send(context.Background(), []*sheets.Connection{connection(t, 0, 1_100, "a"), connection(t, 1, 10, "b")})
	if err != nil || len(r.Settled) != 1 || !strings.Contains(r.Rejected[0], "26000 cells and would have 304") {
		t.Fatalf("%v %v", r, err)
	}
	w.holds("B2", rows{n: 10, tag: "b"})
	w.clean()
}

// The last row of a connection that is not as many as it said is found before the commit.
func TestRowsAreCounted(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	c := connection(t, 0, 10, "a")
	c.Tables[0].Rows = 11
	_, err := w.doc(config(1)).Send(context.Background(), []*sheets.Connection{c})
	if !pipeline.IsPermanent(err) || w.book.Values("B1") != nil {
		t.Errorf("%v %v", err, w.book.Values("B1"))
	}
}

// Errors of a receiver have their scope, and say with whom to share.
func TestScopes(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(w *world)
		scope pipeline.Scope
		say   string
	}{
		"not shared": {func(w *world) { w.book.Share(account, "") }, pipeline.OfTarget, "share the spreadsheet with that address as an editor"},
		"read only":  {func(w *world) { w.book.Share(account, sheetsfake.Reader) }, pipeline.OfTarget, account},
		"storage": {func(w *world) {
			w.failBy(func(c sheetsfake.Call) sheetsfake.Fault {
				return sheetsfake.Fault{Status: 403 * writes(c), Reason: "storageQuotaExceeded", Message: "full"}
			})
		}, pipeline.OfTarget, "storage of its owner is full"},
		"unavailable": {func(w *world) {
			w.failBy(func(c sheetsfake.Call) sheetsfake.Fault { return sheetsfake.Fault{Status: 503, Reason: "backendError"} })
		}, pipeline.OfMoment, "status 503"},
		"quota": {func(w *world) {
			w.failBy(func(c sheetsfake.Call) sheetsfake.Fault {
				return sheetsfake.Fault{Status: 429 * writes(c), Reason: "RATE_LIMIT_EXCEEDED"}
			})
		}, pipeline.OfMoment, "stays spent"},
		"dropped": {func(w *world) {
			w.failBy(func(c sheetsfake.Call) sheetsfake.Fault { return sheetsfake.Fault{Drop: true} })
		}, pipeline.OfMoment, "doc"},
		"invalid grant": {func(w *world) { w.RefuseTokens("invalid_grant") }, pipeline.OfTarget, "invalid_grant"},
		"clock":         {func(w *world) { w.RefuseTokens("invalid_grant"); w.Skew(6 * 60e9) }, pipeline.OfTarget, "clock differs from Google's by 6m"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sheetsfake.Options{})
			c.spoil(w)
			d := w.doc(config(1))
			_, sent := d.Send(context.Background(), []*sheets.Connection{connection(t, 0, 1, "a")})
			for op, err := range map[string]error{"send": sent, "probe": d.Probe(context.Background())} {
				var trouble *pipeline.Trouble
				if !errors.As(err, &trouble) || trouble.Scope != c.scope || !strings.Contains(err.Error(), c.say) {
					t.Errorf("%s: %v", op, err)
				}
			}
		})
	}
}

func writes(c sheetsfake.Call) int {
	if c.Kind == "batchUpdate" {
		return 1
	}
	return 0
}

// Probe says yes where it can be written, and changes nothing. An expired token is renewed.
func TestProbe(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	before := w.book.Tabs()
	for range 2 {
		if err := w.doc(config(1)).Probe(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.ExpireTokens()
	}
	if len(w.book.Tabs()) != len(before) || len(w.book.Batches()) > 0 || w.Counts().Tokens != 2 {
		t.Errorf("tabs %v, %d batches, %+v", w.book.Tabs(), len(w.book.Batches()), w.Counts())
	}
}

// G11: a protected tab holds its connection alone.
func TestProtectedTab(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.must(w.doc(config(2)), connection(t, 0, 1, "a"), connection(t, 1, 1, "a"))
	w.book.Protect("B1")
	r, err := w.doc(run(config(2), 2)).Send(context.Background(), []*sheets.Connection{connection(t, 0, 2, "b"), connection(t, 1, 2, "b")})
	if err != nil || !strings.Contains(r.Held[0], "protected") || len(r.Settled) != 1 {
		t.Errorf("%v %v", r, err)
	}
	w.holds("B1", rows{n: 1, tag: "a"})
	w.holds("B2", rows{n: 2, tag: "b"})
}

// G5: a row that Google refuses is looked for, and turns its connection away alone.
func TestRefusedRowIsFound(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.failBy(func(c sheetsfake.Call) sheetsfake.Fault {
		if c.Kind == "batchUpdate" && strings.Contains(string(c.Body), `"bad 777"`) {
			return sheetsfake.Fault{Status: 400, Reason: "badRequest", Message: "Invalid requests[" + fmt.Sprint(requestWith(c.Body, "bad 777")) + "].updateCells: no"}
		}
		return sheetsfake.Fault{}
	})
	r, err := w.doc(config(2)).Send(context.Background(), []*sheets.Connection{connection(t, 0, 3000, "bad"), connection(t, 1, 5, "good")})
	if err != nil || !strings.Contains(r.Rejected[0], "in row 777") || len(r.Settled) != 1 {
		t.Errorf("%v %v", r, err)
	}
	w.holds("B2", rows{n: 5, tag: "good"})
}

// requestWith is the subrequest that has a text.
func requestWith(body []byte, text string) int {
	var b struct{ Requests []json.RawMessage }
	if err := json.Unmarshal(body, &b); err != nil {
		return -1
	}
	return slices.IndexFunc(b.Requests, func(r json.RawMessage) bool { return strings.Contains(string(r), text) })
}
