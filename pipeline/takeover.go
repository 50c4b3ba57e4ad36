package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// refuseIfRunning answers at once when the job's newest run is alive, before anything of it is touched. A resume may be meant for a
// process that hangs: it waits for the lease instead.
func (n *Node) refuseIfRunning(ctx context.Context, job *Job, resume bool) error {
	last, _, err := n.lastRun(ctx, job.ID)
	if err != nil || last == nil || resume {
		return err
	}
	if rec := last.Value(); rec.State == RunRunning {
		if alive, known := n.Alive(rec.Owner); known && alive {
			return n.alreadyRunning(last)
		}
	}
	return nil
}

func (n *Node) alreadyRunning(cell *Cell[RunRecord]) error {
	rec := cell.Value()
	return Permanent(fmt.Errorf("job %s is already running: run %s, process %d on %s: %w", rec.Job, runOf(cell), rec.Owner.PID, rec.Owner.Host, ErrHeld))
}

// takeOver makes this process the run's owner by a compare-and-set of its record. An owner that may be alive is waited out: only
// if its record stands still for a whole lease, by our own clock, is it taken for dead. If it is merely frozen, its next write
// finds another token.
func (n *Node) takeOver(ctx context.Context, cell *Cell[RunRecord]) error {
	rec := cell.Value()
	if alive, known := n.Alive(rec.Owner); rec.State == RunRunning && (alive || !known) {
		lease := time.Duration(rec.Owner.LeaseMS) * time.Millisecond
		n.Log.Info(fmt.Sprintf("run %s belongs to process %d on %s; waiting %s for a sign of life", runOf(cell), rec.Owner.PID, rec.Owner.Host, lease))
		select {
		case <-time.After(lease):
		case <-ctx.Done():
			return ctx.Err()
		}
		revision := cell.Revision()
		if err := cell.Reload(ctx); err != nil {
			return err
		}
		if cell.Revision() != revision && cell.Value().State == RunRunning {
			return n.alreadyRunning(cell)
		}
		rec = cell.Value()
		if !rec.State.Resumable() {
			return Permanent(fmt.Errorf("run %s has ended meanwhile, it is %s; there is nothing to take over", runOf(cell), rec.State))
		}
	}
	rec.Owner = n.Owner
	err := cell.Write(ctx, rec)
	if errors.Is(err, ErrConflict) {
		return n.alreadyRunning(cell)
	}
	return err
}

// sweep tidies up after processes that are provably gone: their runs become interrupted and their commands are dropped, so that no
// worker begins what nobody coordinates. What a finished run left behind is removed.
func (n *Node) sweep(ctx context.Context) error {
	keys, err := n.Stores.Runs.Keys(ctx, "*")
	if err != nil {
		return fmt.Errorf("look for old runs: %w", err)
	}
	for _, key := range keys {
		cell, err := LoadCell[RunRecord](ctx, n.Stores.Runs, key)
		if errors.Is(err, ErrNoKey) {
			continue
		}
		if err != nil {
			return err
		}
		if err := n.sweepRun(ctx, cell); err != nil { // somebody else's rubbish is no reason not to work
			n.Log.Warn(fmt.Sprintf("run %s of job %s could not be tidied up; the next start tries again", runOf(cell), cell.Value().Job), "error", err)
		}
	}
	return nil
}

// keepInterrupted is how long the row log of an interrupted run waits for its resume.
const keepInterrupted = 7 * 24 * time.Hour

func (n *Node) sweepRun(ctx context.Context, cell *Cell[RunRecord]) error {
	rec := cell.Value()
	switch {
	case rec.State == RunRunning:
		if alive, known := n.Alive(rec.Owner); alive || !known {
			return nil
		}
		rec.State, rec.Ended = RunInterrupted, time.Now().UTC()
		if err := cell.Write(ctx, rec); err != nil {
			if errors.Is(err, ErrConflict) {
				return nil // somebody else swept it, or resumes it
			}
			return err
		}
		return errors.Join(n.dropCommands(ctx, runOf(cell)), n.Bus.Drop(ctx, TopicOwnTrigger(rec.Job, rec.Owner.Token)))
	case rec.State == RunInterrupted && !rec.Cleaned && time.Since(rec.Ended) > keepInterrupted:
		n.Log.Warn(fmt.Sprintf("run %s of job %s was interrupted more than 7 days ago: its row log is deleted; a resume asks its unfinished connections again", runOf(cell), rec.Job))
		if err := n.RowLogs.Delete(ctx, runOf(cell), rec.Generation); err != nil {
			return err
		}
		return n.markCleaned(ctx, cell)
	case (rec.State == RunComplete || rec.State == RunAbandoned) && !rec.Cleaned:
		m, err := LoadManifest(ctx, n.Stores.Runs, runOf(cell))
		if err != nil {
			return err
		}
		return n.clean(ctx, cell, m)
	}
	return nil
}

func (n *Node) dropCommands(ctx context.Context, id string) error {
	for _, topic := range []string{TopicSink(id), TopicQuery(id)} {
		if err := n.Bus.Drop(ctx, topic); err != nil {
			return fmt.Errorf("drop commands of run %s: %w", id, err)
		}
	}
	return nil
}

func (n *Node) markCleaned(ctx context.Context, cell *Cell[RunRecord]) error {
	rec := cell.Value()
	rec.Cleaned = true
	if err := cell.Write(ctx, rec); !errors.Is(err, ErrConflict) {
		return err
	}
	return nil
}
