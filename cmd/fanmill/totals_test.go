package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
)

// keys writes the job with further keys.
func (w *world) keys(more map[string]any) {
	w.t.Helper()
	w.write()
	job := readJSON[map[string]any](w.t, w.job())
	for key, value := range more {
		job[key] = value
	}
	text, err := json.Marshal(job)
	if err == nil {
		err = os.WriteFile(w.job(), text, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// verified are the states of control totals by connection, as the manifests of both files say them.
func (w *world) verified() (states []pipeline.Verified) {
	w.t.Helper()
	csv, book := readJSON[pipeline.Report](w.t, w.csv()+".manifest.json"), readJSON[pipeline.Report](w.t, w.xlsx()+".manifest.json")
	for i := range csv.Connections {
		state := csv.Connections[i].Verified()
		if other := book.Connections[i].Verified(); other != state {
			w.t.Errorf("%s is %q in one file, and %q in the other", csv.Connections[i].ID, state, other)
		}
		states = append(states, state)
	}
	return states
}

// Control totals that agree change nothing; the next run stands beside this one, and names the branch that changed by
// more than the job says; what differs, or cannot be asked, makes a run partial that has every row, which no resume
// asks again.
func TestControlTotalsOfARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1000, 300, 20)
	sums := []string{"quantity", "total"}
	w.keys(map[string]any{"verify": map[string]any{"sum": sums}})
	out := w.mustRun(exitComplete, nil)
	if !strings.Contains(out, "control totals: 3 of 3 connections agree with their databases") || strings.Contains(out, "last time") {
		t.Errorf("it says:\n%s", out)
	}
	if got := w.verified(); !slices.Equal(got, slices.Repeat([]pipeline.Verified{pipeline.VerifiedEqual}, 3)) {
		t.Errorf("the manifests say %v", got)
	}
	w.exact()

	w.conns[0].rows = 650
	w.keys(map[string]any{"verify": map[string]any{"sum": sums}, "alert": map[string]any{"rows": "30 %"}})
	out = w.mustRun(exitComplete, nil)
	if !strings.Contains(out, "connection "+w.conns[0].name+" delivered much else than the last time: rows: 650, last time 1000 (-35.0 %)") || strings.Contains(out, "connection "+w.conns[1].name+" delivered much else") {
		t.Errorf("it says:\n%s", out)
	}
	report := readJSON[pipeline.Report](t, w.csv()+".manifest.json")
	if c := &report.Connections[1]; c.Before == nil || c.Before.Rows[0] != 300 || len(c.Changes) != 3 || len(c.Alerts()) > 0 {
		t.Errorf("the manifest says of another branch %+v", c)
	}
	w.exact()

	w.keys(map[string]any{"verify": map[string]any{"sum": "total", "query": "select count(*), sum(total) from (select total from sale order by rowid limit 300)"}})
	out = w.mustRun(exitPartial, nil)
	if !strings.Contains(out, "the number of rows: the database says 300, delivered were 650") || !strings.Contains(out, "Every row is delivered") || strings.Contains(out, "--resume") {
		t.Errorf("it says:\n%s", out)
	}
	if got := w.verified(); !slices.Equal(got, []pipeline.Verified{pipeline.VerifiedDiffers, pipeline.VerifiedEqual, pipeline.VerifiedDiffers}) {
		t.Errorf("the manifests say %v", got)
	}
	w.exact()
	w.askedSince()
	w.mustRun(exitPartial, nil, "--resume")
	if asked := w.askedSince(); len(asked) > 0 {
		t.Errorf("the resume asked %v", asked)
	}

	w.keys(map[string]any{"verify": map[string]any{"sum": "totl"}})
	if out = w.mustRun(exitPartial, nil); !strings.Contains(out, "no such column: fanmill_rows.totl") {
		t.Errorf("it says:\n%s", out)
	}
	if got := w.verified(); !slices.Equal(got, slices.Repeat([]pipeline.Verified{pipeline.VerifiedUnknown}, 3)) {
		t.Errorf("the manifests say %v", got)
	}
	w.exact()
}

// Killed between any two steps that keep control totals, or what the next run is compared with, a run ends as one that
// was not disturbed: the totals of a connection stand with its rows, and what it delivered is remembered once.
func TestControlTotalsOutliveKills(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"before-eof:2", "before-cas:2", "after-cas:2", "before-final-publish", "figures-kept", "after-ended"} {
		t.Run(strings.ReplaceAll(point, ":", " "), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 200, 300, 20)
			w.keys(map[string]any{"verify": map[string]any{"sum": "total"}})
			w.mustRun(exitComplete, nil)
			first := readJSON[pipeline.Report](t, w.csv()+".manifest.json").Run
			w.conns[1].rows = 330
			w.keys(map[string]any{"verify": map[string]any{"sum": "total"}})
			if code, out := w.run([]string{"FANMILL_FAILPOINT=" + point}); code == exitComplete || code == exitPartial {
				t.Fatalf("exit code %d: it was not killed:\n%s", code, out)
			}
			if point != "after-ended" { // else it is over
				w.mustRun(exitComplete, nil, "--resume")
			}
			report := readJSON[pipeline.Report](t, w.csv()+".manifest.json")
			for i := range report.Connections {
				c := &report.Connections[i]
				if c.Verified() != pipeline.VerifiedEqual || c.Before == nil || c.Before.Run != first {
					t.Errorf("%s is %q, and beside %+v", c.ID, c.Verified(), c.Before)
				}
			}
			w.exact()
			w.mustRun(exitComplete, nil)
			for _, c := range readJSON[pipeline.Report](t, w.csv()+".manifest.json").Connections {
				if c.Before == nil || c.Before.Run != report.Run || c.Changes[0].Percent != 0 {
					t.Errorf("the next run has %s beside %+v: %v", c.ID, c.Before, c.Changes)
				}
			}
		})
	}
}
