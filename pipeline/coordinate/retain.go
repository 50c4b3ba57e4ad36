package coordinate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// What stays of a job's runs: the newest ones, and all that ended a short while ago. A trigger that comes a second
// time within a day is answered with the run that it began, which must still be known. What waits for another host is
// kept for longer: should that never start again, nothing but its disk remembers.
const (
	keepRuns    = 100
	keepRunsFor = 48 * time.Hour
	keepWaiting = 90 * 24 * time.Hour
)

// pass tells of a record that nobody can read.
func (n *Coordinator) pass(err error) { n.Log.Warn(err.Error()) }

// forgetAtOnce is how many old runs are removed at a time, which takes some milliseconds each.
const (
	forgetAtOnce = 200
)

// forgetOld removes the oldest of the runs that need not be known any longer.
func (n *Coordinator) forgetOld(ctx context.Context, docs []*checkpoint.Document[checkpoint.RunRecord]) {
	if err := n.forgetNotes(ctx); err != nil && ctx.Err() == nil {
		n.Log.Warn("what is known of old triggers could not be removed; the next start tries again", "error", err)
	}
	if err := n.forgetNotices(ctx, docs); err != nil && ctx.Err() == nil {
		n.Log.Warn("old notices could not be removed; the next start tries again", "error", err)
	}
	old := outdated(docs, time.Now())
	for _, doc := range old[max(0, len(old)-forgetAtOnce):] {
		if err := n.forget(ctx, doc); err != nil && ctx.Err() == nil {
			n.Log.Warn(fmt.Sprintf("old run %s of job %s could not be removed; the next start tries again", checkpoint.RunOf(doc), doc.Value().Job), "error", err)
		}
	}
}

// outdated are the runs that need not be known any longer, the oldest last: no process has them, and what they left
// behind is removed.
func outdated(docs []*checkpoint.Document[checkpoint.RunRecord], now time.Time) (old []*checkpoint.Document[checkpoint.RunRecord]) {
	newestFirst := func(a, b *checkpoint.Document[checkpoint.RunRecord]) int {
		return b.Value().Started.Compare(a.Value().Started)
	}
	ofJob := map[string][]*checkpoint.Document[checkpoint.RunRecord]{}
	for _, doc := range docs {
		job := doc.Value().Job
		ofJob[job] = append(ofJob[job], doc)
	}
	for _, runs := range ofJob {
		slices.SortFunc(runs, newestFirst)
		for _, doc := range runs[min(keepRuns, len(runs)):] {
			if rec := doc.Value(); !rec.Busy() && now.Sub(rec.Ended) > keepFor(&rec) {
				old = append(old, doc)
			}
		}
	}
	slices.SortFunc(old, newestFirst)
	return old
}

// keepFor is how long a run that has ended must be known; for ever, if what it left behind is not removed.
func keepFor(r *checkpoint.RunRecord) time.Duration {
	switch {
	case r.Cleaned:
		return keepRunsFor
	case len(r.Waits) > 0:
		return keepWaiting
	}
	return math.MaxInt64
}

// forget removes everything that is known of a run, unless it is its job's newest, which may be resumed. An
// unfinished one is first marked as given up: its trigger, should that come again now, goes on with it or finds this.
// The record goes last: as long as that is there, the next start does the rest.
func (n *Coordinator) forget(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) error {
	id, rec := checkpoint.RunOf(doc), doc.Value()
	if last, _, err := n.LastRun(ctx, rec.Job); err != nil || last == nil || checkpoint.RunOf(last) == id {
		return err
	}
	if rec.State.Resumable() {
		rec.Abandon()
		if err := doc.Write(ctx, rec); errors.Is(err, pipeline.ErrConflict) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := n.Records.Remove(ctx, id); err != nil {
		return err
	}
	if err := errors.Join(n.Stores.Runs.RemoveAll(ctx, id+".>"), n.Stores.Runs.RemoveAll(ctx, checkpoint.RunNotices(id))); err != nil {
		return err
	}
	return n.Stores.Runs.Delete(ctx, id)
}
