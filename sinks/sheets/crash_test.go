package sheets_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"fanmill/internal/sheetsfake"
	"fanmill/sinks/sheets"
)

// crashes are the ways in which a request ends without an answer that can be relied on.
var crashes = map[string]sheetsfake.Fault{"before": {Drop: true}, "after": {Lost: true}, "503 after": {Late: 503}}

// forms are the destinations that crashes are tried on.
var forms = map[string]func() sheets.Config{
	"replace": func() sheets.Config { return config(4) },
	"tabs":    func() sheets.Config { c := config(4); c.Swap = sheets.SwapTabs; return c },
	"append":  func() sheets.Config { c := config(4); c.Mode = sheets.Append; return c },
	"one tab": func() sheets.Config { c := config(4); c.All = "All"; return c },
	"appended": func() sheets.Config {
		c := config(4)
		c.All, c.Mode = "All", sheets.Append
		return c
	},
}

// scene is a document with the rows of one run, and four connections of the next.
func scene(t *testing.T, form func() sheets.Config) (w *world, c sheets.Config, conns []*sheets.Connection) {
	w = newWorld(t, sheetsfake.Options{})
	w.must(w.doc(form()), connection(t, 0, 4, "old"), connection(t, 1, 300, "old"))
	return w, run(form(), 2), []*sheets.Connection{connection(t, 0, 380, "a"), connection(t, 1, 3, "b"), connection(t, 2, 0, "c"), connection(t, 3, 350, "d")}
}

// exact checks the document after the second run, in whatever order its connections were committed.
func exact(w *world, c sheets.Config, name string) {
	w.t.Helper()
	if c.All == "" {
		old := map[int][]rows{0: {{n: 4, tag: "old"}}, 1: {{n: 300, tag: "old"}}}
		for i, r := range []rows{{n: 380, tag: "a"}, {n: 3, tag: "b"}, {n: 0, tag: "c"}, {n: 350, tag: "d"}} {
			want := []rows{r}
			if c.Mode == sheets.Append {
				want = append(old[i], r)
			}
			w.holds(fmt.Sprintf("B%d", i+1), want...)
		}
		return
	}
	seen := map[string]int{}
	for _, line := range w.book.Values("All")[1:] {
		seen[fmt.Sprint(line[0], line[2])]++
	}
	want := 380 + 3 + 350
	if c.Mode == sheets.Append {
		want += 4 + 300
	}
	if len(seen) != want || len(w.book.Values("All")) != want+1 {
		w.t.Errorf("%s: %d rows, %d different, want %d", name, len(w.book.Values("All"))-1, len(seen), want)
	}
}

// Invariants 1 and 3: whichever request is the last of a process, and whether Google did it or not, the next process
// ends exact, by the ledger alone.
func TestCrashAtEveryRequest(t *testing.T) {
	for form, config := range forms {
		for kind, fault := range crashes {
			t.Run(form+" "+kind, func(t *testing.T) {
				for at := 1; ; at++ {
					w, c, conns := scene(t, config)
					var n atomic.Int32
					var hit atomic.Bool
					w.failBy(func(call sheetsfake.Call) sheetsfake.Fault {
						if call.Kind == "token" {
							return sheetsfake.Fault{}
						}
						if n.Add(1) == int32(at) {
							hit.Store(true)
							return fault
						}
						return sheetsfake.Fault{}
					})
					_, _ = w.doc(c).Send(context.Background(), conns) // and this process is gone
					w.failBy(nil)
					c.Epoch = 2
					d := w.doc(c)
					w.must(d, conns...)
					exact(w, c, fmt.Sprintf("request %d", at))
					if err := d.Tidy(context.Background()); err != nil {
						t.Fatal(err)
					}
					w.clean()
					if t.Failed() || !hit.Load() {
						break
					}
				}
			})
		}
	}
}

// The same process goes on after each error: what the ledger has is settled beside the error.
func TestErrorAtEveryRequest(t *testing.T) {
	for form, config := range forms {
		for kind, fault := range crashes {
			t.Run(form+" "+kind, func(t *testing.T) {
				w, c, conns := scene(t, config)
				var n atomic.Int32
				w.failBy(func(call sheetsfake.Call) sheetsfake.Fault {
					if n := n.Add(1); call.Kind != "token" && n%3 == 0 {
						return fault
					}
					return sheetsfake.Fault{}
				})
				d := w.doc(c)
				for try := 0; ; try++ {
					r, err := d.Send(context.Background(), conns)
					if err == nil && len(r.Settled) == len(conns) {
						break
					}
					if err == nil || len(r.Rejected) > 0 || try > 200 {
						t.Fatalf("try %d: %v %v", try, r, err)
					}
				}
				w.failBy(nil)
				exact(w, c, "retried")
				w.clean()
			})
		}
	}
}

// Sequence 5, 6, 7: two claims of one run. The earlier one sleeps before each of its requests in turn, while the later
// one does everything; it wakes, and changes nothing that readers see.
func TestEarlierClaimWakesUp(t *testing.T) {
	for form, config := range forms {
		t.Run(form, func(t *testing.T) {
			for at := 1; ; at++ {
				w, c, conns := scene(t, config)
				later := c
				later.Epoch = 2
				var n atomic.Int32
				var hit atomic.Bool
				w.failBy(func(call sheetsfake.Call) sheetsfake.Fault {
					if call.Kind == "token" {
						return sheetsfake.Fault{}
					}
					if n.Add(1) == int32(at) {
						hit.Store(true)
						client := w.client
						w.client = w.newClient()
						w.must(w.doc(later), conns...)
						w.client = client
					}
					return sheetsfake.Fault{}
				})
				r, err := w.doc(c).Send(context.Background(), conns)
				if err != nil && !errors.Is(err, sheets.ErrFenced) || len(r.Rejected) > 0 {
					t.Errorf("request %d: the earlier claim ends with %v %v", at, r, err)
				}
				w.failBy(nil)
				exact(w, c, fmt.Sprintf("request %d", at))
				if _, err := w.doc(c).Load(context.Background()); hit.Load() && !errors.Is(err, sheets.ErrFenced) {
					t.Errorf("the earlier claim loads: %v", err)
				}
				if t.Failed() || !hit.Load() {
					break
				}
			}
		})
	}
}

// A later run of the same job fences earlier ones.
func TestLaterRunFences(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.must(w.doc(run(config(1), 2)), connection(t, 0, 3, "new"))
	if _, err := w.doc(run(config(1), 1)).Send(context.Background(), []*sheets.Connection{connection(t, 0, 2, "old")}); !errors.Is(err, sheets.ErrFenced) {
		t.Errorf("the earlier run: %v", err)
	}
	w.holds("B1", rows{n: 3, tag: "new"})
}

// G11: a user deletes the hidden tab, or the visible one, between any two writes: the connection begins again.
func TestUserDeletesTabs(t *testing.T) {
	for at := 2; at < 6; at++ {
		w, c, conns := scene(t, forms["replace"])
		w.failBy(func(call sheetsfake.Call) sheetsfake.Fault {
			if call.Kind == "batchUpdate" && call.Number == at {
				for _, tab := range w.book.Tabs() {
					if tab.Title != "Sheet1" {
						w.book.DeleteTab(tab.Title)
					}
				}
			}
			return sheetsfake.Fault{}
		})
		d := w.doc(c)
		r, err := d.Send(context.Background(), conns)
		if err != nil || len(r.Settled) != 4 {
			t.Fatalf("write %d: %v %v", at, r, err)
		}
		w.clean()
	}
}

// A thousand tabs get their titles in a moment, in the job's order.
func TestThousandTabs(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.client.BatchBytes(2 << 20)
	c := config(1000)
	var conns []*sheets.Connection
	for k := range 1000 {
		c.Connections[k].Titles[0] = fmt.Sprintf("Branch %d", k%500)
		conns = append(conns, connection(t, k, 1, "a"))
	}
	w.must(w.doc(c), conns...)
	w.holds("Branch 7", rows{n: 1, tag: "a"})
	w.holds("Branch 7 (2)", rows{n: 1, tag: "a"})
	if n := len(w.book.Tabs()); n != 1001 || w.Counts().Writes > 3 {
		t.Errorf("%d tabs, %+v", n, w.Counts())
	}
}

// A ledger goes with the run: the next one removes it, and it stays within its budget with a thousand connections.
func TestLedger(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.client.BatchBytes(2 << 20)
	for i := range 2 {
		c := run(config(1000), i+1)
		c.All = "All"
		var conns []*sheets.Connection
		for k := range 1000 {
			conns = append(conns, connection(t, k, 2, "a"))
		}
		w.must(w.doc(c), conns...)
		entries, characters := w.book.Metadata()
		if entries != 1001 || characters > 20_000 {
			t.Errorf("%d entries of %d characters", entries, characters)
		}
	}
}
