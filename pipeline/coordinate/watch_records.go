package coordinate

import (
	"context"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// progress is when a destination's position last changed.
type progress struct {
	seq uint64
	at  time.Time
}

// recordChanged asks the connections once every destination has claimed its record: before that nobody would
// hold the row log for it.
func (s *supervisor) recordChanged(ctx context.Context, u checkpoint.RecordUpdate) error {
	i := slices.IndexFunc(s.m.Destinations, func(d pipeline.ManifestDestination) bool { return pipeline.Token(d.ID) == u.Destination })
	if i < 0 {
		return nil
	}
	if u.Err != nil {
		return u.Err
	}
	if u.Record.Opened.After(s.run.fixed.Opened()) {
		return s.lost()
	}
	id := s.m.Destinations[i].ID
	// Of one in partitions the record that closes it tells, which ends last, and as the worst of them.
	if d := &s.m.Destinations[i]; s.records[id].State != u.Record.State && !d.Shared() {
		state, id := u.Record.State, d.Whole()
		switch state {
		case pipeline.RecordDetached:
			s.c.event(s.run.stamp(pipeline.Event{Kind: pipeline.EventDetached, Destination: id, Error: u.Record.Error}))
		case pipeline.RecordOwing:
			s.c.event(s.run.stamp(pipeline.Event{Kind: pipeline.EventOwing, Destination: id, Error: u.Record.Error}))
		}
	}
	was := s.records[id]
	s.records[id] = u.Record
	s.signed(id)
	if err := s.givenBack(id, was, u.Record); err != nil {
		return err
	}
	s.stale = true
	if p := s.moved[id]; p.at.IsZero() || p.seq != u.Record.Seq {
		s.moved[id] = progress{u.Record.Seq, time.Now()}
	}
	if !s.asked && !s.stopping && s.allClaimed() {
		s.asked = true
		if err := s.ask(); err != nil {
			return err
		}
	}
	return nil
}

// catchUp takes in what the watches have told by now. Over a slow network the store answers once while many records
// change: who asked it between any two would know less and less, and take claims for lapsed that are renewed.
func (s *supervisor) catchUp(ctx context.Context, records <-chan checkpoint.RecordUpdate, conns <-chan pipeline.KVEntry) error {
	for {
		select {
		case u, ok := <-records:
			if !ok {
				return pipeline.WatchEnded(ctx, "commit records")
			}
			if err := s.recordChanged(ctx, u); err != nil {
				return err
			}
		case e, ok := <-conns:
			if !ok {
				return pipeline.WatchEnded(ctx, "connections")
			}
			if err := s.connChanged(ctx, e); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (s *supervisor) allClaimed() bool {
	for _, d := range s.m.Destinations {
		if rec, ok := s.records[d.ID]; !ok || rec.State == pipeline.RecordOpen && (rec.Token == "" || rec.Log.Stream == "") {
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
