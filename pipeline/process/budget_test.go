package process_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline/memory"

	"fanmill/pipeline"
)

// Invariant 8: a destination whose storage hangs keeps the memory of the rows it was handed. Another one needs none of
// that to go on.
func TestHungDestinationLeavesMemoryToTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 16*mb)
	w.node.Budget = memory.NewBudget(2 * mb) // a batch of the hung destination takes all of it
	release := make(chan struct{})
	done := sync.OnceFunc(func() { close(release) })
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, done)()
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "hung" && step == "append" {
			<-release
		}
		return nil
	})
	ids := branches(w, 4, of(24, 64<<10))
	w.deliverTo("hung", "healthy")
	var n atomic.Int32
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Destination == "healthy" && n.Add(1) == int32(len(ids)) {
			done() // all of it, while the other one hung
		}
	}
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("the run: %v", err)
	}
	if ctx.Err() != nil {
		t.Errorf("the healthy destination had %d of %d connections when the other one was let go", n.Load(), len(ids))
	}
	w.exact("healthy", ids...)
	w.exact("hung", ids...)
	if q, s := w.node.Budget.Held(); q != 0 || s != 0 {
		t.Errorf("%d and %d bytes were not given back", q, s)
	}
}

// Waiting for memory is our own time: the database, which is not even asked yet, is not blamed for it, and maxDuration
// does not run.
func TestWaitingForMemoryIsNotTheDatabases(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Budget = memory.NewBudget(1) // one connection at a time
	w.node.QueryTimeout = time.Second
	w.job.MaxDuration = pipeline.Duration(2 * time.Second)
	w.job.Retry.Attempts = 1
	s := of(12, 10)
	s.before = func(context.Context, int, int, int) error { time.Sleep(100 * time.Millisecond); return nil } // 1.2 s: the third waits for longer than both
	ids := branches(w, 3, s)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", ids...)
}

// Rows larger than the whole budget pass through it, beside others, to several destinations, and all of it is given
// back.
func TestHugeRowsUnderATinyBudget(t *testing.T) {
	w := newWorld(t, 32*mb)
	w.node.Budget = memory.NewBudget(64 << 10)
	w.connect("huge", of(3, 9*mb))
	w.connect("wide", of(40, 256<<10))
	w.connect("small", of(200, 10))
	w.deliverTo("x", "y", "z")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	for _, d := range []string{"x", "y", "z"} {
		w.exact(d, "huge", "wide", "small")
	}
	if q, s := w.node.Budget.Held(); q != 0 || s != 0 {
		t.Errorf("%d and %d bytes were not given back", q, s)
	}
}

// logHook is called with every line.
type logHook struct {
	slog.Handler
	f func(string)
}

func (h logHook) Enabled(context.Context, slog.Level) bool { return true }
func (h logHook) Handle(_ context.Context, r slog.Record) error {
	h.f(r.Message)
	return nil
}

// A reading that finds the memory below the threshold again wins against one that is about to stop the runs; two that
// stop them do so once.
func TestReadingsAtOnce(t *testing.T) {
	for _, second := range []int64{100 * mb, 600 * mb} {
		var readings atomic.Int32
		warned, read := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var over sync.WaitGroup
		m := memory.NewWatch(memory.WatchOptions{Threshold: 512 * mb, Every: time.Millisecond, Patience: 0, Budget: memory.NewBudget(mb), Parallel: 4,
			Resident: func() (int64, error) {
				switch readings.Add(1) {
				case 1:
					return 600 * mb, nil
				case 2:
					return second, nil
				case 3:
					close(read) // the second one has been acted on
				}
				return 100 * mb, nil
			},
			Log: slog.New(logHook{Handler: slog.DiscardHandler, f: func(line string) {
				if strings.Contains(line, "queries pause") {
					close(warned)
					<-read
				}
			}})})
		over.Go(func() { m.Run(ctx) })
		<-warned
		over.Go(func() { m.Run(ctx) })
		<-read
		cancel()
		over.Wait() // a panic until both have returned is the failure
		if err := m.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Retry's pauses keep to Max, whatever Backoff is.
func TestPausesKeepToMax(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.job.Retry = pipeline.Retry{Attempts: 4, Backoff: pipeline.Duration(time.Hour), Max: pipeline.Duration(20 * time.Millisecond)}
	s := of(3, 10)
	s.open = func(attempt int) error {
		if attempt < 4 {
			return pipeline.Transient(fmt.Errorf("try %d: %w", attempt, errBroken))
		}
		return nil
	}
	w.connect("a", s)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
}
