package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// Node is one process's share of fanmill: it takes triggers, coordinates their runs and works on their commands. cmd wires it.
type Node struct {
	Stores   Stores
	Records  Records
	RowLogs  RowLogs
	Bus      Bus
	Progress Progress
	Drivers  map[string]Driver
	Sinks    map[string]SinkType

	// Resolve replaces the tokens of a job's paths for a run that began at that time.
	Resolve func(job *Job, run string, at time.Time) ([]ManifestDestination, error)
	// Expand replaces ${VAR}.
	Expand func(string) (string, error)
	// Alive reports whether an owner's process still runs; known is false where this process cannot tell.
	Alive func(Owner) (alive, known bool)

	Owner       Owner
	StoreID     string
	Parallel    int           // connections asked at a time
	LogMaxBytes int64         // of a run's row log
	Timeout     time.Duration // destinationTimeout
	Observe     func(Event)   // sees every event of this process's runs; may be nil
	Log         *slog.Logger
}

// Outcome is how a run ended.
type Outcome struct {
	Run     string
	State   RunState
	Started time.Time
	Reports []*Report // by destination
	Lost    bool      // a destination's committed bytes were gone, and are not delivered again yet
}

// Run asks for a run of job by a trigger message, takes that message, and carries the run out in this process. An error means
// that the run did not come to its end; what it has committed stays, and a resume goes on from there.
func (n *Node) Run(ctx context.Context, job *Job, trigger Trigger) (*Outcome, error) {
	for _, id := range trigger.Connections {
		if _, err := job.Connection(id); err != nil {
			return nil, Permanent(err)
		}
	}
	if err := n.sweep(ctx); err != nil {
		return nil, err
	}
	if err := n.refuseIfRunning(ctx, job, trigger.Resume); err != nil {
		return nil, err
	}
	topic, durable := TopicOwnTrigger(job.ID, n.Owner.Token), "run-"+n.Owner.Token
	payload, err := json.Marshal(trigger)
	if err != nil {
		return nil, err
	}
	if err := n.Bus.Publisher().Publish(topic, message.NewMessage(newRunID(time.Now()), payload)); err != nil {
		return nil, fmt.Errorf("publish trigger: %w", err)
	}
	var out *Outcome
	failed := errors.New("no trigger arrived")
	err = n.serve(ctx, func(r *message.Router, stop func()) {
		r.AddConsumerHandler("trigger", topic, n.Bus.Subscriber(durable, 1), func(msg *message.Message) error {
			defer stop()
			out, failed = n.take(ctx, job, msg)
			return nil // the caller is told; a redelivery would ask again for what is known to fail
		})
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	if err := n.Bus.Drop(context.WithoutCancel(ctx), topic); err != nil {
		n.Log.Warn("the trigger was not removed", "error", err)
	}
	return out, nil
}

// serve runs a Watermill router with the handlers that add adds, until ctx ends or a handler calls stop, and waits for the handlers.
func (n *Node) serve(ctx context.Context, add func(r *message.Router, stop func())) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Minute}, watermill.NewSlogLoggerWithLevelMapping(n.Log.WithGroup("router"), routerLevels))
	if err != nil {
		return fmt.Errorf("make router: %w", err)
	}
	router.AddMiddleware(middleware.CorrelationID)
	add(router, stop)
	if err := router.Run(ctx); err != nil && ctx.Err() == nil { // ended before all its handlers had subscribed
		return fmt.Errorf("run router: %w", err)
	}
	return nil
}

// take carries a trigger out.
func (n *Node) take(ctx context.Context, job *Job, msg *message.Message) (*Outcome, error) {
	var t Trigger
	if err := json.Unmarshal(msg.Payload, &t); err != nil {
		return nil, Permanent(fmt.Errorf("trigger for job %s: %w", job.ID, err))
	}
	r, err := n.begin(ctx, job, t, runID(msg))
	if err != nil {
		return nil, err
	}
	out, err := r.execute(ctx)
	if err != nil || !out.Lost {
		return out, err
	}
	// A destination found its committed bytes gone. The run knows how to bring them again, so nobody has to ask for it.
	n.Log.Warn(fmt.Sprintf("run %s delivers anew what was lost", out.Run))
	if r, err = n.resume(ctx, job, t, r.cell); err != nil {
		return nil, err
	}
	return r.execute(ctx)
}

// newRunID makes a name that sorts by time and is legible in stream names and logs.
func newRunID(now time.Time) string {
	return now.UTC().Format("20060102-150405-") + NewToken()[:6]
}

// runID names the run that a trigger asks for: the publisher's Msg-Id where it gave one, else the message's place in the stream. A
// redelivered trigger so finds the run that it began.
func runID(msg *message.Message) string {
	if id := msg.Metadata.Get(MetaMsgID); id != "" {
		return Token(id)
	}
	at, err := time.Parse(time.RFC3339Nano, msg.Metadata.Get(MetaTime))
	if err != nil {
		at = time.Unix(0, 0)
	}
	return at.UTC().Format("20060102-150405-") + msg.Metadata.Get(MetaSequence)
}

// event publishes an event and shows it to the observer. Events are for people: one that cannot be stored costs a log line.
func (n *Node) event(e Event) {
	if n.Observe != nil {
		n.Observe(e)
	}
	payload, err := json.Marshal(e)
	if err == nil {
		err = n.Bus.Publisher().Publish(TopicEvent(e.Job, e.Run, e.Kind), message.NewMessage(watermill.NewUUID(), payload))
	}
	if err != nil {
		n.Log.Debug("event not stored", "kind", e.Kind, "error", err)
	}
}

// routerLevels quiets the router: what it says of its own comings and goings is for debugging.
var routerLevels = map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}
