package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// DescribedElsewhere has connections described by processes that ask databases, for one that does not.
type DescribedElsewhere struct {
	Bus pipeline.Bus
	// Workers are the processes that ask connections and live, by token.
	Workers func() []string
	// Holds reports whether the address of a connection must not go through the store.
	Holds func(*pipeline.Connection) bool

	next atomic.Int64 // spreads the questions over the workers
}

// livesEvery is how often it is looked whether who is asked still lives.
const livesEvery = time.Second

// serverPatience bounds the question which server a connection is on.
const serverPatience = 5 * time.Second

// Describe is Describer.Describe by another process: by the next one where one lacks what the connection refers to,
// ends, or does not answer. p.Look is not called.
func (d *DescribedElsewhere) Describe(ctx context.Context, p spec.Probe) (*pipeline.Opening, time.Duration, error) {
	job := p.Definition.Job
	c, err := job.Connection(p.Connection)
	if err != nil {
		return nil, 0, err
	}
	r := d.request(job, c)
	r.Args, r.NoRun = p.Args, p.NoRun
	server, err := d.server(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	release, err := p.Hosts.Enter(ctx, server)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if p.Asks != nil {
		p.Asks()
	}
	a, err := d.ask(ctx, r)
	if err != nil {
		return nil, 0, err
	}
	return a.Opening, a.took(), a.err()
}

// Server tells the database server of a connection from others; "" if that is not known.
func (d *DescribedElsewhere) Server(def *spec.Definition, c *pipeline.Connection) string {
	ctx, cancel := context.WithTimeout(context.Background(), serverPatience)
	defer cancel()
	server, err := d.server(ctx, d.request(def.Job, c))
	if err != nil {
		return ""
	}
	return server
}

func (d *DescribedElsewhere) server(ctx context.Context, r describeRequest) (string, error) {
	r.ServerOnly = true
	r.Connection.Queries = nil
	a, err := d.ask(ctx, r)
	return a.Server, errors.Join(err, a.err())
}

func (d *DescribedElsewhere) request(job *pipeline.Job, c *pipeline.Connection) describeRequest {
	r := describeRequest{Job: job.ID, MaxDuration: job.MaxDuration, Snapshot: job.Snapshot,
		Connection: pipeline.Connection{ID: c.ID, Driver: c.Driver, DSN: c.DSN, Queries: c.Queries}}
	if d.Holds(c) {
		r.Connection.DSN, r.Held = "", true
	}
	return r
}

// ask asks one process after the other, until one answers that lacks nothing. The answer may say that the connection
// could not be described.
func (d *DescribedElsewhere) ask(ctx context.Context, r describeRequest) (a describeAnswer, _ error) {
	payload, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	workers, first := d.Workers(), int(d.next.Add(1))
	last := errors.New("no process asks databases here")
	for i := range workers {
		worker := workers[(first+i)%len(workers)]
		a, err := d.askOne(ctx, worker, payload)
		switch {
		case ctx.Err() != nil:
			return a, context.Cause(ctx)
		case err == nil && len(a.Missing) == 0 && !a.Stopping:
			return a, nil
		case err == nil:
			last = a.err()
		default:
			last = err
		}
	}
	return a, fmt.Errorf("describe %s: %w", r.Connection.ID, last)
}

// askOne asks one process. One that is gone gives no answer, however long a database may take.
func (d *DescribedElsewhere) askOne(ctx context.Context, worker string, payload []byte) (a describeAnswer, _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer func() { cancel(nil); <-ended }()
	go func() {
		defer close(ended)
		tick := time.NewTicker(livesEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if !d.lives(worker) {
					cancel(errGone)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	data, err := d.Bus.Ask(ctx, pipeline.TopicDescribe(worker), "", payload)
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(data, &a)
}

var errGone = errors.New("the process that was asked is gone")

func (d *DescribedElsewhere) lives(worker string) bool {
	for _, w := range d.Workers() {
		if w == worker {
			return true
		}
	}
	return false
}
