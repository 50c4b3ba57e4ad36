package coordinate

import (
	"context"
	"log/slog"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// What a coordinator has done by others.

// Describing finds out what the queries of connections return, and which server a connection is on.
type Describing interface {
	Describe(ctx context.Context, p spec.Probe) (o *pipeline.Opening, took time.Duration, err error)
	Server(def *spec.Definition, c *pipeline.Connection) string
}

// Targeting looks whether a destination can be reached and written. It changes nothing.
type Targeting interface {
	Probe(ctx context.Context, log *slog.Logger, def *spec.Definition, m *pipeline.Manifest, d *pipeline.ManifestDestination) error
}

// Cleaning removes what destinations keep to themselves on the disks of this process.
type Cleaning interface {
	// Clean removes what a run keeps of its destinations in homes. waits are the homes, by destination, of which nobody
	// knows yet whether something is left there.
	Clean(ctx context.Context, log *slog.Logger, m *pipeline.Manifest, homes map[string][]string, keepPrevious bool) (waits map[string][]string, _ error)
	// Forget removes what the spool has of a run, and Sweep what it has of runs that the store does not know.
	Forget(run string) error
	Sweep(ctx context.Context) error
}

// Hands carry out the commands of runs in this process.
type Hands interface {
	Asker(w Work) Asker
	Deliverer(w Work) Deliveries
}

// Work is what those who carry out the commands of a run are given.
type Work struct {
	Log        *slog.Logger
	Notify     func(pipeline.Event)
	Rows       func(connection string, rows int64)          // how many rows an attempt has read; may be nil
	Post       func(topic, id string, payload []byte) error // stores a message for people
	StoreFails func() bool                                  // reports whether the store does not work
}

// Asker carries out query commands.
type Asker interface {
	Query(ctx context.Context, command pipeline.QueryCommand, claimed func(context.Context) error) error
	// Measured is how many batches were handed to the row log, how many bytes they have, and how long they waited there.
	Measured() (batches, bytes int64, logWait time.Duration)
}

// Deliveries carry out sink commands.
type Deliveries interface {
	Deliver(ctx context.Context, command pipeline.SinkCommand, claimed func(context.Context) error) error
}
