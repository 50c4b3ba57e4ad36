package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fanmill/checkpoint"

	"fanmill/internal/web"
	"fanmill/pipeline"
)

// shownLast is how many of a job's last runs stand as marks.
const shownLast = 24

// Jobs implements web.Reader.
func (b *pageBackend) Jobs(ctx context.Context) ([]web.Job, error) {
	runs, err := b.Runs(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := b.sys.node.Stores.Jobs.Keys(ctx, "*")
	if err != nil {
		return nil, err
	}
	timetables, err := b.timetables(ctx)
	if err != nil {
		return nil, err
	}
	served := b.jobs.list()
	out := []web.Job{}
	for _, key := range keys {
		e, err := b.sys.node.Stores.Jobs.Get(ctx, key)
		if errors.Is(err, pipeline.ErrNoKey) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var job pipeline.Job
		if err := json.Unmarshal(e.Value, &job); err != nil {
			b.sys.node.Log.Warn("another program has written over a job in the store; it is not shown", "key", key, "error", err)
			continue
		}
		v := jobView(&job)
		v.Revision = fmt.Sprint(e.Revision)
		if t := timetables[key]; t != nil {
			v.Schedules, v.Paused = scheduleViews(t)
		}
		if s, ok := served[key]; ok {
			v.Served, v.Path, v.Problem = true, s.path, s.problem
			delete(served, key)
		}
		for _, r := range runs {
			if r.JobID == job.ID && len(v.Last) < shownLast {
				v.Last = append(v.Last, r)
			}
		}
		out = append(out, v)
	}
	for key, s := range served { // a file that could never be used has no job in the store
		out = append(out, web.Job{ID: pipeline.Untoken(key), Name: s.path, Path: s.path, Problem: s.problem, Facts: []web.Fact{}, Params: []web.Param{},
			Connections: []web.JobConnection{}, Queries: []web.JobQuery{}, Destinations: []web.JobDestination{}, Last: []web.RunLine{}, Schedules: []web.JobSchedule{}})
	}
	slices.SortFunc(out, func(a, b web.Job) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}

// jobView is a job as the store has it: without addresses and secrets.
func jobView(job *pipeline.Job) web.Job {
	v := web.Job{ID: job.ID, Name: job.Name, TimeZone: job.TimeZone, Params: []web.Param{}, Connections: []web.JobConnection{}, Queries: []web.JobQuery{},
		Destinations: []web.JobDestination{}, Last: []web.RunLine{}, Schedules: []web.JobSchedule{}}
	v.Facts = []web.Fact{{Name: "Attempts", Value: fmt.Sprint(max(job.Retry.Attempts, 1))},
		{Name: "When it runs already", Value: cmp.Or(job.OnOverlap, pipeline.OverlapQueue)},
		{Name: "When columns differ", Value: cmp.Or(job.OnDrift, pipeline.DriftUnion)},
		{Name: "Connections at a time on one server", Value: fmt.Sprint(cmp.Or(job.ParallelPerHost, pipeline.DefaultParallelPerHost))}}
	if job.MaxDuration > 0 {
		v.Facts = append(v.Facts, web.Fact{Name: "Longest attempt", Value: job.MaxDuration.String()})
	}
	for _, name := range slices.Sorted(maps.Keys(job.Params)) {
		v.Params = append(v.Params, web.Param{Name: name, Type: string(job.Params[name].Type), Value: job.Params[name].Text})
	}
	for _, c := range job.Connections {
		v.Connections = append(v.Connections, web.JobConnection{ID: c.ID, Name: c.Name, Driver: c.Driver, Labels: c.Labels})
		for _, q := range c.Queries {
			i := slices.IndexFunc(v.Queries, func(have web.JobQuery) bool { return have.Name == q.Name && have.SQL == q.SQL })
			if i < 0 {
				v.Queries = append(v.Queries, web.JobQuery{Name: q.Name, SQL: q.SQL})
				i = len(v.Queries) - 1
			}
			v.Queries[i].Connections++
		}
	}
	kinds := sinkKinds()
	for _, d := range job.Destinations {
		to := web.JobDestination{ID: d.ID, Type: d.Type, Label: d.Type, Where: d.FilePath, Mode: d.Mode}
		if kind := kinds[d.Type]; kind != nil {
			to.Label, to.Where = kind.Label, cmp.Or(kind.Where(d.Options), d.FilePath)
		}
		v.Destinations = append(v.Destinations, to)
	}
	return v
}

// servedFile is a job file as this process serves it.
type servedFile struct{ path, problem string }

// list are the files of a folder, by the token of their job, or of their name where they never had one.
func (f *folder) list() map[string]servedFile {
	out := map[string]servedFile{}
	f.mu.Lock()
	defer f.mu.Unlock()
	for path, j := range f.files {
		key, s := pipeline.Token(path), servedFile{path: path}
		if j.file != nil {
			key = pipeline.Token(j.file.Job.ID)
			if twin := f.twin(path, j.file.Job.ID); twin != "" {
				s.problem = twin + " has the same id; neither is served until one is changed"
			}
		}
		if j.problem != nil {
			s.problem = j.problem.Error()
		}
		out[key] = s
	}
	return out
}

// Checkpoints implements web.Reader.
func (b *pageBackend) Checkpoints(ctx context.Context) ([]web.Checkpoint, error) {
	all, err := checkpoints(ctx, b.sys.node.Stores, "")
	if err != nil {
		return nil, err
	}
	out := []web.Checkpoint{}
	for i := range all {
		c, err := b.checkpoint(ctx, &all[i])
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// checkpoint is a public checkpoint with what its run says.
func (b *pageBackend) checkpoint(ctx context.Context, p *pipeline.PublicCheckpoint) (web.Checkpoint, error) {
	c := web.Checkpoint{JobID: p.JobID, JobName: p.JobName, Completed: append([]string{}, p.CompletedConnectionIDs...), Failed: append([]string{}, p.FailedConnectionIDs...),
		Missing: []string{}, Total: p.TotalConnections, Updated: p.LastUpdated}
	run, err := b.sys.node.View().LastRun(ctx, p.JobID)
	if errors.Is(err, pipeline.ErrNoKey) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.Run = run
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, b.sys.node.Stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		return c, ignoreGone(err)
	}
	rec := cell.Value()
	c.State, c.Revision = string(rec.State), revision(&rec)
	if rec.State == pipeline.RunRunning && !rec.HandedOver && b.s.gone(rec.Owner) {
		c.State = string(pipeline.RunInterrupted)
	}
	m, err := checkpoint.LoadManifest(ctx, b.sys.node.Stores.Runs, run)
	if err != nil {
		return c, ignoreGone(err)
	}
	for _, mc := range m.Connections {
		if !slices.Contains(c.Completed, mc.ID) && !slices.Contains(c.Failed, mc.ID) {
			c.Missing = append(c.Missing, mc.ID)
		}
	}
	return c, nil
}

// ignoreGone passes over what was removed meanwhile, and what another program has damaged.
func ignoreGone(err error) error {
	if errors.Is(err, pipeline.ErrNoKey) || errors.Is(err, pipeline.ErrForeign) {
		return nil
	}
	return err
}
