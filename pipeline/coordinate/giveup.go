package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// connChanged tells the destinations of a connection that its worker gave up, and lets the next one on its server
// have its turn.
func (s *supervisor) connChanged(ctx context.Context, e pipeline.KVEntry) error {
	id := s.connection(e.Key)
	if id == "" {
		return nil
	}
	doc, err := checkpoint.ReadConnRecord(s.c.Stores.Runs, e)
	if err != nil {
		return s.concerns(id, err)
	}
	rec := doc.Value()
	if rec.Opened.After(s.run.fixed.Opened()) {
		return s.lost()
	}
	_, had := s.running[id]
	delete(s.running, id)
	if rec.State == checkpoint.ConnPending && len(rec.Refused) > 0 && (s.queue.out[id] || s.refusals[id] != nil) {
		return s.refused(ctx, id, doc, time.Now())
	}
	delete(s.refusals, id)
	again := false
	switch rec.State {
	case checkpoint.ConnRunning:
		s.running[id] = doc
	case checkpoint.ConnPending:
		if again = had && s.queue.out[id]; again { // its worker has given it back
			s.queue.again(id, rec.Suspicion())
		}
	case checkpoint.ConnGivenUp:
		s.giveUp(ctx, id, doc, rec.Error)
	}
	switch rec.State {
	case checkpoint.ConnDone, checkpoint.ConnGivenUp, checkpoint.ConnFailed:
		s.queue.ended(id)
	default:
		if !again {
			return nil
		}
	}
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
func (s *supervisor) giveUp(ctx context.Context, connection string, doc *checkpoint.Document[checkpoint.ConnRecord], reason string) {
	if s.given[connection] {
		return
	}
	s.given[connection] = true
	s.failing.Add(1)
	go func() {
		defer s.failing.Done()
		err := s.publishFailure(ctx, connection, doc, reason)
		// On a conflict, and when fenced, somebody has begun to ask it again.
		if err != nil && !errors.Is(err, pipeline.ErrConflict) && !errors.Is(err, pipeline.ErrFenced) {
			if ctx.Err() == nil {
				s.fail(fmt.Errorf("give up connection %s: %w", connection, err))
			}
		}
	}()
}

// publishFailure goes on from the record as it was seen: a successor that asks the connection again meanwhile changes
// it, and is not disturbed.
func (s *supervisor) publishFailure(ctx context.Context, connection string, doc *checkpoint.Document[checkpoint.ConnRecord], reason string) error {
	next := doc.Value()
	next.GiveUp(s.c.Owner.Token, reason)
	if err := doc.Write(ctx, next); err != nil {
		return err
	}
	why := pipeline.Failure{Error: reason, Attempts: max(next.Attempts, len(next.Deaths)), Millis: next.Millis}
	out := checkpoint.NewPublisher(s.run.log, s.c.Stores.Runs, s.m.Run, connection, next)
	err := out.Look(ctx)
	if err == nil {
		err = out.Append(ctx, &pipeline.Frame{Kind: pipeline.FrameFailed, Body: pipeline.JSONBody(why)})
	}
	switch {
	case errors.Is(err, checkpoint.ErrDelivered): // by a worker that had been taken for dead: it has not failed
		next.Found()
		return doc.Write(ctx, next)
	case err != nil:
		return err
	}
	next.Fail()
	if err := doc.Write(ctx, next); err != nil {
		return err
	}
	s.c.event(s.run.stamp(pipeline.Event{Kind: pipeline.EventFailed, Connection: connection, Attempt: next.Attempts, Error: reason, Millis: next.Millis}))
	return nil
}

// fail ends the run in this process.
func (s *supervisor) fail(err error) {
	select {
	case s.fatal <- err:
	default:
	}
}
