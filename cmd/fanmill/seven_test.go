package main

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/internal/sheetsfake"
	"fanmill/internal/soak"
	"fanmill/internal/verify"
)

// sevenWorld is a job with every kind of destination: a workbook, a CSV, JSON Lines, Parquet, a webhook, an API, and a
// spreadsheet.
type sevenWorld struct {
	*requestsWorld
	book *sheetsfake.Book
}

func newSevenWorld(t *testing.T, rows ...int) *sevenWorld {
	t.Helper()
	google, err := sheetsfake.Start(sheetsfake.Options{PerUser: 100000, PerProject: 100000}) // every process begins with a new governor
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = google.Close() })
	const account = "fanmill@example.iam.gserviceaccount.com"
	o := receiver.Options{Seed: 11, Percent: receiver.Percent{Fail: 5, Drop: 5}}
	w := &sevenWorld{sendingTo(newWorldOfAll(t, rows...), o, map[string]map[string]any{
		"hook": {"type": "webhook", "signingSecrets": []string{"${HOOK_SECRET}"}, "maxRowsPerRequest": 500},
		"erp":  {"type": "api", "mode": "stream", "auth": map[string]any{"bearer": "${API_TOKEN}"}, "maxRowsPerRequest": 700},
	}), google.Create("book", account)}
	w.env = append(w.env, "SHEETS_KEY="+string(google.KeyFile(account)))
	w.edit(func(all []any) []any {
		return append(all, map[string]any{"type": "googleSheets", "spreadsheet": "book", "credentials": "${SHEETS_KEY}", "endpoint": google.URL(), "flushInterval": "1s"})
	})
	return w
}

// seven checks that all seven have every row once, and nothing is left behind.
func (w *sevenWorld) seven() {
	w.t.Helper()
	w.exact() // the four files, value for value
	w.exactly("hook")
	w.exactly("erp")
	truth, columns := w.truth()
	for _, c := range w.conns {
		w.tab(c.name, truth[c.name], columns)
	}
	for _, tab := range w.book.Tabs() {
		if tab.Hidden {
			w.t.Errorf("the hidden tab %q is left", tab.Title)
		}
	}
	w.nothingLeft()
}

// tab compares a tab's number of rows, and the sum of a column of it, with the database's.
func (w *sevenWorld) tab(name string, truth verify.Table, columns []verify.Column) {
	w.t.Helper()
	values := w.book.Values(name)
	if got := len(values) - 1; got != int(truth.Count) && !(truth.Count == 0 && got <= 0) {
		w.t.Errorf("the tab %s has %d rows, want %d", name, got, truth.Count)
		return
	}
	if truth.Count > 0 && len(values[0]) != len(columns) {
		w.t.Errorf("the tab %s has %d columns, want %d", name, len(values[0]), len(columns))
	}
	seen := map[string]bool{}
	for _, row := range values[min(1, len(values)):] {
		text, err := json.Marshal(row)
		if err != nil {
			w.t.Fatal(err)
		}
		if seen[string(text)] {
			w.t.Errorf("the tab %s has a row twice: %.120s", name, text)
		}
		seen[string(text)] = true
	}
}

// All seven kinds of destinations at once, killed around requests and at random moments: whole at any time, and at the end
// each row once everywhere.
func TestSevenKilledAtRandom(t *testing.T) {
	t.Parallel()
	kills, aroundRequests := soak.Rounds(5, 8), soak.Rounds(2, 3)
	w := newSevenWorld(t, 6000, 200, 2500, 0, 1)
	random := rand.New(rand.NewPCG(5, 6))
	killed, done := 0, false
	for n := 0; n < kills && !done; n++ {
		var args []string
		if n > 0 {
			args = []string{"--resume"}
		}
		cmd, out := w.command(nil, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		moment := time.Duration(200+random.IntN(800)) * time.Millisecond
		if n < aroundRequests { // there are enough of them left for each
			w.killer.arm(cmd, 1+random.IntN(3), n%2 == 0)
			moment = time.Hour
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		select {
		case <-time.After(moment):
			_ = cmd.Process.Kill()
			<-ended
		case <-ended:
		}
		w.killer.arm(nil, 0, false)
		w.whole()
		switch code := cmd.ProcessState.ExitCode(); {
		case code == exitComplete:
			done = true
		case code == -1:
			killed++
		case blamed(code, out.String()):
		default:
			t.Fatalf("exit code %d; it said:\n%s", code, out)
		}
	}
	if !done {
		w.complete()
	}
	if killed < aroundRequests {
		t.Errorf("it was killed %d times only", killed)
	}
	w.seven()
	t.Logf("%d kills", killed)
}

// All seven at once, killed at each place where something has just become durable, or is about to.
func TestSevenKilledAtFailpoints(t *testing.T) {
	t.Parallel()
	for i, point := range []string{"before-seal", "after-seal:3", "after-stage:2", "before-cas:4", "after-cas:4", "after-answer", "after-answer:4", "before-final-publish:3", "after-finished:4", "mid-tidy:5"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newSevenWorld(t, 900, 40+i, 0)
			if code, out := w.run([]string{"FANMILL_FAILPOINT=" + point}); code != -1 {
				t.Fatalf("exit code %s: the place was not reached; it said:\n%s", strconv.Itoa(code), out)
			}
			w.whole()
			w.mustRun(exitComplete, nil, "--resume")
			w.seven()
		})
	}
}
