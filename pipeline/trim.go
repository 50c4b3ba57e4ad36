package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// progress is when a destination's position last changed.
type progress struct {
	seq uint64
	at  time.Time
}

// recordChanged trims, and asks the connections once every destination has claimed its record: before that nobody would
// hold the row log for it.
func (s *supervisor) recordChanged(ctx context.Context, u RecordUpdate) error {
	i := slices.IndexFunc(s.m.Destinations, func(d ManifestDestination) bool { return Token(d.ID) == u.Destination })
	if i < 0 {
		return nil
	}
	if u.Err != nil {
		return u.Err
	}
	id := s.m.Destinations[i].ID
	if state := u.Record.State; s.records[id].State != state {
		switch state {
		case RecordDetached:
			s.event(s.stamp(Event{Kind: EventDetached, Destination: id, Error: u.Record.Error}))
		case RecordOwing:
			s.event(s.stamp(Event{Kind: EventOwing, Destination: id, Error: u.Record.Error}))
		}
	}
	s.records[id] = u.Record
	s.stale = true
	if p := s.moved[id]; p.at.IsZero() || p.seq != u.Record.Seq {
		s.moved[id] = progress{u.Record.Seq, time.Now()}
	}
	if !s.asked && !s.stopping && s.allClaimed() {
		s.asked = true
		if err := s.ask(); err != nil {
			return err
		}
		for _, c := range s.leftOut {
			s.giveUp(ctx, c.id, c.cell, "left out of this resume by the choice of connections")
		}
	}
	return s.trim(ctx)
}

func (s *supervisor) allClaimed() bool {
	for _, d := range s.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || rec.State == RecordOpen && (rec.Token == "" || rec.Log.Stream == "") {
			return false
		}
	}
	return true
}

func (s *supervisor) allEnded() bool {
	for _, d := range s.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || !rec.Ended() {
			return false
		}
	}
	return true
}

// trim drops what every destination has committed. A destination without a record, or with one of another log, holds
// all of it.
func (s *supervisor) trim(ctx context.Context) error {
	upTo := ^uint64(0)
	for _, d := range s.m.Destinations {
		rec, ok := s.records[d.ID]
		if !ok {
			return nil
		}
		if rec.Ended() {
			continue
		}
		if rec.Log.Generation != s.fixed.Generation {
			return nil
		}
		upTo = min(upTo, rec.Seq)
	}
	if upTo == ^uint64(0) || upTo <= s.trimmed {
		return nil
	}
	if err := s.log.Trim(ctx, upTo); err != nil {
		if errors.Is(err, ErrNoLog) {
			return s.logGone(ctx)
		}
		if IsPermanent(err) {
			return fmt.Errorf("trim row log: %w", err)
		}
		if !s.storeFails() && !errors.Is(err, context.Canceled) {
			s.Log.Warn("the row log could not be trimmed; trying again", "error", err)
		}
		return nil // the next tick does
	}
	s.trimmed = upTo
	return nil
}

// lookGap is how long the supervisor, which looks at the row log every second, may be without a look before it has
// missed something: the process was frozen, its machine asleep, or the store did not answer.
const lookGap = 10 * time.Second

// look notes how full the row log is, and since when, and detaches who holds it for too long. Only time in which it
// is seen to be full counts: before, a destination may have had nothing to write, and what nobody saw says nothing of
// destinations.
func (s *supervisor) look(ctx context.Context) error {
	state, err := s.log.State(ctx)
	now := time.Now()
	missed := now.Sub(s.looked) > lookGap
	s.looked = now
	if err != nil {
		s.full = time.Time{}
		if errors.Is(err, ErrNoLog) {
			return s.logGone(ctx)
		}
		if IsPermanent(err) {
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
	if s.Store != nil {
		if err := s.Store.Probe(ctx); errors.Is(err, ErrStore) {
			return err
		}
	}
	return Permanent(fmt.Errorf("the row log of run %s is gone, another program has deleted it; a resume asks its unfinished connections again", s.m.Run))
}

// detachStalled takes the record of the destination that holds a full row log, and has not moved for the timeout: the
// others must not wait for it for ever. Those that merely have nothing more to read are further on, and are left
// alone.
func (s *supervisor) detachStalled(ctx context.Context) error {
	if time.Since(s.full) <= s.Timeout {
		return nil
	}
	lowest := ^uint64(0)
	for _, d := range s.m.Destinations {
		if rec := s.records[d.ID]; rec.State == RecordOpen {
			lowest = min(lowest, rec.Seq)
		}
	}
	for _, d := range s.m.Destinations {
		rec, p := s.records[d.ID], s.moved[d.ID]
		if rec.State != RecordOpen || rec.Seq != lowest || p.at.IsZero() || time.Since(p.at) <= s.Timeout {
			continue
		}
		why := fmt.Sprintf("no progress for %s while the row log was full", s.Timeout)
		err := s.Records.Reset(ctx, s.m.Run, d.ID, func(c *CommitRecord) { c.State, c.Error = RecordDetached, why })
		if err != nil {
			return err
		}
		s.full = time.Time{} // who waited for room only begins to be measured now
	}
	return nil
}
