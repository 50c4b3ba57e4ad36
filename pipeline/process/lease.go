package process

import (
	"context"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
)

// releasePatience bounds the last write of a lease: one that is not ended in order lapses.
const releasePatience = 3 * time.Second

// leased gives a coordinator, and what this process does for runs, the lease of this process, for all that the process
// does until stop is called, and its sight of the other processes. The context ends with checkpoint.ErrDead when
// another process has declared this one dead.
func (n *Node) leased(ctx context.Context, c *coordinate.Coordinator, w *work) (_ context.Context, stop func(), _ error) {
	lease, err := checkpoint.Keep(ctx, n.Stores.Runs, n.record(), n.Log)
	if err != nil {
		return nil, nil, err
	}
	release := func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
		defer cancel()
		if err := lease.Release(ending); err != nil {
			n.Log.Debug("the lease of the process was not ended", "error", err)
		}
	}
	peers, err := checkpoint.ObserveProcesses(ctx, n.Stores.Runs, n.Owner, n.Alive, n.Log)
	if err != nil {
		release()
		return nil, nil, err
	}
	c.Lease, c.Peers, w.lease = lease, peers, lease
	ctx, cancel := context.WithCancelCause(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-lease.Lost():
			cancel(pipeline.Permanent(pipeline.OfKind(pipeline.ErrFenced, checkpoint.ErrDead)))
		case <-ctx.Done():
			lease.Change((*checkpoint.ProcessRecord).Drain)
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-gone
		release()
		peers.Close()
	}, nil
}

// record is what the process says of itself.
func (n *Node) record() checkpoint.ProcessRecord {
	roles := n.Roles
	if len(roles) == 0 {
		roles = pipeline.Roles()
	}
	rec := checkpoint.ProcessRecord{Owner: n.Owner, Roles: roles, Program: n.Program, Started: time.Now().UTC()}
	if n.has(pipeline.RoleQuery) {
		rec.Slots = n.Parallel
	}
	if n.has(pipeline.RoleSink) {
		rec.Sinks, rec.Places, rec.Room = n.sinkKinds(), n.Places(), n.sinkSlots()
	}
	return rec
}
