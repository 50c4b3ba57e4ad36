package trigger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/spec"
)

// The trigger of a run whose coordinator is gone comes again, but only when the server takes it for lost, and if
// nobody has removed it. Whoever serves sees the process gone before that.

// adoptOrphans goes on with runs whose coordinators are gone, until ctx ends. They are looked for when a process has
// gone.
func (s *server) adoptOrphans(ctx context.Context) {
	peers := s.c.Peers
	if peers == nil {
		return
	}
	var adopted sync.WaitGroup
	defer adopted.Wait()
	tick := time.NewTicker(max(time.Duration(s.c.Owner.LeaseMS)*time.Millisecond/2, time.Millisecond))
	defer tick.Stop()
	looked := 0 // at the runs of so many processes that are gone
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := peers.Sweep(ctx); err != nil {
			s.c.Log.Debug("processes that are gone could not be declared so; trying again", "error", err)
		}
		departed := peers.Departed()
		if departed == looked {
			continue
		}
		all, err := s.c.Orphans(ctx)
		if err != nil {
			s.c.Log.Debug("runs without a coordinator could not be looked for; trying again", "error", err)
			continue
		}
		left := false
		for _, doc := range all {
			goOn, room := s.roomFor(doc)
			if goOn != nil {
				adopted.Go(func() { goOn(ctx) })
			}
			left = left || !room
		}
		if !left {
			looked = departed
		}
	}
}

// roomFor takes the turn and the place of a run that is to be adopted. room is false where there is none now. goOn is
// nil also where a trigger of the job has its turn: that finds the run.
func (s *server) roomFor(doc *checkpoint.Document[checkpoint.RunRecord]) (goOn func(context.Context), room bool) {
	rec := doc.Value()
	turn, first := s.queues.line(rec.Job, rec.Trigger)
	if !first {
		s.queues.leave(rec.Job, turn)
		return nil, true
	}
	if !s.slots.TryAcquire(1) {
		s.queues.leave(rec.Job, turn)
		return nil, false
	}
	return func(ctx context.Context) {
		defer s.queues.leave(rec.Job, turn)
		defer s.slots.Release(1)
		s.adopt(ctx, checkpoint.RunOf(doc), rec)
	}, true
}

// adopt goes on with a run. Its trigger, should it come again, finds how that ended.
func (s *server) adopt(ctx context.Context, run string, rec checkpoint.RunRecord) {
	def, err := s.Find(pipeline.Token(rec.Job), nil)
	if err != nil { // as goesOn
		if stored, storedErr := s.c.DefinitionOf(ctx, rec.Job, run); stored != nil {
			def, err = stored, nil
		} else if storedErr != nil {
			err = storedErr
		}
	}
	if err == nil {
		own, held := s.pending.admit(ctx, "", run, rec.Job, rec.Trigger)
		defer s.pending.finish(held)
		_, err = s.c.Carry(own, def, spec.Request{Run: run, Seq: rec.Trigger}, func(run string) { s.pending.began(held, run) })
	}
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, pipeline.ErrHeld), errors.Is(err, pipeline.ErrFenced):
		s.c.Log.Debug("a run whose process is gone goes on elsewhere", "run", run, "error", err)
	default:
		s.c.Log.Warn(fmt.Sprintf("run %s, whose process is gone, did not go on here: %v", run, coordinate.Reason(ctx, err)))
	}
}
