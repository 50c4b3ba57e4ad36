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

// Hands are what a process does for runs itself, whoever coordinates them: it asks connections and writes destinations
// as commands say. A coordinator knows of that only what its process does for its own runs; what others do it reads in
// the records.
type Hands interface {
	// Join has what the process does for a run shown to its coordinator until it leaves. It comes before the run's first
	// command.
	Join(w Work) Share
}

// Work is what a coordinator gives to what its process does for its run.
type Work struct {
	Job, Run    string
	Incarnation int             // of the run, as in its commands
	Asking      context.Context // connections are asked as long as it lasts
	Log         *slog.Logger
	Notify      func(pipeline.Event)                // tells what happened
	Rows        func(connection string, rows int64) // how many rows an attempt has read; may be nil
	Fail        func(error)                         // ends the run here: a record of it is gone, or cannot be read
	StoreFails  func() bool                         // reports whether the store does not work
}

// Share is what a process does for one run that it coordinates.
type Share interface {
	// Asks and Writes report whether the process has a connection, or a destination, in hand.
	Asks(connection string) bool
	Writes(destination string) bool
	// Stop ends the attempts of this process, which takes no further connection of the run; their connections are given
	// back. The channel closes when none is left.
	Stop(why error) (stopped <-chan struct{})
	// Leave ends all that the process does for the run, and waits for that.
	Leave(why error)
	// Measured is how many batches the process handed to the row log, how many bytes they have, and how long they waited
	// there.
	Measured() (batches, bytes int64, logWait time.Duration)
}
