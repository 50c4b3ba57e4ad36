package trigger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/spec"
)

// Run asks for a run of a job by a trigger message, takes that message, and carries the run out in this process. An
// error means that the run did not come to its end; what it has committed stays, and a resume goes on from there. A
// run that the trigger names and that is complete already is answered for at once.
func Run(ctx context.Context, n *coordinate.Coordinator, def *spec.Definition, trigger pipeline.Trigger) (*coordinate.Outcome, error) {
	ctx, n, stop := n.Watched(ctx, false)
	defer stop()
	out, err := runNow(ctx, n, def, trigger)
	return out, coordinate.Reason(ctx, err)
}

func runNow(ctx context.Context, n *coordinate.Coordinator, def *spec.Definition, trigger pipeline.Trigger) (*coordinate.Outcome, error) {
	job := def.Job
	for _, id := range trigger.Connections {
		if _, err := job.Connection(id); err != nil {
			return nil, pipeline.Permanent(err)
		}
	}
	if err := n.Sweep(ctx); err != nil {
		return nil, err
	}
	own, done, err := n.Answered(ctx, job.ID, trigger)
	if err != nil || done != nil {
		return done, err
	}
	if err := n.RefuseIfRunning(ctx, job.ID, trigger.Resume || own != nil); err != nil {
		return nil, err
	}
	topic, durable := pipeline.TopicOwnTrigger(job.ID, n.Owner.Token), "run-"+n.Owner.Token
	payload, err := json.Marshal(trigger)
	if err != nil {
		return nil, err
	}
	if err := n.Bus.Publish(topic, pipeline.NewRunID(time.Now()), payload); err != nil {
		return nil, fmt.Errorf("publish trigger: %w", err)
	}
	defer func() { // also if nobody took it
		if n.StoreFails() {
			return // the next start removes it
		}
		if err := n.Bus.Drop(context.WithoutCancel(ctx), topic); err != nil {
			n.Log.Warn("the trigger was not removed", "error", err)
		}
	}()
	pending := newPending(n)
	defer pending.close()
	if err := pending.listen(); err != nil {
		return nil, err
	}
	var out *coordinate.Outcome
	failed := errNoTrigger
	taking, stop := context.WithCancel(ctx)
	defer stop()
	err = n.Bus.Serve(taking, n.Log, pipeline.Handler{Topic: topic, Durable: durable, Parallel: 1, Handle: func(_ context.Context, msg *pipeline.Message) error {
		defer stop()
		asked, err := pipeline.ReadTrigger(msg.Payload)
		if err != nil {
			failed = err
			return nil
		}
		asked.ID = trigger.ID
		t := spec.Request{Trigger: asked, Run: cmp.Or(trigger.ID, pipeline.RunID(msg)), Trace: msg.Trace}
		run, held := pending.admit(ctx, "", t.Run, job.ID, 0)
		defer pending.finish(held)
		out, failed = n.Carry(run, def, t, func(run string) { pending.began(held, run) })
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
