package process

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline/dead"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/deliver"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/query"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"
	"fanmill/pipeline/view"
)

// Node is one process's share of fanmill: it takes triggers, coordinates their runs and works on their commands.
type Node struct {
	Stores    pipeline.Stores
	Records   checkpoint.Records
	RowLogs   pipeline.RowLogs
	Bus       pipeline.Bus
	Progress  checkpoint.Progress
	Store     pipeline.Store                    // may be nil: then nobody watches it
	Specs     *spec.Cache                       // of the runs that the process works on
	Jobs      *spec.Jobs                        // that the process holds
	Databases map[string]*pipeline.DatabaseKind // by each of their names
	Sinks     map[string]*pipeline.SinkKind
	Notify    map[string]*pipeline.NotifyKind // none tells nobody
	// ServedJobs are the jobs that this process serves now, which may be late; may be nil.
	ServedJobs func() []*pipeline.Job

	// Alive reports whether an owner's process still runs; known is false where this process cannot tell.
	Alive func(pipeline.Owner) (alive, known bool)
	// Untold reports whether an owner's process is gone and had not come to its orderly end: whoever started it does
	// not know how its run ended. nil is never.
	Untold func(pipeline.Owner) bool

	Owner   pipeline.Owner
	Program string          // its version
	Disks   *deliver.Places // of this process; nil is those of Owner.Home
	StoreID string
	// What the process does: pipeline.RoleCoordinator and the like; none is all. Run has all of them.
	Roles       []string
	Writes      []string      // types of destinations that it writes; none is all that there are
	Parallel    int           // connections asked at a time
	SinkSlots   int           // destinations written at a time; 0 is checkpoint.DefaultSinkSlots
	LogMaxBytes int64         // of a run's row log
	Timeout     time.Duration // destinationTimeout
	// StorePatience is how long a run waits for a store that does not work; 0 is two minutes.
	StorePatience time.Duration
	QueryTimeout  time.Duration  // a database may deliver nothing for so long; 0 is no limit
	News          time.Duration  // how often a long comparison of columns says how far it is; 0 is every 5 s
	Budget        *memory.Budget // of the rows in memory, of all runs of the process
	Memory        *memory.Watch  // watches the process; may be nil
	// Of this process; nil if it has none: no spooled destination, no row larger than a message.
	Spool   *spool.Root
	Dead    *dead.Folder     // of requests that receivers refuse; nil keeps none
	Tracing pipeline.Tracing // may be nil
	Reports string           // the folder of the reports of destinations that are no files; "" writes none
	Log     *slog.Logger
	// Follow is called when this process begins or takes over a run, with the destinations that the run has: who
	// follows it logs what is said of it and sees its events. nil is Log, and nobody.
	Follow func(job *pipeline.Job, run string, destinations []pipeline.ManifestDestination) coordinate.Follower
}

// Run asks for a run of a job by a trigger message, takes that message, and carries the run out, all in this process;
// see trigger.Run.
func (n *Node) Run(ctx context.Context, def *spec.Definition, t pipeline.Trigger) (*coordinate.Outcome, error) {
	own := *n
	own.Roles, own.Writes = []string{pipeline.RoleRun}, nil
	w := newWork(&own, true)
	c := own.coordinator(w)
	ctx, stop, err := own.leased(ctx, c, w)
	if err != nil {
		return nil, err
	}
	defer stop()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
		defer cancel()
		w.close(ctx)
	}()
	defer n.Jobs.Hold(def)()
	defer own.telling(ctx, c, def.Job)()
	return trigger.Run(ctx, c, def, t)
}

// closePatience bounds the removal of what a process has left in the store at its end.
const closePatience = 2 * time.Second

// Serve does what the roles of the process say until ctx ends: it takes triggers, see trigger.Serve, and carries out
// commands. Without the role of a coordinator s is not used but for Ready.
func (n *Node) Serve(ctx context.Context, s trigger.Service) error {
	w := newWork(n, false)
	c := n.coordinator(w)
	ctx, stop, err := n.leased(ctx, c, w)
	if err != nil {
		return err
	}
	defer stop()
	defer n.witness(ctx)()
	ctx, c, unwatch := c.Watched(ctx, true)
	defer unwatch()
	w.storeFails = c.StoreFails
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return w.serve(ctx) })
	if n.has(pipeline.RoleQuery) {
		describing := &query.DescribingFor{Describer: n.Describer(), Jobs: n.Jobs, Bus: n.Bus, Owner: n.Owner, Log: n.Log}
		all.Go(func() error { describing.Serve(ctx); return nil })
	}
	if n.has(pipeline.RoleCoordinator) {
		all.Go(func() error { return trigger.Serve(ctx, c, s) })
		all.Go(func() error { n.tell(ctx, c); return nil })
	} else {
		if s.Ready != nil {
			s.Ready()
		}
		if n.has(pipeline.RoleSink) {
			all.Go(func() error { trigger.Tidy(ctx, c, s.SweepEvery); return nil })
		}
	}
	err = all.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, pipeline.ErrStore) || errors.Is(cause, checkpoint.ErrDead) {
		return cause
	}
	return err
}

// Coordinator changes the state of runs that no process carries out.
func (n *Node) Coordinator() *coordinate.Coordinator { return n.coordinator(nil) }

// coordinator is one whose process carries commands out as w does.
func (n *Node) coordinator(w *work) *coordinate.Coordinator {
	c := &coordinate.Coordinator{Stores: n.Stores, Records: n.Records, RowLogs: n.RowLogs, Bus: n.Bus, Progress: n.Progress, Store: n.Store, Sinks: n.Sinks,
		Jobs: n.Jobs, Holds: n.holds, Describer: n.Describer(), Targets: n.Targets(),
		Cleaner: &deliver.Cleaner{Sinks: n.Sinks, StoreID: n.StoreID, Owner: n.Owner, Places: n.disks(), Spool: n.Spool, Runs: n.Stores.Runs},
		Alive:   n.Alive, Untold: n.Untold, Owner: n.Owner, Parallel: n.Parallel, LogMaxBytes: n.LogMaxBytes, Timeout: n.Timeout, StorePatience: n.StorePatience,
		News: n.News, Budget: n.Budget, Memory: n.Memory, Tracing: n.Tracing, Log: n.Log, Follow: n.Follow}
	if w != nil {
		c.Hands, c.Own = w, w.own
	}
	if w != nil && !w.own {
		targets := n.Targets()
		if targets.Writes = []string{}; n.has(pipeline.RoleSink) {
			targets.Writes = n.sinkKinds()
		}
		c.Targets = targets
	}
	if w != nil && !w.own && !n.has(pipeline.RoleQuery) { // it may have neither the variables nor the way to the databases
		c.Describer = &query.DescribedElsewhere{Bus: n.Bus, Workers: c.Workers, Holds: n.holds}
	}
	return c
}

// holds reports whether the address of a connection must not go into the store: there is, or may be, a password in it.
// That of a server is not looked at more closely where its parts have no reference and the store is this process's own.
func (n *Node) holds(c *pipeline.Connection) bool {
	kind := n.Databases[c.Driver]
	alone := n.Owner.Home == "" // no other host has the store
	return pipeline.LiteralPassword(c.DSN, n.Databases) || alone && !pipeline.HasReference(c.DSN) && (kind == nil || !kind.File)
}

// View reads what the store has of runs.
func (n *Node) View() *view.View {
	return &view.View{Runs: n.Stores.Runs, Records: n.Records, RowLogs: n.RowLogs, Bus: n.Bus, Log: n.Log}
}

// Describer finds out what queries return.
func (n *Node) Describer() *query.Describer {
	return &query.Describer{Databases: n.Databases, QueryTimeout: n.QueryTimeout}
}

// Targets looks whether destinations can be reached.
func (n *Node) Targets() *deliver.Targets {
	return &deliver.Targets{Sinks: n.Sinks, StoreID: n.StoreID}
}

// Letters are the dead requests that this process keeps.
func (n *Node) Letters() *deliver.Letters {
	return &deliver.Letters{Dead: n.Dead, Records: n.Records, Runs: n.Stores.Runs, View: n.View(), Holder: n.Coordinator(), Sinks: n.Sinks, StoreID: n.StoreID,
		Spool: n.Spool, LogMaxBytes: n.LogMaxBytes, Log: n.Log}
}

// Adopter takes over files of other homes.
func (n *Node) Adopter() *deliver.Adopter {
	return &deliver.Adopter{Records: n.Records, Sinks: n.Sinks, StoreID: n.StoreID, Owner: n.Owner, Places: n.disks(), Spool: n.Spool, Log: n.Log}
}

// Places are the tokens of the places that this process has: commands that go there are for it.
func (n *Node) Places() []string { return n.disks().Tokens() }

// witness watches what others leave in the folders that this process offers, until stop is called.
func (n *Node) witness(ctx context.Context) (stop func()) {
	places := n.disks()
	if len(places.Folders) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &deliver.Witness{Places: places, Runs: n.Stores.Runs, Sinks: n.Sinks, StoreID: n.StoreID, Log: n.Log}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, nil)
	}()
	return func() { cancel(); <-done }
}

// disks are those of the process.
func (n *Node) disks() *deliver.Places {
	if n.Disks == nil {
		return &deliver.Places{Home: n.Owner.Home}
	}
	return n.Disks
}
