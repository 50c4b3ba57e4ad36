package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// run is one execution, as its owner holds it.
type run struct {
	*Node
	job     *Job
	m       *Manifest
	cell    *Cell[RunRecord]
	log     RowLog
	fixed   RunRecord // as the run was begun or resumed; cell belongs to the supervisor's goroutine
	wanted  []string  // ids of the connections to ask, in job order
	leftOut []leftOut
}

// leftOut is a connection that some destination lacks and that is not asked this time.
type leftOut struct {
	id   string
	cell *Cell[ConnRecord]
}

// begin makes the run that a trigger asks for, or takes over the one it resumes. Everything the run depends on is in the store
// when it returns.
func (n *Node) begin(ctx context.Context, job *Job, t Trigger, id string) (*run, error) {
	last, pointer, err := n.lastRun(ctx, job.ID)
	if err != nil {
		return nil, err
	}
	if last == nil || !last.Value().State.Resumable() {
		if t.Resume {
			n.Log.Info(fmt.Sprintf("job %s has no unfinished run; starting a new one", job.ID))
		}
		return n.fresh(ctx, job, t, id, pointer)
	}
	if err := n.takeOver(ctx, last); err != nil {
		return nil, err
	}
	if t.Resume {
		return n.resume(ctx, job, t, last)
	}
	if err := n.abandon(ctx, job, last); err != nil {
		return nil, err
	}
	return n.fresh(ctx, job, t, id, pointer)
}

// fresh writes a new run. The job points to it last, so a crash before that leaves nothing that anybody would resume. pointer is
// the revision of the job's pointer that the decision was based on: of two processes that start the job at once, one finds it changed.
func (n *Node) fresh(ctx context.Context, job *Job, t Trigger, id string, pointer uint64) (*run, error) {
	now := time.Now()
	paths, err := n.Resolve(job, id, now)
	if err != nil {
		return nil, Permanent(err)
	}
	m, err := NewManifest(job, id, now.UTC(), n.LogMaxBytes, t.Connections, paths)
	if err != nil {
		return nil, err
	}
	r := &run{Node: n, job: job, m: m}
	if err := errors.Join(n.storeJob(ctx, job), r.putManifest(ctx)); err != nil {
		return nil, err
	}
	for _, d := range m.Destinations {
		if err := n.Records.Create(ctx, id, d.ID, CommitRecord{State: RecordOpen}); err != nil {
			return nil, fmt.Errorf("create commit record: %w", err)
		}
	}
	if r.log, err = n.RowLogs.Create(ctx, m, 1); err != nil {
		return nil, fmt.Errorf("create row log: %w", err)
	}
	rec := RunRecord{Job: job.ID, State: RunRunning, Owner: n.Owner, Generation: 1, Started: now.UTC()}
	if r.cell, err = CreateCell(ctx, n.Stores.Runs, RunKey(id), rec); err != nil {
		return nil, fmt.Errorf("create run: %w", err)
	}
	if err := n.pointJob(ctx, job.ID, id, pointer); err != nil {
		return nil, errors.Join(err, n.RowLogs.Delete(ctx, id, 1))
	}
	for _, c := range m.Connections {
		r.wanted = append(r.wanted, c.ID)
	}
	return r, nil
}

// storeJob shows operators the job as it was last run, without the addresses of its databases: they may hold passwords.
func (n *Node) storeJob(ctx context.Context, job *Job) error {
	shown := *job
	shown.Connections = slices.Clone(job.Connections)
	for i := range shown.Connections {
		shown.Connections[i].DSN = ""
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

func (r *run) putManifest(ctx context.Context) error {
	data, err := json.Marshal(r.m)
	if err != nil {
		return err
	}
	if _, err := r.Stores.Runs.Put(ctx, ManifestKey(r.m.Run), data); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// LoadManifest reads a run's manifest.
func LoadManifest(ctx context.Context, runs KV, id string) (*Manifest, error) {
	e, err := runs.Get(ctx, ManifestKey(id))
	if err != nil {
		return nil, fmt.Errorf("read manifest of run %s: %w", id, err)
	}
	var m Manifest
	if err := json.Unmarshal(e.Value, &m); err != nil {
		return nil, Permanent(fmt.Errorf("read manifest of run %s: %w", id, err))
	}
	return &m, nil
}

// lastRun is the job's newest run, nil if it never ran, and the revision of the pointer to it.
func (n *Node) lastRun(ctx context.Context, job string) (_ *Cell[RunRecord], pointer uint64, _ error) {
	id, err := n.Stores.Runs.Get(ctx, JobRunKey(job))
	if errors.Is(err, ErrNoKey) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("look for runs of %s: %w", job, err)
	}
	cell, err := LoadCell[RunRecord](ctx, n.Stores.Runs, RunKey(string(id.Value)))
	if errors.Is(err, ErrNoKey) {
		return nil, id.Revision, nil
	}
	return cell, id.Revision, err
}

// pointJob makes id the job's newest run, unless the pointer has changed since that revision.
func (n *Node) pointJob(ctx context.Context, job, id string, pointer uint64) (err error) {
	if pointer == 0 {
		_, err = n.Stores.Runs.Create(ctx, JobRunKey(job), []byte(id))
	} else {
		_, err = n.Stores.Runs.Update(ctx, JobRunKey(job), []byte(id), pointer)
	}
	if err == nil {
		return nil
	}
	// The answer may have been lost: run ids are unique, so the pointer tells.
	if now, getErr := n.Stores.Runs.Get(ctx, JobRunKey(job)); getErr == nil && string(now.Value) == id {
		return nil
	}
	if errors.Is(err, ErrConflict) {
		return Permanent(fmt.Errorf("job %s was started by another process at the same moment: %w", job, ErrHeld))
	}
	return fmt.Errorf("create run: %w", err)
}

// runOf is the id that a run's cell stands under. Run ids are tokens already.
func runOf(cell *Cell[RunRecord]) string { return cell.key }
