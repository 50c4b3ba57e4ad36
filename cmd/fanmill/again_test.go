package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"fanmill/internal/screen"
	"fanmill/internal/verify"
	"fanmill/pipeline"
)

// appending is a world that appends, with the rows of one run in its artifacts.
func appending(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 300, 200, 0)
	w.mode = "append"
	w.write()
	w.mustRun(exitComplete, nil, "--id", "before")
	w.delivered(1)
	return w
}

// delivered checks that both artifacts have the rows of so many runs.
func (w *world) delivered(runs int) {
	w.t.Helper()
	want := 0
	for _, c := range w.conns {
		want += runs * c.rows
	}
	f, err := os.Open(w.csv())
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if rows, err := csv.NewReader(f).ReadAll(); err != nil || len(rows)-1 != want {
		w.t.Errorf("the CSV has %d rows, want %d: %v", len(rows)-1, want, err)
	}
	_, sheets, err := verify.OpenWorkbook(w.xlsx())
	if err != nil {
		w.t.Fatal(err)
	}
	got := 0
	for name, rows := range sheets {
		if name != "Summary" {
			got += rows - 1
		}
	}
	if got != want {
		w.t.Errorf("the workbook has %d rows, want %d: %v", got, want, sheets)
	}
}

// What starts fanmill run --id again until it ends with 0 has the rows delivered once, also where they are appended,
// wherever the process was killed, and as often: as its run begins, at work, as it ends, when its run is complete and
// it has not said so.
func TestSameIDIsTheSameRun(t *testing.T) {
	for _, point := range []string{"before-run", "after-run", "before-pointer", "after-cas", "after-finished", "mid-tidy", "before-ended", "after-ended", "before-told"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := appending(t)
			env := []string{"FANMILL_FAILPOINT=" + point, "RESUME_JOBS=true"} // which changes nothing: the id says which run goes on
			if code, out := w.run(env, "--id", "night"); code != -1 {
				t.Fatalf("exit code %d: the place was not reached; it said:\n%s", code, out)
			}
			if code, out := w.run(env, "--id", "night"); code != -1 && code != exitComplete { // where a resume comes by again, it is killed again
				t.Fatalf("exit code %d; it said:\n%s", code, out)
			}
			w.mustRun(exitComplete, nil, "--id", "night")
			if out := w.mustRun(exitComplete, nil, "--id", "night"); !strings.Contains(out, "already complete") {
				t.Errorf("once more, it said:\n%s", out)
			}
			w.delivered(2)
			w.tidy()
		})
	}
}

// Without an id, a process that is killed when its run is recorded as complete, and before it has said so, is known
// by that: the resume says it. The next one is a new run.
func TestResumeTellsOfTheEnd(t *testing.T) {
	for _, point := range []string{"mid-tidy", "after-ended", "before-told"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := appending(t)
			if code, out := w.run([]string{"FANMILL_FAILPOINT=" + point}, "--resume"); code != -1 {
				t.Fatalf("exit code %d: the place was not reached; it said:\n%s", code, out)
			}
			w.askedSince()
			w.mustRun(exitComplete, []string{"RESUME_JOBS=true"})
			if asked := w.askedSince(); len(asked) != 0 {
				t.Errorf("its rows were delivered, and the resume asked %v", asked)
			}
			w.delivered(2)
			w.tidy()
			w.mustRun(exitComplete, []string{"RESUME_JOBS=true"})
			w.delivered(3)
		})
	}
}

// A run that is partial or was stopped goes on under its id; what cannot be its id is refused as a bad command line is.
func TestRunByID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 200)
	w.queries = map[int]string{1: "select * from nowhere"}
	w.write()
	out := w.mustRun(exitPartial, nil, "--id", "night")
	if !strings.Contains(out, "--id night") || strings.Contains(out, "--resume") {
		t.Errorf("the way on is not the id:\n%s", out)
	}
	w.queries = nil
	w.write()
	w.askedSince()
	w.mustRun(exitComplete, nil, "--id", "night")
	if asked := w.askedSince(); len(asked) != 1 {
		t.Errorf("it asked %v", asked)
	}
	w.exact()
	w.conns = w.conns[:1] // what is complete is not compared with the job as it is now
	w.write()
	var v struct {
		screen.RunView
		Rows int64 `json:"rows"`
	}
	out = w.mustRun(exitComplete, nil, "--id", "night", "--json", "-q")
	if err := json.Unmarshal([]byte(out), &v); err != nil || !v.Already || v.State != pipeline.RunComplete || v.Rows != 500 {
		t.Errorf("once more, it said %+v, %v:\n%s", v, err, out)
	}
	if asked := w.askedSince(); len(asked) != 0 {
		t.Errorf("it asked %v", asked)
	}

	job, err := os.ReadFile(w.job())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.job(), []byte(strings.Replace(string(job), `"id": "gst"`, `"id": "other"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]string{{"--id", "night"}, {"--id", ""}, {"--id", "a.b"}, {"--id", "ü"}, {"--id", "job"}, {"--id", "NUL"}, {"--id", strings.Repeat("x", 101)},
		{"--id", "new", "--resume"}} {
		if code, out := w.run(nil, bad...); code != exitBadJob || !strings.Contains(out, "id") {
			t.Errorf("%q: exit code %d, want %d; it said:\n%s", bad, code, exitBadJob, out)
		}
	}
	if asked := w.askedSince(); len(asked) != 0 {
		t.Errorf("what was refused has asked %v", asked)
	}
}
