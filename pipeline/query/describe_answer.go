package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cespare/xxhash/v2"

	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// DescribingFor answers processes that do not ask databases themselves what their connections return.
type DescribingFor struct {
	Describer *Describer
	Jobs      *spec.Jobs // that the process holds
	Bus       pipeline.Bus
	Owner     pipeline.Owner
	Log       *slog.Logger
	Ready     func() // is called once questions are heard; may be nil
}

var errStops = errors.New("the process that was asked is being stopped")

// describeAtOnce bounds the connections that a process describes for others at a time.
const describeAtOnce = 16

// Serve answers until ctx ends. A process that may not hear the questions says so, and does all else.
func (d *DescribingFor) Serve(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	places := make(chan struct{}, describeAtOnce)
	stop, err := d.Bus.Listen(pipeline.TopicDescribe(d.Owner.Token), func(q pipeline.Inquiry) {
		work.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			d.answer(ctx, q)
		})
	})
	if err != nil {
		d.Log.Warn("this process cannot describe connections for others", "error", err)
		return
	}
	if d.Ready != nil {
		d.Ready()
	}
	<-ctx.Done()
	stop()
}

func (d *DescribingFor) answer(ctx context.Context, q pipeline.Inquiry) {
	var r describeRequest
	if err := json.Unmarshal(q.Payload, &r); err != nil || q.Answer == nil {
		d.Log.Error("dropped a request to describe a connection that cannot be read", "subject", q.Subject)
		return
	}
	a := d.describe(ctx, &r)
	if ctx.Err() != nil {
		a = failed(errStops)
		a.Stopping = true
	}
	payload, err := json.Marshal(a)
	if err == nil {
		err = q.Answer(payload)
	}
	if err != nil {
		d.Log.Debug("what a connection returns could not be answered", "connection", r.Connection.ID, "error", err)
	}
}

func (d *DescribingFor) describe(ctx context.Context, r *describeRequest) describeAnswer {
	c := r.Connection
	if r.Held {
		known := false
		if c.DSN, known = d.Jobs.DSN(r.Job, c.ID); !known {
			return failed(&heldError{r.Job, c.ID})
		}
	}
	kind, ok := d.Describer.Databases[c.Driver]
	if !ok {
		return failed(pipeline.Permanent(fmt.Errorf("no driver %q", c.Driver)))
	}
	dsn, err := d.Jobs.Expand(r.Job)(c.DSN)
	if err != nil {
		return failed(err)
	}
	var a describeAnswer
	if host := kind.Driver.Host(dsn); host != "" {
		a.Server = fmt.Sprintf("%016x", xxhash.Sum64String(host))
	}
	if r.ServerOnly {
		return a
	}
	def := &spec.Definition{Job: &pipeline.Job{ID: r.Job, Connections: []pipeline.Connection{c}, MaxDuration: r.MaxDuration, Snapshot: r.Snapshot},
		Expand: func(string) (string, error) { return dsn, nil }}
	// Who asks bounds how many are asked on one server.
	opening, took, err := d.Describer.Describe(ctx, spec.Probe{Definition: def, Connection: c.ID, Args: r.Args, NoRun: r.NoRun, Hosts: pipeline.NewHosts(describeAtOnce)})
	if err != nil {
		a = failed(err)
	}
	a.Opening, a.Millis = opening, took.Milliseconds()
	return a
}
