package coordinate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/view"
)

// Sweep tidies up after processes that are provably gone: their runs become interrupted and their commands are
// dropped, so that no worker begins what nobody coordinates. What a finished run left behind is removed.
func (n *Coordinator) Sweep(ctx context.Context) error {
	if n.Peers != nil {
		if err := n.Peers.Sweep(ctx); err != nil {
			n.Log.Warn("processes that are gone could not be declared so; the next start tries again", "error", err)
		}
	}
	docs, err := checkpoint.RunRecords(ctx, n.Stores.Runs, n.pass)
	if err != nil {
		return fmt.Errorf("look for old runs: %w", err)
	}
	for _, doc := range docs {
		n.tellLater(ctx, doc)
		if err := n.sweepRun(ctx, doc); err != nil { // somebody else's rubbish is no reason not to work
			n.Log.Warn(fmt.Sprintf("run %s of job %s could not be tidied up; the next start tries again", checkpoint.RunOf(doc), doc.Value().Job), "error", err)
		}
	}
	n.forgetOld(ctx, docs)
	if err := n.Cleaner.Sweep(ctx); err != nil {
		n.Log.Warn("rows of runs that are forgotten could not be removed from the spool; the next start tries again", "error", err)
	}
	if err := n.dropStray(ctx, docs); err != nil {
		n.Log.Warn("triggers of processes that are gone could not be removed; the next start tries again", "error", err)
	}
	return nil
}

// SweepHere removes what finished runs left on the disks of this process, which coordinates nothing: it needs not be
// permitted what a coordinator is.
func (n *Coordinator) SweepHere(ctx context.Context) error {
	docs, err := checkpoint.RunRecords(ctx, n.Stores.Runs, n.pass)
	if err != nil {
		return fmt.Errorf("look for old runs: %w", err)
	}
	var errs []error
	for _, doc := range docs {
		for destination := range doc.Value().Waits {
			errs = append(errs, n.CleanHere(ctx, pipeline.CleanCommand{Run: checkpoint.RunOf(doc), Destination: destination}))
		}
	}
	return errors.Join(append(errs, n.Cleaner.Sweep(ctx))...)
}

// dropStray removes what a process asked of itself that is gone: before it had a run, or just after it. Where nobody
// can tell that it is gone, it is what is as old as no process waits, and has no run.
func (n *Coordinator) dropStray(ctx context.Context, docs []*checkpoint.Document[checkpoint.RunRecord]) error {
	stray, err := n.Bus.Kept(ctx, pipeline.TopicOwnTriggers, view.MaxWaiting)
	if err != nil {
		return err
	}
	working := map[string]bool{}
	for _, doc := range docs {
		if rec := doc.Value(); rec.Busy() {
			working[pipeline.Token(rec.Owner.Token)] = true
		}
	}
	for _, msg := range stray {
		owner := pipeline.LastToken(msg.Subject)
		if working[owner] {
			continue
		}
		if !n.MayLive(pipeline.Owner{Token: pipeline.Untoken(owner)}) || time.Since(msg.Stored) > keepUnfinished {
			if err := n.Bus.Drop(ctx, msg.Subject); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepUnfinished is how long the row log of an unfinished run waits for its resume.
const keepUnfinished = 7 * 24 * time.Hour

func (n *Coordinator) sweepRun(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) error {
	rec := doc.Value()
	switch {
	case rec.State == pipeline.RunRunning:
		if n.mayHave(rec) {
			return nil
		}
		if orphaned, err := n.orphaned(ctx, doc); err != nil || orphaned && rec.Trigger != 0 {
			return err // whoever serves adopts it
		}
		cancelled, err := n.isCancelled(ctx, checkpoint.RunOf(doc), rec)
		if err != nil {
			return err
		}
		rec.Judge()
		if cancelled {
			rec.Interrupt(StopCancelled(checkpoint.RunOf(doc)), pipeline.StoppedCancelled, nil)
		}
		if err := doc.Write(ctx, rec); err != nil { // over what was judged, and nothing later
			if errors.Is(err, pipeline.ErrConflict) {
				return nil // somebody else swept it, or resumes it
			}
			return err
		}
		return errors.Join(n.dropCommands(ctx, checkpoint.RunOf(doc)), n.Bus.Drop(ctx, pipeline.TopicOwnTrigger(rec.Job, rec.Owner.Token)))
	case rec.State.Resumable() && !rec.Cleaned:
		if rec.Taken && n.MayLive(rec.Owner) {
			return nil // somebody is about to go on with it
		}
		return n.sweepLog(ctx, doc)
	case (rec.State == pipeline.RunComplete || rec.State == pipeline.RunAbandoned) && !rec.Cleaned:
		m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(doc))
		if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) { // where its files are nobody knows
			n.pass(err)
			if err := errors.Join(n.dropCommands(ctx, checkpoint.RunOf(doc)), n.RowLogs.Delete(ctx, checkpoint.RunOf(doc), math.MaxInt)); err != nil {
				return err
			}
			return n.markCleaned(ctx, doc, nil)
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
		waits, err := n.clean(ctx, rec, m, homes, rec.State == pipeline.RunAbandoned)
		if err == nil {
			err = n.markCleaned(ctx, doc, waits)
		}
		if err == nil {
			n.askCleaners(ctx, m, waits)
		}
		return err
	}
	return nil
}

// sweepLog deletes the row log of an unfinished run if no resume would read it, or if it has waited long enough for
// one. Meanwhile the run is taken: a resume waits, and finds no log, not one that is about to go.
func (n *Coordinator) sweepLog(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) error {
	rec := doc.Value()
	old := time.Since(rec.Ended) > keepUnfinished
	if !old {
		if rec.State == pipeline.RunInterrupted {
			return nil
		}
		m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(doc))
		if err != nil {
			return err
		}
		for _, d := range m.Destinations {
			c, err := n.Records.Load(ctx, m.Run, d.ID)
			if err != nil {
				return err
			}
			if c.State != pipeline.RecordFinished && c.State != pipeline.RecordOwing {
				return nil
			}
		}
	} else {
		n.Log.Warn(fmt.Sprintf("run %s of job %s ended unfinished more than 7 days ago: its row log is deleted; a resume asks its unfinished connections again", checkpoint.RunOf(doc), rec.Job))
	}
	rec.Take(n.Owner)
	if err := doc.Write(ctx, rec); errors.Is(err, pipeline.ErrConflict) {
		return nil // somebody else has it
	} else if err != nil {
		return err
	}
	defer n.letGo(ctx, doc)
	if err := n.RowLogs.Delete(ctx, checkpoint.RunOf(doc), rec.Generation); err != nil {
		return err
	}
	return n.markCleaned(ctx, doc, nil)
}
