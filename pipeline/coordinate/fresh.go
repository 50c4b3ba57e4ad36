package coordinate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/spec"
)

// fresh makes a new run. What can be found out without touching anything is, before last, the job's unfinished run,
// is given up; nil if there is none. newest is the job's newest run, unfinished or not.
func (n *Coordinator) fresh(ctx context.Context, def *spec.Definition, t spec.Request, last, newest *checkpoint.Document[checkpoint.RunRecord], pointer *checkpoint.Document[checkpoint.JobRun]) (_ *run, err error) {
	now := time.Now()
	paths, err := def.Resolve(t.Run, now)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	n, leave := n.following(def.Job, t.Run, paths)
	defer func() { leave(err) }()
	var r *run
	if err := n.holding(ctx, last, func(ctx context.Context) (err error) {
		r, err = n.prepare(ctx, def, t, now, paths, newest)
		return err
	}); err != nil {
		return nil, err
	}
	r.span = pipeline.BeginRun(n.Tracing, t.Trace, now)
	if last != nil {
		if err := n.abandon(ctx, def.Job.ID, last, couldResume); err != nil {
			return nil, err
		}
	}
	if r.m.Earlier, err = n.earlier(ctx, newest); err != nil { // after last was given up
		return nil, err
	}
	if err := r.create(ctx, t, pointer); err != nil {
		return nil, err
	}
	return r, nil
}

// prepare settles what a new run that begins now is to be, and fixes its columns. newest is the job's newest run.
func (n *Coordinator) prepare(ctx context.Context, def *spec.Definition, t spec.Request, now time.Time, paths []pipeline.ManifestDestination, newest *checkpoint.Document[checkpoint.RunRecord]) (*run, error) {
	m, err := pipeline.NewManifest(def.Job, t.Run, now.UTC(), n.LogMaxBytes, t.Connections, paths)
	if err != nil {
		return nil, err
	}
	if m.Scheduled, err = n.scheduled(ctx, t); err != nil {
		return nil, err
	}
	homes, err := n.filesHomes(ctx, def.Job, m, newest)
	if err != nil {
		return nil, err
	}
	if m.Params, err = def.Params(t.Params, now); err != nil {
		return nil, pipeline.Permanent(err)
	}
	if len(t.Params) > 0 {
		if m.Given, err = json.Marshal(t.Params); err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("params: %w", err))
		}
	}
	r := &run{c: n, def: def, job: def.Job, m: m, asker: t.Run, homes: homes}
	for _, c := range m.Connections {
		r.wanted = append(r.wanted, c.ID)
	}
	if err := r.probeTargets(ctx, nil); err != nil {
		return nil, err
	}
	return r, r.describe(ctx)
}

// scheduled is for which time a schedule has asked for a run; nil if none has.
func (n *Coordinator) scheduled(ctx context.Context, t spec.Request) (*pipeline.Scheduled, error) {
	if t.Seq == 0 || !strings.HasPrefix(t.Run, pipeline.ScheduledRuns) {
		return nil, nil
	}
	note, err := n.View().Noted(ctx, t.Run)
	return note.Scheduled, err
}

// anew begins a run under its id once more: without its manifest nobody can go on with it, and whoever asks for that
// id, again and again, would never get it. newest was the job's newest run.
func (n *Coordinator) anew(ctx context.Context, def *spec.Definition, t spec.Request, own, newest *checkpoint.Document[checkpoint.RunRecord]) (*run, error) {
	_, why := checkpoint.LoadManifest(ctx, n.Stores.Runs, t.Run)
	n.Log.Warn(fmt.Sprintf("run %s of job %s cannot go on, and begins anew: %v", t.Run, def.Job.ID, why))
	if err := n.wipe(ctx, t.Run); err != nil {
		return nil, err
	}
	_, pointer, err := n.LastRun(ctx, def.Job.ID)
	if err != nil {
		return nil, err
	}
	return n.fresh(ctx, def, t, nil, newest, pointer)
}

// clearID forgets what stands in the place of a run that is about to begin, and that nobody can read or make anew.
func (n *Coordinator) clearID(ctx context.Context, id string) error {
	if _, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, n.Stores.Runs, checkpoint.RunKey(id)); !errors.Is(err, pipeline.ErrForeign) {
		return nil // whether it can be read at all, the creation finds out
	}
	return n.wipe(ctx, id)
}

// create writes a new run. Its record comes before its row log, so that nothing of it is without an owner, and the
// job points to it last: a crash before that leaves nothing that anybody would resume but its own trigger. pointer is
// the job's pointer that the decision was based on: of two processes that start the job at once, one finds it changed.
func (r *run) create(ctx context.Context, t spec.Request, pointer *checkpoint.Document[checkpoint.JobRun]) error {
	id := r.m.Run
	if err := errors.Join(r.c.StoreJob(ctx, r.job), r.c.keepFiles(ctx, r.m, r.homes), r.putManifest(ctx)); err != nil {
		return err
	}
	rec := checkpoint.RunRecord{Job: r.job.ID, State: pipeline.RunRunning, Owner: r.c.Owner, Epoch: 1, Generation: 1, Trigger: t.Seq, Inline: r.def.Inline, Started: r.m.Created}
	for _, d := range r.m.Destinations {
		if err := r.c.Records.Create(ctx, id, d.ID, checkpoint.OpenRecord(rec.Opened())); err != nil {
			return fmt.Errorf("create commit record: %w", err)
		}
	}
	if err := errors.Join(r.putSpec(ctx, rec.Opened()), r.openConns(ctx, rec.Opened()), r.putBefore(ctx)); err != nil {
		return err
	}
	failpoint.Hit("before-run")
	var err error
	// Of two that name it at once.
	if r.doc, err = checkpoint.CreateDocument(ctx, r.c.Stores.Runs, checkpoint.RunKey(id), rec); errors.Is(err, pipeline.ErrConflict) {
		return r.c.lostTo(ctx, r.doc)
	} else if err != nil {
		return fmt.Errorf("create run: %w", err)
	}
	failpoint.Hit("after-run")
	if r.log, err = r.c.RowLogs.Create(ctx, r.m, 1); err != nil {
		return r.withdraw(ctx, fmt.Errorf("create row log: %w", err))
	}
	failpoint.Hit("before-pointer")
	if err := r.c.pointJob(ctx, r.job.ID, id, pointer); err != nil {
		return r.withdraw(ctx, err)
	}
	// A process that froze meanwhile finds out now whether another one went on with it.
	if err := r.doc.Change(ctx, checkpoint.Owned(r.doc), (*checkpoint.RunRecord).Sign); err != nil {
		return r.withdraw(ctx, err)
	}
	return nil
}

// openConns makes the records of all connections.
func (r *run) openConns(ctx context.Context, o checkpoint.Opened) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openAtOnce)
	for _, c := range r.m.Connections {
		g.Go(func() error {
			_, err := checkpoint.CreateDocument(ctx, r.c.Stores.Runs, checkpoint.ConnKey(r.m.Run, c.ID), checkpoint.OpenConn(o))
			if err != nil && !errors.Is(err, pipeline.ErrConflict) { // else it is of an earlier try to begin this run
				return fmt.Errorf("create record of connection %s: %w", c.ID, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// openAtOnce is how many records are written at a time.
const openAtOnce = 16

// withdraw gives a run back that did not come about, for its trigger to go on with, should that come again. Its row
// log is removed; the record says first that the next one has another number.
func (r *run) withdraw(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	err := r.doc.Change(ctx, checkpoint.Owned(r.doc), func(rec *checkpoint.RunRecord) {
		rec.Interrupt(cause, "", nil)
		rec.NextLog()
	})
	if errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrForeign) {
		return pipeline.Permanent(fmt.Errorf("run %s: %w", r.m.Run, pipeline.ErrFenced))
	}
	if err == nil {
		err = r.c.RowLogs.Delete(ctx, r.m.Run, r.doc.Value().Generation-1)
	}
	if err != nil {
		r.c.Log.Warn(fmt.Sprintf("run %s did not begin, and could not be tidied up; the next start does", r.m.Run), "error", err)
	}
	return cause
}

// pointJob makes id the job's newest run, unless the pointer has changed since it was read.
func (n *Coordinator) pointJob(ctx context.Context, job, id string, pointer *checkpoint.Document[checkpoint.JobRun]) error {
	err := pointer.Write(ctx, checkpoint.JobRun{Run: id})
	if errors.Is(err, pipeline.ErrConflict) {
		if last, _, err := n.LastRun(ctx, job); err == nil && last != nil {
			return n.lostTo(ctx, last)
		}
		return pipeline.Permanent(fmt.Errorf("job %s was started by another process at the same moment: %w", job, pipeline.ErrHeld))
	}
	if err != nil {
		return fmt.Errorf("create run: %w", err)
	}
	return nil
}

// couldResume tells who lost an unfinished run to a fresh one how to keep the next.
const couldResume = ". RESUME_JOBS=true or --resume would have gone on with it"
