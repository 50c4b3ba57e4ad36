package sinks_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
	"fanmill/sinks/sheets"
	"fanmill/sinks/sinktest"
)

// A spreadsheet goes through the suite: its ledger says what it has. Batches are so small that rows go through hidden
// tabs, and time passes only while somebody waits for the quota.
func TestSuiteOfSheets(t *testing.T) {
	clock := &sheetsClock{now: time.Date(2026, 11, 23, 19, 0, 0, 0, time.UTC)}
	sinks.SheetsService(t, sheets.Service{Clock: clock, BatchBytes: 900})
	for name, to := range map[string]struct {
		mode    string
		options map[string]any
	}{
		"replace": {},
		"append":  {mode: "append"},
		"one tab": {options: map[string]any{"tab": "All"}},
	} {
		t.Run(name, func(t *testing.T) {
			last := newSuiteSheets(t, clock, to.mode, to.options)
			last.earlier()
			_, earlier := last.book.Keep()
			sinktest.Run(t, sinktest.Subject{Kind: sinks.Kinds()["sheets"], New: func(t testing.TB, _ string) sinktest.Target {
				_ = last.fake.Close() // worlds follow one another
				last = newSuiteSheets(t, clock, to.mode, to.options)
				earlier(last.book)
				return last.target()
			}})
		})
	}
}

// sheetsClock passes only while somebody sleeps.
type sheetsClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *sheetsClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *sheetsClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

// suiteSheets is a spreadsheet of one world. An earlier run of the job has written rows of its first connection.
type suiteSheets struct {
	*sheetsWorld
	mu     sync.Mutex
	users  map[string]string // titles of a user's tabs, and what their first cell holds
	edited map[string]bool   // branches whose rows a user typed over
}

// yesterday is the branch in the earlier run's rows, of which there are so many.
const (
	yesterday     = "yesterday"
	yesterdayRows = 3
)

func newSuiteSheets(t testing.TB, clock *sheetsClock, mode string, options map[string]any) *suiteSheets {
	return &suiteSheets{sheetsWorld: newSheetsWorldOf(t, sheetsfake.Options{Now: clock.Now}, mode, options), users: map[string]string{}, edited: map[string]bool{}}
}

// earlier delivers the earlier run.
func (w *suiteSheets) earlier() {
	w.branches = []*sheetsBranch{{name: "Branch_000", queries: []*sheetsResult{{rows: yesterdayRows,
		cols: []columnar.Column{{Name: "branch", Kind: columnar.Text}, {Name: "query", Kind: columnar.Int}, {Name: "line", Kind: columnar.Int}},
		fill: func(b *columnar.Builder, row int) {
			b.Column(0).String(yesterday)
			b.Column(1).Long(0)
			b.Column(2).Long(int64(row))
		}}}}}
	w.begin()
	w.manifest.Connections[0].ID = "c0"
	if err := w.goOn(); err != nil {
		w.t.Fatal(err)
	}
	w.leave()
}

func (w *suiteSheets) target() sinktest.Target {
	spec := w.spec()
	return sinktest.Target{
		Dest:   *spec.Destination,
		Spec:   func(s *pipeline.SinkSpec) { s.Expand = spec.Expand },
		Read:   w.rows,
		Answer: w.answer,
		Keep: func() (string, func()) {
			has, back := w.book.Keep()
			return has, func() { back(w.book) }
		},
		Acts: map[string]func() []string{
			"deletes a tab":                     func() []string { return w.delete(false) },
			"deletes a hidden tab":              func() []string { return w.delete(true) },
			"renames a tab":                     w.rename,
			"types over a cell":                 w.edit,
			"adds a tab of a connection's name": w.add,
		},
	}
}

func (w *suiteSheets) answer(f func() sinktest.Answer) {
	w.fake.OnCall(func(sheetsfake.Call) sheetsfake.Fault {
		switch f() {
		case sinktest.Drop:
			return sheetsfake.Fault{Drop: true}
		case sinktest.Lose:
			return sheetsfake.Fault{Lost: true}
		case sinktest.Err:
			return sheetsfake.Fault{Late: http.StatusServiceUnavailable}
		case sinktest.Hang:
			return sheetsfake.Fault{Hang: true}
		case sinktest.Busy:
			return sheetsfake.Fault{Status: http.StatusTooManyRequests, Reason: "RATE_LIMIT_EXCEEDED"}
		case sinktest.Deny:
			return sheetsfake.Fault{Status: http.StatusForbidden, Reason: "forbidden"}
		}
		return sheetsfake.Fault{}
	})
}

// rows reads all visible tabs but those of users, and checks that these are as their users left them.
func (w *suiteSheets) rows() (all []sinktest.Row, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := 0
	for _, tab := range w.book.Tabs() {
		lines := w.book.Values(tab.Title)
		if text, users := w.users[tab.Title]; users {
			if fmt.Sprint(lines) != fmt.Sprintf("[[%s]]", text) {
				return nil, fmt.Errorf("the tab %q is its user's, and holds %v", tab.Title, lines)
			}
			continue
		}
		if tab.Hidden || len(lines) == 0 {
			continue
		}
		var table [][]string
		for i, cells := range lines {
			text := make([]string, len(cells))
			for k, c := range cells {
				text[k] = fmt.Sprint(c)
			}
			if len(text) == 4 { // the one tab names the connection first
				if i > 0 && text[0] != text[1] && text[1] != yesterday {
					return nil, fmt.Errorf("row %d of %q is %q", i, tab.Title, text)
				}
				text = text[1:]
			}
			switch {
			case text[0] == yesterday && len(table) > 1:
				return nil, fmt.Errorf("row %d of %q is yesterday's, below rows of today", i, tab.Title)
			case text[0] == yesterday:
				old++
			case !w.edited[text[0]]:
				table = append(table, text)
			}
		}
		more, err := sinktest.ParseTable(table)
		if err != nil {
			return nil, fmt.Errorf("tab %q: %w", tab.Title, err)
		}
		all = append(all, more...)
	}
	if old != 0 && old != yesterdayRows {
		return nil, fmt.Errorf("%d of yesterday's rows are there", old)
	}
	return all, nil
}

// ours is the first tab of fanmill's; "" if there is none.
func (w *suiteSheets) ours(hidden bool) string {
	for _, tab := range w.book.Tabs() {
		if _, users := w.users[tab.Title]; !users && tab.Hidden == hidden && tab.Title != "Sheet1" {
			return tab.Title
		}
	}
	return ""
}

func (w *suiteSheets) delete(hidden bool) (gone []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	title := w.ours(hidden)
	if title == "" {
		return nil
	}
	for _, cells := range w.book.Values(title)[1:] {
		if !hidden {
			gone = append(gone, fmt.Sprint(cells[len(cells)-3]))
		}
	}
	w.book.DeleteTab(title)
	return gone
}

func (w *suiteSheets) rename() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if title := w.ours(false); title != "" {
		w.book.Rename(title, title+" of today")
	}
	return nil
}

// edit types over the last cell of a tab's first row.
func (w *suiteSheets) edit() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	title := w.ours(false)
	lines := w.book.Values(title)
	if len(lines) < 2 {
		return nil
	}
	branch := fmt.Sprint(lines[1][len(lines[1])-3])
	w.edited[branch] = branch != yesterday
	w.book.Put(title, 1, int64(len(lines[1]))-1, "mine")
	return []string{branch}
}

// add takes a title that a connection would get.
func (w *suiteSheets) add() []string {
	const title = "Branch_002"
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.book.Values(title) != nil {
		return nil
	}
	w.book.AddTab(title, 10, 3)
	w.book.Put(title, 0, 0, "mine")
	w.users[title] = "mine"
	return nil
}
