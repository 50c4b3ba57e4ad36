package process_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"
)

// relay is a run that one of two coordinators has, in the middle of a connection of somebody else's.
type relay struct {
	*world
	first, second *process.Node // who has the run, and who does not
	stop          func()        // stops first
	go1           chan struct{} // closed when the connection may go on
}

// newRelay has two coordinators of these roles serve, beside one process that asks connections, one at a time, and one
// that writes. Leases are longer than any of this: whoever waits for one does not come in time.
func newRelay(t *testing.T, leaseMS int64, roles ...string) *relay {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS, w.node.Parallel, w.job.Retry.Attempts = leaseMS, 1, 1
	r := &relay{world: w, go1: make(chan struct{})}
	asked := make(chan struct{})
	held, once := of(20, 100), sync.OnceFunc(func() { close(asked) })
	held.before = func(ctx context.Context, _, _, row int) error {
		if row == 10 {
			once()
			select {
			case <-r.go1:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.connect("held", held)
	for _, id := range []string{"b", "c", "d", "e", "f", "g"} {
		w.connect(id, of(5, 10))
	}
	w.deliverTo("x", "y")
	w.node.Jobs.Served = func(string) *spec.Definition { return w.definition() } // whoever coordinates
	asks, _ := w.worker(pipeline.RoleQuery)
	writes, _ := w.worker(pipeline.RoleSink)
	one, _ := w.worker(roles...)
	two, _ := w.worker(roles...)
	w.serveBy(writes)
	w.serveBy(asks)
	stops := map[*process.Node]func(){one: w.serveBy(one), two: w.serveBy(two)}
	w.ask(pipeline.TopicTrigger("job"), "one", "{}")
	<-asked
	if r.first, r.second = one, two; w.record("one").Owner.Token != one.Owner.Token {
		r.first, r.second = two, one
	}
	r.stop = stops[r.first]
	return r
}

// whole ends the run, and compares what came of it: every connection is asked once, but for as many as may be asked
// twice.
func (r *relay) whole(twice int) {
	r.t.Helper()
	close(r.go1)
	r.ends("one", pipeline.RunComplete)
	ids := []string{"b", "c", "d", "e", "f", "g", "held"}
	r.exact("x", ids...)
	r.exact("y", ids...)
	asked := r.db.askedSince()
	if again := len(asked) - len(ids); again < 0 || again > twice || !slices.Equal(slices.Compact(asked), ids) {
		r.t.Errorf("asked %v", asked)
	}
	if rec := r.record("one"); rec.Owner.Token != r.second.Owner.Token || rec.Resumes != 0 || rec.Epoch != 2 || rec.Died || rec.HandedOver {
		r.t.Errorf("the run was not adopted: %+v", rec)
	}
}

// adopted waits until the second coordinator has the run.
func (r *relay) adopted() {
	r.t.Helper()
	r.seen("one", func(rec checkpoint.RunRecord) bool { return rec.Owner.Token == r.second.Owner.Token })
}

// Sequence 26: a coordinator that is stopped hands its run over. The other one adopts it at once, no lease is waited,
// what is under way elsewhere is not asked again.
func TestStoppedCoordinatorHandsOver(t *testing.T) {
	t.Parallel()
	r := newRelay(t, 120_000, pipeline.RoleCoordinator)
	r.stop()
	if state := r.state("one"); state != pipeline.RunRunning {
		t.Errorf("the run is %s", state)
	}
	r.adopted()
	r.whole(0)
}

// The same where it asks and writes, too: what it has in hand of its run it gives back, which is no try.
func TestStoppedCoordinatorGivesBackWhatItHas(t *testing.T) {
	t.Parallel()
	r := newRelay(t, 120_000)
	r.stop()
	r.adopted()
	r.whole(1)
}

// Without another coordinator the run stops in order, as one that nobody goes on with.
func TestLastCoordinatorStopsItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	slow, asked := begun(of(50, 10))
	w.connect("slow", slow)
	w.deliverTo("x")
	coordinator, _ := w.worker(pipeline.RoleCoordinator)
	asks, _ := w.worker(pipeline.RoleQuery)
	writes, _ := w.worker(pipeline.RoleSink)
	w.serveBy(asks)
	w.serveBy(writes)
	stop := w.serveBy(coordinator)
	w.ask(pipeline.TopicTrigger("job"), "one", "{}")
	<-asked
	stop()
	if rec := w.record("one"); rec.State != pipeline.RunInterrupted || rec.HandedOver || rec.Stopped != "" {
		t.Errorf("the run is %+v", rec)
	}
}

// A coordinator that dies, or stands still, in the middle of handing over: the run is adopted by its lease, whether or
// not the record said so by then. What the former one does when it wakes changes nothing.
func TestHandingOverIsCutShort(t *testing.T) {
	for _, at := range []string{"before-handover", "after-handover"} {
		t.Run(at, func(t *testing.T) {
			reached, wake := make(chan struct{}), make(chan struct{})
			stand := sync.OnceFunc(func() { close(reached); <-wake })
			r := newRelay(t, 1500, pipeline.RoleCoordinator)
			defer failpoint.Watch(func(name string) {
				if name == at {
					stand()
				}
			})()
			var over sync.WaitGroup
			over.Go(r.stop)
			<-reached
			r.condemn(r.first)
			r.adopted()
			before := r.revision(checkpoint.RunKey("one"))
			close(wake)
			over.Wait()
			if rec := r.record("one"); rec.Owner.Token != r.second.Owner.Token || rec.HandedOver || r.revision(checkpoint.RunKey("one")) < before {
				t.Errorf("the one that slept has changed the run: %+v", rec)
			}
			r.whole(0)
		})
	}
}
