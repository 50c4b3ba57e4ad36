package coordinate

import (
	"context"
	"errors"
	"fmt"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// begin makes the run that a trigger asks for, or takes over the one it resumes. Everything the run depends on is in
// the store when it returns. A trigger that was delivered before finds the run that it began or resumed: it goes on
// with that, or, if it has ended, with nothing, and its outcome is returned.
func (n *Coordinator) begin(ctx context.Context, def *spec.Definition, t spec.Request) (*run, *Outcome, error) {
	last, pointer, err := n.LastRun(ctx, def.Job.ID)
	if err != nil {
		return nil, nil, err
	}
	own, err := n.RunOfTrigger(ctx, def.Job.ID, t.Run, last)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(OwnInline(def, last), OwnInline(def, own)); err != nil {
		return nil, nil, err
	}
	if own != nil {
		return n.again(ctx, def, t, own, last, pointer)
	}
	if err := n.clearID(ctx, t.Run); err != nil {
		return nil, nil, err
	}
	newest := last
	if last != nil && !last.Value().State.Resumable() {
		last = nil
	}
	if last != nil {
		if err := n.takeOver(ctx, last); err != nil {
			return nil, nil, err
		}
		defer n.letGo(ctx, last)
		if !t.Resume {
			if t.Resume, err = n.overUnfinished(ctx, def.Job, t, last); err != nil {
				return nil, nil, err
			}
		}
	}
	var r *run
	switch {
	case t.Resume && last != nil && n.resumable(ctx, last):
		r, err = n.resume(ctx, def, t, last)
	case t.Resume && last != nil: // without its manifest it is given up, which is said
		r, err = n.fresh(ctx, def, t, last, newest, pointer)
	case t.Resume:
		n.Log.Info(fmt.Sprintf("job %s has no unfinished run; starting a new one", def.Job.ID))
		fallthrough
	default:
		r, err = n.fresh(ctx, def, t, last, newest, pointer)
	}
	return r, nil, err
}

// again answers a trigger whose run exists.
func (n *Coordinator) again(ctx context.Context, def *spec.Definition, t spec.Request, own, last *checkpoint.Document[checkpoint.RunRecord], pointer *checkpoint.Document[checkpoint.JobRun]) (*run, *Outcome, error) {
	t.Again = t.ID == ""
	if !t.Again { // what was stopped, or is partial, goes on, too
		if out, err := n.over(ctx, own); err != nil || out != nil {
			return nil, out, err
		}
	} else if _, err := n.HeedCancel(ctx, own); err != nil {
		return nil, nil, err
	} else if s := own.Value().State; s != pipeline.RunRunning && s != pipeline.RunInterrupted || own.Value().Stopped != "" {
		return nil, &Outcome{Run: checkpoint.RunOf(own), State: s, Started: own.Value().Started, Measures: own.Value().Measures}, nil
	}
	// The process ended between the run's record and the job's pointer to it.
	if last == nil || checkpoint.RunOf(last) != checkpoint.RunOf(own) {
		if last != nil && last.Value().State.Resumable() { // and another run went ahead
			if err := n.takeOver(ctx, last); err != nil {
				return nil, nil, err
			}
			defer n.letGo(ctx, last)
			if !t.StartOver {
				t := t
				t.ID = checkpoint.RunOf(own) // that run goes on, not this one
				if _, err := n.overUnfinished(ctx, def.Job, t, last); err != nil {
					return nil, nil, err
				}
			}
			if err := n.abandon(ctx, def.Job.ID, last, couldResume); err != nil {
				return nil, nil, err
			}
		}
		if err := n.noteEarlier(ctx, checkpoint.RunOf(own), last); err != nil {
			return nil, nil, err
		}
		if err := n.pointJob(ctx, def.Job.ID, checkpoint.RunOf(own), pointer); err != nil {
			return nil, nil, err
		}
	}
	orphaned, err := n.orphaned(ctx, own)
	if err != nil {
		return nil, nil, err
	}
	if orphaned && t.Again {
		asBegun, err := n.asBegun(ctx, def, own)
		if err != nil {
			return nil, nil, err
		}
		if r, err := n.adopt(ctx, asBegun, t, own); r != nil || err != nil {
			return r, nil, err
		}
	}
	if err := n.takeOver(ctx, own); err != nil {
		return nil, nil, err
	}
	defer n.letGo(ctx, own)
	if checkpoint.RunOf(own) == t.Run && !n.resumable(ctx, own) {
		r, err := n.anew(ctx, def, t, own, last)
		return r, nil, err
	}
	if t.Again {
		if def, err = n.asBegun(ctx, def, own); err != nil {
			return nil, nil, err
		}
	}
	r, err := n.resume(ctx, def, t, own)
	return r, nil, err
}
