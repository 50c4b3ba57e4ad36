package process_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline"
)

// troubledBus does not store the first message of each kind of command in time.
type troubledBus struct {
	pipeline.Bus
	seen *sync.Map
}

func (b troubledBus) Publish(topic, id string, payload []byte) error {
	for _, kind := range []string{"fanmill.work.query.", "fanmill.work.sink."} {
		if strings.HasPrefix(topic, kind) {
			if _, again := b.seen.LoadOrStore(kind, true); !again {
				return pipeline.Transient(errBroken)
			}
		}
	}
	return b.Bus.Publish(topic, id, payload)
}

// A run outlives that its commands cannot be stored for a while, as when their stream has lost its leader.
func TestCommandsThatCannotBeStored(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 300 // the next try comes soon
	ids := branches(w, 5, of(5, 10))
	w.db.host = func(string) string { return "one" }
	w.job.ParallelPerHost = 2
	w.deliverTo("x", "y")
	seen := &sync.Map{}
	w.node.Bus = troubledBus{Bus: w.node.Bus, seen: seen}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", ids...)
	w.exact("y", ids...)
	if asked := w.db.askedSince(); len(asked) != len(ids) {
		t.Errorf("asked %v", asked)
	}
}

// answeringBus has a say in what becomes of the publication of a command.
type answeringBus struct {
	pipeline.Bus
	answer func(topic string, publish func() error) error
}

func (b answeringBus) Publish(topic, id string, payload []byte) error {
	return b.answer(topic, func() error { return b.Bus.Publish(topic, id, payload) })
}

// A command that was stored, and of which nobody knows, is carried out before it is published again. Its connection
// does not keep the place on its server that it was given for the second time: those behind it would wait for ever.
func TestCommandThatWasStoredAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	ids := branches(w, 3, of(5, 10))
	w.db.host = func(string) string { return "one" }
	w.job.ParallelPerHost = 1
	w.deliverTo("x")
	var once sync.Once
	w.node.Bus = answeringBus{Bus: w.node.Bus, answer: func(topic string, publish func() error) error {
		err := publish()
		if strings.HasPrefix(topic, "fanmill.work.query.") {
			once.Do(func() { err = pipeline.Transient(errBroken) })
		}
		return err
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := w.run(ctx, pipeline.Trigger{})
	if err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("the run: %+v, %v", out, err)
	}
	w.exact("x", ids...)
	if asked := w.db.askedSince(); len(asked) != len(ids) {
		t.Errorf("asked %v", asked)
	}
}

// troubledKV does not answer when it is asked for a key the first time.
type troubledKV struct {
	pipeline.KV
	key atomic.Pointer[string]
}

func (k *troubledKV) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	if p := k.key.Load(); p != nil && *p == key && k.key.CompareAndSwap(p, nil) {
		return pipeline.KVEntry{}, pipeline.Transient(errBroken)
	}
	return k.KV.Get(ctx, key)
}

// A destination that cannot find out whether the run is still its process's asks again.
func TestOwnerThatCannotBeLookedUp(t *testing.T) {
	w := newWorld(t, 8*mb)
	kv := &troubledKV{KV: w.node.Stores.Runs}
	w.node.Stores.Runs = kv
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventStarted {
			kv.key.Store(&e.Run)
		}
	}
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
}
