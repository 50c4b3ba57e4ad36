package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// Rows in pieces pass, though each connection's first piece fits the log, and no second one does.
func TestFragmentsPassALogTheyFill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30*mb)
	w.node.Timeout = 30 * time.Second
	all := make(chan struct{})
	spy := &logs{RowLogs: w.node.RowLogs}
	first := map[string]bool{}
	var mu sync.Mutex
	spy.publish = func(ctx context.Context, f *pipeline.Frame) {
		if f.Fragments < 2 || f.Fragment != 1 {
			return
		}
		mu.Lock()
		if first[f.Connection] = true; len(first) == 3 {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		mu.Unlock()
		select { // its first piece is stored; wait for those of the others, as a slow network might
		case <-all:
		case <-ctx.Done():
		}
	}
	w.node.RowLogs = spy
	for _, id := range []string{"a", "b", "c"} {
		w.connect(id, of(1, 14*mb+mb/2))
	}
	w.deliverTo("d")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("d", "a", "b", "c")
}

// Invariant 8. One destination hangs and is given up; the healthy one, which merely has nothing left to read, is not.
func TestHungDestinationIsDetachedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4*mb)
	w.node.Timeout = 4 * time.Second // the healthy one moves in that time, however busy the machine is
	release := make(chan struct{})
	var once sync.Once
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventDetached {
			once.Do(func() { close(release) })
		}
	}
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "hung" && step == "append" {
			<-release
		}
		return nil
	})
	w.connect("big", of(12*16, 64<<10))
	w.deliverTo("hung", "healthy")
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	if out.State != pipeline.RunPartial {
		t.Errorf("the run is %s: %s", out.State, reports(out))
	}
	w.exact("healthy", "big")
}

// Invariant 8. What counts is how long the log is full: a destination that had nothing to write for longer than the
// timeout is given its time when the log fills all at once.
func TestBurstAfterALongWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4*mb)
	w.node.Timeout = 4 * time.Second
	full := make(chan struct{})
	seen := sync.OnceFunc(func() { close(full) })
	w.node.RowLogs = &logs{RowLogs: w.node.RowLogs, state: func(s pipeline.LogState) {
		if s.Bytes >= s.MaxBytes/2 {
			seen()
		}
	}}
	w.disk.failing(func(_, step, _ string) error {
		if step == "append" {
			<-full
		}
		return nil
	})
	burst := of(12*16, 64<<10)
	burst.before = func(_ context.Context, _, _, row int) error {
		if row == 0 {
			<-time.After(w.node.Timeout)
		}
		return nil
	}
	w.connect("a", burst)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
}

// A destination that the coordinator has detached, and whose sink then fails with something transient, does not claim
// its record again to hold the trim as before.
func TestDetachedDestinationStaysAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4*mb)
	var run atomic.Value
	var taken, back atomic.Bool
	settled := make(chan struct{})
	w.watch = func(e pipeline.Event) {
		switch {
		case e.Kind == pipeline.EventStarted:
			run.Store(e.Run)
		case e.Kind == pipeline.EventCommitted && e.Destination == "hung" && !back.Swap(true):
			close(settled)
		}
	}
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "hung" && step == "append" && !taken.Swap(true) { // as detachStalled does it
			err := w.node.Records.Reset(context.Background(), run.Load().(string), "hung", func(c *checkpoint.CommitRecord) { c.State = pipeline.RecordDetached })
			if err != nil {
				return err
			}
			return pipeline.Transient(fmt.Errorf("the share answered after all: try again"))
		}
		return nil
	})
	w.connect("a", of(3, 10))
	slow := of(3, 10)
	slow.before = func(ctx context.Context, _, _, row int) error {
		if row == 2 { // leave it time to come back
			select {
			case <-settled:
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.connect("slow", slow)
	w.deliverTo("hung", "healthy")
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	if back.Load() {
		t.Errorf("the detached destination claimed its record again in the run that gave it up: %s %s", out.State, reports(out))
	}
}

// Rows that do not add up are the fault of one connection, which is turned away; the destination takes all others.
func TestBadChecksumTurnsOneConnectionAway(t *testing.T) {
	w := newWorld(t, 8*mb)
	l := &logScript{max: 8 * mb}
	x, y := &attempt{id: "x", number: 1}, &attempt{id: "y", number: 1}
	l.put(x.open(), x.row(10), y.open(), y.row(10))
	x.chain++
	l.put(x.eof(), y.eof())
	rec, err := w.delivered(l, "memory", "d", "x", "y")
	if err != nil || rec.State != pipeline.RecordFinished || len(rec.Settled) != 1 || len(rec.Failed) != 1 {
		t.Errorf("error %v, record %s %q, settled %v, failed %v; y is whole", err, rec.State, rec.Error, rec.Settled, rec.Failed)
	}
}

// A destination that was given up after everything was settled says why in its report.
func TestDetachedDestinationHasAReason(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d", "e")
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "d" && step == "finish" {
			return pipeline.Permanent(fmt.Errorf("disk is read-only"))
		}
		return nil
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	data, err := json.Marshal(out.Reports[0])
	if err != nil || !strings.Contains(string(data), "disk is read-only") {
		t.Errorf("the reason is not in the report: %s", data)
	}
}

// A destination that had nothing to write for longer than the timeout, as its databases think long, is not given up
// for the first trouble that it has then.
func TestFirstTroubleAfterALongWait(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Timeout = time.Nanosecond
	var failed atomic.Bool
	w.disk.failing(func(_, step, _ string) error {
		if step == "stage" && !failed.Swap(true) {
			return pipeline.Transient(errBroken)
		}
		return nil
	})
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
}

// Nor is it for the second one, if all the time between them it had waited for rows of a connection of which nothing
// can be committed yet.
func TestSecondTroubleAfterALongWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Timeout = 4 * time.Second // all but the wait takes less, however busy the machine is
	troubled := make(chan struct{})
	var appends, stages atomic.Int32
	w.disk.failing(func(_, step, _ string) error {
		switch {
		case step == "append" && appends.Add(1) == 1:
			close(troubled)
			return pipeline.Transient(errBroken)
		case step == "stage" && stages.Add(1) == 1:
			return pipeline.Transient(errBroken)
		}
		return nil
	})
	long := of(12, 64<<10) // more than a batch
	long.before = func(_ context.Context, _, _, row int) error {
		if row == 11 {
			<-troubled
			<-time.After(w.node.Timeout)
		}
		return nil
	}
	w.connect("a", long)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
	if stages.Load() < 2 {
		t.Error("there was no second trouble")
	}
}

// That a destination is given up is told once, and before the end of the run, of which its record may be the last sign.
func TestGivenUpIsToldBeforeTheEnd(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(10, 100))
	w.deliverTo("bad", "worse")
	w.disk.failing(func(_, step, _ string) error {
		if step == "append" {
			return pipeline.Permanent(errors.New("no"))
		}
		return nil
	})
	if out, err := w.run(t.Context(), pipeline.Trigger{}); err != nil || out.State == pipeline.RunComplete {
		t.Fatalf("the run: %+v, %v", out, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var told []string
	for _, e := range w.events {
		if e.Kind == pipeline.EventDetached || e.Kind == pipeline.EventEnded {
			told = append(told, e.Kind+" "+e.Destination)
		}
	}
	slices.Sort(told[:max(len(told)-1, 0)])
	if want := []string{pipeline.EventDetached + " bad", pipeline.EventDetached + " worse", pipeline.EventEnded + " "}; !slices.Equal(told, want) {
		t.Errorf("told was %q, want %q", told, want)
	}
}
