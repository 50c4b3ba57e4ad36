package sinks_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
	"fanmill/sinks/sheets"
)

func cents(n int) decimal128.Num { return decimal128.FromI64(int64(n)) }

// Runs of few and of many connections: each has its tab, its cells are of the columns' types, and two runs replace the
// rows while formulas of other tabs stay.
func TestSheetsReplace(t *testing.T) {
	for _, n := range []int{3, 56} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := newSheetsWorld(t, "", nil)
			for i := range n {
				w.branch(fmt.Sprintf("Branch_%03d", i+1), 10*i, "a")
			}
			w.branches[1].queries[0].rows = 9000 // more than one request has room for
			w.run()
			w.book.Put("Sheet1", 0, 0, "=SUM('Branch_002'!C2:C)")
			for run, tag := range []string{"b", "c"} {
				for i, b := range w.branches {
					*b.queries[0] = sheetsResult{cols: sheetsColumns, rows: 5 + i + run, fill: taggedRow(tag)}
				}
				w.run()
			}
			for i, b := range w.branches {
				w.holds(b.name, sheetsHeader, sheetLines(6+i, "c", ""))
				if w.settled[i].Rows[0] != int64(6+i) {
					t.Errorf("%s is settled with %d rows", b.name, w.settled[i].Rows[0])
				}
			}
			if got := w.book.Values("Sheet1")[0][0]; got != 0.28 {
				t.Errorf("the formula says %v", got)
			}
			if kind, pattern := w.book.Format("Branch_001", 1, 2); kind+pattern != "NUMBER0.00" {
				t.Errorf("amounts are %s %s", kind, pattern)
			}
			if c := w.fake.Counts(); c.Refused > 0 {
				t.Errorf("%d requests were over the quota", c.Refused)
			}
		})
	}
}

// Runs in mode append add their rows below, in tabs of their own and in one tab.
func TestSheetsAppend(t *testing.T) {
	t.Run("each", func(t *testing.T) {
		w := newSheetsWorld(t, "append", nil)
		w.branch("North", 20, "a")
		w.branch("South", 0, "a")
		w.run()
		for _, b := range w.branches {
			b.queries[0] = &sheetsResult{cols: sheetsColumns, rows: 7, fill: taggedRow("b")}
		}
		w.run()
		w.holds("North", sheetsHeader, sheetLines(20, "a", ""), sheetLines(7, "b", ""))
		w.holds("South", sheetsHeader, sheetLines(7, "b", ""))
	})
	t.Run("one tab", func(t *testing.T) {
		w := newSheetsWorld(t, "append", map[string]any{"tab": "All", "connectionColumn": "branch"})
		w.branch("North", 20, "a")
		w.branch("South", 3, "a")
		w.run()
		for _, b := range w.branches {
			b.queries[0] = &sheetsResult{cols: sheetsColumns, rows: 7, fill: taggedRow("b")}
		}
		w.run()
		w.holds("All", append([]any{"branch"}, sheetsHeader...), sheetLines(20, "a", "North"), sheetLines(3, "a", "South"), sheetLines(7, "b", "North"), sheetLines(7, "b", "South"))
	})
}

// One tab has the columns of all connections, by name; options rename, hide and order them. What a connection lacks is
// empty there, and one with a column that nobody else had is turned away.
func TestSheetsOneTab(t *testing.T) {
	w := newSheetsWorld(t, "", map[string]any{"tab": "All", "columns": map[string]any{"party": map[string]any{"rename": "Party", "order": 1}, "ID": map[string]any{"digits": "text"}, "note": map[string]any{"hide": true}}})
	w.branch("North", 2, "n")
	w.branches = append(w.branches, &sheetsBranch{name: "South", queries: []*sheetsResult{{rows: 2,
		cols: []columnar.Column{{Name: "note", Kind: columnar.Text}, {Name: "Party", Kind: columnar.Text}, {Name: "id", Kind: columnar.Text}},
		fill: func(b *columnar.Builder, row int) {
			b.Column(0).String("hidden")
			b.Column(1).String(fmt.Sprint("s ", row))
			b.Column(2).String("x")
		}}}})
	w.branches[1].queries[0].cols[1].Name = "party"
	w.run()
	w.holds("All", []any{"_connection", "Party", "id", "amount"},
		[][]any{{"North", "n 1", "1", 0.01}, {"North", "n 2", "2", 0.02}, {"South", "s 0", "x"}, {"South", "s 1", "x"}})
	if notes := fmt.Sprint(w.said[1].Notes); !strings.Contains(notes, "lacks amount") {
		t.Errorf("South: %s", notes)
	}
	more := w.branch("East", 1, "e")
	w.begin()
	w.manifest.Schemas[0].Columns = w.manifest.Schemas[0].Columns[:2]
	if err := w.goOn(); err != nil || !strings.Contains(w.rejected[2], "extra amount") {
		t.Errorf("%s: %q, %v", more.name, w.rejected[2], err)
	}
}

// Several queries are several tabs, hidden columns are left out, and columns that the options name and no query has are
// told once.
func TestSheetsQueries(t *testing.T) {
	w := newSheetsWorld(t, "", map[string]any{"columns": map[string]any{"amount": map[string]any{"hide": true}, "nothing": map[string]any{"rename": "x"}}})
	b := w.branch("North", 3, "sales")
	b.queries[0].name = "sales"
	b.queries = append(b.queries, &sheetsResult{name: "stock", cols: sheetsColumns[1:2], rows: 1, fill: func(b *columnar.Builder, _ int) { b.Column(0).String("nut") }})
	w.run()
	w.holds("North sales", []any{"id", "party"}, [][]any{{1.0, "sales 1"}, {2.0, "sales 2"}, {3.0, "sales 3"}})
	w.holds("North stock", []any{"party"}, [][]any{{"nut"}})
	if notes := w.said[0].Notes; len(notes) != 1 || !strings.Contains(notes[0], `"nothing"`) {
		t.Errorf("%q", notes)
	}
	one := 1
	w.query, w.options = &one, maps.Clone(w.options)
	w.options["tab"] = "All"
	w.run()
	w.holds("All stock", []any{"_connection", "party"}, [][]any{{"North", "nut"}})
}

// Invariant 9: what cells do not hold is counted and named, or turns its connection away.
func TestSheetsLosses(t *testing.T) {
	long := func(b *columnar.Builder, row int) {
		b.Column(0).Long(int64(row) * 1_000_000_000_000_000_0)
		b.Column(1).String(strings.Repeat("x", 50_001*row))
	}
	w := newSheetsWorld(t, "", nil)
	w.branches = []*sheetsBranch{{name: "North", queries: []*sheetsResult{{cols: sheetsColumns[:2], rows: 2, fill: long}}}}
	w.run()
	said := w.said[0]
	if len(said.Losses) != 1 || said.Losses[0] != (pipeline.Loss{Column: "party", What: "cut to 50000 characters", Cells: 1}) || !strings.Contains(fmt.Sprint(said.Notes), "the numbers of id are texts") {
		t.Errorf("%+v", said)
	}
	if got := w.book.Values("North")[1][0]; got != "0" {
		t.Errorf("the first id is %#v", got)
	}
	w = newSheetsWorld(t, "", map[string]any{"onLoss": "fail"})
	w.branches = []*sheetsBranch{{name: "North", queries: []*sheetsResult{{cols: sheetsColumns[:2], rows: 2, fill: long}}}}
	w.branch("South", 1, "s")
	w.run()
	if !strings.Contains(w.rejected[0], `column "party", row 2`) || len(w.book.Values("South")) != 2 || w.book.Values("North") != nil {
		t.Errorf("rejected: %v", w.rejected)
	}
}

// sheetsShapes are the ways to write that crashes are tried on.
var sheetsShapes = map[string]struct {
	mode    string
	options map[string]any
}{
	"replace": {}, "append": {mode: "append"}, "tabs": {options: map[string]any{"swap": "tabs"}}, "one tab": {options: map[string]any{"tab": "All"}},
	"one tab, append": {mode: "append", options: map[string]any{"tab": "All"}},
}

// Invariants 1 and 3: whichever request is the last of a process, and whether Google did it or not, the next process
// ends exact.
func TestSheetsCrashAtEveryRequest(t *testing.T) {
	const rows = 90 // more than one batch has room for
	clock := &sheetsClock{now: time.Unix(1e9, 0)}
	sinks.SheetsService(t, sheets.Service{Clock: clock, BatchBytes: 16 << 10})
	for name, shape := range sheetsShapes {
		for kind, fault := range map[string]sheetsfake.Fault{"before": {Drop: true}, "after": {Lost: true}} {
			t.Run(name+" "+kind, func(t *testing.T) {
				for at := 1; ; at++ {
					w := newSheetsWorldOf(t, sheetsfake.Options{Now: clock.Now}, shape.mode, shape.options)
					w.branch("North", rows, "n")
					w.branch("South", 4, "s")
					w.branch("East", 0, "e")
					w.begin()
					var calls atomic.Int32
					var lost atomic.Bool
					w.fake.OnCall(func(c sheetsfake.Call) sheetsfake.Fault {
						if n := int(calls.Add(1)); n >= at && c.Kind != "token" {
							lost.Store(true)
							if n == at {
								return fault
							}
							return sheetsfake.Fault{Drop: true}
						}
						return sheetsfake.Fault{}
					})
					err := w.goOn()
					w.fake.OnCall(nil)
					n, hit := int(calls.Load()), lost.Load()
					w.sink = nil // the process is gone
					if hit && err == nil && n < at {
						t.Fatalf("request %d was lost, and nothing said so", at)
					}
					if err := w.goOn(); err != nil {
						t.Fatal(err)
					}
					w.tidy()
					if shape.options["tab"] == "All" {
						all := w.book.Values("All")[1:]
						slices.SortStableFunc(all, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
						if got, want := fmt.Sprint(all), fmt.Sprint(slices.Concat(sheetLines(rows, "n", "North"), sheetLines(4, "s", "South"))); got != want {
							t.Errorf("request %d: the tab has %d rows, or others", at, len(all))
						}
					} else {
						w.holds("North", sheetsHeader, sheetLines(rows, "n", ""))
						w.holds("South", sheetsHeader, sheetLines(4, "s", ""))
						w.holds("East", sheetsHeader)
					}
					if !hit || t.Failed() {
						if at < 4 {
							t.Errorf("there were %d requests only", at-1)
						}
						return
					}
				}
			})
		}
	}
}

// A sharing that was taken away holds what is there; once it is back the same rows go out, after a claim that could not
// read the spreadsheet, too.
func TestSheetsNotShared(t *testing.T) {
	w := newSheetsWorld(t, "", nil)
	w.branch("North", 5, "n")
	w.begin()
	w.book.Share(robot, "")
	for range 2 {
		err := w.goOn()
		var trouble *pipeline.Trouble
		if !errors.As(err, &trouble) || trouble.Scope != pipeline.OfTarget || !strings.Contains(err.Error(), robot) || len(w.settled) > 0 {
			t.Fatalf("%v", err)
		}
	}
	w.book.Share(robot, sheetsfake.Writer)
	if err := w.release(true); err != nil {
		t.Fatal(err)
	}
	w.holds("North", sheetsHeader, sheetLines(5, "n", ""))
}

// What a person can put right in the spreadsheet holds its connection alone.
func TestSheetsProtectedTab(t *testing.T) {
	w := newSheetsWorld(t, "", nil)
	w.branch("North", 5, "a")
	w.branch("South", 5, "a")
	w.run()
	w.book.Protect("North")
	w.begin()
	err := w.goOn()
	if trouble := pipeline.TroubleOf(err); err == nil || trouble.Scope != pipeline.OfTarget || !strings.Contains(err.Error(), "North: its tab is protected") || len(w.settled) != 1 {
		t.Errorf("%v; settled: %v", err, w.settled)
	}
}

// A row that Google refuses turns its connection away alone.
func TestSheetsRefusedRow(t *testing.T) {
	w := newSheetsWorld(t, "", nil)
	w.branch("North", 50, "bad")
	w.branch("South", 5, "good")
	w.fake.OnCall(func(c sheetsfake.Call) sheetsfake.Fault {
		before, _, found := strings.Cut(string(c.Body), `"bad 7"`)
		if !found {
			return sheetsfake.Fault{}
		}
		at := 0
		for _, kind := range []string{"{\"deleteSheet", "{\"addSheet", "{\"createDev", "{\"updateDev", "{\"repeatCell", "{\"updateCells", "{\"updateSheet", "{\"deleteDev", "{\"copyPaste"} {
			at += strings.Count(before, kind)
		}
		return sheetsfake.Fault{Status: 400, Reason: "badRequest", Message: fmt.Sprintf("Invalid requests[%d].updateCells: no", at-1)}
	})
	w.run()
	if !strings.Contains(w.rejected[0], "Google refuses it") || len(w.settled) != 1 {
		t.Errorf("rejected %v, settled %v", w.rejected, w.settled)
	}
}

// A later claim is told from an earlier one, which changes nothing any more.
func TestSheetsFenced(t *testing.T) {
	w := newSheetsWorld(t, "", nil)
	w.branch("North", 5, "n")
	w.begin()
	if err := w.claim(); err != nil {
		t.Fatal(err)
	}
	w.stage()
	sleeper := w.sink
	w.sink = nil
	if err := w.goOn(); err != nil {
		t.Fatal(err)
	}
	batches := len(w.book.Batches())
	r, err := sleeper.Release(t.Context(), nil, &pipeline.Report{}, false)
	if err != nil && !errors.Is(err, pipeline.ErrFenced) || len(w.book.Batches()) != batches {
		t.Errorf("%+v, %v", r, err)
	}
	w.epoch = 0
	if err := w.claim(); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("an earlier claim is told %v", err)
	}
	w.holds("North", sheetsHeader, sheetLines(5, "n", ""))
}

// A probe changes nothing, and says what to do.
func TestSheetsProbe(t *testing.T) {
	w := newSheetsWorld(t, "", nil)
	w.branch("North", 5, "n")
	w.begin()
	if err := w.kind().Probe(t.Context(), w.spec()); err != nil {
		t.Fatal(err)
	}
	w.book.Share(robot, sheetsfake.Reader)
	if err := w.kind().Probe(t.Context(), w.spec()); pipeline.TroubleOf(err).Scope != pipeline.OfTarget || !strings.Contains(err.Error(), "share") {
		t.Errorf("%v", err)
	}
	if len(w.book.Tabs()) != 1 || len(w.book.Batches()) > 0 {
		t.Errorf("tabs: %v", w.book.Tabs())
	}
	w.options["credentials"] = `{"type": "authorized_user", "client_secret": "s3cret"}`
	if err := w.kind().Probe(t.Context(), w.spec()); !pipeline.IsPermanent(err) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}

// Mistakes in options are told at their keys.
func TestSheetsOptions(t *testing.T) {
	kind := sinks.Kinds()["sheets"]
	for options, want := range map[string]string{
		`{"spreadsheet": "https://docs.google.com/spreadsheets/d/1AbC/edit", "credentials": "${KEY}"}`:                             "",
		`{"spreadsheet": "${SHEET}", "credentials": "${KEY}", "tab": "All", "connectionColumn": "branch"}`:                         "",
		`{"spreadsheet": "my sheet", "credentials": "${KEY}"}`:                                                                     `"my sheet" is neither an id nor an address`,
		`{"spreadsheet": "abc", "credentials": "${KEY}", "tab": " "}`:                                                              "give it a title",
		`{"spreadsheet": "abc", "credentials": "${KEY}", "connectionColumn": "x"}`:                                                 "each connection has a tab of its own",
		`{"spreadsheet": "abc", "credentials": "${KEY}", "columns": {"a": {"rename": " "}, "b": {"order": 1}, "c": {"order": 1}}}`: "order 1 is that of",
	} {
		err := kind.Check(&pipeline.Destination{Options: []byte(options)})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", options, err)
		}
	}
	twins := kind.HeaderTwins(&pipeline.ManifestDestination{Options: []byte(`{"spreadsheet": "abc", "columns": {"a": {"rename": "B"}}}`)}, []pipeline.OpeningQuery{{Columns: []pipeline.OpeningColumn{{Name: "a"}, {Name: "b"}}}})
	if len(twins) != 1 {
		t.Errorf("twins: %q", twins)
	}
}
