package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/view"
)

// StopCancelled ends a run that is to stop.
func StopCancelled(run string) error {
	return fmt.Errorf("run %s was %w; a resume goes on with it", run, pipeline.ErrCancelled)
}

// Cancel writes down that the run of this id is to stop, or the trigger of this id that waits for its turn. Who has it
// obeys, and so does whoever takes it over; when nil is returned that is durable. The answer's Error says that there is
// nothing to stop.
func (n *Coordinator) Cancel(ctx context.Context, id string) (pipeline.Answer, error) {
	run, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(id))
	if errors.Is(err, pipeline.ErrNoKey) { // a trigger, which may have had another run resumed
		run, _, err = n.View().Became(ctx, id)
	}
	switch {
	case err != nil:
		return pipeline.Answer{}, err
	case run != nil:
		rec := run.Value()
		a := pipeline.Answer{Run: checkpoint.RunOf(run), Job: rec.Job, State: string(rec.State)}
		// A run that does not go on by itself has nothing to stop.
		if rec.State != pipeline.RunRunning && (rec.State != pipeline.RunInterrupted || rec.Stopped != "" || rec.Trigger == 0) {
			a.Error = "the run is not running, it is " + a.State + "; fanmill runs lists runs"
			return a, nil
		}
		a.State = pipeline.AnswerCancelling
		return a, checkpoint.CancelRun(ctx, n.Stores.Runs, a.Run, rec.Resumes, n.Owner)
	}
	waiting, err := n.View().Waiting(ctx, "")
	if err != nil {
		return pipeline.Answer{}, err
	}
	if i := slices.IndexFunc(waiting, func(w view.Waiting) bool { return w.Run == id }); i >= 0 {
		return pipeline.Answer{Run: id, Job: waiting[i].Job, State: pipeline.AnswerCancelling}, checkpoint.CancelRun(ctx, n.Stores.Runs, id, 0, n.Owner)
	}
	return pipeline.Answer{Run: id, Error: "there is no run of this id; fanmill runs lists them"}, nil
}

// Cancellation is the wish that a run stops; nil if there is none, or none that can be read.
func (n *Coordinator) Cancellation(ctx context.Context, run string) (*checkpoint.Cancellation, error) {
	c, err := checkpoint.LoadCancellation(ctx, n.Stores.Runs, run)
	if errors.Is(err, pipeline.ErrForeign) {
		n.Log.Debug("a cancellation cannot be read", "error", err)
		return nil, nil
	}
	return c, err
}

// isCancelled reports whether a run was to stop since somebody last asked for it.
func (n *Coordinator) isCancelled(ctx context.Context, run string, rec checkpoint.RunRecord) (bool, error) {
	c, err := n.Cancellation(ctx, run)
	return c.Stops(&rec), err
}

// HeedCancel stops an unfinished run that was cancelled and that nobody stopped, as its process ended before it could,
// and reports whether it has. A run that a living process has is left to that.
func (n *Coordinator) HeedCancel(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) (stopped bool, _ error) {
	rec := doc.Value()
	if rec.State != pipeline.RunRunning && rec.State != pipeline.RunInterrupted || rec.Stopped != "" {
		return false, nil
	}
	if cancelled, err := n.isCancelled(ctx, checkpoint.RunOf(doc), rec); err != nil || !cancelled {
		return false, err
	}
	if err := n.takeOver(ctx, doc); err != nil {
		return false, err
	}
	err := doc.Change(ctx, checkpoint.Owned(doc), func(r *checkpoint.RunRecord) {
		r.Interrupt(StopCancelled(checkpoint.RunOf(doc)), pipeline.StoppedCancelled, nil)
	})
	if errors.Is(err, pipeline.ErrFenced) {
		return false, n.lostTo(ctx, doc)
	}
	if err == nil {
		n.Log.Info(StopCancelled(checkpoint.RunOf(doc)).Error())
	}
	return err == nil, err
}

// heed ends the asking of a run that is to stop. A store that does not answer is asked again at the next renewal.
func (s *supervisor) heed(ctx context.Context) {
	rec := s.run.doc.Value()
	cancelled, err := s.c.isCancelled(ctx, s.m.Run, rec)
	// The trigger that had it resumed may have been cancelled before anybody knew of which run it was.
	if err == nil && !cancelled && s.run.asker != "" && s.run.asker != s.m.Run {
		var c *checkpoint.Cancellation
		c, err = s.c.Cancellation(ctx, s.run.asker)
		cancelled = c != nil
	}
	switch {
	case cancelled:
		s.stop(StopCancelled(s.m.Run))
	case err != nil && !s.c.StoreFails() && !errors.Is(err, context.Canceled):
		s.c.Log.Debug("whether the run was cancelled could not be looked up", "error", err)
	}
}
