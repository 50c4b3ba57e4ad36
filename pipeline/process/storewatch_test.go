package process_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/trigger"

	"fanmill/pipeline"
)

// fakeStore is as well as a test says.
type fakeStore struct {
	mu     sync.Mutex
	err    error
	probed chan struct{} // receives after each look, if anybody waits
}

func (s *fakeStore) Probe(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.probed <- struct{}{}:
	default:
	}
	return s.err
}

func (s *fakeStore) is(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// held is a world with a run that goes on until the test says otherwise.
func heldWorld(t *testing.T) (w *world, store *fakeStore, gate chan struct{}, running <-chan struct{}) {
	w = newWorld(t, 8*mb)
	store = &fakeStore{probed: make(chan struct{})}
	w.node.Store, w.node.StorePatience = store, 300*time.Millisecond
	gate = make(chan struct{})
	w.connect("a", of(5, 10))
	w.connect("b", waiting(of(5, 10), gate))
	w.deliverTo("x")
	began := make(chan struct{})
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Connection == "a" {
			close(began)
		}
	}
	return w, store, gate, began
}

type runEnd struct {
	out *coordinate.Outcome
	err error
}

func (w *world) start(t pipeline.Trigger) <-chan runEnd {
	end := make(chan runEnd, 1)
	go func() {
		out, err := w.run(w.t.Context(), t)
		end <- runEnd{out: out, err: err}
	}()
	return end
}

var errFull = pipeline.Transient(errors.New("the disk of /data is full"))

// A store that does not work ends a run after its patience, by the same way as Ctrl-C does; it is no failure of a
// connection, and a resume goes on from what is committed.
func TestStoreThatFailsForGood(t *testing.T) {
	w, store, gate, began := heldWorld(t)
	end := w.start(pipeline.Trigger{})
	<-began
	store.is(errFull)
	got := <-end
	if got.err == nil || !strings.Contains(got.err.Error(), "the disk of /data is full") || errors.Is(got.err, pipeline.ErrCancelled) {
		t.Fatalf("the run ended with %+v, %v", got.out, got.err)
	}
	store.is(nil)
	close(gate)
	w.watch = nil
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", "a", "b")
	if asked := w.db.askedSince(); len(asked) != 1 || asked[0] != "b" {
		t.Errorf("asked %v", asked)
	}
}

// With the trouble gone in time the run goes on.
func TestStoreThatWorksAgain(t *testing.T) {
	w, store, gate, began := heldWorld(t)
	w.node.StorePatience = 5 * time.Second
	end := w.start(pipeline.Trigger{})
	<-began
	store.is(errFull)
	<-store.probed // the next but one look comes after it was found ill
	<-store.probed
	store.is(nil)
	<-store.probed
	close(gate)
	if got := <-end; got.err != nil || got.out.State != pipeline.RunComplete {
		t.Fatalf("the run ended with %+v, %v", got.out, got.err)
	}
	w.exact("x", "a", "b")
}

// A store that is another one ends the run at once, and nothing is written into it: neither that the run was
// interrupted.
func TestStoreThatIsAnotherOne(t *testing.T) {
	w, store, gate, began := heldWorld(t)
	defer close(gate)
	w.node.StorePatience = time.Second
	end := w.start(pipeline.Trigger{})
	<-began
	runs, err := w.node.View().List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	store.is(pipeline.Permanent(pipeline.ErrStore))
	if got := <-end; !errors.Is(got.err, pipeline.ErrStore) {
		t.Fatalf("the run ended with %+v, %v", got.out, got.err)
	}
	info, err := w.node.View().Inspect(t.Context(), runs[0].Run)
	if err != nil || info.Record.State != pipeline.RunRunning {
		t.Errorf("the run in that store is %+v, %v", info.Record, err)
	}
}

// A process that serves ends when its store is another one: whoever starts it again makes what is missing.
func TestServeInAnotherStore(t *testing.T) {
	w := newWorld(t, 8*mb)
	store := &fakeStore{}
	w.node.Store, w.node.StorePatience = store, time.Second
	err := w.node.Serve(t.Context(), trigger.Service{Ready: func() { store.is(pipeline.Permanent(pipeline.ErrStore)) }})
	if !errors.Is(err, pipeline.ErrStore) {
		t.Errorf("serve ended with %v", err)
	}
}
