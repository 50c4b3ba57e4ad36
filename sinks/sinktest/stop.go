package sinktest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fanmill/pipeline"
)

// errCrashed ends a claim as the end of its process does: the sink is never called again, but for Close.
var errCrashed = errors.New("the process has ended")

// watched is a context that tells when somebody looks at it.
type watched struct {
	context.Context
	look func()
}

func (c *watched) Done() <-chan struct{} { c.look(); return c.Context.Done() }

func (c *watched) Err() error { c.look(); return c.Context.Err() }

// stopper ends a context at its n-th look, or the claim at the n-th step, both counted together.
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
	s.ctx = &watched{ctx, func() { s.hit() }}
	return s
}

// hit counts, and reports whether this is the one.
func (s *stopper) hit() bool {
	if s.n.Add(1) != s.at {
		return false
	}
	s.stop()
	return true
}

// cancels ends the context at each look at it, and between any two calls. The call that is under way ends, and says
// why; nothing is lost.
func cancels(t testing.TB, s Subject) error { return stops(t, s, context.Canceled) }

func stops(t testing.TB, s Subject, cause error) error {
	var want map[string]string
	seen := map[string]bool{} // what a stop left, from which the rest was delivered
	for at := 0; ; at++ {
		w := newWorld(t, s, standard())
		stop := newStopper(at)
		w.step = func(string) error {
			if stop.hit() && cause == errCrashed {
				return errCrashed
			}
			return nil
		}
		err := w.script(stop.ctx)
		stop.stop()
		w.step = nil
		switch {
		case at == 0 && err == nil:
			if want, err = w.artifacts(); err != nil {
				return err
			}
			t.Logf("%d steps", stop.n.Load())
			if stop.n.Load() < 20 {
				return fmt.Errorf("only %d steps", stop.n.Load())
			}
			continue
		case stop.n.Load() < int64(at):
			return err
		case err != nil:
			if rejected := (*pipeline.RejectError)(nil); errors.As(err, &rejected) || !errors.Is(err, context.Canceled) && !errors.Is(err, errCrashed) || pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrLost) {
				return fmt.Errorf("the context ended at step %d, and a call said: %w", at, err)
			}
		}
		if err := w.sound(); err != nil {
			return fmt.Errorf("stopped at step %d: %w", at, err)
		}
		if w.target.Answer == nil { // else the target has a state of its own
			left, err := w.left()
			if err != nil {
				return err
			}
			if seen[left] {
				continue
			}
			seen[left] = true
		}
		if err := w.finished(); err != nil {
			return fmt.Errorf("stopped at step %d, and claimed again: %w", at, err)
		}
		if err := w.same(want); err != nil {
			return fmt.Errorf("stopped at step %d, and claimed again: %w", at, err)
		}
	}
}

// left is everything that decides what the next claim does: the files, but for times, and the record.
func (w *world) left() (string, error) {
	files, err := take(w.root)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		if strings.HasSuffix(name, ".manifest.json") { // it has the time in it
			f.text = ""
		}
		fmt.Fprintf(h, "%q %v %q %q\n", name, f.mode, f.twin, f.text)
	}
	err = json.NewEncoder(h).Encode(w.record)
	return string(h.Sum(nil)), err
}
