package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/dead"
	"fanmill/pipeline/process"

	"fanmill/internal/config"
	"fanmill/internal/web"
	"fanmill/pipeline"
)

// asPage is a node of its own for what people ask the page for, as the command of another process would have: what this
// process carries out belongs to another owner, and is refused where a command would be.
func (b *pageBackend) asPage() (*process.Node, func(), error) {
	locks, err := b.s.locks()
	if err != nil {
		return nil, nil, err
	}
	own, err := newOwner(locks, b.s.lease)
	if err != nil {
		return nil, nil, err
	}
	node := *b.sys.node
	node.Owner, node.Alive, node.Untold, node.Follow = own.Owner, own.alive, own.untold, nil
	return &node, own.close, nil
}

// told is an event of what somebody has asked the page for. It stands in the run's own stream of events.
type told struct {
	pipeline.Event
	By     string `json:"by"`
	Action string `json:"action"`
}

// eventAsked is the kind of these events.
const eventAsked = "asked"

// tell stores who has asked for what, and what became of it.
func (b *pageBackend) tell(by, action, job, run string, err error) {
	e := told{Event: pipeline.Event{Kind: eventAsked, Job: job, Run: run, Time: time.Now().UTC()}, By: by, Action: action}
	text := fmt.Sprintf("%s asks the page to %s (job %s, run %s)", by, action, job, run)
	if err != nil {
		e.Error = err.Error()
		text += ": " + e.Error
	}
	b.sys.node.Log.Info(text)
	payload, merr := json.Marshal(e)
	if merr == nil {
		merr = b.sys.node.Bus.Publish(pipeline.TopicEvent(job, run, eventAsked), "", payload)
	}
	if merr != nil {
		b.sys.node.Log.Warn("who asked for it could not be stored", "error", merr)
	}
}

// act does one thing for somebody, and stores that. What was refused is so for the page, too.
func (b *pageBackend) act(by, action, job, run string, do func(*process.Node) (*web.Done, error)) (*web.Done, error) {
	node, done, err := b.asPage()
	if err != nil {
		return nil, err
	}
	defer done()
	d, err := do(node)
	if err == nil && d.Run != "" {
		run = d.Run
	}
	b.tell(by, action, job, run, err)
	if err != nil {
		return nil, web.Refuse(err)
	}
	return d, nil
}

// Start implements web.Actor.
func (b *pageBackend) Start(ctx context.Context, by, job string, s web.Start) (*web.Done, error) {
	if s.ID != "" {
		if err := pipeline.CheckRunID(s.ID); err != nil {
			return nil, web.Refuse(err)
		}
	} else {
		s.ID = pipeline.NewRunID(time.Now())
	}
	return b.act(by, "start", job, s.ID, func(*process.Node) (*web.Done, error) {
		return b.trigger(ctx, job, s.ID, pipeline.Trigger{StartOver: s.StartOver, Connections: s.Connections, Params: s.Params})
	})
}

// trigger asks whoever serves for a run.
func (b *pageBackend) trigger(ctx context.Context, job, id string, t pipeline.Trigger) (*web.Done, error) {
	payload, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	w := &asked{topic: pipeline.TopicTrigger(job), settings: b.s, job: job, id: id, payload: payload, log: b.sys.node.Log}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	a, err := w.ask(ctx, b.sys.node.Bus)
	switch {
	case errors.Is(err, pipeline.ErrNoAnswer):
		return &web.Done{Said: w.unanswered(), Run: id, JobID: job, State: pipeline.AnswerQueued}, nil
	case err != nil:
		return nil, err
	}
	return answerDone(a)
}

// answerDone is what whoever serves has said.
func answerDone(a pipeline.Answer) (*web.Done, error) {
	if a.Error != "" {
		return nil, errors.New(trimmed(saidOf(a)))
	}
	return &web.Done{Said: trimmed(saidOf(a)), Run: a.Run, JobID: a.Job, State: a.State}, nil
}

// seen is a run's record, if it is still as somebody has seen it.
func (b *pageBackend) seen(ctx context.Context, run, seen string) (*checkpoint.RunRecord, error) {
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, b.sys.node.Stores.Runs, checkpoint.RunKey(run))
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, web.None("there is no run %q; it may have been removed, being old", run)
	}
	if err != nil {
		return nil, err
	}
	rec := cell.Value()
	if now := revision(&rec); now != seen {
		return nil, web.Refuse(fmt.Errorf("run %s has changed since the page was made: it is %s now. Look at it and ask again", run, rec.State))
	}
	return &rec, nil
}

// Resume implements web.Actor.
func (b *pageBackend) Resume(ctx context.Context, by, run, seen string) (*web.Done, error) {
	rec, err := b.seen(ctx, run, seen)
	if err != nil {
		return nil, err
	}
	return b.act(by, "resume", rec.Job, run, func(node *process.Node) (*web.Done, error) {
		last, err := node.View().LastRun(ctx, rec.Job)
		switch {
		case err != nil:
			return nil, err
		case last != run:
			return nil, fmt.Errorf("run %s came after it; only a job's newest run goes on", last)
		case !rec.State.Resumable():
			return nil, fmt.Errorf("run %s is %s: there is nothing to resume", run, rec.State)
		}
		d, err := b.trigger(ctx, rec.Job, pipeline.NewRunID(time.Now()), pipeline.Trigger{Resume: true})
		if err == nil {
			d.Run = run
		}
		return d, err
	})
}

// Cancel implements web.Actor. One that waits for its turn has no record yet.
func (b *pageBackend) Cancel(ctx context.Context, by, run, seen string) (*web.Done, error) {
	job := ""
	now, err := b.Run(ctx, run)
	if err != nil {
		return nil, err
	}
	if job = now.JobID; now.Revision != seen {
		return nil, web.Refuse(fmt.Errorf("run %s has changed since the page was made: it is %s now. Look at it and ask again", run, now.State))
	}
	return b.act(by, "cancel", job, run, func(node *process.Node) (*web.Done, error) {
		a, err := cancelRun(ctx, node, run)
		if err != nil {
			return nil, err
		}
		return answerDone(a)
	})
}

// cancelRun asks whoever has a run to stop it; where nobody answers the wish is stored.
func cancelRun(ctx context.Context, node *process.Node, run string) (a pipeline.Answer, err error) {
	asking, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	data, err := node.Bus.Ask(asking, pipeline.TopicCancel(run), "", nil)
	if errors.Is(err, pipeline.ErrNoAnswer) { // whoever has it is frozen, or gone; or nobody has it yet
		if a, err = node.Coordinator().Cancel(ctx, run); err != nil {
			return a, fmt.Errorf("no process answers, and that run %s is to stop cannot be stored: %w", run, err)
		}
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("the answer cannot be understood: %s", data)
	}
	return a, nil
}

// GiveUp implements web.Actor.
func (b *pageBackend) GiveUp(ctx context.Context, by, job, seen string) (*web.Done, error) {
	last, err := b.sys.node.View().LastRun(ctx, job)
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, web.None("job %q never ran", job)
	}
	if err != nil {
		return nil, err
	}
	if _, err := b.seen(ctx, last, seen); err != nil {
		return nil, err
	}
	return b.act(by, "drop the checkpoint", job, last, func(node *process.Node) (*web.Done, error) {
		run, err := node.Coordinator().Abandon(ctx, job)
		if err != nil {
			return nil, err
		}
		return &web.Done{Said: givenUpText(run), Run: run, JobID: job, State: string(pipeline.RunAbandoned)}, nil
	})
}

// Forget implements web.Actor.
func (b *pageBackend) Forget(ctx context.Context, by, run, seen string) (*web.Done, error) {
	rec, err := b.seen(ctx, run, seen)
	if err != nil {
		return nil, err
	}
	return b.act(by, "forget", rec.Job, run, func(node *process.Node) (*web.Done, error) {
		if err := node.Coordinator().Remove(ctx, run); err != nil {
			return nil, err
		}
		return &web.Done{Said: forgottenText(run), Run: run, JobID: rec.Job, State: "removed"}, nil
	})
}

// seenLetter is a dead request, if it is still as somebody has seen it.
func (b *pageBackend) seenLetter(ctx context.Context, key, seen string) (*dead.Standing, error) {
	l, err := b.letter(ctx, key)
	if err != nil {
		return nil, err
	}
	if l.State != seen {
		return nil, web.Refuse(fmt.Errorf("request %s has changed since the page was made: it is %s now. Look at it and ask again", key, l.State))
	}
	return l, nil
}

// Replay implements web.Actor.
func (b *pageBackend) Replay(ctx context.Context, by, key, seen string, resend bool) (*web.Done, error) {
	l, err := b.seenLetter(ctx, key, seen)
	if err != nil {
		return nil, err
	}
	return b.act(by, "send request "+key+" again", l.Job, l.Run, func(node *process.Node) (*web.Done, error) {
		if err := node.Letters().Replay(ctx, l.Letter, resend); err != nil {
			return nil, err
		}
		return b.decided(ctx, node, l, dead.Again), nil
	})
}

// Drop implements web.Actor.
func (b *pageBackend) Drop(ctx context.Context, by, key, seen string) (*web.Done, error) {
	l, err := b.seenLetter(ctx, key, seen)
	if err != nil {
		return nil, err
	}
	return b.act(by, "drop request "+key, l.Job, l.Run, func(node *process.Node) (*web.Done, error) {
		pending, err := node.Letters().Drop(ctx, l.Letter)
		if err != nil {
			return nil, err
		}
		if pending {
			return b.decided(ctx, node, l, dead.Dropped), nil
		}
		return b.decided(ctx, node, l, "dropped"), nil
	})
}

// decided says what is to become of a dead request.
func (b *pageBackend) decided(ctx context.Context, node *process.Node, l *dead.Standing, state string) *web.Done {
	text := fmt.Sprintf("request %s is %s", l.Key, state)
	if state == dead.Again || state == dead.Dropped {
		text += ": " + b.s.resumeOf(ctx, node, l.Letter) + " does it"
	}
	return &web.Done{Said: text, Run: l.Run, JobID: l.Job, State: state}
}

// loaded is the file of a job that this process serves.
func (b *pageBackend) loaded(job string) (*config.File, error) {
	if b.jobs == nil {
		return nil, web.Refuse(fmt.Errorf("this process has not the file of job %s: use the page of fanmill serve, or fanmill check and fanmill preview with the job's file", job))
	}
	file, err := b.jobs.loaded(pipeline.Token(job))
	if err != nil {
		return nil, web.Refuse(err)
	}
	return file, nil
}

// Check implements web.Actor.
func (b *pageBackend) Check(ctx context.Context, job string, connections []string, params map[string]any) (*web.Check, error) {
	file, err := b.loaded(job)
	if err == nil {
		if bad := fits(file, connections, params); bad != nil {
			err = web.Refuse(bad)
		}
	}
	if err != nil {
		return nil, err
	}
	args, err := file.Params(params, time.Now())
	if err != nil {
		return nil, web.Refuse(err)
	}
	v, err := b.s.checkJob(ctx, file, connections, args)
	if err != nil {
		return nil, web.Refuse(err)
	}
	out := &web.Check{Good: good(&v), Millis: v.Millis, Connections: []web.CheckLine{}, Destinations: append([]string{}, v.Destinations...), Warnings: append([]string{}, v.Warnings...)}
	for _, c := range v.Connections {
		line := web.CheckLine{ID: c.ID, Name: c.Name, Reachable: c.Reachable, Millis: c.Millis, Server: c.Server, Differs: []string{}, Warnings: append([]string{}, c.Warnings...), Error: c.Error}
		for _, name := range c.Missing {
			line.Differs = append(line.Differs, "lacks "+name)
		}
		for _, name := range c.Extra {
			line.Differs = append(line.Differs, "has "+name+", which others have not")
		}
		for _, r := range c.Retyped {
			line.Differs = append(line.Differs, fmt.Sprintf("%s is %s, elsewhere %s", r.Column, r.Type, r.Usual))
		}
		out.Connections = append(out.Connections, line)
	}
	return out, nil
}

// previewed is how many rows the page shows of a connection.
const previewed = 20

// Preview implements web.Actor.
func (b *pageBackend) Preview(ctx context.Context, job string, p web.Preview) (*web.Rows, error) {
	file, err := b.loaded(job)
	if err != nil {
		return nil, err
	}
	if p.Connection == "" {
		p.Connection = file.Job.Connections[0].ID
	}
	args, err := file.Params(p.Params, time.Now())
	if err != nil {
		return nil, web.Refuse(err)
	}
	v, err := b.s.preview(ctx, file, p.Connection, p.Query, previewed, args)
	if err != nil {
		return nil, web.Refuse(err)
	}
	out := &web.Rows{Connection: v.Connection, Query: v.Query, Server: v.Server, Millis: v.Millis, Columns: []web.Column{}, Rows: [][]*string{}, More: v.More}
	for _, c := range v.Columns {
		out.Columns = append(out.Columns, web.Column(c))
	}
	for _, r := range v.Rows {
		row := make([]*string, len(r))
		for i := range r {
			if !r[i].Null {
				row[i] = &r[i].Text
			}
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}
