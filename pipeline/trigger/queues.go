package trigger

import (
	"context"
	"slices"
	"sync"
)

// queues let one run of a job go at a time, in the order of their triggers.
type queues struct {
	mu sync.Mutex
	of map[string]*queue
}

type queue struct {
	busy    bool
	waiting []*turn // by seq
}

type turn struct {
	seq  uint64
	come chan struct{}
}

func newQueues() *queues { return &queues{of: map[string]*queue{}} }

// line puts a trigger in line. first reports whether it may go at once.
func (l *queues) line(job string, seq uint64) (t *turn, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of[job]
	if a == nil {
		a = &queue{}
		l.of[job] = a
	}
	t = &turn{seq: seq, come: make(chan struct{})}
	if !a.busy {
		a.busy = true
		close(t.come)
		return t, true
	}
	at, _ := slices.BinarySearchFunc(a.waiting, seq, func(w *turn, seq uint64) int {
		if w.seq < seq {
			return -1
		}
		return 1
	})
	a.waiting = slices.Insert(a.waiting, at, t)
	return t, false
}

// busy reports whether a run of the job is under way or waiting here.
func (l *queues) busy(job string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of[job]
	return a != nil && a.busy
}

// wait returns when it is this trigger's turn. Whether or not it comes, leave must follow.
func (l *queues) wait(ctx context.Context, t *turn) error {
	select {
	case <-t.come:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives the turn to the next in line, or gives up the place in it.
func (l *queues) leave(job string, t *turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.of[job]
	if i := slices.Index(a.waiting, t); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		return
	}
	if len(a.waiting) == 0 {
		delete(l.of, job)
		return
	}
	close(a.waiting[0].come)
	a.waiting = a.waiting[1:]
}
