package process_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// An id that keys, streams and files have in their names is refused before anything has it.
func TestIDsOfRuns(t *testing.T) {
	for _, good := range []string{"night", "2026-04-01", "a_b", "COM", "com12", "NUL1", "A", strings.Repeat("x", 100)} {
		if err := pipeline.CheckRunID(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "job", "a.b", "a b", "../x", "a/b", "*", ">", "é", "nul", "Con", "COM1", "lpt9", strings.Repeat("x", 101)} {
		if err := pipeline.CheckRunID(bad); !errors.Is(err, pipeline.ErrBadID) || !pipeline.IsPermanent(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A resume is told of a run whose process was killed before it had told, for as long as that is likely to be what it
// was started for.
func TestResumeIsToldOnce(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	first := w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	untold := true
	w.node.Untold = func(o pipeline.Owner) bool { return untold && o == w.node.Owner }
	again := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if again.Run != first.Run || !again.Already || again.Owner != w.node.Owner || len(again.Reports) != 1 || again.Reports[0].Connections[0].Rows[0] != 5 {
		t.Errorf("it is told of %+v, and not of run %s", again, first.Run)
	}
	change := func(f func(*checkpoint.RunRecord)) {
		cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey(first.Run))
		if err != nil {
			t.Fatal(err)
		}
		rec := cell.Value()
		f(&rec)
		if err := cell.Write(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	for name, other := range map[string]func() pipeline.Trigger{
		"it is told already": func() pipeline.Trigger { untold = false; return pipeline.Trigger{Resume: true} },
		"it is no resume":    func() pipeline.Trigger { return pipeline.Trigger{} },
		"it has another id":  func() pipeline.Trigger { return pipeline.Trigger{ID: "other"} },
		"it was long ago": func() pipeline.Trigger {
			change(func(r *checkpoint.RunRecord) { r.Ended = r.Ended.Add(-11 * time.Minute) })
			return pipeline.Trigger{Resume: true}
		},
		"it was served": func() pipeline.Trigger {
			change(func(r *checkpoint.RunRecord) { r.Trigger = 7 })
			return pipeline.Trigger{Resume: true}
		},
	} {
		untold = true
		trigger := other()
		if out := w.mustRun(trigger, pipeline.RunComplete); out.Run == first.Run || out.Already {
			t.Errorf("%s: run %s is told of again", name, out.Run)
		}
		w.pointTo("job", first.Run)
		change(func(r *checkpoint.RunRecord) { r.Ended, r.Trigger = time.Now(), 0 })
		if err := w.node.Stores.Runs.RemoveAll(t.Context(), "other"); err != nil {
			t.Fatal(err)
		}
	}
}

// A run that was given up is no longer what its id asks for.
func TestIDOfAnAbandonedRun(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("d")
	w.mustRun(pipeline.Trigger{ID: "monday"}, pipeline.RunPartial)
	w.mustRun(pipeline.Trigger{ID: "tuesday"}, pipeline.RunPartial)
	if _, err := w.run(t.Context(), pipeline.Trigger{ID: "monday"}); !errors.Is(err, pipeline.ErrBadID) || !strings.Contains(err.Error(), "given up") {
		t.Errorf("the id of a run that was given up answers %v", err)
	}
	w.rescript("bad", of(5, 10))
	if out := w.mustRun(pipeline.Trigger{ID: "tuesday"}, pipeline.RunComplete); out.Run != "tuesday" || out.Already {
		t.Errorf("it is %+v", out)
	}
	w.exact("d", "a", "bad")
}
