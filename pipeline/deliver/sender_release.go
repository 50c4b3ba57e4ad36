package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// release sends what is recorded, or makes it public, until nothing waits.
func (s *sender) release(ctx context.Context, insist bool) error {
	for {
		next := s.v.outbox.pending(s.parallel)
		next, err := s.forgotten(ctx, next)
		if err != nil {
			return err
		}
		if len(next) == 0 && !s.behind && !insist {
			return nil
		}
		// Whoever froze before this finds here that another claim has the record, or that its run was given up: what it
		// would send then is nobody's to send.
		if err := s.v.claim.Renew(ctx, s.v.leaseThird()); err != nil {
			return err
		}
		if err := s.first(next); err != nil {
			return err
		}
		report := s.v.report()
		if insist {
			report = s.v.finalReport()
		}
		released, err := s.send(ctx, next, report, insist)
		if err := s.reached(next, released.Unsent); err != nil {
			return err
		}
		if aerr := s.apply(ctx, &released); aerr != nil {
			return aerr
		}
		if err != nil {
			return fmt.Errorf("deliver to %s: %w", s.v.dest.Where(), err)
		}
		s.behind = false
		if len(next) == 0 {
			return nil
		}
	}
}

// send has the sink send requests, or make public what it has.
func (s *sender) send(ctx context.Context, next []pipeline.WireRequest, report *pipeline.Report, insist bool) (released pipeline.Released, err error) {
	if len(next) > 0 {
		var end func(error, ...slog.Attr)
		ctx, end = s.v.span(ctx, pipeline.SpanSend)
		defer func() { end(err, slog.Int(pipeline.TraceRequests, len(next))) }()
	}
	return s.v.sink.Release(ctx, next, report, insist)
}

// first notes the requests that are sent for the first time, before they are.
func (s *sender) first(next []pipeline.WireRequest) error {
	var lines []outboxLine
	for _, r := range next {
		if _, before := s.v.outbox.tries[r.Number]; before && !s.tried[r.Number] {
			s.maybe[r.Number] = true
		}
		s.tried[r.Number] = true
		if _, before := s.v.outbox.tries[r.Number]; !before {
			lines = append(lines, outboxLine{Try: &firstTry{r.Number, time.Now().UTC()}})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return s.v.outbox.write(lines...)
}

// reached notes which of the requests that were sent may have reached the receiver. Of one that never did, no try
// counts: the receiver has no key to forget.
func (s *sender) reached(sent []pipeline.WireRequest, unsent []int) error {
	var lines []outboxLine
	for _, r := range sent {
		switch {
		case !slices.Contains(unsent, r.Number):
			s.maybe[r.Number] = true
		case !s.maybe[r.Number]:
			lines = append(lines, outboxLine{Unsent: &r.Number})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return s.v.outbox.write(lines...)
}

// forgotten makes letters of the requests that were sent for the first time, without an answer, longer ago than the
// receiver remembers keys, by an earlier claim or by this one: to send them again might have their rows twice. Of a
// request that surely never reached it, no try is noted.
func (s *sender) forgotten(ctx context.Context, next []pipeline.WireRequest) (kept []pipeline.WireRequest, err error) {
	var letters []pipeline.Letter
	for _, r := range next {
		at, before := s.v.outbox.tries[r.Number]
		if before && s.keyTTL > 0 && time.Since(at) > s.keyTTL {
			letters = append(letters, pipeline.Letter{Number: r.Number, At: time.Now().UTC(), Unknown: true,
				Error: fmt.Sprintf("it was sent on %s, and no answer came; after keyTTL, %s, the receiver may have forgotten its key, so it is not sent again by itself", at.Format(time.RFC3339), s.keyTTL)})
			continue
		}
		kept = append(kept, r)
	}
	if len(letters) == 0 {
		return kept, nil
	}
	return kept, s.apply(ctx, &pipeline.Released{Letters: letters})
}

// apply records what a release achieved.
func (s *sender) apply(ctx context.Context, released *pipeline.Released) error {
	var lines []outboxLine
	for _, r := range released.Receipts {
		if r.Number < 1 || r.Number > len(s.v.outbox.requests) {
			return pipeline.Permanent(fmt.Errorf("the sink of %s has a receipt of request %d of %d", s.v.dest.ID, r.Number, len(s.v.outbox.requests)))
		}
		lines = append(lines, outboxLine{Receipt: &r})
	}
	for _, l := range released.Letters {
		if l.Number < 1 || l.Number > len(s.v.outbox.requests) {
			return pipeline.Permanent(fmt.Errorf("the sink of %s has refused request %d of %d", s.v.dest.ID, l.Number, len(s.v.outbox.requests)))
		}
		if err := errors.Join(s.v.bury(&l), s.blame(ctx, &l)); err != nil {
			return err
		}
		lines = append(lines, outboxLine{Letter: &l})
	}
	if err := s.refuse(ctx, released.Rejected); err != nil {
		return err
	}
	if len(lines)+len(released.Settled) == 0 && released.State == nil {
		return nil
	}
	if len(lines) > 0 {
		if err := s.v.outbox.write(lines...); err != nil {
			return err
		}
	}
	for _, r := range released.Receipts {
		if s.v.outbox.replayed[r.Number] { // it is no letter any more, whatever the record comes to
			if err := s.v.forget(r.Number); err != nil {
				return err
			}
		}
	}
	failpoint.Hit("after-answer")
	return s.settle(ctx, released)
}

// answered settles what the outbox says was taken: the process before this one may have ended between the answer and
// the record, and nothing may be left to be sent.
func (s *sender) answered(ctx context.Context) error {
	sealed := s.v.claim.Record().Sealed
	for i := range s.v.outbox.done {
		if _, ok := sealed[i]; ok {
			return s.settle(ctx, &pipeline.Released{})
		}
	}
	return nil
}

// settle records the connections of which the receiver has everything, and removes what nobody needs of them any more.
func (s *sender) settle(ctx context.Context, released *pipeline.Released) error {
	settled := map[int]pipeline.Settlement{}
	sealed := s.v.claim.Record().Sealed
	for i := range s.v.outbox.done {
		if seal, ok := sealed[i]; ok {
			settled[i] = seal.Settlement
		}
	}
	for i := range released.Settled {
		if seal, ok := sealed[i]; ok {
			settled[i] = seal.Settlement
		}
	}
	err := s.commit(ctx, func(r *checkpoint.CommitRecord) { r.Deliver(settled, released.State) })
	if err != nil {
		return err
	}
	for _, r := range released.Receipts {
		if name := s.v.outbox.requests[r.Number-1].File; s.v.outbox.open[name] == 0 {
			s.dropFile(name)
		}
	}
	for i := range settled {
		if s.shown[i] {
			s.dropRows(pipeline.PartID{Connection: i, Attempt: settled[i].Attempt})
			delete(s.shown, i)
		}
	}
	for _, l := range released.Letters {
		s.v.d.notify(s.v.m, pipeline.Event{Kind: pipeline.EventLetter, Destination: s.v.dest.ID, Connection: s.v.connectionOf(l.Number), Error: fmt.Sprintf("request %d: %s", l.Number, l.Error)})
	}
	s.tell(settled)
	if len(settled)+len(released.Letters) > 0 {
		s.v.keepReport()
	}
	return nil
}

// blame keeps why a connection is not delivered whose request was refused.
func (s *sender) blame(ctx context.Context, l *pipeline.Letter) error {
	id := s.v.connectionOf(l.Number)
	if id == "" {
		return nil
	}
	why := pipeline.ShortError(fmt.Errorf("request %d was refused: %s", l.Number, l.Error))
	s.v.setReason(id, why)
	return s.v.d.Records.SetError(ctx, s.v.m.Run, s.v.dest.ID, id, why)
}

// tell publishes that connections are delivered.
func (s *sender) tell(settled map[int]pipeline.Settlement) {
	for i, t := range settled {
		s.v.d.notify(s.v.m, pipeline.Event{Kind: pipeline.EventCommitted, Destination: s.v.dest.ID, Connection: s.v.m.Connections[i].ID, Attempt: t.Attempt, Rows: s.v.taken(t.Rows), Millis: t.Millis})
	}
}
