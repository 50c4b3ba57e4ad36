package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// sweep tidies up after processes that are provably gone: their runs become interrupted and their commands are
// dropped, so that no worker begins what nobody coordinates. What a finished run left behind is removed.
func (n *Coordinator) sweep(ctx context.Context) error {
	cells, err := RunRecords(ctx, n.Stores.Runs, n.pass)
	if err != nil {
		return fmt.Errorf("look for old runs: %w", err)
	}
	for _, cell := range cells {
		if err := n.sweepRun(ctx, cell); err != nil { // somebody else's rubbish is no reason not to work
			n.Log.Warn(fmt.Sprintf("run %s of job %s could not be tidied up; the next start tries again", RunOf(cell), cell.Value().Job), "error", err)
		}
	}
	n.forgetOld(ctx, cells)
	if err := n.Cleaner.Sweep(ctx); err != nil {
		n.Log.Warn("rows of runs that are forgotten could not be removed from the spool; the next start tries again", "error", err)
	}
	if err := n.dropStray(ctx, cells); err != nil {
		n.Log.Warn("triggers of processes that are gone could not be removed; the next start tries again", "error", err)
	}
	return nil
}

// dropStray removes what a process asked of itself that is gone: before it had a run, or just after it. Where nobody
// can tell that it is gone, it is what is as old as no process waits, and has no run.
func (n *Coordinator) dropStray(ctx context.Context, cells []*Cell[RunRecord]) error {
	stray, err := n.Bus.Kept(ctx, topicOwnTriggers, maxWaiting)
	if err != nil {
		return err
	}
	working := map[string]bool{}
	for _, cell := range cells {
		if rec := cell.Value(); rec.Busy() {
			working[Token(rec.Owner.Token)] = true
		}
	}
	for _, msg := range stray {
		owner := lastToken(msg.Subject)
		if working[owner] {
			continue
		}
		alive, known := n.Alive(Owner{Token: Untoken(owner)})
		if known && !alive || time.Since(msg.Stored) > keepUnfinished {
			if err := n.Bus.Drop(ctx, msg.Subject); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepUnfinished is how long the row log of an unfinished run waits for its resume.
const keepUnfinished = 7 * 24 * time.Hour

func (n *Coordinator) sweepRun(ctx context.Context, cell *Cell[RunRecord]) error {
	rec := cell.Value()
	switch {
	case rec.State == RunRunning:
		if alive, known := n.Alive(rec.Owner); alive || !known {
			return nil
		}
		cancelled, err := n.isCancelled(ctx, RunOf(cell), rec)
		if err != nil {
			return err
		}
		rec.judge()
		if cancelled {
			rec.interrupt(errCancelled(RunOf(cell)), StoppedCancelled)
		}
		if err := cell.Write(ctx, rec); err != nil { // over what was judged, and nothing later
			if errors.Is(err, ErrConflict) {
				return nil // somebody else swept it, or resumes it
			}
			return err
		}
		return errors.Join(n.dropCommands(ctx, RunOf(cell), rec.Resumes), n.Bus.Drop(ctx, TopicOwnTrigger(rec.Job, rec.Owner.Token)))
	case rec.State.Resumable() && !rec.Cleaned:
		if rec.Taken && n.mayLive(rec.Owner) {
			return nil // somebody is about to go on with it
		}
		return n.sweepLog(ctx, cell)
	case (rec.State == RunComplete || rec.State == RunAbandoned) && !rec.Cleaned:
		m, err := LoadManifest(ctx, n.Stores.Runs, RunOf(cell))
		if errors.Is(err, ErrForeign) || errors.Is(err, ErrNoKey) { // where its files are nobody knows
			n.pass(err)
			if err := errors.Join(n.dropCommands(ctx, RunOf(cell), rec.Resumes), n.RowLogs.Delete(ctx, RunOf(cell), math.MaxInt)); err != nil {
				return err
			}
			return n.markCleaned(ctx, cell, nil)
		}
		if err != nil {
			return err
		}
		homes := rec.Waits
		if len(homes) == 0 {
			if homes, err = n.homesOf(ctx, m); err != nil {
				return err
			}
		}
		waits, err := n.clean(ctx, rec, m, homes, rec.State == RunAbandoned)
		if err != nil {
			return err
		}
		return n.markCleaned(ctx, cell, waits)
	}
	return nil
}

// sweepLog deletes the row log of an unfinished run if no resume would read it, or if it has waited long enough for
// one. Meanwhile the run is taken: a resume waits, and finds no log, not one that is about to go.
func (n *Coordinator) sweepLog(ctx context.Context, cell *Cell[RunRecord]) error {
	rec := cell.Value()
	old := time.Since(rec.Ended) > keepUnfinished
	if !old {
		if rec.State == RunInterrupted {
			return nil
		}
		m, err := LoadManifest(ctx, n.Stores.Runs, RunOf(cell))
		if err != nil {
			return err
		}
		for _, d := range m.Destinations {
			c, err := n.Records.Load(ctx, m.Run, d.ID)
			if err != nil {
				return err
			}
			if c.State != RecordFinished && c.State != RecordOwing {
				return nil
			}
		}
	} else {
		n.Log.Warn(fmt.Sprintf("run %s of job %s ended unfinished more than 7 days ago: its row log is deleted; a resume asks its unfinished connections again", RunOf(cell), rec.Job))
	}
	rec.take(n.Owner)
	if err := cell.Write(ctx, rec); errors.Is(err, ErrConflict) {
		return nil // somebody else has it
	} else if err != nil {
		return err
	}
	defer n.letGo(ctx, cell)
	if err := n.RowLogs.Delete(ctx, RunOf(cell), rec.Generation); err != nil {
		return err
	}
	return n.markCleaned(ctx, cell, nil)
}
