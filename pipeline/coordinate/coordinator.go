package coordinate

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/view"
)

// Coordinator begins runs, takes them over, and carries them out until they end. It writes the records of runs; what is
// to be asked and delivered it commands, and reads in the records how that goes.
type Coordinator struct {
	Stores   pipeline.Stores
	Records  checkpoint.Records
	RowLogs  pipeline.RowLogs
	Bus      pipeline.Bus
	Progress checkpoint.Progress
	Store    pipeline.Store // may be nil: then nobody watches it
	Sinks    map[string]*pipeline.SinkKind

	Jobs *spec.Jobs // that the process holds
	// Holds reports whether the address of a connection must not go into the store: there may be a password in it.
	Holds     func(*pipeline.Connection) bool
	Describer Describing
	Targets   Targeting
	Cleaner   Cleaning
	Hands     Hands

	// Alive reports whether an owner's process still runs; known is false where this process cannot tell.
	Alive func(pipeline.Owner) (alive, known bool)
	// Untold reports whether an owner's process is gone and had not come to its orderly end: whoever started it does
	// not know how its run ended. nil is never.
	Untold func(pipeline.Owner) bool

	// Lease is that of this process, and Peers see the other processes; both are nil where it takes no work.
	Lease *checkpoint.Lease
	Peers *checkpoint.Processes

	Owner    pipeline.Owner
	Parallel int // connections that those ask at a time who take this coordinator's commands
	// Own has the runs done by this process alone: their commands go to a pool, and a place, that nobody else has.
	Own         bool
	LogMaxBytes int64         // of a run's row log
	Timeout     time.Duration // destinationTimeout
	// StorePatience is how long a run waits for a store that does not work; 0 is two minutes.
	StorePatience time.Duration
	News          time.Duration    // how often a long comparison of columns says how far it is; 0 is comparisonNews
	Budget        *memory.Budget   // of the rows in memory, of all runs of the process
	Memory        *memory.Watch    // watches the process; may be nil
	Tracing       pipeline.Tracing // may be nil
	Log           *slog.Logger
	// Follow is called when this process begins or takes over a run, with the destinations that the run has: who
	// follows it logs what is said of it and sees its events. nil is Log, and nobody.
	Follow func(job *pipeline.Job, run string, destinations []pipeline.ManifestDestination) Follower

	follower Follower                          // of the run that a copy is for
	watch    *storeWatch                       // what the run that a copy is for knows of the store
	live     func() []checkpoint.ProcessRecord // tests have it in place of what Peers see
}

// View reads what the store has of runs.
func (n *Coordinator) View() *view.View {
	return &view.View{Runs: n.Stores.Runs, Records: n.Records, RowLogs: n.RowLogs, Bus: n.Bus, Log: n.Log}
}

// Follower follows one run in this process.
type Follower struct {
	Log   *slog.Logger
	Event func(pipeline.Event)
	// How many rows an attempt has read, often and from several goroutines; may be nil.
	Rows func(connection string, rows int64)
	// Checkpoint sees how far the run is, also what an earlier process delivered; may be nil.
	Checkpoint func(pipeline.PublicCheckpoint)
	Done       func(*Outcome, error) // the run is over, here
}

// Outcome is how a run ended.
type Outcome struct {
	Run      string
	State    pipeline.RunState
	Started  time.Time
	Reports  []*pipeline.Report // by destination
	Measures *pipeline.Measures
	// A destination's committed bytes were gone, or frames that it had yet to read, and are not delivered again yet.
	Lost    bool
	Owner   pipeline.Owner // whose process ended it
	Already bool           // it was complete before it was asked for
}

// Carry carries a trigger out: the run that it asks for, or the one that it resumes. began is told the run's id once
// it is certain.
func (n *Coordinator) Carry(ctx context.Context, def *spec.Definition, t spec.Request, began func(run string)) (out *Outcome, err error) {
	if n.watch == nil || !n.watch.ends {
		watching, watched, stop := n.Watched(ctx, false)
		defer stop()
		ctx, n = watching, watched
	}
	defer n.Jobs.Hold(def)()
	r, ended, err := n.begin(ctx, def, t)
	if err != nil {
		return nil, Reason(ctx, err)
	}
	if ended != nil {
		return ended, nil
	}
	defer func() {
		if r.c.follower.Done != nil {
			r.c.follower.Done(out, err)
		}
	}()
	began(r.m.Run)
	out, err = r.execute(ctx)
	if err != nil || !out.Lost {
		return out, err
	}
	// A destination found its committed bytes gone, or what it must read next. The run knows how to bring them again,
	// so nobody has to ask for it.
	r.c.Log.Warn(fmt.Sprintf("run %s delivers anew what was lost", out.Run))
	if err := r.c.take(ctx, r.doc); err != nil { // it has ended: another process may have it by now
		return nil, err
	}
	defer r.c.letGo(ctx, r.doc)
	t.Again = true
	again, err := r.c.resume(ctx, r.def, t, r.doc)
	if err != nil {
		return nil, err
	}
	return again.execute(ctx)
}

// following is a copy of the coordinator for one run, followed by whoever wants to. leave is told how its beginning
// went: if it did not come about, the follower is done.
func (n *Coordinator) following(job *pipeline.Job, run string, destinations []pipeline.ManifestDestination) (own *Coordinator, leave func(error)) {
	if n.follower.Log != nil || n.Follow == nil {
		return n, func(error) {}
	}
	one := *n
	one.follower = n.Follow(job, run, destinations)
	one.Log = one.follower.Log
	return &one, func(err error) {
		if err != nil && one.follower.Done != nil {
			one.follower.Done(nil, err)
		}
	}
}
