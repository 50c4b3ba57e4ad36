package sinktest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"fanmill/internal/soak"
	"fanmill/pipeline"
)

// watched is a context that tells when somebody looks at it.
type watched struct {
	context.Context
	look func()
}

func (c *watched) Done() <-chan struct{} { c.look(); return c.Context.Done() }

func (c *watched) Err() error { c.look(); return c.Context.Err() }

// stopper ends a context at its n-th look, or at the n-th step, both counted together.
type stopper struct {
	at   int64
	n    atomic.Int64
	stop context.CancelFunc
	ctx  context.Context
}

func newStopper(at int) *stopper {
	s := &stopper{at: int64(at)}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.ctx = &watched{ctx, s.hit}
	return s
}

// hit counts, and ends the context at the one that is meant.
func (s *stopper) hit() {
	if s.n.Add(1) == s.at {
		s.stop()
	}
}

// cancels ends the context at each look at it, and between any two calls. The call that is under way ends, and says
// why; nothing is lost.
func cancels(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	starts, end, err := w.undisturbed()
	if err != nil {
		return err
	}
	steps := 0
	for _, start := range starts {
		for at := range soak.Steps(t.Name(), stride) {
			reached, err := w.cancel(start, end, at)
			if err != nil {
				return fmt.Errorf("in run %d the context ended at step %d: %w", start.record.Run+1, at, err)
			}
			if !reached {
				break
			}
			steps++
		}
	}
	t.Logf("%d steps", steps)
	if steps*soak.Rounds(stride, 1) < 20 {
		return fmt.Errorf("only %d steps", steps)
	}
	return nil
}

// cancel has the context of a run end, and delivers the rest.
func (w *world) cancel(start instant, end *end, at int) (reached bool, err error) {
	if err := w.put(start); err != nil {
		return false, err
	}
	stop := newStopper(at)
	w.step = func(string) error { stop.hit(); return nil }
	err = w.run(stop.ctx)
	stop.stop()
	w.step = nil
	if stop.n.Load() < int64(at) {
		return false, err
	}
	rejected := (*pipeline.RejectError)(nil)
	if err != nil && (errors.As(err, &rejected) || !errors.Is(err, context.Canceled) || pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrLost)) {
		return true, fmt.Errorf("a call said: %w", err)
	}
	if err := w.sound(); err != nil {
		return true, err
	}
	if err := w.goOn(end); err != nil {
		return true, fmt.Errorf("claimed again: %w", err)
	}
	return true, nil
}
