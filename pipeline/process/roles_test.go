package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"
)

// askedBy counts what one process asks.
type askedBy struct {
	*fakeDB
	n *atomic.Int32
}

func (d askedBy) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	d.n.Add(1)
	return d.fakeDB.Open(ctx, r)
}

// worker is a process of some roles, and how many connections it has asked.
func (w *world) worker(roles ...string) (*process.Node, *atomic.Int32) {
	node, n := w.another(), &atomic.Int32{}
	node.Roles = roles
	node.Databases = map[string]*pipeline.DatabaseKind{"fake": {Name: "fake", Driver: askedBy{w.db, n}}}
	node.Alive = func(o pipeline.Owner) (alive, known bool) { return true, o.Token == node.Owner.Token }
	return node, n
}

// becomes waits until a run is in a state.
func (w *world) becomes(run string, state pipeline.RunState) {
	w.t.Helper()
	w.seen(run, func(r checkpoint.RunRecord) bool { return r.State == state })
}

// seen waits until a run's record is as a test wants it.
func (w *world) seen(run string, is func(checkpoint.RunRecord) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	changes, err := w.node.Stores.Runs.Watch(ctx, checkpoint.RunKey(run))
	if err != nil {
		w.t.Fatal(err)
	}
	for e := range changes {
		if e.Key == "" {
			continue
		}
		if doc, err := checkpoint.DocumentOf[checkpoint.RunRecord](w.node.Stores.Runs, e); err == nil && is(doc.Value()) {
			cancel()
			for range changes { // the store closes it
			}
			return
		}
	}
	w.t.Fatalf("the record of run %s does not become so", run)
}

// letGo waits until no process has a destination of a run.
func (w *world) letGo(run, destination string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	changes, err := w.node.Records.Watch(ctx, run)
	if err != nil {
		w.t.Fatal(err)
	}
	for u := range changes {
		if u.Destination == destination && u.Record.Token == "" {
			cancel()
			for range changes { // the store closes it
			}
			return
		}
	}
	w.t.Fatalf("%s is still claimed", destination)
}

// barrier is a script whose first row waits until so many connections are being asked at a time.
func barrier(s script, n int) script {
	var mu sync.Mutex
	asked, met := 0, make(chan struct{})
	s.before = func(ctx context.Context, _, _, row int) error {
		if row == 0 {
			mu.Lock()
			if asked++; asked == n {
				close(met)
			}
			mu.Unlock()
		}
		select {
		case <-met:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	return s
}

// A run is done by processes of different roles. Two that ask have twice the places of one; the coordinator, which does
// none of the work, is told of all of it.
func TestRolesOverProcesses(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 2
	ids := branches(w, 12, barrier(of(20, 100), 4))
	w.deliverTo("x", "y")
	coordinator, none := w.worker(pipeline.RoleCoordinator)
	first, n1 := w.worker(pipeline.RoleQuery)
	second, n2 := w.worker(pipeline.RoleQuery)
	sink, still := w.worker(pipeline.RoleSink)
	for _, node := range []*process.Node{first, second, sink, coordinator} {
		w.serveBy(node)
	}
	run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
	w.until(pipeline.EventEnded, run)
	if state := w.state(run); state != pipeline.RunComplete {
		t.Fatalf("the run is %s", state)
	}
	w.exact("x", ids...)
	w.exact("y", ids...)
	if none.Load()+still.Load() > 0 || n1.Load() < 2 || n2.Load() < 2 || n1.Load()+n2.Load() != 12 {
		t.Errorf("the query workers have asked %d and %d, the others %d and %d", n1.Load(), n2.Load(), none.Load(), still.Load())
	}
	for kind, want := range map[string]int{pipeline.EventConnected: 12, pipeline.EventDelivered: 12, pipeline.EventCommitted: 24} {
		if got := w.count(kind); got != want {
			t.Errorf("the coordinator's process has seen %d of the events %s, want %d", got, kind, want)
		}
	}
}

// Sequence 26: a process that is stopped gives back what it does for a run of another process, at once and without a
// try: another one goes on with it. A lease would take longer than the test.
func TestWorkerThatStopsGivesBack(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 120000
	w.job.Retry.Attempts = 1
	asked := make(chan struct{}, 10)
	var open atomic.Bool
	s := of(20, 100)
	s.before = func(ctx context.Context, _, _, row int) error {
		if row == 10 && !open.Load() {
			asked <- struct{}{}
			<-ctx.Done()
		}
		return ctx.Err()
	}
	w.connect("a", of(5, 10))
	w.connect("b", s)
	w.deliverTo("x")
	coordinator, _ := w.worker(pipeline.RoleCoordinator)
	first, _ := w.worker(pipeline.RoleQuery)
	second, n2 := w.worker(pipeline.RoleQuery)
	sink, _ := w.worker(pipeline.RoleSink)
	successor, _ := w.worker(pipeline.RoleSink)
	w.serveBy(coordinator)
	stopFirst, stopSink := w.serveBy(first), w.serveBy(sink)
	run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
	<-asked
	w.until(pipeline.EventCommitted, run) // a is there
	stopSink()
	w.serveBy(successor)
	open.Store(true)
	stopFirst()
	w.serveBy(second)
	w.until(pipeline.EventEnded, run)
	if state := w.state(run); state != pipeline.RunComplete {
		t.Fatalf("the run is %s", state)
	}
	w.exact("x", "a", "b")
	if n := n2.Load(); n != 1 {
		t.Errorf("the second worker has asked %d connections, want 1", n)
	}
}

// Sequence 11: what fanmill run does no other process does for it, whatever that is free for; nor does it do anything
// for others.
func TestOwnRunsAreDoneAlone(t *testing.T) {
	w := newWorld(t, 8*mb)
	ids := branches(w, 6, of(20, 100))
	w.deliverTo("x")
	others, n := w.worker()
	w.serveBy(others)
	waiting := &pipeline.QueryCommand{Job: "other", Run: "other", Connection: "c"}
	payload, err := json.Marshal(waiting)
	if err != nil {
		t.Fatal(err)
	}
	own, mine := w.worker()
	own.Roles, own.Alive = nil, func(o pipeline.Owner) (alive, known bool) { return o.Token == own.Owner.Token, true }
	out, err := own.Run(t.Context(), w.definition(), pipeline.Trigger{})
	if err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("%+v, %v", out, err)
	}
	w.exact("x", ids...)
	if n.Load() != 0 || mine.Load() != 6 {
		t.Errorf("it has asked %d connections itself, and another process %d", mine.Load(), n.Load())
	}
	if err := w.conn.Bus().Publish(pipeline.TopicQueryCommand(pipeline.OwnPool(own.Owner.Token), "other", "c"), "", payload); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{pipeline.TopicQueryCommands(pipeline.OwnPool(own.Owner.Token)), pipeline.TopicCommands} {
		if kept, err := w.conn.Bus().Kept(t.Context(), topic, 10); err != nil || len(kept) != 1 {
			t.Errorf("%d commands are kept of %s, %v", len(kept), topic, err)
		}
	}
}

// Facts 1.1, 8: a run of many connections does not fill the queue. One that comes later waits for its window, and for
// no more of it.
func TestSmallRunBesideALargeOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 32*mb)
	w.node.Parallel = 2
	begun, small, gate := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var asked, before atomic.Int32
	s := of(2, 10)
	s.before = func(ctx context.Context, _, _, row int) error {
		if row == 0 && asked.Add(1) == 2 {
			close(begun)
		}
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	ids := branches(w, 200, s)
	w.deliverTo("x")
	large := w.definition()
	one := of(2, 10)
	one.before = func(context.Context, int, int, int) error {
		before.CompareAndSwap(0, asked.Load())
		return nil
	}
	w.job = &pipeline.Job{ID: "small", Name: "Small", Retry: pipeline.Retry{Attempts: 1}}
	w.connect("z", one)
	w.deliverTo("y")
	defs := map[string]*spec.Definition{"job": large, "small": w.definition()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		done <- w.node.Serve(ctx, trigger.Service{MaxRuns: 2, Ready: func() { close(ready) }, Find: func(job string, _ json.RawMessage) (*spec.Definition, error) {
			if def := defs[job]; def != nil {
				return def, nil
			}
			return nil, fmt.Errorf("there is no job %q", job)
		}})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	<-ready
	run := w.ask(pipeline.TopicTrigger("job"), "large", "{}").Run
	<-begun
	w.ask(pipeline.TopicTrigger("small"), "small", "{}")
	go func() { // its command is in the queue
		defer close(small)
		for {
			kept, err := w.conn.Bus().Kept(ctx, pipeline.TopicQueryCommand(pipeline.AnyPool, "small", "z"), 1)
			if err != nil || len(kept) > 0 {
				return
			}
		}
	}()
	<-small
	close(gate)
	w.until(pipeline.EventEnded, "small")
	w.until(pipeline.EventEnded, run)
	w.exact("y", "z")
	w.exact("x", ids...)
	// Two are asked and two wait before its command. While this process reads what the other run is made from, its other
	// place goes on with the large one.
	if n := before.Load(); n > 40 {
		t.Errorf("%d connections of the run of 200 were asked before the only one of the other", n)
	}
}

// A run whose coordinator stops it, on purpose, is stopped in all processes that work for it: they ask no more, and
// what is in the row log whole is written. A resume asks what is left.
func TestStopReachesOtherProcesses(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	slow := of(20, 100)
	asked := make(chan struct{})
	var again atomic.Bool
	slow.before = func(ctx context.Context, _, _, row int) error {
		if row == 10 && !again.Load() {
			close(asked)
			<-ctx.Done()
		}
		return ctx.Err()
	}
	w.connect("b", slow)
	w.deliverTo("x")
	coordinator, _ := w.worker(pipeline.RoleCoordinator)
	workers, _ := w.worker(pipeline.RoleQuery, pipeline.RoleSink)
	w.serveBy(workers)
	w.serveBy(coordinator)
	run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
	<-asked
	w.until(pipeline.EventCommitted, run)
	if a := w.ask(pipeline.TopicCancel(run), "", ""); a.Error != "" {
		t.Fatalf("cancel: %+v", a)
	}
	w.becomes(run, pipeline.RunInterrupted)
	doc, err := checkpoint.LoadConn(t.Context(), w.node.Stores.Runs, run, "b")
	if err != nil {
		t.Fatal(err)
	}
	if rec := doc.Value(); rec.State != checkpoint.ConnPending || rec.Attempts != 0 {
		t.Errorf("the connection that was being asked is %+v", rec)
	}
	w.exact("x", "a")
	w.letGo(run, "x")
	again.Store(true)
	w.db.askedSince()
	w.ask(pipeline.TopicTrigger("job"), "two", `{"resume":true}`)
	w.until(pipeline.EventEnded, run)
	w.exact("x", "a", "b")
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"b"}) {
		t.Errorf("the resume has asked %v", asked)
	}
}

// What nobody serves is in the run's record, for those who ask how it stands, until somebody does.
func TestNobodyServes(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 600
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	coordinator, _ := w.worker(pipeline.RoleCoordinator)
	w.serveBy(coordinator)
	run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
	w.seen(run, func(r checkpoint.RunRecord) bool { return slices.Equal(r.Unserved, []string{"connections", "memory"}) })
	asks, _ := w.worker(pipeline.RoleQuery)
	w.serveBy(asks)
	w.seen(run, func(r checkpoint.RunRecord) bool { return slices.Equal(r.Unserved, []string{"memory"}) })
	writes, _ := w.worker(pipeline.RoleSink)
	w.serveBy(writes)
	w.until(pipeline.EventEnded, run)
	w.exact("x", "a")
}
