package process_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline/process"

	"fanmill/pipeline"
)

// another is a second process on the same store.
func (w *world) another() *process.Node {
	node := *w.node
	node.Owner.Token = pipeline.NewToken()
	return &node
}

// tapBus has tap handle every trigger, by handle, as often as it likes.
type tapBus struct {
	pipeline.Bus
	tap func(m *pipeline.Message, handle func() error) error
}

func (b tapBus) Serve(ctx context.Context, log *slog.Logger, handlers ...pipeline.Handler) error {
	return b.Bus.Serve(ctx, log, tapped(handlers, "serve", b.tap)...)
}

// tapped puts tap before the handlers whose durable begins so.
func tapped(handlers []pipeline.Handler, durable string, tap func(m *pipeline.Message, handle func() error) error) []pipeline.Handler {
	out := slices.Clone(handlers)
	for i := range out {
		if handle := out[i].Handle; strings.HasPrefix(out[i].Durable, durable) {
			out[i].Handle = func(ctx context.Context, m *pipeline.Message) error {
				return tap(m, func() error {
					again := *m // each delivery brings a message of its own
					err := handle(ctx, &again)
					if !bytes.Equal(m.Payload, again.Payload) { // a dead letter has what the handler leaves
						m.Payload = again.Payload
					}
					return err
				})
			}
		}
	}
	return out
}

// A process ends when a run has ended and its trigger is not acknowledged. Delivered again, the trigger finds the run:
// also one that it did not begin but resumed. A second run would ask the chosen connection alone, and its artifact
// would take the place of the whole one.
func TestResumeTriggerComesAgain(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.rescript("bad", of(5, 10))
	again := make(chan bool)
	w.node.Bus = tapBus{Bus: w.node.Bus, tap: func(_ *pipeline.Message, handle func() error) error {
		if err := handle(); err != nil {
			t.Error(err)
		}
		defer close(again)
		return handle() // as the first acknowledgement was lost
	}}
	w.serve()
	w.db.askedSince()
	w.ask(pipeline.TopicTrigger("job"), "mend", `{"resume":true,"connections":["bad"]}`)
	<-again
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"bad"}) {
		t.Errorf("asked %v", asked)
	}
	w.exact("x", "a", "bad")
	if n := w.count(pipeline.EventStarted); n != 2 {
		t.Errorf("%d runs and resumes, want 2", n)
	}
}

// A trigger that is delivered again while its run is under way here, as after a freeze, is not what onOverlap is about:
// acknowledged as skipped, it would be lost to the run, should this process end.
func TestTriggerOfARunUnderWayIsNotSkipped(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.job.OnOverlap = pipeline.OverlapSkip
	gate := make(chan struct{})
	s := waiting(of(5, 10), gate)
	w.connect("a", s)
	w.deliverTo("x")
	twice, first, second := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	w.node.Bus = tapBus{Bus: w.node.Bus, tap: func(m *pipeline.Message, handle func() error) error {
		if m.MsgID == "other" {
			return handle()
		}
		go func() {
			w.until(pipeline.EventConnected, "")
			go func() { second <- handle() }()
			close(twice)
		}()
		err := handle()
		first <- err
		return err
	}}
	w.serve()
	a := w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	w.until(pipeline.EventConnected, a.Run)
	<-twice
	if a := w.ask(pipeline.TopicTrigger("job"), "other", "{}"); !a.Skipped { // so the one before it has been looked at, too
		t.Errorf("another trigger is answered with %+v", a)
	}
	select {
	case err := <-second:
		t.Errorf("the trigger was done with while its run was under way: %v", err)
	default:
	}
	if c := w.ask(pipeline.TopicCancel("night"), "", ""); c.State != pipeline.AnswerCancelling {
		t.Errorf("a cancellation is answered with %+v", c)
	}
	if err := <-first; err != nil {
		t.Errorf("the trigger of the cancelled run: %v", err)
	}
	if s := w.state("night"); s != pipeline.RunInterrupted {
		t.Errorf("the cancelled run is %s", s)
	}
	close(gate)
}

// A frozen process loses its run to another one. Woken, it does not acknowledge the trigger: the run has not ended, and
// the trigger is what brings it to its end if the other process dies.
func TestFencedProcessKeepsTheTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 900
	w.node.Alive = func(pipeline.Owner) (bool, bool) { return false, false }
	reached, ending := make(chan struct{}), make(chan struct{})
	s := of(5, 10)
	s.before = func(ctx context.Context, attempt, _, row int) error {
		switch {
		case row == 3 && attempt == 1:
			close(reached)
			<-ctx.Done()
		case row == 3:
			<-ending
		}
		return ctx.Err()
	}
	w.connect("a", s)
	w.deliverTo("x")
	taken, ended := make(chan struct{}), make(chan error, 1)
	frozen := *w.node
	kv := &standstill{KV: w.node.Stores.Runs, wake: make(chan struct{})}
	frozen.Stores.Runs = kv
	frozen.Records = checkpointOf(&standstill{KV: w.node.Stores.Checkpoints, wake: kv.wake, on: &kv.still})
	frozen.Bus = tapBus{Bus: w.node.Bus, tap: func(_ *pipeline.Message, handle func() error) error {
		close(taken)
		err := handle()
		ended <- err
		return err
	}}
	w.serveBy(&frozen)
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	w.until(pipeline.EventConnected, "night")
	<-taken
	<-reached
	kv.still.Store(true)

	second := w.another()
	// Returning a message to a consumer that was removed takes the woken process its time.
	second.Bus = keepBus{Bus: w.node.Bus}
	var over sync.WaitGroup
	defer over.Wait()
	over.Go(func() {
		_, err := second.Run(t.Context(), w.definition(), pipeline.Trigger{Resume: true})
		if err != nil {
			t.Errorf("the second process: %v", err)
		}
	})
	finish := sync.OnceFunc(func() { close(ending) })
	defer finish()
	for w.count(pipeline.EventConnected) < 2 {
		time.Sleep(5 * time.Millisecond)
	}
	close(kv.wake)
	w.fenced(kv)
	select {
	case err := <-ended:
		t.Errorf("the process that lost its run was done with the trigger: %v", err)
	default:
	}
	finish()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("when the run had ended the trigger was not done with: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the trigger was not acknowledged when the run had ended")
	}
	w.exact("x", "a")
}

// keepBus removes nothing.
type keepBus struct{ pipeline.Bus }

func (keepBus) Drop(context.Context, string) error { return nil }

// fenced waits until the woken process, which has lost its run, looks who has it.
func (w *world) fenced(kv *standstill) {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for kv.watched.Load() < 1 {
		if time.Now().After(deadline) {
			w.t.Fatal("the woken process does not look who has the run")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// standstill is a store that a frozen process does not get to.
type standstill struct {
	pipeline.KV
	still   atomic.Bool
	on      *atomic.Bool
	wake    chan struct{}
	watched atomic.Int32 // watches of the record of a run
}

func (k *standstill) hold() {
	if k.still.Load() || k.on != nil && k.on.Load() {
		<-k.wake
	}
}

func (k *standstill) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	k.hold()
	return k.KV.Get(ctx, key)
}

func (k *standstill) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	k.hold()
	return k.KV.Update(ctx, key, value, revision)
}

func (k *standstill) Watch(ctx context.Context, pattern string) (<-chan pipeline.KVEntry, error) {
	if !strings.ContainsAny(pattern, ".*") {
		k.watched.Add(1)
	}
	return k.KV.Watch(ctx, pattern)
}

// A trigger waits for the run that another process has, however long that takes, and begins when it ends; it does not
// need a place for its run meanwhile.
func TestTriggerWaitsForAnotherProcess(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 600
	w.node.Alive = func(pipeline.Owner) (bool, bool) { return true, true }
	gate := make(chan struct{})
	s := waiting(of(5, 10), gate)
	w.connect("a", s)
	w.deliverTo("x")
	first := w.another()
	var over sync.WaitGroup
	over.Go(func() {
		if _, err := first.Run(t.Context(), w.definition(), pipeline.Trigger{}); err != nil {
			t.Errorf("the first process: %v", err)
		}
	})
	defer over.Wait()
	w.until(pipeline.EventConnected, "")
	w.serve()
	if a := w.ask(pipeline.TopicTrigger("job"), "next", "{}"); a.State != pipeline.AnswerQueued {
		t.Errorf("answered with %+v", a)
	}
	if a := w.ask(pipeline.TopicTrigger("job"), "resumed", `{"resume":true}`); a.State != pipeline.AnswerQueued {
		t.Errorf("answered with %+v", a)
	}
	close(gate)
	w.until(pipeline.EventEnded, "next")
	w.until(pipeline.EventEnded, "resumed")
	w.exact("x", "a")
}
