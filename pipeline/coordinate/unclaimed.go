package coordinate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// A destination that no process can write, as the one that could is gone, must not hold the run for ever: not before
// the first query, which waits for all claims, not while the row log still has room, and not at the end.

// claimSign is the last sign of life of a destination's claim that was seen here, by this process's clock.
type claimSign struct {
	at     time.Time
	lapsed bool // for longer than a lease
}

// signed notes that the record of a destination was written. That of a claim is its sign of life; without one, the
// record waits for its next claim from now on.
func (s *supervisor) signed(id string) { s.claims[id] = claimSign{at: time.Now()} }

// missed begins to count anew: while this process stood still, or the store did not answer, it saw no sign of life.
func (s *supervisor) missed() {
	for _, d := range s.m.Destinations {
		s.signed(d.ID)
	}
}

// detachUnclaimed gives up every destination that no live claim has had for the timeout, and a lease before that, which
// a claim takes to lapse.
func (s *supervisor) detachUnclaimed(ctx context.Context) error {
	if !s.roomed { // none can be claimed yet
		s.missed()
		return nil
	}
	now := time.Now()
	if s.claimsSeen.IsZero() || now.Sub(s.claimsSeen) > lookGap {
		s.missed()
	}
	s.claimsSeen = now
	lease := time.Duration(s.c.Owner.LeaseMS) * time.Millisecond
	until, awaited := map[string]time.Time{}, map[string]string{}
	for _, d := range s.m.Destinations {
		rec := s.records[d.ID]
		if rec.Ended() {
			continue
		}
		sign := s.claims[d.ID]
		silent := now.Sub(sign.at) - lease
		if silent <= 0 {
			continue
		}
		whom := pipeline.PlaceText(rec.At(s.m, &d, s.c.Sinks[d.Type]))
		if whom != "" {
			awaited[d.ID] = whom
			whom = "; it waits for " + whom
		}
		if silent <= s.c.Timeout {
			until[d.ID] = now.Add(s.c.Timeout - silent).UTC().Truncate(time.Second)
			if !sign.lapsed {
				sign.lapsed = true
				s.claims[d.ID] = sign
				s.c.Log.Warn(fmt.Sprintf("no process writes %s%s; it is given up for this run at %s unless one does", d.Where(), whom, until[d.ID].Local().Format(time.TimeOnly)), "destination", d.ID)
			}
			continue
		}
		why := fmt.Sprintf("no process has claimed it for %s", s.c.Timeout)
		if rec.Token != "" {
			why = fmt.Sprintf("process %d on %s, which had it, has given no sign of life for %s, and no other has claimed it", rec.PID, rec.Host, s.c.Timeout)
		}
		if err := s.detach(ctx, d.ID, why+whom); err != nil {
			return err
		}
	}
	s.unclaimed, s.awaited = until, awaited
	return nil
}

// freeClaims takes the destinations from processes that are gone. Else each would wait for the lease of its claim: once
// here, before it is commanded again, and once more by who takes it.
func (s *supervisor) freeClaims(ctx context.Context) error {
	if s.stopping || s.c.Own || s.c.Peers == nil {
		return nil
	}
	for _, d := range s.m.Destinations {
		rec := s.records[d.ID]
		if rec.Ended() || rec.Token == "" || rec.Process == "" || rec.Process == s.c.Owner.Token {
			continue
		}
		gone, err := s.c.Peers.Gone(ctx, rec.Process)
		if err == nil && gone {
			err = s.c.Records.Free(ctx, s.m.Run, d.ID, s.run.fixed.Opened(), rec.Token)
		}
		switch {
		case errors.Is(err, pipeline.ErrFenced), errors.Is(err, pipeline.ErrForeign), errors.Is(err, checkpoint.ErrLater):
			return err
		case err != nil && !s.c.StoreFails() && !errors.Is(err, context.Canceled):
			s.c.Log.Debug("a destination could not be taken from a process that is gone; trying again", "destination", d.ID, "error", err)
		}
	}
	return nil
}

// keepAlive is the sign of life in the run's record, with what a look at the run shows.
func (s *supervisor) keepAlive(r *checkpoint.RunRecord) {
	r.Live(s.unclaimed, s.awaited, s.unserved, s.lacksRoom, s.stopping)
}
