package coordinate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// drainPatience bounds how long a run that is stopped waits for its destinations to write what has been delivered
// whole.
const drainPatience = 20 * time.Second

// brokenPatience bounds everything that a run that is stopped still wants of a store that does not work.
const brokenPatience = 2 * time.Second

// restPatience bounds how long workers of other processes are waited for: they look at the run's record at least every
// third of a lease.
const restPatience = 10 * time.Second

// sayStopping has other processes stop asking: by the run's record, and by an event for those who listen.
func (s *supervisor) sayStopping(ctx context.Context) error {
	if s.c.Own {
		return nil // nobody else takes its commands
	}
	ctx, cancel := context.WithTimeout(ctx, tickPatience)
	defer cancel()
	err := s.renew(ctx)
	s.c.event(s.run.stamp(pipeline.Event{Kind: pipeline.EventStopping}))
	return err
}

// rest begins to drain a run that is being stopped, once no worker is left, here or elsewhere.
func (s *supervisor) rest(ctx, asking context.Context) error {
	if !s.left || s.draining {
		return nil
	}
	if time.Now().Before(s.restBy) {
		for _, doc := range s.running {
			if doc.Value().Owner != s.c.Owner.Token {
				return nil
			}
		}
	}
	if err := s.drain(ctx); err != nil {
		return errors.Join(context.Cause(asking), err)
	}
	return nil
}

// drain finds out, once no worker is left, which connections are in the row log whole: the destinations may still
// take those. What only a part of arrived is left for a resume.
func (s *supervisor) drain(ctx context.Context) error {
	s.draining, s.delivered = true, map[string]bool{}
	for _, c := range s.m.Connections {
		doc, err := checkpoint.LoadConn(ctx, s.c.Stores.Runs, s.m.Run, c.ID)
		if errors.Is(err, pipeline.ErrForeign) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look what was delivered: %w", err)
		}
		if state := doc.Value().State; state == checkpoint.ConnDone {
			s.delivered[c.ID] = true
		}
	}
	return nil
}

// drained reports whether every destination has committed what was delivered.
func (s *supervisor) drained() bool {
	if !s.draining {
		return false
	}
	for _, d := range s.m.Destinations {
		rec, ok := s.records[d.ID]
		if !ok {
			return false
		}
		if rec.Ended() || rec.Token == "" {
			continue
		}
		for i, c := range s.m.Connections {
			_, failed := rec.Failed[i]
			if d.Takes(i) && s.delivered[c.ID] && !rec.Has(i) && !failed {
				return false
			}
		}
	}
	return true
}
