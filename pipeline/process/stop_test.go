package process_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline/memory"

	"fanmill/pipeline"
)

// guarded gives the world a memory that reads what resident says.
func (w *world) guarded(patience int, resident func() int64) {
	w.node.Memory = memory.NewWatch(memory.WatchOptions{Threshold: 512 * mb, Every: time.Millisecond, Patience: patience, Budget: w.node.Budget,
		Parallel: w.node.Parallel, Log: w.node.Log, Resident: func() (int64, error) { return resident(), nil }})
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	over.Go(func() { w.node.Memory.Run(ctx) })
	w.t.Cleanup(func() { cancel(); over.Wait() })
}

func (w *world) count(kind string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func branches(w *world, n int, s script) (ids []string) {
	for i := range n {
		id := fmt.Sprintf("b%02d", i+1)
		w.connect(id, s)
		ids = append(ids, id)
	}
	return ids
}

// Memory that stays over the threshold stops the run: what was delivered until then is in every artifact, the rest is
// asked by the resume alone, and the error says what to change.
func TestMemoryStop(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 1
	ids := branches(w, 56, of(20, 100))
	w.deliverTo("x", "y")
	var relieved atomic.Bool
	w.guarded(20, func() int64 {
		if !relieved.Load() && w.count(pipeline.EventDelivered) >= 30 {
			return 600 * mb
		}
		return 250 * mb
	})
	_, err := w.run(t.Context(), pipeline.Trigger{})
	if !errors.Is(err, memory.ErrMemory) || !strings.Contains(err.Error(), "MEMORY_THRESHOLD_MB") || !strings.Contains(err.Error(), "600MB resident") {
		t.Fatalf("the run ends with %v", err)
	}
	w.exact("x", ids[:30]...)
	w.exact("y", ids[:30]...)
	relieved.Store(true)
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", ids...)
	w.exact("y", ids...)
	if asked := w.db.askedSince(); !slices.Equal(asked, ids[30:]) {
		t.Errorf("the resume asked %v, want %v", asked, ids[30:])
	}
}

// Memory that comes back below the threshold in time costs a pause, and nothing else.
func TestMemoryPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	over := make(chan struct{})
	ids := branches(w, 8, waiting(of(20, 100), over))
	w.deliverTo("x")
	var readings atomic.Int64
	w.guarded(1<<30, func() int64 {
		switch n := readings.Add(1); {
		case n == 20:
			close(over)
		case n >= 3 && n < 20:
			return 600 * mb
		}
		return 100 * mb
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", ids...)
	if out.Measures.PeakResident != 600*mb || out.Measures.Threshold != 512*mb {
		t.Errorf("measured %+v", out.Measures)
	}
}

// A stopped run drains: a connection that is in the row log whole is still written, one that is not is left out
// whole, and the resume asks only that.
func TestStopDrains(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx, cancel := context.WithCancelCause(t.Context())
	w.connect("whole", of(50, 100))
	half := of(50, 100)
	reached := make(chan struct{})
	half.before = func(ctx context.Context, _, _, row int) error {
		if row == 25 {
			close(reached)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	w.connect("half", half)
	w.deliverTo("x", "y")
	stopped := make(chan struct{})
	w.disk.failing(func(dest, step, connection string) error {
		if dest == "y" && step == "append" && connection == "whole" {
			<-stopped // still on its way to y when the run is stopped
		}
		return nil
	})
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventDelivered {
			<-reached
			cancel(fmt.Errorf("enough: %w", pipeline.ErrCancelled))
			close(stopped)
		}
	}
	_, err := w.run(ctx, pipeline.Trigger{})
	if !errors.Is(err, pipeline.ErrCancelled) {
		t.Fatalf("the run ends with %v", err)
	}
	w.exact("x", "whole")
	w.exact("y", "whole")
	w.watch = nil
	w.rescript("half", of(50, 100))
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", "whole", "half")
	w.exact("y", "whole", "half")
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"half"}) {
		t.Errorf("the resume asked %v", asked)
	}
}

// A database that delivers nothing for QueryTimeout is given up for that attempt, saying which setting it was; one
// that delivers slowly, but does, is not.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.QueryTimeout = time.Second
	w.job.Retry = pipeline.Retry{Attempts: 2, Backoff: pipeline.Duration(time.Millisecond)}
	silent := of(50, 100)
	silent.before = func(ctx context.Context, _, _, row int) error {
		if row == 25 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	slow := of(12, 100)
	slow.before = func(ctx context.Context, _, _, _ int) error {
		select {
		case <-time.After(200 * time.Millisecond): // 2.4 s in all
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	w.connect("silent", silent)
	w.connect("slow", slow)
	w.deliverTo("x")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("x", "slow")
	c := out.Reports[0].Connections[0]
	if c.Attempts != 2 || !strings.Contains(c.Error, "delivered nothing for 1s") || !strings.Contains(c.Error, "QUERY_TIMEOUT_MS=1000") {
		t.Errorf("the silent connection is reported as %+v", c)
	}
}

// Time that a query waits for our own destinations does not count against its database.
func TestSlowDestinationIsNotASilentDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4*mb)
	w.node.QueryTimeout = 500 * time.Millisecond
	w.job.Retry.Attempts = 1
	w.connect("big", of(24*8, 64<<10)) // three times the log
	w.deliverTo("slow")
	var once sync.Once
	w.disk.failing(func(_, step, _ string) error {
		if step == "save" {
			once.Do(func() { time.Sleep(3 * w.node.QueryTimeout) }) // the log is full meanwhile
		}
		return nil
	})
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("slow", "big")
}

// maxDuration ends an attempt however busily its database delivers, and no other attempt follows.
func TestMaxDuration(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.job.MaxDuration = pipeline.Duration(time.Second)
	busy := of(1<<30, 1)
	w.connect("busy", busy)
	w.connect("quick", of(3, 10))
	w.deliverTo("x")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("x", "quick")
	if c := out.Reports[0].Connections[0]; c.Attempts != 1 || !strings.Contains(c.Error, "maxDuration, 1s") {
		t.Errorf("the connection is reported as %+v", c)
	}
}

// Branches on one server are asked parallelPerHost at a time, in the job's order, while others are not held up.
func TestParallelPerHost(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 8
	w.job.ParallelPerHost = 2
	w.db.host = func(dsn string) string {
		if strings.HasPrefix(dsn, "b") {
			return "shared"
		}
		return ""
	}
	var now, most atomic.Int64
	s := of(5, 10)
	var otherDone sync.WaitGroup // and two of the shared server at once
	otherDone.Add(2)
	both := sync.OnceFunc(otherDone.Done)
	s.before = func(_ context.Context, _, _, row int) error {
		switch row {
		case 0:
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			if n == 2 {
				both()
			}
			otherDone.Wait() // nobody on the shared server ends before two are asked and the other one has ended
		case 4:
			now.Add(-1)
		}
		return nil
	}
	ids := branches(w, 10, s)
	w.connect("other", of(5, 10))
	w.deliverTo("x")
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventDelivered && e.Connection == "other" {
			otherDone.Done()
		}
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", append(ids, "other")...)
	if most.Load() != 2 {
		t.Errorf("%d connections were asked at a time on one server, want 2", most.Load())
	}
}
