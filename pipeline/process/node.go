package process

import (
	"context"
	"log/slog"
	"time"

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

	// Alive reports whether an owner's process still runs; known is false where this process cannot tell.
	Alive func(pipeline.Owner) (alive, known bool)
	// Untold reports whether an owner's process is gone and had not come to its orderly end: whoever started it does
	// not know how its run ended. nil is never.
	Untold func(pipeline.Owner) bool

	Owner       pipeline.Owner
	Program     string // its version
	StoreID     string
	Parallel    int           // connections of a run asked at a time
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
	Dead    *dead.Folder // of requests that receivers refuse; nil keeps none
	Reports string       // the folder of the reports of destinations that are no files; "" writes none
	Log     *slog.Logger
	// Follow is called when this process begins or takes over a run, with the destinations that the run has: who
	// follows it logs what is said of it and sees its events. nil is Log, and nobody.
	Follow func(job *pipeline.Job, run string, destinations []pipeline.ManifestDestination) coordinate.Follower
}

// Run asks for a run of a job by a trigger message, takes that message, and carries the run out; see trigger.Run.
func (n *Node) Run(ctx context.Context, def *spec.Definition, t pipeline.Trigger) (*coordinate.Outcome, error) {
	c := n.Coordinator()
	ctx, stop, err := n.leased(ctx, c)
	if err != nil {
		return nil, err
	}
	defer stop()
	return trigger.Run(ctx, c, def, t)
}

// Serve takes triggers until ctx ends; see trigger.Serve.
func (n *Node) Serve(ctx context.Context, s trigger.Service) error {
	c := n.Coordinator()
	ctx, stop, err := n.leased(ctx, c)
	if err != nil {
		return err
	}
	defer stop()
	return trigger.Serve(ctx, c, s)
}

// Coordinator changes the state of runs.
func (n *Node) Coordinator() *coordinate.Coordinator {
	return &coordinate.Coordinator{Stores: n.Stores, Records: n.Records, RowLogs: n.RowLogs, Bus: n.Bus, Progress: n.Progress, Store: n.Store, Sinks: n.Sinks,
		Jobs: n.Jobs, Holds: n.holds, Workers: n.workers, Describer: n.Describer(), Targets: n.Targets(), Hands: hands{n},
		Cleaner: &deliver.Cleaner{Sinks: n.Sinks, StoreID: n.StoreID, Owner: n.Owner, Spool: n.Spool, Runs: n.Stores.Runs},
		Alive:   n.Alive, Untold: n.Untold, Owner: n.Owner, Parallel: n.Parallel, LogMaxBytes: n.LogMaxBytes, Timeout: n.Timeout, StorePatience: n.StorePatience,
		News: n.News, Budget: n.Budget, Memory: n.Memory, Log: n.Log, Follow: n.Follow}
}

// holds reports whether the address of a connection must not go into the store: there is, or may be, a password in it.
// That of a server is not looked at more closely where its parts have no reference and the store is this process's own.
func (n *Node) holds(c *pipeline.Connection) bool {
	kind := n.Databases[c.Driver]
	alone := n.Owner.Home == "" // no other host has the store
	return pipeline.LiteralPassword(c.DSN, n.Databases) || alone && !pipeline.HasReference(c.DSN) && (kind == nil || !kind.File)
}

// workers are the processes that ask connections, by token: this one, as far as it knows.
func (n *Node) workers() []string { return []string{n.Owner.Token} }

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

// Places are the tokens of the places that this process has: commands that go there are for it.
func (n *Node) Places() []string { return []string{pipeline.HomePlace(n.Owner.Home)} }

// hands are those of the process.
type hands struct{ n *Node }

func (h hands) Asker(w coordinate.Work) coordinate.Asker {
	n := h.n
	return &query.Worker{Runs: n.Stores.Runs, Specs: n.Specs, Jobs: n.Jobs, RowLogs: n.RowLogs, Databases: n.Databases, Owner: n.Owner, Notify: w.Notify, Log: w.Log,
		Rows: w.Rows, Budget: n.Budget, Memory: n.Memory, QueryTimeout: n.QueryTimeout}
}

func (h hands) Deliverer(w coordinate.Work) coordinate.Deliveries {
	n := h.n
	return deliver.NewDeliverer(deliver.Deliverer{Runs: n.Stores.Runs, Specs: n.Specs, Jobs: n.Jobs, Records: n.Records, RowLogs: n.RowLogs, Sinks: n.Sinks, Owner: n.Owner, StoreID: n.StoreID,
		Timeout: n.Timeout, Notify: w.Notify, Log: w.Log, Budget: n.Budget, Spool: n.Spool, Dead: n.Dead, Post: w.Post, Reports: n.Reports, StoreFails: w.StoreFails})
}
