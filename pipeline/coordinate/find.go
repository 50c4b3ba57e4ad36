package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// LastRun is the job's newest run, nil if it never ran, and the pointer to it.
func (n *Coordinator) LastRun(ctx context.Context, job string) (last *checkpoint.Document[checkpoint.RunRecord], pointer *checkpoint.Document[checkpoint.JobRun], _ error) {
	pointer, err := checkpoint.LoadDocument[checkpoint.JobRun](ctx, n.Stores.Runs, checkpoint.JobRunKey(job))
	switch {
	case errors.Is(err, pipeline.ErrNoKey):
		return nil, pointer, nil
	case errors.Is(err, pipeline.ErrForeign):
		n.pass(err)
		return nil, pointer, nil
	case err != nil:
		return nil, nil, fmt.Errorf("look for runs of %s: %w", job, err)
	}
	run := pointer.Value().Run
	last, err = n.loadRun(ctx, job, run)
	if err == nil && last != nil && last.Value().Job != job {
		n.pass(checkpoint.ForeignRecord(checkpoint.JobRunKey(job), fmt.Errorf("it names run %s, which is of job %s", run, last.Value().Job)))
		last = nil
	}
	return last, pointer, err
}

// loadRun reads the record of a job's run; nil if there is none. One that cannot be read is made anew from the run's
// manifest, as that of a run that was interrupted: whoever works on it finds out at its next sign of life. Without a
// manifest there is no such run any more.
func (n *Coordinator) loadRun(ctx context.Context, job, id string) (*checkpoint.Document[checkpoint.RunRecord], error) {
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(id))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, nil
	}
	if !errors.Is(err, pipeline.ErrForeign) {
		return doc, err
	}
	n.pass(err)
	m, lookErr := checkpoint.LoadManifest(ctx, n.Stores.Runs, id)
	switch {
	case errors.Is(lookErr, pipeline.ErrForeign), errors.Is(lookErr, pipeline.ErrNoKey), lookErr == nil && m.JobID != job:
		return nil, nil
	case lookErr != nil:
		return nil, lookErr
	}
	generation, lookErr := n.RowLogs.Newest(ctx, id)
	if lookErr != nil {
		return nil, lookErr
	}
	// Its epoch lies above all that were counted: whoever had the run, be it this process, finds another one.
	generation = max(generation, 1)
	resumes := 0
	for _, d := range m.Destinations {
		if c, err := n.Records.Load(ctx, id, d.ID); err == nil {
			generation = max(generation, c.Log.Generation, c.Opened.Generation)
			resumes = max(resumes, c.Opened.Incarnation) // commands of those that were are none of the next one's
		}
	}
	rec := checkpoint.RunRecord{Job: job, State: pipeline.RunInterrupted, Owner: n.Owner, Epoch: uint64(time.Now().UnixMicro()), Generation: generation,
		Resumes: resumes, Started: m.Created, Ended: time.Now().UTC(), Error: pipeline.ShortError(err)}
	if err := doc.Overwrite(ctx, rec); err != nil {
		return nil, err
	}
	return doc, nil
}

// RunOfTrigger finds the run that a trigger began, or the one that it resumed, when it was delivered before; nil if
// there is none. last is the job's newest run.
func (n *Coordinator) RunOfTrigger(ctx context.Context, job, id string, last *checkpoint.Document[checkpoint.RunRecord]) (*checkpoint.Document[checkpoint.RunRecord], error) {
	own, err := n.loadRun(ctx, job, id)
	switch {
	case err == nil && own == nil:
		if last != nil && slices.Contains(last.Value().Triggers, id) {
			return last, nil
		}
		var t checkpoint.TriggerNote
		if t, err = n.View().Noted(ctx, id); err == nil {
			own, err = n.View().ResumedBy(ctx, id, t)
		}
	}
	switch {
	case err != nil || own == nil:
		return nil, err
	case own.Value().Job != job:
		return nil, pipeline.BadRunID("%s is the id of a run of job %s; choose another id", id, own.Value().Job)
	}
	return own, nil
}

// OwnInline refuses a job that was brought along and has the id of another one, by a run of that.
func OwnInline(def *spec.Definition, run *checkpoint.Document[checkpoint.RunRecord]) error {
	if !def.Inline || run == nil || run.Value().Inline {
		return nil
	}
	return pipeline.Permanent(fmt.Errorf("job %s has runs that are not those of a job that is brought along, which must have an id of its own", def.Job.ID))
}
