package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline/failpoint"
)

// run is one execution, as its owner holds it.
type run struct {
	c       *Coordinator
	def     *Definition
	job     *Job
	m       *Manifest
	cell    *Cell[RunRecord]
	log     RowLog
	fixed   RunRecord            // as the run was begun or resumed; cell belongs to the supervisor's goroutine
	asker   string               // the id of the trigger that asked for it
	wanted  []string             // ids of the connections to ask, in job order
	suspect map[string]suspicion // those of them that may be what ends processes
	leftOut []leftOut
}

// leftOut is a connection that some destination lacks and that is not asked this time.
type leftOut struct {
	id   string
	cell *Cell[ConnRecord]
}

// begin makes the run that a trigger asks for, or takes over the one it resumes. Everything the run depends on is in
// the store when it returns. A trigger that was delivered before finds the run that it began or resumed: it goes on
// with that, or, if it has ended, with nothing, and its outcome is returned.
func (n *Coordinator) begin(ctx context.Context, def *Definition, t Trigger) (*run, *Outcome, error) {
	last, pointer, err := n.lastRun(ctx, def.Job.ID)
	if err != nil {
		return nil, nil, err
	}
	own, err := n.runOfTrigger(ctx, def.Job.ID, t.id, last)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(ownInline(def, last), ownInline(def, own)); err != nil {
		return nil, nil, err
	}
	if own != nil {
		return n.again(ctx, def, t, own, last, pointer)
	}
	if err := n.clearID(ctx, t.id); err != nil {
		return nil, nil, err
	}
	newest := last
	if last != nil && !last.Value().State.Resumable() {
		last = nil
	}
	if last != nil {
		if err := n.takeOver(ctx, last); err != nil {
			return nil, nil, err
		}
		defer n.letGo(ctx, last)
		if !t.Resume {
			if t.Resume, err = n.overUnfinished(ctx, def.Job, t, last); err != nil {
				return nil, nil, err
			}
		}
	}
	var r *run
	switch {
	case t.Resume && last != nil && n.resumable(ctx, last):
		r, err = n.resume(ctx, def, t, last)
	case t.Resume && last != nil: // without its manifest it is given up, which is said
		r, err = n.fresh(ctx, def, t, last, newest, pointer)
	case t.Resume:
		n.Log.Info(fmt.Sprintf("job %s has no unfinished run; starting a new one", def.Job.ID))
		fallthrough
	default:
		r, err = n.fresh(ctx, def, t, last, newest, pointer)
	}
	return r, nil, err
}

// ownInline refuses a job that was brought along and has the id of another one, by a run of that.
func ownInline(def *Definition, run *Cell[RunRecord]) error {
	if !def.Inline || run == nil || run.Value().Inline {
		return nil
	}
	return Permanent(fmt.Errorf("job %s has runs that are not those of a job that is brought along, which must have an id of its own", def.Job.ID))
}

// runOfTrigger finds the run that a trigger began, or the one that it resumed, when it was delivered before; nil if
// there is none. last is the job's newest run.
func (n *Coordinator) runOfTrigger(ctx context.Context, job, id string, last *Cell[RunRecord]) (*Cell[RunRecord], error) {
	own, err := n.loadRun(ctx, job, id)
	switch {
	case err == nil && own == nil:
		if last != nil && slices.Contains(last.Value().Triggers, id) {
			return last, nil
		}
		var t TriggerNote
		if t, err = n.view().Noted(ctx, id); err == nil {
			own, err = n.view().ResumedBy(ctx, id, t)
		}
	}
	switch {
	case err != nil || own == nil:
		return nil, err
	case own.Value().Job != job:
		return nil, badID("%s is the id of a run of job %s; choose another id", id, own.Value().Job)
	}
	return own, nil
}

// again answers a trigger whose run exists.
func (n *Coordinator) again(ctx context.Context, def *Definition, t Trigger, own, last *Cell[RunRecord], pointer *Cell[JobRun]) (*run, *Outcome, error) {
	t.again = t.ID == ""
	if !t.again { // what was stopped, or is partial, goes on, too
		if out, err := n.over(ctx, own); err != nil || out != nil {
			return nil, out, err
		}
	} else if _, err := n.heedCancel(ctx, own); err != nil {
		return nil, nil, err
	} else if s := own.Value().State; s != RunRunning && s != RunInterrupted || own.Value().Stopped != "" {
		return nil, &Outcome{Run: RunOf(own), State: s, Started: own.Value().Started, Measures: own.Value().Measures}, nil
	}
	if last == nil || RunOf(last) != RunOf(own) { // the process ended between the run's record and the job's pointer to it
		if last != nil && last.Value().State.Resumable() { // and another run went ahead
			if err := n.takeOver(ctx, last); err != nil {
				return nil, nil, err
			}
			defer n.letGo(ctx, last)
			if !t.StartOver {
				t := t
				t.ID = RunOf(own) // that run goes on, not this one
				if _, err := n.overUnfinished(ctx, def.Job, t, last); err != nil {
					return nil, nil, err
				}
			}
			if err := n.abandon(ctx, def.Job.ID, last, couldResume); err != nil {
				return nil, nil, err
			}
		}
		if err := n.noteEarlier(ctx, RunOf(own), last); err != nil {
			return nil, nil, err
		}
		if err := n.pointJob(ctx, def.Job.ID, RunOf(own), pointer); err != nil {
			return nil, nil, err
		}
	}
	if err := n.takeOver(ctx, own); err != nil {
		return nil, nil, err
	}
	defer n.letGo(ctx, own)
	if RunOf(own) == t.id && !n.resumable(ctx, own) {
		r, err := n.anew(ctx, def, t, own, last)
		return r, nil, err
	}
	r, err := n.resume(ctx, def, t, own)
	return r, nil, err
}

// anew begins a run under its id once more: without its manifest nobody can go on with it, and whoever asks for that
// id, again and again, would never get it. newest was the job's newest run.
func (n *Coordinator) anew(ctx context.Context, def *Definition, t Trigger, own, newest *Cell[RunRecord]) (*run, error) {
	_, why := LoadManifest(ctx, n.Stores.Runs, t.id)
	n.Log.Warn(fmt.Sprintf("run %s of job %s cannot go on, and begins anew: %v", t.id, def.Job.ID, why))
	if err := n.wipe(ctx, t.id, own.Value().Resumes); err != nil {
		return nil, err
	}
	_, pointer, err := n.lastRun(ctx, def.Job.ID)
	if err != nil {
		return nil, err
	}
	return n.fresh(ctx, def, t, nil, newest, pointer)
}

// clearID forgets what stands in the place of a run that is about to begin, and that nobody can read or make anew.
func (n *Coordinator) clearID(ctx context.Context, id string) error {
	if _, err := LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(id)); !errors.Is(err, ErrForeign) {
		return nil // whether it can be read at all, the creation finds out
	}
	return n.wipe(ctx, id, 0)
}

// fresh makes a new run. What can be found out without touching anything is, before last, the job's unfinished run,
// is given up; nil if there is none. newest is the job's newest run, unfinished or not.
func (n *Coordinator) fresh(ctx context.Context, def *Definition, t Trigger, last, newest *Cell[RunRecord], pointer *Cell[JobRun]) (_ *run, err error) {
	now := time.Now()
	paths, err := def.Resolve(t.id, now)
	if err != nil {
		return nil, Permanent(err)
	}
	n, leave := n.following(def.Job, t.id, paths)
	defer func() { leave(err) }()
	var r *run
	if err := n.holding(ctx, last, func(ctx context.Context) (err error) {
		r, err = n.prepare(ctx, def, t, now, paths)
		return err
	}); err != nil {
		return nil, err
	}
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

// prepare settles what a new run that begins now is to be, and fixes its columns.
func (n *Coordinator) prepare(ctx context.Context, def *Definition, t Trigger, now time.Time, paths []ManifestDestination) (*run, error) {
	m, err := NewManifest(def.Job, t.id, now.UTC(), n.LogMaxBytes, t.Connections, paths)
	if err != nil {
		return nil, err
	}
	if m.Params, err = def.Params(t.Params, now); err != nil {
		return nil, Permanent(err)
	}
	if len(t.Params) > 0 {
		if m.Given, err = json.Marshal(t.Params); err != nil {
			return nil, Permanent(fmt.Errorf("params: %w", err))
		}
	}
	r := &run{c: n, def: def, job: def.Job, m: m, asker: t.id}
	for _, c := range m.Connections {
		r.wanted = append(r.wanted, c.ID)
	}
	if err := r.probeTargets(ctx, nil); err != nil {
		return nil, err
	}
	return r, r.describe(ctx)
}

// create writes a new run. Its record comes before its row log, so that nothing of it is without an owner, and the
// job points to it last: a crash before that leaves nothing that anybody would resume but its own trigger. pointer is
// the job's pointer that the decision was based on: of two processes that start the job at once, one finds it changed.
func (r *run) create(ctx context.Context, t Trigger, pointer *Cell[JobRun]) error {
	id := r.m.Run
	if err := errors.Join(r.c.StoreJob(ctx, r.job), r.putManifest(ctx)); err != nil {
		return err
	}
	rec := RunRecord{Job: r.job.ID, State: RunRunning, Owner: r.c.Owner, Epoch: 1, Generation: 1, Trigger: t.seq, Inline: r.def.Inline, Started: r.m.Created}
	for _, d := range r.m.Destinations {
		if err := r.c.Records.Create(ctx, id, d.ID, openRecord(rec.opened())); err != nil {
			return fmt.Errorf("create commit record: %w", err)
		}
	}
	if err := r.openConns(ctx, rec.opened()); err != nil {
		return err
	}
	failpoint.Hit("before-run")
	var err error
	if r.cell, err = CreateCell(ctx, r.c.Stores.Runs, RunKey(id), rec); errors.Is(err, ErrConflict) { // of two that name it at once
		return r.c.lostTo(ctx, r.cell)
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
	if err := r.cell.Change(ctx, owned(r.cell), (*RunRecord).sign); err != nil {
		return r.withdraw(ctx, err)
	}
	return nil
}

// openConns makes the records of all connections.
func (r *run) openConns(ctx context.Context, o Opened) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(openAtOnce)
	for _, c := range r.m.Connections {
		g.Go(func() error {
			_, err := CreateCell(ctx, r.c.Stores.Runs, ConnKey(r.m.Run, c.ID), openConn(o))
			if err != nil && !errors.Is(err, ErrConflict) { // else it is of an earlier try to begin this run
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
	err := r.cell.Change(ctx, owned(r.cell), func(rec *RunRecord) {
		rec.interrupt(cause, "")
		rec.nextLog()
	})
	if errors.Is(err, ErrFenced) || errors.Is(err, ErrForeign) {
		return Permanent(fmt.Errorf("run %s: %w", r.m.Run, ErrFenced))
	}
	if err == nil {
		err = r.c.RowLogs.Delete(ctx, r.m.Run, r.cell.Value().Generation-1)
	}
	if err != nil {
		r.c.Log.Warn(fmt.Sprintf("run %s did not begin, and could not be tidied up; the next start does", r.m.Run), "error", err)
	}
	return cause
}

// StoreJob shows operators the job as it was last run, without the addresses of its databases and the secrets of its
// destinations.
func (n *Coordinator) StoreJob(ctx context.Context, job *Job) error {
	shown := *job
	shown.Connections = slices.Clone(job.Connections)
	for i := range shown.Connections {
		shown.Connections[i].DSN = ""
	}
	shown.Destinations = slices.Clone(job.Destinations)
	for i := range shown.Destinations {
		d := &shown.Destinations[i]
		d.Options = WithoutSecrets(d.Options, n.optionsOf(d.Type))
	}
	data, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	if _, err := n.Stores.Jobs.Put(ctx, Token(job.ID), data); err != nil {
		return fmt.Errorf("store job: %w", err)
	}
	return nil
}

// optionsOf is the table of a type of destination; nil if there is none of this name here.
func (n *Coordinator) optionsOf(typ string) []Option {
	if kind := n.Sinks[typ]; kind != nil {
		return kind.Options
	}
	return nil
}

func (r *run) putManifest(ctx context.Context) error {
	return StoreManifest(ctx, r.c.Stores.Runs, r.m, r.c.optionsOf)
}

// lastRun is the job's newest run, nil if it never ran, and the pointer to it.
func (n *Coordinator) lastRun(ctx context.Context, job string) (last *Cell[RunRecord], pointer *Cell[JobRun], _ error) {
	pointer, err := LoadCell[JobRun](ctx, n.Stores.Runs, JobRunKey(job))
	switch {
	case errors.Is(err, ErrNoKey):
		return nil, pointer, nil
	case errors.Is(err, ErrForeign):
		n.pass(err)
		return nil, pointer, nil
	case err != nil:
		return nil, nil, fmt.Errorf("look for runs of %s: %w", job, err)
	}
	run := pointer.Value().Run
	last, err = n.loadRun(ctx, job, run)
	if err == nil && last != nil && last.Value().Job != job {
		n.pass(foreign(JobRunKey(job), fmt.Errorf("it names run %s, which is of job %s", run, last.Value().Job)))
		last = nil
	}
	return last, pointer, err
}

// loadRun reads the record of a job's run; nil if there is none. One that cannot be read is made anew from the run's
// manifest, as that of a run that was interrupted: whoever works on it finds out at its next sign of life. Without a
// manifest there is no such run any more.
func (n *Coordinator) loadRun(ctx context.Context, job, id string) (*Cell[RunRecord], error) {
	cell, err := LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(id))
	if errors.Is(err, ErrNoKey) {
		return nil, nil
	}
	if !errors.Is(err, ErrForeign) {
		return cell, err
	}
	n.pass(err)
	m, lookErr := LoadManifest(ctx, n.Stores.Runs, id)
	switch {
	case errors.Is(lookErr, ErrForeign), errors.Is(lookErr, ErrNoKey), lookErr == nil && m.JobID != job:
		return nil, nil
	case lookErr != nil:
		return nil, lookErr
	}
	generation, lookErr := n.RowLogs.Newest(ctx, id)
	if lookErr != nil {
		return nil, lookErr
	}
	// Its epoch lies above all that were counted: whoever had the run, be it this process, finds another one.
	rec := RunRecord{Job: job, State: RunInterrupted, Owner: n.Owner, Epoch: uint64(time.Now().UnixMicro()), Generation: max(generation, 1), Started: m.Created, Ended: time.Now().UTC(), Error: shortError(err)}
	for _, d := range m.Destinations {
		if c, err := n.Records.Load(ctx, id, d.ID); err == nil {
			rec.Generation = max(rec.Generation, c.Log.Generation, c.Opened.Generation)
			rec.Resumes = max(rec.Resumes, c.Opened.Incarnation) // commands of those that were are none of the next one's
		}
	}
	if err := cell.Overwrite(ctx, rec); err != nil {
		return nil, err
	}
	return cell, nil
}

// pointJob makes id the job's newest run, unless the pointer has changed since it was read.
func (n *Coordinator) pointJob(ctx context.Context, job, id string, pointer *Cell[JobRun]) error {
	err := pointer.Write(ctx, JobRun{Run: id})
	if errors.Is(err, ErrConflict) {
		if last, _, err := n.lastRun(ctx, job); err == nil && last != nil {
			return n.lostTo(ctx, last)
		}
		return Permanent(fmt.Errorf("job %s was started by another process at the same moment: %w", job, ErrHeld))
	}
	if err != nil {
		return fmt.Errorf("create run: %w", err)
	}
	return nil
}

// couldResume tells who lost an unfinished run to a fresh one how to keep the next.
const couldResume = ". RESUME_JOBS=true or --resume would have gone on with it"
