package deliver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// stage hands what is composed to the sink, and records what it made. The order is what makes a crash harmless:
//
//  1. Stage: the bytes are on the disk, synced. A crash here leaves files that the next claim does not take over.
//  2. The outbox names the requests. A crash here leaves a line that the next claim drops: nothing of it was sent.
//  3. The record names the outbox. From here on the requests are sent as they are, and never made again.
func (s *sender) stage(ctx context.Context, final *pipeline.Report) (err error) {
	ctx, end := s.v.span(ctx, pipeline.SpanCommit)
	settled := map[int]pipeline.Settlement{}
	defer func() { end(err, s.v.amount(settled)...) }()
	var parts []pipeline.Part
	order := slices.Sorted(maps.Keys(s.parts))
	for _, i := range order {
		parts = append(parts, s.parts[i].part)
	}
	staged, err := s.v.sink.Stage(ctx, parts, s.round, final)
	if err != nil {
		return fmt.Errorf("stage for %s: %w", s.v.dest.Where(), err)
	}
	failpoint.Hit("after-stage")
	for i, notes := range staged.Notes {
		if c := s.parts[i]; c != nil {
			c.note(notes)
		}
	}
	line, err := s.number(&staged, final != nil)
	if err != nil {
		return err
	}
	if s.traits.Requests && (final != nil || len(staged.Allocated) > 0) {
		if err := s.v.outbox.write(outboxLine{Stage: line}); err != nil {
			return err
		}
	}
	failpoint.Hit("before-cas")
	taken := order
	if s.traits.SettlesOnRelease {
		taken = staged.Allocated
	}
	sealed := map[int]pipeline.Seal{}
	for _, i := range taken {
		c := s.parts[i]
		if c == nil {
			return pipeline.Permanent(fmt.Errorf("the sink of %s has staged connection %d, which it was not given", s.v.dest.ID, i))
		}
		sealed[i] = c.seal
		if !s.traits.SettlesOnRelease || s.traits.Requests && !line.asks(i) {
			settled[i] = c.seal.Settlement
		}
	}
	err = s.commit(ctx, func(r *checkpoint.CommitRecord) { r.Stage(staged.State, sealed, settled) })
	if err != nil {
		return err
	}
	failpoint.Hit("after-cas")
	s.behind, s.gathered = true, time.Now()
	for _, i := range taken {
		if s.traits.SettlesOnRelease && !s.traits.Requests {
			s.shown[i] = true
		} else {
			s.dropRows(s.parts[i].id) // its bytes are in what is recorded
		}
		delete(s.parts, i)
	}
	s.tell(settled)
	if len(settled) > 0 {
		s.v.keepReport()
	}
	return nil
}

// number gives the requests of a staging their numbers and keys.
func (s *sender) number(staged *pipeline.Staged, final bool) (*staging, error) {
	line := &staging{Round: s.round, Final: final, Requests: staged.Requests, Allocated: staged.Allocated, Keep: staged.Keep}
	if final && s.v.dest.Closes() { // what this closes, so that nothing closes it again
		line.Allocated = slices.Sorted(maps.Keys(s.v.delivered()))
	}
	for i := range line.Requests {
		r := &line.Requests[i]
		if !soundRequest(r) {
			return nil, pipeline.Permanent(fmt.Errorf("the sink of %s has described a request badly: %+v", s.v.dest.ID, *r))
		}
		r.Number, r.Round = len(s.v.outbox.requests)+i+1, s.round
		r.Key = requestKey(s.v.d.StoreID, s.v.m.Birth, s.v.dest.ID, r)
	}
	return line, nil
}

// asks reports whether a connection's rows wait for a request of this staging.
func (l *staging) asks(connection int) bool {
	return slices.ContainsFunc(l.Requests, func(r pipeline.WireRequest) bool {
		return !r.Closing && (r.Connection == pipeline.OfAll || r.Connection == connection)
	})
}
