package process_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline"
)

// A server's limit for the time of a query does not pass by trying: a second try that ends in it, too, is the last,
// however many the job would give. Another error in between begins the count anew.
func TestLimitIsTriedTwice(t *testing.T) {
	for name, c := range map[string]struct {
		errors []error // of the attempts
		want   int     // attempts in all
	}{
		"twice":        {[]error{pipeline.OnceMore(errBroken), pipeline.OnceMore(errBroken), nil}, 2},
		"once":         {[]error{pipeline.OnceMore(errBroken), nil}, 2},
		"not in a row": {[]error{pipeline.OnceMore(errBroken), pipeline.Transient(errBroken), pipeline.OnceMore(errBroken), nil}, 4},
	} {
		w := newWorld(t, 8*mb)
		w.job.Retry = pipeline.Retry{Attempts: 9, Backoff: pipeline.Duration(time.Millisecond)}
		s := of(3, 10)
		s.open = func(attempt int) error { return c.errors[attempt-1] }
		w.connect("a", s)
		w.deliverTo("x")
		out, err := w.run(t.Context(), pipeline.Trigger{})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Reports[0].Connections[0].Attempts; got != c.want {
			t.Errorf("%s: %d attempts, want %d: %s", name, got, c.want, reports(out))
		}
	}
}

// So it is with a destination: one that fails twice with what will most likely stay is given up, long before its
// timeout. With progress in between it goes on.
func TestDestinationIsTriedTwice(t *testing.T) {
	w := newWorld(t, 8*mb)
	var refused atomic.Int32
	var failedA, failedB atomic.Bool
	w.disk.failing(func(dest, step, connection string) error {
		switch {
		case dest == "refused" && step == "adopted":
			refused.Add(1)
			return pipeline.OnceMore(fmt.Errorf("a file of another user"))
		case dest == "shaky" && step == "stage" && (connection == "a" && !failedA.Swap(true) || connection == "b" && !failedB.Swap(true)):
			return pipeline.OnceMore(errBroken)
		}
		return nil
	})
	committed := make(chan struct{})
	seen := sync.OnceFunc(func() { close(committed) })
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Connection == "a" {
			seen()
		}
	}
	w.connect("a", of(3, 10))
	w.connect("b", waiting(of(3, 10), committed))
	w.deliverTo("refused", "shaky")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("shaky", "a", "b")
	if n := refused.Load(); n != 2 {
		t.Errorf("the refused destination was tried %d times, want 2", n)
	}
	if r := out.Reports[0]; r.State != pipeline.RecordDetached || !strings.Contains(r.Error, "a file of another user") {
		t.Errorf("it is reported as %s: %s", r.State, r.Error)
	}
}

// A destination that is given up when it has all rows, and cannot make its file of them, has delivered nothing for
// sure: the run is partial, and the public checkpoint counts no connection.
func TestGivenUpAtTheEnd(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "refused" && step == "finish" {
			return pipeline.Permanent(fmt.Errorf("a mount point"))
		}
		return nil
	})
	w.connect("a", of(3, 10))
	w.deliverTo("refused", "whole")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("whole", "a")
	if r := out.Reports[0]; r.State != pipeline.RecordDetached || r.Connections[0].State != pipeline.ReportSettled {
		t.Errorf("the destination is reported as %s, %+v", r.State, r.Connections[0])
	}
	public, err := w.node.Stores.Checkpoints.Get(t.Context(), "job")
	if err != nil || strings.Contains(string(public.Value), `"completedConnectionIds":["a"]`) || !strings.Contains(string(public.Value), `"completedConnectionIds":[]`) {
		t.Errorf("the public checkpoint is %s, %v", public.Value, err)
	}
	w.disk.failing(nil)
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("refused", "a")
}
