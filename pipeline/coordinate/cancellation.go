package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/view"
)

// Cancellation is the wish that a run stops, under a key of its own: anybody may write it, whoever owns the run reads
// it at each renewal, and so does whoever takes the run over. It stays until the run is forgotten: the run is
// cancelled as long as nobody asks for it anew, however many processes have it in turn. A trigger whose run has not
// begun is cancelled under the id that its run would have.
type Cancellation struct {
	Through int            `json:"through"` // the last incarnation that is to stop, see RunRecord.Resumes
	At      time.Time      `json:"at"`
	By      pipeline.Owner `json:"by"` // the process that wrote it, for people
}

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
		return a, n.recordCancel(ctx, a.Run, rec.Resumes)
	}
	waiting, err := n.View().Waiting(ctx, "")
	if err != nil {
		return pipeline.Answer{}, err
	}
	if i := slices.IndexFunc(waiting, func(w view.Waiting) bool { return w.Run == id }); i >= 0 {
		return pipeline.Answer{Run: id, Job: waiting[i].Job, State: pipeline.AnswerCancelling}, n.recordCancel(ctx, id, 0)
	}
	return pipeline.Answer{Run: id, Error: "there is no run of this id; fanmill runs lists them"}, nil
}

// recordCancel writes that a run is to stop, up to this incarnation; it is durable when nil is returned.
func (n *Coordinator) recordCancel(ctx context.Context, run string, through int) error {
	c := Cancellation{Through: through, At: time.Now().UTC(), By: n.Owner}
	for {
		doc, err := checkpoint.LoadDocument[Cancellation](ctx, n.Stores.Runs, checkpoint.CancelKey(run))
		switch {
		case errors.Is(err, pipeline.ErrNoKey):
			_, err = checkpoint.CreateDocument(ctx, n.Stores.Runs, checkpoint.CancelKey(run), c)
		case errors.Is(err, pipeline.ErrForeign):
			err = doc.Overwrite(ctx, c)
		case err == nil && doc.Value().Through >= through:
			return nil
		case err == nil:
			err = doc.Change(ctx, checkpoint.Anybody, func(was *Cancellation) {
				if was.Through < through {
					*was = c
				}
			})
		}
		if !errors.Is(err, pipeline.ErrConflict) || ctx.Err() != nil { // another process has cancelled it at the same moment
			return err
		}
	}
}

// Cancellation is the wish that a run stops; nil if there is none, or none that can be read.
func (n *Coordinator) Cancellation(ctx context.Context, run string) (*Cancellation, error) {
	doc, err := checkpoint.LoadDocument[Cancellation](ctx, n.Stores.Runs, checkpoint.CancelKey(run))
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		return nil, nil
	case errors.Is(err, pipeline.ErrForeign):
		n.Log.Debug("a cancellation cannot be read", "error", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	c := doc.Value()
	return &c, nil
}

// isCancelled reports whether a run was to stop since somebody last asked for it.
func (n *Coordinator) isCancelled(ctx context.Context, run string, rec checkpoint.RunRecord) (bool, error) {
	c, err := n.Cancellation(ctx, run)
	return c != nil && c.Through >= rec.Asked, err
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
	cancelled, err := s.run.c.isCancelled(ctx, s.run.m.Run, rec)
	// The trigger that had it resumed may have been cancelled before anybody knew of which run it was.
	if err == nil && !cancelled && s.run.asker != "" && s.run.asker != s.run.m.Run {
		var c *Cancellation
		c, err = s.run.c.Cancellation(ctx, s.run.asker)
		cancelled = c != nil
	}
	switch {
	case cancelled:
		s.stop(StopCancelled(s.run.m.Run))
	case err != nil && !s.run.c.StoreFails() && !errors.Is(err, context.Canceled):
		s.run.c.Log.Debug("whether the run was cancelled could not be looked up", "error", err)
	}
}
