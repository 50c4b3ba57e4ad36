package process

import (
	"context"
	"sync"
)

// inHand is what a process works on for a run: connections, or destinations, by their ids.
type inHand struct {
	mu      sync.Mutex
	busy    map[string]bool
	while   context.Context // as long as this lasts something is taken
	ctx     context.Context // of what is in hand
	cancel  context.CancelCauseFunc
	stopped bool          // nothing is taken any more
	empty   chan struct{} // closed once stopped, and nothing is left
}

func newInHand(while context.Context) *inHand {
	h := &inHand{busy: map[string]bool{}, while: while, empty: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancelCause(while)
	return h
}

// take takes something in hand, unless it is, or nothing is taken any more. put must follow, after all that is done
// with ctx.
func (h *inHand) take(id string) (ctx context.Context, taken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped || h.busy[id] || h.while.Err() != nil {
		return nil, false
	}
	h.busy[id] = true
	return h.ctx, true
}

func (h *inHand) put(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, id)
	h.tell()
}

func (h *inHand) has(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.busy[id]
}

func (h *inHand) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.busy)
}

func (h *inHand) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopped
}

// stop ends the contexts of what is in hand, and takes nothing more. The channel closes when nothing is left.
func (h *inHand) stop(why error) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.stopped = true
		h.cancel(why)
		h.tell()
	}
	return h.empty
}

// drop ends the contexts of what is in hand now.
func (h *inHand) drop(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.cancel(why)
		h.ctx, h.cancel = context.WithCancelCause(h.while)
	}
}

// tell closes empty when it is time. h.mu is held.
func (h *inHand) tell() {
	if h.stopped && len(h.busy) == 0 {
		select {
		case <-h.empty:
		default:
			close(h.empty)
		}
	}
}
