package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"

	"fanmill/internal/soak"
	"fanmill/pipeline"
)

// rivals has another process claim the destination at each step, while the first one sleeps there. It wakes once the
// rival's claim is recorded, goes on until its next write of the record, and changes nothing that readers see; whatever
// it did in private, the rival's run is exact.
func rivals(t testing.TB, s Subject) error {
	w := newWorld(t, s, standard())
	starts, end, err := w.undisturbed()
	if err != nil {
		return err
	}
	steps := 0
	for _, start := range starts {
		for at := range soak.Steps(t.Name(), stride) {
			if err := w.put(start); err != nil {
				return err
			}
			sleeper := *w
			r := &rivalry{w: &sleeper, at: at, run: start.record.Run}
			sleeper.step = r.step
			err := sleeper.script(context.Background())
			if r.rival == nil {
				if err != nil {
					return err
				}
				break
			}
			steps++
			if err := r.settle(err, end); err != nil {
				return fmt.Errorf("in run %d a rival at step %d, %q: %w", r.run+1, at, r.name, err)
			}
		}
	}
	if steps*soak.Rounds(stride, 1) < 20 {
		return fmt.Errorf("only %d steps", steps)
	}
	return nil
}

// rivalry is one sleep and what follows.
type rivalry struct {
	w      *world
	run    int // in which the rival comes
	at, n  int
	name   string
	rival  *loop // nil before it came
	before map[string]string
	failed error
}

// step lets the rival claim at one step.
func (r *rivalry) step(name string) error {
	if r.rival != nil || r.w.record.Run != r.run || r.w.record.State == pipeline.RecordFinished {
		return nil
	}
	if r.n++; r.n < r.at {
		return nil
	}
	other := *r.w
	other.step = nil
	r.name, r.w.fenced = name, true
	if r.rival, r.failed = other.claim(); r.failed == nil {
		r.failed = r.rival.recover(context.Background())
	}
	if r.failed == nil {
		r.before, r.failed = other.artifacts()
	}
	return r.failed
}

// settle ends the rivalry, given how the sleeper ended.
func (r *rivalry) settle(err error, end *end) error {
	w := r.rival.world
	if r.failed != nil {
		return fmt.Errorf("the rival's claim: %w", r.failed)
	}
	if err == nil || errors.Is(err, pipeline.ErrLost) || errors.As(err, new(*pipeline.RejectError)) {
		return fmt.Errorf("the one that slept ended with %v", err)
	}
	if after, err := w.artifacts(); err != nil || !maps.Equal(r.before, after) {
		return fmt.Errorf("the one that slept has changed what readers see (%w)", err)
	}
	if err := w.sound(); err != nil {
		return err
	}
	// What the sleeper did in private may cost the rival a claim more.
	err = r.rival.rest(context.Background())
	err = errors.Join(err, r.rival.sink.Close())
	if errors.Is(err, pipeline.ErrLost) || pipeline.IsPermanent(err) {
		return fmt.Errorf("the rival: %w", err)
	}
	return w.goOn(end)
}
