package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Cancellation is the wish that a run stops, under a key of its own: anybody may write it, whoever owns the run reads
// it at each renewal, and so does whoever takes the run over. It stays until the run is forgotten: the run is
// cancelled as long as nobody asks for it anew, however many processes have it in turn. A trigger whose run has not
// begun is cancelled under the id that its run would have.
type Cancellation struct {
	Through int       `json:"through"` // the last incarnation that is to stop, see RunRecord.Resumes
	At      time.Time `json:"at"`
	By      Owner     `json:"by"` // the process that wrote it, for people
}

// cancelPatience bounds the write of a cancellation that a process obeys at once, whether or not the store takes it.
const cancelPatience = 3 * time.Second

// errCancelled ends a run that is to stop.
func errCancelled(run string) error {
	return fmt.Errorf("run %s was %w; a resume goes on with it", run, ErrCancelled)
}

// Cancel writes down that the run of this id is to stop, or the trigger of this id that waits for its turn. Who has it
// obeys, and so does whoever takes it over; when nil is returned that is durable. The answer's Error says that there is
// nothing to stop.
func (n *Coordinator) Cancel(ctx context.Context, id string) (Answer, error) {
	run, err := LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(id))
	if errors.Is(err, ErrNoKey) { // a trigger, which may have had another run resumed
		run, _, err = n.view().Became(ctx, id)
	}
	switch {
	case err != nil:
		return Answer{}, err
	case run != nil:
		rec := run.Value()
		a := Answer{Run: RunOf(run), Job: rec.Job, State: string(rec.State)}
		// A run that does not go on by itself has nothing to stop.
		if rec.State != RunRunning && (rec.State != RunInterrupted || rec.Stopped != "" || rec.Trigger == 0) {
			a.Error = "the run is not running, it is " + a.State + "; fanmill runs lists runs"
			return a, nil
		}
		a.State = AnswerCancelling
		return a, n.recordCancel(ctx, a.Run, rec.Resumes)
	}
	waiting, err := n.view().Waiting(ctx, "")
	if err != nil {
		return Answer{}, err
	}
	if i := slices.IndexFunc(waiting, func(w Waiting) bool { return w.Run == id }); i >= 0 {
		return Answer{Run: id, Job: waiting[i].Job, State: AnswerCancelling}, n.recordCancel(ctx, id, 0)
	}
	return Answer{Run: id, Error: "there is no run of this id; fanmill runs lists them"}, nil
}

// recordCancel writes that a run is to stop, up to this incarnation; it is durable when nil is returned.
func (n *Coordinator) recordCancel(ctx context.Context, run string, through int) error {
	c := Cancellation{Through: through, At: time.Now().UTC(), By: n.Owner}
	for {
		cell, err := LoadCell[Cancellation](ctx, n.Stores.Runs, CancelKey(run))
		switch {
		case errors.Is(err, ErrNoKey):
			_, err = CreateCell(ctx, n.Stores.Runs, CancelKey(run), c)
		case errors.Is(err, ErrForeign):
			err = cell.Overwrite(ctx, c)
		case err == nil && cell.Value().Through >= through:
			return nil
		case err == nil:
			err = cell.Change(ctx, anybody, func(was *Cancellation) {
				if was.Through < through {
					*was = c
				}
			})
		}
		if !errors.Is(err, ErrConflict) || ctx.Err() != nil { // another process has cancelled it at the same moment
			return err
		}
	}
}

// cancellation is the wish that a run stops; nil if there is none, or none that can be read.
func (n *Coordinator) cancellation(ctx context.Context, run string) (*Cancellation, error) {
	cell, err := LoadCell[Cancellation](ctx, n.Stores.Runs, CancelKey(run))
	switch {
	case errors.Is(err, ErrNoKey):
		return nil, nil
	case errors.Is(err, ErrForeign):
		n.Log.Debug("a cancellation cannot be read", "error", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	c := cell.Value()
	return &c, nil
}

// isCancelled reports whether a run was to stop since somebody last asked for it.
func (n *Coordinator) isCancelled(ctx context.Context, run string, rec RunRecord) (bool, error) {
	c, err := n.cancellation(ctx, run)
	return c != nil && c.Through >= rec.Asked, err
}

// heedCancel stops an unfinished run that was cancelled and that nobody stopped, as its process ended before it could,
// and reports whether it has. A run that a living process has is left to that.
func (n *Coordinator) heedCancel(ctx context.Context, cell *Cell[RunRecord]) (stopped bool, _ error) {
	rec := cell.Value()
	if rec.State != RunRunning && rec.State != RunInterrupted || rec.Stopped != "" {
		return false, nil
	}
	if cancelled, err := n.isCancelled(ctx, RunOf(cell), rec); err != nil || !cancelled {
		return false, err
	}
	if err := n.takeOver(ctx, cell); err != nil {
		return false, err
	}
	err := cell.Change(ctx, owned(cell), func(r *RunRecord) { r.interrupt(errCancelled(RunOf(cell)), StoppedCancelled) })
	if errors.Is(err, ErrFenced) {
		return false, n.lostTo(ctx, cell)
	}
	if err == nil {
		n.Log.Info(errCancelled(RunOf(cell)).Error())
	}
	return err == nil, err
}

// heed ends the asking of a run that is to stop. A store that does not answer is asked again at the next renewal.
func (s *supervisor) heed(ctx context.Context) {
	rec := s.run.cell.Value()
	cancelled, err := s.run.c.isCancelled(ctx, s.run.m.Run, rec)
	// The trigger that had it resumed may have been cancelled before anybody knew of which run it was.
	if err == nil && !cancelled && s.run.asker != "" && s.run.asker != s.run.m.Run {
		var c *Cancellation
		c, err = s.run.c.cancellation(ctx, s.run.asker)
		cancelled = c != nil
	}
	switch {
	case cancelled:
		s.stop(errCancelled(s.run.m.Run))
	case err != nil && !s.run.c.storeFails() && !errors.Is(err, context.Canceled):
		s.run.c.Log.Debug("whether the run was cancelled could not be looked up", "error", err)
	}
}
