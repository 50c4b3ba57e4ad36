package pipeline_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"fanmill/pipeline"
)

// Tidying up fails: the run is complete all the same, and other jobs run.
func TestTidyingUpThatFailsBlocksNothing(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	w.disk.failing(func(_, step, _ string) error {
		if step == "clean" {
			return pipeline.Transient(fmt.Errorf("the share is away"))
		}
		return nil
	})
	if out, err := w.run(t.Context(), pipeline.Trigger{}); err != nil || out.State != pipeline.RunComplete {
		t.Errorf("a complete run answers %v", err)
	}
	other := *w.job
	other.ID, other.Destinations = "other", []pipeline.Destination{{ID: "d2", Type: "memory", FilePath: "d2"}}
	w.job = &other
	w.disk.failing(func(dest, step, _ string) error {
		if step == "clean" && dest == "d" {
			return pipeline.Transient(fmt.Errorf("the share is away"))
		}
		return nil
	})
	if _, err := w.run(t.Context(), pipeline.Trigger{}); err != nil {
		t.Errorf("another job does not run: %v", err)
	}
}

// An abandoned run whose tidying up was cut short is tidied up by a later one: its row log does not stay reserved.
func TestAbandonedLogIsRemovedLater(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx, cancel := context.WithCancel(t.Context())
	s := of(5, 10)
	s.before = func(context.Context, int, int, int) error { cancel(); return nil }
	w.connect("a", s)
	w.deliverTo("d")
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatal("not interrupted")
	}
	old, err := w.node.Stores.Runs.Get(t.Context(), pipeline.JobRunKey("job"))
	if err != nil {
		t.Fatal(err)
	}
	w.rescript("a", of(5, 10))
	var failed atomic.Bool
	inner := w.node.RowLogs
	w.node.RowLogs = &logs{RowLogs: inner, remove: func() error {
		if !failed.Swap(true) {
			return pipeline.Transient(errBroken) // or a kill just before
		}
		return nil
	}}
	_, _ = w.run(t.Context(), pipeline.Trigger{}) // starts over; the clean-up fails
	if !failed.Load() {
		t.Fatal("the deletion was to fail")
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	if _, err := inner.Open(t.Context(), string(old.Value), 1); err == nil {
		t.Errorf("the row log of abandoned run %s is still there after two more runs", old.Value)
	}
}
