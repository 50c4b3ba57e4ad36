package coordinate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/pipeline"
)

// lookGap is how long the supervisor, which looks at the row log every second, may be without a look before it has
// missed something: the process was frozen, its machine asleep, or the store did not answer.
const lookGap = 10 * time.Second

// look notes how full the row log is, and since when, and detaches who holds it for too long. Only time in which it
// is seen to be full counts: before, a destination may have had nothing to write, and what nobody saw says nothing of
// destinations.
func (s *supervisor) look(ctx context.Context) error {
	state, err := s.run.log.State(ctx)
	now := time.Now()
	missed := now.Sub(s.looked) > lookGap
	s.looked = now
	if err != nil {
		s.full = time.Time{}
		if errors.Is(err, pipeline.ErrNoLog) {
			return s.logGone(ctx)
		}
		if pipeline.IsPermanent(err) {
			return fmt.Errorf("look at row log: %w", err)
		}
		return nil
	}
	s.logPeak = max(s.logPeak, state.Bytes)
	switch {
	case state.Bytes < state.MaxBytes/2: // large frames do not fit long before it is full
		s.full = time.Time{}
		return nil
	case s.full.IsZero() || missed:
		s.full = now
	}
	return s.detachStalled(ctx)
}

// logGone says why there is no row log any more.
func (s *supervisor) logGone(ctx context.Context) error {
	if s.c.Store != nil {
		if err := s.c.Store.Probe(ctx); errors.Is(err, pipeline.ErrStore) {
			return err
		}
	}
	return pipeline.Permanent(fmt.Errorf("the row log of run %s is gone, another program has deleted it; a resume asks its unfinished connections again", s.m.Run))
}
