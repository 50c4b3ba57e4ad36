package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// connChanged tells the destinations of a connection that its worker gave up, and lets the next one on its server
// have its turn.
func (s *supervisor) connChanged(ctx context.Context, e KVEntry) error {
	id := s.connection(e.Key)
	if id == "" {
		return nil
	}
	if e.Deleted {
		return s.concerns(id, deleted(e.Key))
	}
	cell := &Cell[ConnRecord]{kv: s.run.c.Stores.Runs, key: e.Key}
	if err := cell.adopt(e); err != nil {
		return s.concerns(id, err)
	}
	rec := cell.Value()
	if rec.Opened.after(s.run.fixed.opened()) {
		return s.lost()
	}
	delete(s.running, id)
	switch rec.State {
	case ConnRunning:
		s.running[id] = cell
	case ConnGivenUp:
		s.giveUp(ctx, id, cell, rec.Error)
	}
	if rec.State != ConnDone && rec.State != ConnGivenUp && rec.State != ConnFailed {
		return nil
	}
	s.queue.ended(id)
	if !s.asked || s.stopping {
		return nil
	}
	return s.ask()
}

// concerns is the damage to a connection's record, unless this run does not ask it: then nobody needs that.
func (s *supervisor) concerns(id string, damage error) error {
	if slices.Contains(s.run.wanted, id) {
		return damage
	}
	return nil
}

// giveUp publishes a connection's failed frame, under an attempt number of its own: that fences a worker that still
// publishes. The row log may be full, so nobody waits for it here.
func (s *supervisor) giveUp(ctx context.Context, connection string, cell *Cell[ConnRecord], reason string) {
	if s.given[connection] {
		return
	}
	s.given[connection] = true
	s.failing.Add(1)
	go func() {
		defer s.failing.Done()
		err := s.publishFailure(ctx, connection, cell, reason)
		// On a conflict, and when fenced, somebody has begun to ask it again.
		if err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrFenced) {
			s.fail(ctx, fmt.Errorf("give up connection %s: %w", connection, err))
		}
	}()
}

// publishFailure goes on from the record as it was seen: a successor that asks the connection again meanwhile changes
// it, and is not disturbed.
func (s *supervisor) publishFailure(ctx context.Context, connection string, cell *Cell[ConnRecord], reason string) error {
	next := cell.Value()
	next.giveUp(s.run.c.Owner.Token, reason)
	if err := cell.Write(ctx, next); err != nil {
		return err
	}
	why := Failure{Error: reason, Attempts: max(next.Attempts, len(next.Deaths)), Millis: next.Millis}
	out := newPublisher(s.run.log, s.run.c.Stores.Runs, s.run.m.Run, connection, next)
	err := out.look(ctx)
	if err == nil {
		err = out.append(ctx, &Frame{Kind: FrameFailed, Body: jsonBody(why)})
	}
	switch {
	case errors.Is(err, errDelivered): // by a worker that had been taken for dead: it has not failed
		next.found()
		return cell.Write(ctx, next)
	case err != nil:
		return err
	}
	next.fail()
	if err := cell.Write(ctx, next); err != nil {
		return err
	}
	s.run.c.event(s.run.stamp(Event{Kind: EventFailed, Connection: connection, Attempt: next.Attempts, Error: reason, Millis: next.Millis}))
	return nil
}
