package post

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// afterFunc calls f after d, as time.AfterFunc does; tests have one that is told when.
type afterFunc func(p Phase, d time.Duration, f func()) timer

type timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

func realAfter(_ Phase, d time.Duration, f func()) timer { return time.AfterFunc(d, f) }

// stalledError is a phase that took too long.
type stalledError struct {
	phase Phase
	limit time.Duration
}

func (e *stalledError) Error() string {
	switch e.phase {
	case Authorizing:
		return fmt.Sprintf("no token within %s", e.limit)
	case Connecting:
		return fmt.Sprintf("no connection within %s", e.limit)
	case Uploading:
		return fmt.Sprintf("the receiver took no byte for %s", e.limit)
	case Answering:
		return fmt.Sprintf("no answer within %s of the last byte", e.limit)
	}
	return fmt.Sprintf("%s took longer than %s", e.phase, e.limit)
}

// watch ends an attempt that makes no progress in its phase. There is no limit for the whole: a large body on a slow
// line takes its time.
type watch struct {
	ctx     context.Context // of the attempt
	cancel  context.CancelCauseFunc
	after   afterFunc
	onPhase func(Phase)

	mu    sync.Mutex
	phase Phase
	limit time.Duration
	timer timer
	done  bool
}

func newWatch(ctx context.Context, after afterFunc, onPhase func(Phase)) *watch {
	w := &watch{after: after, onPhase: onPhase}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w
}

// enter begins a phase; limit 0 is none.
func (w *watch) enter(p Phase, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	if p != w.phase && w.onPhase != nil {
		w.onPhase(p)
	}
	w.phase, w.limit = p, limit
	if limit > 0 {
		w.timer = w.after(p, limit, func() { w.cancel(&stalledError{p, limit}) })
	}
}

// progress begins the phase's limit anew.
func (w *watch) progress() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !w.done {
		w.timer.Reset(w.limit)
	}
}

func (w *watch) now() Phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.phase
}

// stop ends the watch and everything that still runs under its context.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel(nil)
}
