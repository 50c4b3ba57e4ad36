package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"
)

// condemn has another process declare a node dead.
func (w *world) condemn(n *process.Node) {
	w.t.Helper()
	doc, err := checkpoint.LoadDocument[checkpoint.ProcessRecord](w.t.Context(), n.Stores.Runs, checkpoint.ProcessKey(n.Owner.Token))
	if err == nil {
		err = doc.Change(w.t.Context(), checkpoint.Anybody, func(r *checkpoint.ProcessRecord) { r.Condemn(pipeline.Owner{Token: "judge"}, time.Now()) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// revision is that of a key of Stores.Runs.
func (w *world) revision(key string) uint64 {
	w.t.Helper()
	e, err := w.node.Stores.Runs.Get(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return e.Revision
}

// begun is told as soon as a connection of the world hands a row over, which then waits until the attempt ends.
func begun(s script) (_ script, begun chan struct{}) {
	begun = make(chan struct{})
	var once sync.Once
	s.before = func(ctx context.Context, _, _, _ int) error {
		once.Do(func() { close(begun) })
		<-ctx.Done()
		return ctx.Err()
	}
	return s, begun
}

// Sequence 19: a process that was declared dead ends everything that it has in hand, and records nothing of it. Another
// one goes on.
func TestDeadProcessDropsItsRun(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 1500
	slow, asked := begun(of(50, 10))
	w.connect("a", of(5, 10))
	w.connect("slow", slow)
	w.deliverTo("d")
	ended := make(chan error, 1)
	go func() {
		_, err := w.run(t.Context(), pipeline.Trigger{})
		ended <- err
	}()
	<-asked
	run := w.lastRun()
	conn := w.revision(checkpoint.ConnKey(run, "slow"))
	w.condemn(w.node)
	if err := <-ended; !errors.Is(err, checkpoint.ErrDead) || !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the run ends with %v", err)
	}
	if s := w.state(run); s != pipeline.RunRunning || w.revision(checkpoint.ConnKey(run, "slow")) != conn {
		t.Errorf("it has recorded something: the run is %s", s)
	}
	w.rescript("slow", of(50, 10))
	w.node = w.another()
	if out := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete); out.Run != run {
		t.Errorf("run %s took the place of %s", out.Run, run)
	}
	w.exact("d", "a", "slow")
}

// So does one that serves; who serves next has the run's trigger, and goes on.
func TestDeadProcessServesNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 1500
	slow, asked := begun(of(50, 10))
	w.connect("slow", slow)
	w.deliverTo("d")
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- w.node.Serve(t.Context(), trigger.Service{MaxRuns: 1, Ready: func() { close(ready) },
			Find: func(string, json.RawMessage) (*spec.Definition, error) { return w.definition(), nil }})
	}()
	<-ready
	if a := w.ask(pipeline.TopicTrigger("job"), "one", "{}"); a.Run != "one" {
		t.Fatalf("answered with %+v", a)
	}
	<-asked
	w.condemn(w.node)
	if err := <-ended; !errors.Is(err, checkpoint.ErrDead) {
		t.Errorf("it ends with %v", err)
	}
	w.rescript("slow", of(50, 10))
	w.node = w.another()
	defer w.serve()()
	w.ends("one", pipeline.RunComplete)
	w.exact("d", "slow")
}

// ends waits until a run is in that state.
func (w *world) ends(run string, state pipeline.RunState) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), 40*time.Second)
	defer stop()
	entries, err := w.node.Stores.Runs.Watch(ctx, checkpoint.RunKey(run))
	if err != nil {
		w.t.Fatal(err)
	}
	for e := range entries {
		if e.Key == "" || e.Deleted {
			continue
		}
		if doc, err := checkpoint.DocumentOf[checkpoint.RunRecord](w.node.Stores.Runs, e); err == nil && doc.Value().State == state {
			return
		}
	}
	w.t.Fatalf("run %s is %s in the end, want %s", run, w.state(run), state)
}

// Facts 1.1 #4: somebody deletes the lease of a process in the middle of its run: it comes again, and the run ends.
func TestLeaseIsDeletedDuringARun(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 300
	gate, asked := make(chan struct{}), make(chan struct{})
	slow := waiting(of(50, 10), gate)
	slow.opens = func(context.Context, pipeline.Request) error { close(asked); return nil }
	w.connect("slow", slow)
	w.deliverTo("d")
	other := w.another()
	other.Alive = func(pipeline.Owner) (bool, bool) { return false, false }
	peers := w.observer(other)
	key := checkpoint.ProcessKey(w.node.Owner.Token)
	go func() {
		defer close(gate)
		<-asked
		if err := w.node.Stores.Runs.Delete(t.Context(), key); err != nil {
			t.Error(err)
			return
		}
		w.renewals(key, 3)
	}()
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("d", "slow")
	if life := peers.Life(w.node.Owner.Token); life == checkpoint.LifeDead || life == checkpoint.LifeSilent {
		t.Errorf("the process's life is %d", life)
	}
}

// observer looks at processes as a node does, which keeps a lease.
func (w *world) observer(n *process.Node) *checkpoint.Processes {
	w.t.Helper()
	lease, err := checkpoint.Keep(w.t.Context(), n.Stores.Runs, checkpoint.ProcessRecord{Owner: n.Owner}, n.Log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = lease.Release(context.Background()) })
	peers, err := checkpoint.ObserveProcesses(w.t.Context(), n.Stores.Runs, n.Owner, n.Alive, n.Log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(peers.Close)
	return peers
}

// renewals waits until a key was written so often.
func (w *world) renewals(key string, times int) {
	ctx, stop := context.WithTimeout(w.t.Context(), 40*time.Second)
	defer stop()
	entries, err := w.node.Stores.Runs.Watch(ctx, key)
	if err != nil {
		w.t.Error(err)
		return
	}
	n := 0
	for e := range entries {
		if e.Key != "" && !e.Deleted {
			n++
		}
		if n > times {
			return
		}
	}
	w.t.Errorf("%s was written %d times, want %d", key, n, times)
}

// Facts 1.1 #2: a connection that takes twenty leases, and whose destination stands still for five of them, is asked
// once: who looks on takes nobody for dead.
func TestLongIsNotDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 450
	key := checkpoint.ProcessKey(w.node.Owner.Token)
	long := of(20, 10)
	var once, stands sync.Once
	long.before = func(_ context.Context, _, _, row int) error {
		if row == 10 {
			once.Do(func() { w.renewals(key, 60) })
		}
		return nil
	}
	w.connect("long", long)
	w.deliverTo("d")
	w.disk.failing(func(_, step, _ string) error {
		if step == "append" {
			stands.Do(func() { w.renewals(key, 15) })
		}
		return nil
	})
	other := w.another()
	other.Alive = func(pipeline.Owner) (bool, bool) { return false, false }
	peers := w.observer(other)
	looking, stop := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	looks.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-looking.Done():
				return
			case <-tick.C:
			}
			if gone, err := peers.Gone(looking, w.node.Owner.Token); gone && peers.Life(w.node.Owner.Token) == checkpoint.LifeDead {
				t.Errorf("the process is taken for dead: %v", err)
				return
			}
		}
	})
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	stop()
	looks.Wait()
	w.exact("d", "long")
	if asked := fmt.Sprint(w.db.askedSince()); asked != "[long]" {
		t.Errorf("asked %s", asked)
	}
}
