package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// A run asks nothing before all of its destinations are claimed, and a process writes so many at a time. So it reserves
// room for all of them at once, before the first sink command, and waits in line as long as there is too little. The
// line is a document of the store, which any run that waits changes: nobody manages it.

// reserve finds out whether the run has room, or asks for it. A store that does not answer is asked again.
func (s *supervisor) reserve(ctx context.Context) error {
	if s.c.Own || s.c.Peers == nil {
		s.roomed = true
	}
	if s.roomed || s.stopping {
		return nil
	}
	doc, err := s.changeRoom(ctx, func(r *checkpoint.RoomRecord) bool {
		asked := r.Ask(s.m.Run, s.run.fixed.Resumes, s.groups(), time.Now())
		if granted, _ := r.Has(s.m.Run); granted { // before the coordinator changed
			return false
		}
		dropped := s.dropOver(ctx, r)
		return r.Grant(s.c.Peers.Live()) || dropped || asked
	})
	switch {
	case pipeline.IsPermanent(err):
		return err
	case err != nil:
		s.c.Log.Debug("room for the run's destinations could not be reserved; trying again", "error", err)
		return nil
	}
	granted, before := doc.Has(s.m.Run)
	if granted {
		s.roomed, s.lacksRoom = true, ""
		s.missed() // nobody could claim them before
		return nil
	}
	line := fmt.Sprintf("room to write %s, after %s", pipeline.Counted(len(s.m.Destinations), "destination"), strings.Join(before[:min(len(before), 3)], ", "))
	if more := len(before) - 3; more > 0 {
		line += fmt.Sprintf(" and %d more", more)
	}
	if s.lacksRoom != line {
		s.lacksRoom = line
		s.c.Log.Info(fmt.Sprintf("run %s waits for %s; a further process with the role sink begins it sooner", s.m.Run, line))
	}
	return nil
}

// freeRoom gives back what the run has reserved. If that fails, whoever waits finds that the run is over.
func (s *supervisor) freeRoom(ctx context.Context) {
	if s.c.Own || s.c.Peers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tickPatience)
	defer cancel()
	if _, err := s.changeRoom(ctx, func(r *checkpoint.RoomRecord) bool { return r.Drop(s.m.Run, s.run.fixed.Resumes) }); err != nil {
		s.c.Log.Debug("the room of the run was not given back; who waits for it finds it free", "error", err)
	}
}

// changeRoom applies f, which reports whether it has changed anything, and returns what stands there then.
func (s *supervisor) changeRoom(ctx context.Context, f func(*checkpoint.RoomRecord) bool) (checkpoint.RoomRecord, error) {
	doc, err := checkpoint.LoadDocument[checkpoint.RoomRecord](ctx, s.c.Stores.Runs, checkpoint.RoomKey())
	if errors.Is(err, pipeline.ErrForeign) { // another program has damaged it: who has room says so no more
		next := checkpoint.RoomRecord{}
		f(&next)
		return next, doc.Overwrite(ctx, next)
	}
	if err != nil && !errors.Is(err, pipeline.ErrNoKey) {
		return checkpoint.RoomRecord{}, err
	}
	for {
		next := doc.Value()
		if !f(&next) {
			return next, nil
		}
		if again, err := doc.Again(doc.Write(ctx, next), checkpoint.Anybody); !again {
			return next, err
		}
	}
}

// groups are the run's destinations that are not at their end, by type and place.
func (s *supervisor) groups() (all []checkpoint.RoomGroup) {
	for _, d := range s.m.Destinations {
		if rec := s.records[d.ID]; rec.Ended() {
			continue
		}
		kind, place := s.kindAndPlace(d.ID)
		i := slices.IndexFunc(all, func(g checkpoint.RoomGroup) bool { return g.Kind == kind && g.Place == place })
		if i < 0 {
			i, all = len(all), append(all, checkpoint.RoomGroup{Kind: kind, Place: place})
		}
		all[i].Destinations++
	}
	return all
}

// dropOver drops the runs of the line that do not go on.
func (s *supervisor) dropOver(ctx context.Context, r *checkpoint.RoomRecord) (changed bool) {
	for _, o := range slices.Clone(r.Runs) {
		if o.Run == s.m.Run {
			continue
		}
		doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, s.c.Stores.Runs, checkpoint.RunKey(o.Run))
		if gone := errors.Is(err, pipeline.ErrNoKey) || errors.Is(err, pipeline.ErrForeign) || err == nil && s.over(ctx, doc, o.Incarnation); gone {
			changed = r.Drop(o.Run, o.Incarnation) || changed
		}
	}
	return changed
}

// over reports whether an incarnation of a run does not go on: it has ended, or its coordinator is gone, and nobody has
// anything of it in hand.
func (s *supervisor) over(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord], incarnation int) bool {
	rec := doc.Value()
	if !rec.WorkedOn(incarnation) {
		return true
	}
	if gone, err := s.c.coordinatorGone(ctx, doc); err != nil || !gone || rec.HandedOver {
		return false
	}
	worked, err := s.c.workedOn(ctx, checkpoint.RunOf(doc))
	return err == nil && !worked
}
