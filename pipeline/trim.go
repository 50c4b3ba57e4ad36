package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/pipeline/failpoint"
)

// progress is when a destination's position last changed.
type progress struct {
	seq uint64
	at  time.Time
}

// recordChanged trims, and asks the connections once every destination has claimed its record: before that nobody would
// hold the row log for it.
func (s *supervisor) recordChanged(ctx context.Context, u RecordUpdate) error {
	i := slices.IndexFunc(s.run.m.Destinations, func(d ManifestDestination) bool { return Token(d.ID) == u.Destination })
	if i < 0 {
		return nil
	}
	if u.Err != nil {
		return u.Err
	}
	if u.Record.Opened.after(s.run.fixed.opened()) {
		return s.lost()
	}
	id := s.run.m.Destinations[i].ID
	if state := u.Record.State; s.records[id].State != state {
		switch state {
		case RecordDetached:
			s.run.c.event(s.run.stamp(Event{Kind: EventDetached, Destination: id, Error: u.Record.Error}))
		case RecordOwing:
			s.run.c.event(s.run.stamp(Event{Kind: EventOwing, Destination: id, Error: u.Record.Error}))
		}
	}
	s.records[id] = u.Record
	s.signed(id)
	s.stale = true
	if p := s.moved[id]; p.at.IsZero() || p.seq != u.Record.Seq {
		s.moved[id] = progress{u.Record.Seq, time.Now()}
	}
	if !s.asked && !s.stopping && s.allClaimed() {
		s.asked = true
		if err := s.ask(); err != nil {
			return err
		}
		for _, c := range s.run.leftOut {
			s.giveUp(ctx, c.id, c.cell, "left out of this resume by the choice of connections")
		}
	}
	return s.trim(ctx)
}

func (s *supervisor) allClaimed() bool {
	for _, d := range s.run.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || rec.State == RecordOpen && (rec.Token == "" || rec.Log.Stream == "") {
			return false
		}
	}
	return true
}

func (s *supervisor) allEnded() bool {
	for _, d := range s.run.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || !rec.Ended() {
			return false
		}
	}
	return true
}

// covered is how far every destination that still reads has committed the row log; 0 if it is not known of all. A
// destination without a record, or with one of another log, holds all of it.
func (s *supervisor) covered() uint64 {
	upTo := ^uint64(0)
	for _, d := range s.run.m.Destinations {
		rec, ok := s.records[d.ID]
		if !ok {
			return 0
		}
		if rec.Ended() {
			continue
		}
		if rec.Log.Generation != s.run.fixed.Generation {
			return 0
		}
		upTo = min(upTo, rec.Seq)
	}
	if upTo == ^uint64(0) {
		return 0
	}
	return upTo
}

// trim drops what every destination has committed. A purge cannot be conditional: its process may sleep in the
// middle of it, and wake when another one has gone on with the run and opened a detached destination again at a
// position that the purge is about to pass. So the run's record says first how far the log is given up, by a
// compare-and-set that a former owner cannot make; nothing beyond that mark is ever purged, and a resume opens no
// record below it on this log.
func (s *supervisor) trim(ctx context.Context) error {
	if upTo := s.covered(); upTo > s.run.cell.Value().Trimmed {
		if due, err := s.trimDue(ctx, upTo); err != nil {
			return err
		} else if due {
			if err := s.mark(ctx, upTo); err != nil {
				return err
			}
		}
	}
	mark := s.run.cell.Value().Trimmed
	if mark <= s.trimmed {
		return nil
	}
	if err := s.run.log.Trim(ctx, mark); err != nil {
		return s.untrimmed(ctx, "trim row log", err)
	}
	s.trimmed = mark
	return nil
}

// trimShare is the part of a row log that a trim is worth a write of the run's record for.
const trimShare = 8

// trimDue reports whether the run's record is to be written for a trim up to a position: it frees as much as a
// destination reads between two cuts, or an eighth of a small log; somebody waits for room, or will; or the last time
// was a renewal of the lease ago. A write costs an fsync, and many small connections are committed one by one.
func (s *supervisor) trimDue(ctx context.Context, upTo uint64) (bool, error) {
	if time.Since(s.marked) >= time.Duration(s.run.c.Owner.LeaseMS)*time.Millisecond/3 {
		return true, nil
	}
	state, err := s.run.log.State(ctx)
	if err != nil {
		return false, s.untrimmed(ctx, "look at row log", err)
	}
	if state.Bytes >= state.MaxBytes/2 {
		return true, nil
	}
	frees := float64(state.Bytes) * float64(int64(upTo-state.First)+1) / float64(state.Last-state.First+1)
	return frees >= float64(min(cutBytes, state.MaxBytes/trimShare)), nil
}

// mark records how far the row log is given up. Who has lost the run by then gives up nothing; the next renewal of its
// lease says so.
func (s *supervisor) mark(ctx context.Context, upTo uint64) error {
	rec := s.run.cell.Value()
	rec.giveUpTo(upTo)
	err := s.run.cell.Write(ctx, rec)
	switch {
	case err == nil:
		s.marked = time.Now()
		failpoint.Hit("after-mark")
		return nil
	case errors.Is(err, ErrForeign):
		return err
	case errors.Is(err, ErrConflict):
		return nil
	}
	return s.untrimmed(ctx, "record how far the row log is trimmed", err)
}

// untrimmed is an error that a trim met, if it ends the run; the next tick tries again after any other.
func (s *supervisor) untrimmed(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, ErrNoLog):
		return s.logGone(ctx)
	case IsPermanent(err):
		return fmt.Errorf("%s: %w", what, err)
	}
	if !s.run.c.storeFails() && !errors.Is(err, context.Canceled) {
		s.run.c.Log.Warn("the row log could not be trimmed; trying again", "error", err)
	}
	return nil
}

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
	if s.run.c.Store != nil {
		if err := s.run.c.Store.Probe(ctx); errors.Is(err, ErrStore) {
			return err
		}
	}
	return Permanent(fmt.Errorf("the row log of run %s is gone, another program has deleted it; a resume asks its unfinished connections again", s.run.m.Run))
}

// detach takes the record of a destination that is given up.
func (s *supervisor) detach(ctx context.Context, id, why string) error {
	return s.run.c.Records.Detach(ctx, s.run.m.Run, id, s.run.fixed.opened(), why)
}

// detachStalled takes the record of the destination that holds a full row log, and has not moved for the timeout: the
// others must not wait for it for ever. Those that merely have nothing more to read are further on, and are left
// alone.
func (s *supervisor) detachStalled(ctx context.Context) error {
	if time.Since(s.full) <= s.run.c.Timeout {
		return nil
	}
	lowest := ^uint64(0)
	for _, d := range s.run.m.Destinations {
		if rec := s.records[d.ID]; rec.State == RecordOpen {
			lowest = min(lowest, rec.Seq)
		}
	}
	for _, d := range s.run.m.Destinations {
		rec, p := s.records[d.ID], s.moved[d.ID]
		if rec.State != RecordOpen || rec.Seq != lowest || p.at.IsZero() || time.Since(p.at) <= s.run.c.Timeout {
			continue
		}
		why := fmt.Sprintf("no progress for %s while the row log was full", s.run.c.Timeout)
		if err := s.detach(ctx, d.ID, why); err != nil {
			return err
		}
		s.full = time.Time{} // who waited for room only begins to be measured now
	}
	return nil
}
