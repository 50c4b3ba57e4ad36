package coordinate

import (
	"context"
	"errors"
	"fmt"
	"math"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Remove forgets a run at once that has nothing left to do, or of which something cannot be read: its records, its
// row log, its commands. Files stay. One that goes on, and one that a resume could go on with, is refused.
func (n *Coordinator) Remove(ctx context.Context, run string) error {
	if run == "" || pipeline.Token(run) != run || run == pipeline.JobKeys || run == pipeline.ProcessKeys || run == pipeline.NoticeKeys || run == pipeline.RoomKeys {
		return pipeline.Permanent(fmt.Errorf("%q is no run's id; fanmill runs lists them", run))
	}
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(run))
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		if left, err := n.leftOf(ctx, run); err != nil || !left {
			return errors.Join(err, pipeline.Permanent(fmt.Errorf("there is no run %s; fanmill runs lists what there is", run)))
		}
	case errors.Is(err, pipeline.ErrForeign):
	case err != nil:
		return err
	default:
		rec := doc.Value()
		if rec.Busy() && n.mayHave(rec) {
			return n.alreadyRunning(doc)
		}
		last, _, err := n.LastRun(ctx, rec.Job)
		if err != nil {
			return err
		}
		if rec.State.Resumable() && last != nil && checkpoint.RunOf(last) == run && n.resumable(ctx, doc) {
			return pipeline.Permanent(fmt.Errorf("run %s is unfinished, and a resume can go on with it; fanmill checkpoint rm %s gives it up first", run, rec.Job))
		}
	}
	return n.wipe(ctx, run)
}

// wipe removes what the store has of a run, its record last: until then it is there to be forgotten again.
func (n *Coordinator) wipe(ctx context.Context, run string) error {
	if err := errors.Join(n.dropCommands(ctx, run), n.RowLogs.Delete(ctx, run, math.MaxInt), n.Records.Remove(ctx, run), n.Stores.Runs.RemoveAll(ctx, checkpoint.RunKey(run)+".>"), n.Stores.Runs.RemoveAll(ctx, checkpoint.RunNotices(run))); err != nil {
		return err
	}
	if err := n.Cleaner.Forget(run); err != nil {
		return err
	}
	return n.Stores.Runs.Delete(ctx, checkpoint.RunKey(run))
}

// leftOf reports whether anything is left of a run whose record is gone.
func (n *Coordinator) leftOf(ctx context.Context, run string) (bool, error) {
	for _, kv := range []pipeline.KV{n.Stores.Runs, n.Stores.Checkpoints} {
		if keys, err := kv.Keys(ctx, checkpoint.RunKey(run)+".>"); err != nil || len(keys) > 0 {
			return len(keys) > 0, err
		}
	}
	generation, err := n.RowLogs.Newest(ctx, run)
	return generation > 0, err
}
