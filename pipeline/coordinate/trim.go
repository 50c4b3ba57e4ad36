package coordinate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/pipeline/failpoint"

	"fanmill/pipeline"
)

// covered is how far every destination that still reads has committed the row log; 0 if it is not known of all. A
// destination without a record, or with one of another log, holds all of it.
func (s *supervisor) covered() uint64 {
	upTo := ^uint64(0)
	for _, d := range s.m.Destinations {
		rec, ok := s.records[d.ID]
		if !ok {
			return 0
		}
		if rec.Ended() || d.Closes() { // which reads nothing
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
	if upTo := s.covered(); upTo > s.run.doc.Value().Trimmed {
		if due, err := s.trimDue(ctx, upTo); err != nil {
			return err
		} else if due {
			if err := s.mark(ctx, upTo); err != nil {
				return err
			}
		}
	}
	mark := s.run.doc.Value().Trimmed
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
	if time.Since(s.marked) >= time.Duration(s.c.Owner.LeaseMS)*time.Millisecond/3 {
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
	return frees >= float64(min(pipeline.CutBytes, state.MaxBytes/trimShare)), nil
}

// mark records how far the row log is given up. Who has lost the run by then gives up nothing; the next renewal of its
// lease says so.
func (s *supervisor) mark(ctx context.Context, upTo uint64) error {
	rec := s.run.doc.Value()
	rec.GiveUpTo(upTo)
	err := s.run.doc.Write(ctx, rec)
	switch {
	case err == nil:
		s.marked = time.Now()
		failpoint.Hit("after-mark")
		return nil
	case errors.Is(err, pipeline.ErrForeign):
		return err
	case errors.Is(err, pipeline.ErrConflict):
		return nil
	}
	return s.untrimmed(ctx, "record how far the row log is trimmed", err)
}

// untrimmed is an error that a trim met, if it ends the run; the next tick tries again after any other.
func (s *supervisor) untrimmed(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(err, pipeline.ErrNoLog):
		return s.logGone(ctx)
	case pipeline.IsPermanent(err):
		return fmt.Errorf("%s: %w", what, err)
	}
	if !s.c.StoreFails() && !errors.Is(err, context.Canceled) {
		s.c.Log.Warn("the row log could not be trimmed; trying again", "error", err)
	}
	return nil
}
