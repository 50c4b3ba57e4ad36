package process

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/notices"
)

// tellPatience is how long the end of a run of this process waits until those are told who are to be. Whom it could not
// reach, the next process tells that opens the store.
const tellPatience = 5 * time.Second

// outbox sends notices as the process of a coordinator.
func (n *Node) outbox(c *coordinate.Coordinator) *notices.Outbox {
	return &notices.Outbox{Runs: n.Stores.Runs, Owner: n.Owner, Kinds: n.Notify, Expand: n.Jobs.Expand, Log: n.Log,
		Gone: func(o pipeline.Owner) bool { return !c.MayLive(o) },
		Event: func(e pipeline.Event) {
			payload, err := json.Marshal(e)
			if err == nil {
				err = n.Bus.Publish(pipeline.TopicEvent(e.Job, e.Run, e.Kind), "", payload)
			}
			if err != nil {
				n.Log.Debug("event not stored", "kind", e.Kind, "error", err)
			}
		}}
}

// telling sends what others have left beside a run of this process, until stop is called: that ends it, and then sends
// what there is now, for tellPatience at most.
func (n *Node) telling(ctx context.Context, c *coordinate.Coordinator, job *pipeline.Job) (stop func()) {
	if len(n.Notify) == 0 {
		return func() {}
	}
	o := n.outbox(c)
	working, cancel := context.WithCancel(ctx)
	var left sync.WaitGroup
	left.Go(func() {
		if err := o.Once(working); err != nil && working.Err() == nil {
			n.Log.Debug("the notices that wait could not be read", "error", err)
		}
	})
	return func() {
		cancel()
		left.Wait()
		if len(job.Notify) == 0 || ctx.Err() != nil || c.StoreFails() {
			return // the run has not come to its end
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellPatience)
		defer cancel()
		if err := o.Once(ctx); err != nil {
			n.Log.Warn("who is to be told of the run is not told yet; the next process that opens the store tells", "error", err)
		}
	}
}

// tell sends notices and looks for jobs that are late until ctx ends.
func (n *Node) tell(ctx context.Context, c *coordinate.Coordinator) {
	if len(n.Notify) == 0 {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { n.outbox(c).Serve(ctx) })
	if n.ServedJobs != nil {
		late := &notices.Late{Runs: n.Stores.Runs, View: n.View(), Jobs: n.ServedJobs, Log: n.Log}
		all.Go(func() { late.Serve(ctx) })
	}
}
