package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Run asks for a run of a job by a trigger message, takes that message, and carries the run out in this process. An
// error means that the run did not come to its end; what it has committed stays, and a resume goes on from there. A
// run that the trigger names and that is complete already is answered for at once.
func Run(ctx context.Context, n *Coordinator, def *Definition, trigger Trigger) (*Outcome, error) {
	ctx, watch := n.watchStore(ctx, n.storePatience())
	defer watch.stop()
	out, err := runNow(ctx, n.watched(watch), def, trigger)
	return out, reason(ctx, err)
}

func runNow(ctx context.Context, n *Coordinator, def *Definition, trigger Trigger) (*Outcome, error) {
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
