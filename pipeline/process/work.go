package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
)

// work is what a process does for runs, whoever coordinates them: it takes the commands that its roles, and the places
// that it has, let it carry out.
type work struct {
	n   *Node
	own bool // only the runs of this process are worked on, through consumers that nobody else has

	lease *checkpoint.Lease // of this process

	mu         sync.Mutex
	shares     map[shareOf]*share
	leaving    bool // what others coordinate is given back
	storeFails func() bool
	following  sync.WaitGroup

	taking sync.Once       // commands of own runs, with the first of these
	life   context.Context // of that
	end    context.CancelFunc
	taken  chan error
}

type shareOf struct {
	run         string
	incarnation int
}

func newWork(n *Node, own bool) *work {
	w := &work{n: n, own: own, shares: map[shareOf]*share{}, storeFails: func() bool { return false }, taken: make(chan error, 1)}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

// sinkSlots is how many destinations the process writes at a time.
func (n *Node) sinkSlots() int { return cmp.Or(n.SinkSlots, checkpoint.DefaultSinkSlots) }

// handlers are those of the commands that this process takes.
func (w *work) handlers() (all []pipeline.Handler) {
	n := w.n
	pool, places := pipeline.AnyPool, append([]string{""}, n.Places()...)
	kinds := n.sinkKinds()
	if w.own {
		pool, places, kinds = pipeline.OwnPool(n.Owner.Token), []string{pipeline.OwnPool(n.Owner.Token)}, []string{""}
	}
	if w.own || n.has(pipeline.RoleQuery) {
		all = append(all, pipeline.Handler{Topic: pipeline.TopicQueryCommands(pool), Durable: pipeline.DurableQueries(pool), Parallel: n.Parallel, Private: w.own, Handle: w.query})
	}
	if !w.own && !n.has(pipeline.RoleSink) {
		return all
	}
	room := pipeline.NewRoom(n.sinkSlots() + len(places)*len(kinds)) // each of them waits for a command in a place of it
	for _, place := range places {
		for _, kind := range kinds {
			all = append(all, pipeline.Handler{Topic: pipeline.TopicSinkCommands(place, kind), Durable: pipeline.DurableSinks(place, kind), Room: room, Private: w.own, Handle: w.sink})
		}
	}
	if w.own {
		return all
	}
	for _, place := range n.Places() {
		all = append(all, pipeline.Handler{Topic: pipeline.TopicCleanCommands(place), Durable: pipeline.DurableCleaning(place), Parallel: 1, Handle: w.clean})
	}
	return all
}

// serve takes commands until ctx ends. What this process does for runs of other coordinators is given back then; what
// it does for its own goes on until they leave.
func (w *work) serve(ctx context.Context) error {
	handlers := w.handlers()
	if len(handlers) == 0 {
		<-ctx.Done()
		return nil
	}
	leave := func() { w.leave(cmp.Or(context.Cause(ctx), errLeaving)) }
	left := context.AfterFunc(ctx, leave)
	err := w.n.Bus.Serve(ctx, w.n.Log, handlers...)
	if left() { // it ended by itself
		leave()
	}
	w.following.Wait()
	return err
}

// leave gives back what this process does for runs of other coordinators.
func (w *work) leave(why error) {
	w.mu.Lock()
	w.leaving = true
	var others []*share
	for _, sh := range w.shares {
		if sh.joined.Load() == nil {
			others = append(others, sh)
		}
	}
	w.mu.Unlock()
	for _, sh := range others {
		sh.asking.stop(why)
		sh.writing.stop(why)
	}
	for _, sh := range others {
		sh.Leave(why)
	}
}

// Join implements coordinate.Hands. The commands of own runs are taken from the first of these on.
func (w *work) Join(c coordinate.Work) coordinate.Share {
	if w.own {
		w.taking.Do(func() {
			go func() {
				err := w.serve(w.life)
				if err != nil && w.life.Err() == nil {
					w.failAll(err)
				}
				w.taken <- err
			}()
		})
	}
	key := shareOf{c.Run, c.Incarnation}
	w.mu.Lock()
	defer w.mu.Unlock()
	sh := w.shares[key]
	if sh == nil || sh.asking.over() || sh.writing.over() {
		sh = newShare(c.Asking, w, c.Job, c.Run, c.Incarnation, c.Log)
		w.shares[key] = sh
	}
	sh.joined.Store(&c)
	return sh
}

// failAll ends the runs of this process, whose commands nobody takes.
func (w *work) failAll(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sh := range w.shares {
		sh.fail(err)
	}
}

// close ends the taking of own commands, and removes their consumers.
func (w *work) close(ctx context.Context) {
	w.end()
	began := true
	w.taking.Do(func() { began = false })
	if !began {
		return
	}
	<-w.taken
	own := pipeline.OwnPool(w.n.Owner.Token)
	for _, topic := range []string{pipeline.TopicQueryCommands(own), pipeline.TopicSinkCommands(own, "")} {
		if err := w.n.Bus.Drop(ctx, topic); err != nil {
			w.n.Log.Debug("consumers of this process's own commands were not removed; they go by themselves", "topic", topic, "error", err)
		}
	}
}

// share is what this process does for a run; nil if that is over here, or nothing is begun any more. done must follow.
func (w *work) share(job, run string, incarnation int) (sh *share, done func()) {
	key := shareOf{run, incarnation}
	w.mu.Lock()
	defer w.mu.Unlock()
	sh = w.shares[key]
	switch {
	case sh != nil:
	case w.leaving, w.own: // a command of an own run that is over
		return nil, nil
	default:
		sh = newShare(context.Background(), w, job, run, incarnation, w.logOf(run))
		w.shares[key] = sh
		w.following.Add(1)
		go sh.follow()
	}
	sh.users++
	return sh, func() {
		w.mu.Lock()
		sh.users--
		w.mu.Unlock()
	}
}

func (w *work) logOf(run string) *slog.Logger { return w.n.Log.With("run", run) }

// forget ends a share in which nothing is in hand any more.
func (w *work) forget(sh *share) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := shareOf{sh.run, sh.incarnation}
	if w.shares[key] == sh {
		delete(w.shares, key)
	}
	select {
	case <-sh.over:
	default:
		close(sh.over)
	}
}

// retire ends the share of a run that there was nothing to do for, unless a command has come meanwhile.
func (w *work) retire(sh *share) bool {
	w.mu.Lock()
	idle := sh.users == 0 && sh.joined.Load() == nil
	if idle {
		delete(w.shares, shareOf{sh.run, sh.incarnation})
	}
	w.mu.Unlock()
	return idle
}

// tell has the lease of this process say what it works on.
func (w *work) tell() {
	w.mu.Lock()
	var now checkpoint.InHand
	for _, sh := range w.shares {
		now.Connections, now.Destinations = now.Connections+sh.asking.count(), now.Destinations+sh.writing.count()
	}
	w.mu.Unlock()
	if w.lease != nil {
		w.lease.Change(func(r *checkpoint.ProcessRecord) { r.InHand = now })
	}
}

// unsure reports whether others may soon find this process dead: it begins nothing then.
func (w *work) unsure() bool { return w.lease != nil && w.lease.Unsure() }

// errNotNow gives a command back: this process begins nothing any more, and others may.
var errNotNow = errors.New("this process is being stopped, or cannot renew its lease, and begins nothing more")

// sinkKinds are the types of destinations that the process writes.
func (n *Node) sinkKinds() (kinds []string) {
	for _, kind := range n.Sinks {
		if len(n.Writes) == 0 || slices.Contains(n.Writes, kind.Name) {
			kinds = append(kinds, kind.Name)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// has reports whether the process has a role.
func (n *Node) has(role string) bool { return len(n.Roles) == 0 || slices.Contains(n.Roles, role) }
