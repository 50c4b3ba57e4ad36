package main

import (
	"context"
	"time"

	"fanmill/internal/screen"
	"fanmill/internal/web"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
)

// Gauges implements web.Reader.
func (b *pageBackend) Gauges(ctx context.Context) (*web.Gauges, error) {
	runs, err := b.Runs(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := b.sys.node.Stores.Jobs.Keys(ctx, "*")
	if err != nil {
		return nil, err
	}
	g := &web.Gauges{Runs: map[string]int{}, DeadLetters: map[string]int{}}
	complete := map[string]time.Time{}
	logs := map[string]*web.Fill{}
	for i := range runs {
		r := &runs[i]
		g.Runs[r.State]++
		if r.State == string(pipeline.RunComplete) && r.Ended.After(complete[r.JobID]) {
			complete[r.JobID] = r.Ended
		}
		if r.State == string(pipeline.RunRunning) {
			logs[r.JobID] = b.fill(r.Run)
		}
	}
	timetables, err := b.timetables(ctx)
	if err != nil {
		return nil, err
	}
	served := b.jobs.list()
	for _, key := range keys {
		id := pipeline.Untoken(key)
		_, here := served[key]
		of := web.JobGauges{Job: id, Served: here, LastComplete: complete[id], Log: logs[id]}
		if t := timetables[key]; t != nil {
			of.NextScheduled, of.LastScheduled = nextAndLast(t)
		}
		g.Jobs = append(g.Jobs, of)
		g.DeadLetters[id] = 0
	}
	if last := b.sys.reading.last.Load(); last != nil {
		g.Memory = web.Fill{Bytes: last.resident, Max: last.threshold}
	}
	if budget := b.sys.node.Budget; budget != nil {
		queries, sinks := budget.Held()
		g.Budget = web.Fill{Bytes: queries + sinks, Max: budget.Size()}
	}
	letters, err := b.sys.node.Dead.List("")
	if err != nil {
		return nil, err
	}
	for i := range letters {
		g.DeadLetters[letters[i].Job]++
	}
	return g, nil
}

// meter lets a follower of a run count for the page's metrics.
func (s *pageServer) meter(job *pipeline.Job, inline bool, destinations []pipeline.ManifestDestination, f coordinate.Follower) coordinate.Follower {
	if s == nil {
		return f
	}
	count, ended := s.Meter(job, inline, destinations)
	event, done := f.Event, f.Done
	f.Event = func(e pipeline.Event) {
		count(e)
		if event != nil {
			event(e)
		}
	}
	f.Done = func(o *coordinate.Outcome, err error) {
		if o == nil || !o.Already {
			ended(endOf(o))
		}
		if done != nil {
			done(o, err)
		}
	}
	return f
}

// endOf is how a run ended; nil is one that did not come to its end here.
func endOf(o *coordinate.Outcome) web.Ended {
	if o == nil {
		return web.Ended{State: string(pipeline.RunInterrupted)}
	}
	e := web.Ended{State: string(o.State), Took: time.Since(o.Started), Sizes: map[string]int64{}}
	_, destinations := screen.FromReports(o.Reports)
	measure(destinations)
	for i := range destinations {
		if d := &destinations[i]; d.Bytes > 0 {
			e.Sizes[d.ID] = d.Bytes
		}
	}
	if m := o.Measures; m != nil {
		e.Paused, e.LogWait = time.Duration(m.PausedMillis)*time.Millisecond, time.Duration(m.LogWaitMillis)*time.Millisecond
		e.BudgetWaits = m.BudgetWaits
	}
	return e
}
