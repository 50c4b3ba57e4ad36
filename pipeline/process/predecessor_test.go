package process_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"fanmill/pipeline"
)

// serving makes a world in which a run of the trigger "old" was interrupted by the end of its process, with a delivered
// and b not, and whose trigger does not come again for now.
func serving(t *testing.T) *world {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", stuck())
	w.deliverTo("x")
	w.interrupted()
	w.died(1 << 40) // the sequence of a trigger that is delivered later than the next
	w.db.askedSince()
	return w
}

// gated answers when the gate is open.
func gated(gate chan struct{}) script {
	s := waiting(of(5, 10), gate)
	return s
}

// A trigger that comes while its job's last run is interrupted lets that be finished, in whatever order their triggers
// come.
func TestInterruptedRunIsFinishedFirst(t *testing.T) {
	w := serving(t)
	old := w.lastRun()
	w.rescript("b", of(5, 10))
	w.serve()
	if a := w.ask(pipeline.TopicTrigger("job"), "next", "{}"); a.Run != "next" || a.State != pipeline.AnswerQueued {
		t.Errorf("answered with %+v", a)
	}
	w.until(pipeline.EventEnded, "next")
	if s := w.state(old); s != pipeline.RunComplete {
		t.Errorf("the interrupted run is %s", s)
	}
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"a", "b", "b"}) {
		t.Errorf("asked %v", asked)
	}
	w.exact("x", "a", "b")
}

// Who asks for a resume while the last run is interrupted means that run: finishing it is all there is to do.
func TestResumeOfAnInterruptedRun(t *testing.T) {
	w := serving(t)
	old := w.lastRun()
	w.rescript("b", of(5, 10))
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "go-on", `{"resume":true,"connections":["b"]}`)
	w.until(pipeline.EventEnded, old)
	a := w.ask(pipeline.TopicTrigger("job"), "after", `{"connections":["nobody"]}`) // is looked at behind it
	if a.Error == "" {
		t.Errorf("answered with %+v", a)
	}
	w.exact("x", "a", "b")
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"b"}) {
		t.Errorf("asked %v", asked)
	}
}

// Cancelling a trigger that waits for its job's interrupted run to be finished cancels that trigger, and not the run.
func TestCancellingTheNextLeavesTheInterruptedRunAlone(t *testing.T) {
	w := serving(t)
	old := w.lastRun()
	gate := make(chan struct{})
	w.rescript("b", gated(gate))
	w.serve()
	before := w.count(pipeline.EventConnected)
	w.ask(pipeline.TopicTrigger("job"), "next", "{}")
	w.untilCount(pipeline.EventConnected, before+1)
	if a := w.ask(pipeline.TopicCancel("next"), "", ""); a.Run != "next" || a.State != pipeline.AnswerCancelling {
		t.Errorf("answered with %+v", a)
	}
	close(gate)
	w.until(pipeline.EventEnded, old)
	w.exact("x", "a", "b")
}

// The interrupted run can be cancelled, too, while another trigger finishes it; that one's turn has come then.
func TestCancellingTheInterruptedRun(t *testing.T) {
	t.Parallel()
	w := serving(t)
	old := w.lastRun()
	asked, slow := make(chan struct{}), stuck()
	slow.open = func(int) error { close(asked); return nil }
	w.rescript("b", slow)
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "next", "{}")
	<-asked
	w.rescript("b", of(5, 10))
	if a := w.ask(pipeline.TopicCancel(old), "", ""); a.Run != old || a.State != pipeline.AnswerCancelling {
		t.Errorf("answered with %+v", a)
	}
	w.until(pipeline.EventEnded, "next")
	w.exact("x", "a", "b")
	if rec := w.record(old); rec.State != pipeline.RunAbandoned || rec.Stopped != pipeline.StoppedCancelled {
		t.Errorf("the cancelled run is %s, stopped %q", rec.State, rec.Stopped)
	}
}

// Memory that stops the interrupted run costs the trigger behind it nothing: it is not taken for stopped before it
// began.
func TestMemoryStopOfTheInterruptedRun(t *testing.T) {
	t.Parallel()
	w := serving(t)
	old := w.lastRun()
	var over atomic.Bool
	greedy := of(5, 10)
	greedy.before = func(ctx context.Context, _, _, _ int) error {
		over.Store(true)
		<-ctx.Done()
		w.rescript("b", of(5, 10))
		over.Store(false)
		return ctx.Err()
	}
	w.rescript("b", greedy)
	w.guarded(3, func() int64 {
		if over.Load() {
			return 600 * mb
		}
		return 100 * mb
	})
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "next", "{}")
	w.until(pipeline.EventEnded, "next")
	w.exact("x", "a", "b")
	if rec := w.record(old); rec.Stopped != pipeline.StoppedMemory {
		t.Errorf("the run is %s, stopped %q", rec.State, rec.Stopped)
	}
}

// untilCount waits for so many events of a kind.
func (w *world) untilCount(kind string, n int) {
	w.t.Helper()
	for w.count(kind) < n {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if w.count(kind) >= n {
			return
		}
		select {
		case <-changed:
		case <-w.t.Context().Done():
			w.t.Fatal("the test is over")
		}
	}
}
