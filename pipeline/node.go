package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fanmill/pipeline/dead"
	"fanmill/pipeline/spool"
)

// Node is one process's share of fanmill: it takes triggers, coordinates their runs and works on their commands. cmd
// wires it.
type Node struct {
	Stores    Stores
	Records   Records
	RowLogs   RowLogs
	Bus       Bus
	Progress  Progress
	Store     Store                    // may be nil: then nobody watches it
	Databases map[string]*DatabaseKind // by each of their names
	Sinks     map[string]*SinkKind

	// Alive reports whether an owner's process still runs; known is false where this process cannot tell.
	Alive func(Owner) (alive, known bool)
	// Untold reports whether an owner's process is gone and had not come to its orderly end: whoever started it does
	// not know how its run ended. nil is never.
	Untold func(Owner) bool

	Owner       Owner
	StoreID     string
	Parallel    int           // connections of a run asked at a time
	LogMaxBytes int64         // of a run's row log
	Timeout     time.Duration // destinationTimeout
	// StorePatience is how long a run waits for a store that does not work; 0 is two minutes.
	StorePatience time.Duration
	QueryTimeout  time.Duration // a database may deliver nothing for so long; 0 is no limit
	News          time.Duration // how often a long comparison of columns says how far it is; 0 is comparisonNews
	Budget        *Budget       // of the rows in memory, of all runs of the process
	Memory        *Memory       // watches the process; may be nil
	Spool         *spool.Root   // of this process; nil if it has none: no spooled destination, no row larger than a message
	Dead          *dead.Folder  // of requests that receivers refuse; nil keeps none
	Reports       string        // the folder of the reports of destinations that are no files; "" writes none
	Log           *slog.Logger
	// Follow is called when this process begins or takes over a run, with the destinations that the run has: who
	// follows it logs what is said of it and sees its events. nil is Log, and nobody.
	Follow func(job *Job, run string, destinations []ManifestDestination) Follower

	follower Follower    // of the run that a copy of the node is for
	watch    *storeWatch // what the run that a copy of the node is for knows of the store
}

// Follower follows one run in this process.
type Follower struct {
	Log   *slog.Logger
	Event func(Event)
	Rows  func(connection string, rows int64) // how many rows an attempt has read, often and from several goroutines; may be nil
	// Checkpoint sees how far the run is, also what an earlier process delivered; may be nil.
	Checkpoint func(PublicCheckpoint)
	Done       func(*Outcome, error) // the run is over, here
}

// Definition is a job as it was loaded, with what depends on where it came from.
type Definition struct {
	Job *Job
	// Inline says that a trigger has brought the job along: it touches no run of another one of this id.
	Inline bool
	// Resolve makes the destinations of a run that began at that time: the tokens of their paths are replaced.
	Resolve func(run string, at time.Time) ([]ManifestDestination, error)
	// Params gives every parameter its value at that time: the trigger's in place of the job's.
	Params func(given map[string]any, at time.Time) ([]Arg, error)
	// Expand replaces ${VAR}.
	Expand func(string) (string, error)
}

// Outcome is how a run ended.
type Outcome struct {
	Run      string
	State    RunState
	Started  time.Time
	Reports  []*Report // by destination
	Measures *Measures
	Lost     bool  // a destination's committed bytes were gone, or frames that it had yet to read, and are not delivered again yet
	Owner    Owner // whose process ended it
	Already  bool  // it was complete before it was asked for
}

// Run asks for a run of a job by a trigger message, takes that message, and carries the run out in this process. An
// error means that the run did not come to its end; what it has committed stays, and a resume goes on from there. A
// run that the trigger names and that is complete already is answered for at once.
func (n *Node) Run(ctx context.Context, def *Definition, trigger Trigger) (*Outcome, error) {
	ctx, watch := n.watchStore(ctx, n.storePatience())
	defer watch.stop()
	out, err := n.watched(watch).runNow(ctx, def, trigger)
	return out, reason(ctx, err)
}

func (n *Node) runNow(ctx context.Context, def *Definition, trigger Trigger) (*Outcome, error) {
	job := def.Job
	for _, id := range trigger.Connections {
		if _, err := job.Connection(id); err != nil {
			return nil, Permanent(err)
		}
	}
	if err := n.sweep(ctx); err != nil {
		return nil, err
	}
	own, done, err := n.answered(ctx, job.ID, trigger)
	if err != nil || done != nil {
		return done, err
	}
	if err := n.refuseIfRunning(ctx, job.ID, trigger.Resume || own != nil); err != nil {
		return nil, err
	}
	topic, durable := TopicOwnTrigger(job.ID, n.Owner.Token), "run-"+n.Owner.Token
	payload, err := json.Marshal(trigger)
	if err != nil {
		return nil, err
	}
	if err := n.Bus.Publish(topic, NewRunID(time.Now()), payload); err != nil {
		return nil, fmt.Errorf("publish trigger: %w", err)
	}
	defer func() { // also if nobody took it
		if n.storeFails() {
			return // the next start removes it
		}
		if err := n.Bus.Drop(context.WithoutCancel(ctx), topic); err != nil {
			n.Log.Warn("the trigger was not removed", "error", err)
		}
	}()
	desk := newDesk(n)
	defer desk.close()
	if err := desk.listen(); err != nil {
		return nil, err
	}
	var out *Outcome
	failed := errNoTrigger
	taking, stop := context.WithCancel(ctx)
	defer stop()
	err = n.Bus.Serve(taking, n.Log, Handler{Topic: topic, Durable: durable, Parallel: 1, Handle: func(_ context.Context, msg *Message) error {
		defer stop()
		t, err := readTrigger(msg.Payload)
		if err != nil {
			failed = err
			return nil
		}
		t.ID, t.id = trigger.ID, cmp.Or(trigger.ID, runID(msg))
		run, ticket := desk.admit(ctx, "", t.id, job.ID, 0)
		defer desk.finish(ticket)
		out, failed = n.carry(run, def, t, func(run string) { desk.began(ticket, run) })
		return nil // the caller is told; a redelivery would ask again for what is known to fail
	}})
	if errors.Is(failed, errNoTrigger) && ctx.Err() != nil {
		failed = context.Cause(ctx)
	}
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	return out, nil
}

var errNoTrigger = errors.New("no trigger arrived")

// carry carries a trigger out: the run that it asks for, or the one that it resumes. began is told the run's id once
// it is certain.
func (n *Node) carry(ctx context.Context, def *Definition, t Trigger, began func(run string)) (out *Outcome, err error) {
	if n.watch == nil || !n.watch.ends {
		watching, watch := n.watchStore(ctx, n.storePatience())
		defer watch.stop()
		ctx, n = watching, n.watched(watch)
	}
	r, ended, err := n.begin(ctx, def, t)
	if err != nil {
		return nil, reason(ctx, err)
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
	if err := r.c.takeOver(ctx, r.cell); err != nil { // it has ended: another process may have it by now
		return nil, err
	}
	defer r.c.letGo(ctx, r.cell)
	t.again = true
	again, err := r.c.resume(ctx, def, t, r.cell)
	if err != nil {
		return nil, err
	}
	return again.execute(ctx)
}

// following is a copy of the node for one run, followed by whoever wants to. leave is told how its beginning went: if
// it did not come about, the follower is done.
func (n *Node) following(job *Job, run string, destinations []ManifestDestination) (own *Node, leave func(error)) {
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

// NewRunID makes a name of a run: one that sorts by time and is legible in stream names and logs.
func NewRunID(now time.Time) string {
	return now.UTC().Format("20060102-150405-") + NewToken()[:6]
}

// runID names the run that a trigger asks for: the publisher's Msg-Id where it gave one, else the message's place in
// the stream. A redelivered trigger so finds the run that it began.
func runID(msg *Message) string {
	if msg.MsgID != "" {
		return msg.MsgID
	}
	return fmt.Sprintf("%s-%d", msg.Stored.UTC().Format("20060102-150405"), msg.Sequence)
}

// event publishes an event and shows it to the observer. Events are for people: one that cannot be stored costs a log
// line.
func (n *Node) event(e Event) {
	if n.follower.Event != nil {
		n.follower.Event(e)
	}
	payload, err := json.Marshal(e)
	if err == nil {
		err = n.Bus.Publish(TopicEvent(e.Job, e.Run, e.Kind), "", payload)
	}
	if err != nil {
		n.Log.Debug("event not stored", "kind", e.Kind, "error", err)
	}
}
