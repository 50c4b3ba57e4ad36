package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// written writes into a document as another process does, and returns when its owner has written it again.
func written[T any](t *testing.T, kv pipeline.KV, key string, change func(*T)) {
	t.Helper()
	for {
		cell, err := checkpoint.LoadDocument[T](t.Context(), kv, key)
		if err != nil {
			t.Fatal(err)
		}
		next := cell.Value()
		change(&next)
		if err := cell.Write(t.Context(), next); errors.Is(err, pipeline.ErrConflict) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		entries, err := kv.Watch(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for e := range entries {
			if e.Key == key && e.Revision > cell.Revision() {
				return
			}
		}
		t.Fatal("the watch has ended")
	}
}

// Sequence 8: what another process writes into the records of a run, whose owner it leaves alone, neither ends the run
// nor is lost.
func TestOthersWriteIntoRecords(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 300
	gate := make(chan struct{})
	w.connect("a", gated(gate))
	w.deliverTo("x")
	w.observe(func(e pipeline.Event) {
		if e.Kind == pipeline.EventConnected {
			go func() {
				written(t, w.node.Stores.Runs, checkpoint.RunKey(e.Run), func(r *checkpoint.RunRecord) { r.Inline = true })
				written(t, w.node.Stores.Checkpoints, checkpoint.RecordKey(e.Run, "x"), func(r *checkpoint.CommitRecord) { r.Host = "other" })
				close(gate)
			}()
		}
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
	run, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey(out.Run))
	if err != nil || !run.Value().Inline {
		t.Errorf("the run's record is %+v, %v", run.Value(), err)
	}
	if rec, err := w.node.Records.Load(t.Context(), out.Run, "x"); err != nil || rec.Host != "other" {
		t.Errorf("the commit record is %+v, %v", rec, err)
	}
}

// deafBus hears no cancellation.
type deafBus struct{ pipeline.Bus }

func (b deafBus) Listen(topic string, f func(pipeline.Inquiry)) (func(), error) {
	if topic == pipeline.TopicCancels {
		return func() {}, nil
	}
	return b.Bus.Listen(topic, f)
}

// A run whose process did not hear that it is to stop obeys at its next renewal, and is not gone on with by itself. A
// resume that somebody asks for goes on, and can be cancelled as well.
func TestCancelOfARunElsewhere(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", stuck())
	w.deliverTo("x")
	w.serveBy(w.another())
	node := w.another()
	node.Owner.LeaseMS = 300
	node.Bus = deafBus{Bus: w.node.Bus}
	node.Alive = func(pipeline.Owner) (bool, bool) { return true, true }
	var asking sync.WaitGroup
	for _, trigger := range []pipeline.Trigger{{}, {Resume: true}} {
		w.observe(func(e pipeline.Event) {
			if e.Kind == pipeline.EventConnected && e.Connection == "b" {
				asking.Go(func() {
					if a := w.ask(pipeline.TopicCancel(e.Run), "", ""); a.State != pipeline.AnswerCancelling || a.Error != "" || a.Job != "job" {
						t.Errorf("answered with %+v", a)
					}
				})
			}
		})
		if out, err := node.Run(t.Context(), w.definition(), trigger); !errors.Is(err, pipeline.ErrCancelled) {
			t.Fatalf("it ended with %+v, %v", out, err)
		}
		asking.Wait()
		run, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey(w.lastRun()))
		if err != nil || run.Value().Stopped != pipeline.StoppedCancelled {
			t.Errorf("its record is %+v, %v", run.Value(), err)
		}
	}
	w.observe(nil)
	w.rescript("b", of(5, 10))
	if out, err := node.Run(t.Context(), w.definition(), pipeline.Trigger{Resume: true}); err != nil || out.State != pipeline.RunComplete {
		t.Errorf("resumed, it is %+v, %v", out, err)
	}
	w.exact("x", "a", "b")
}

// A cancelled run whose process ended before it obeyed is not gone on with by whoever takes it over: not at the next
// start, not by its own trigger, which comes again, and not by the next one of its job.
func TestCancelSurvivesATakeover(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"start", "own trigger", "next trigger"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8*mb)
			w.connect("a", of(5, 10))
			w.connect("b", stuck())
			w.deliverTo("x")
			w.interrupted()
			if name != "start" {
				w.serve()
			}
			old := w.died(1 << 40)
			w.db.askedSince()
			if a, err := w.node.Coordinator().Cancel(t.Context(), old); err != nil || a.State != pipeline.AnswerCancelling {
				t.Fatalf("answered with %+v, %v", a, err)
			}
			w.rescript("b", of(5, 10))
			next := "next"
			switch name {
			case "start":
				w.serve()
			case "own trigger":
				next = old
			}
			if name != "start" {
				w.ask(pipeline.TopicTrigger("job"), next, "{}")
			}
			w.untilRecord(old, func(r checkpoint.RunRecord) bool {
				if r.Resumes > 0 {
					t.Fatalf("it goes on: %+v", r)
				}
				return r.Stopped == pipeline.StoppedCancelled && r.State != pipeline.RunRunning && !r.Taken
			})
			if name == "next trigger" {
				w.until(pipeline.EventEnded, "next")
				w.exact("x", "a", "b")
				if s := w.state(old); s != pipeline.RunAbandoned {
					t.Errorf("the cancelled run is %s", s)
				}
				return
			}
			if asked := w.db.askedSince(); len(asked) > 0 {
				t.Errorf("asked %v", asked)
			}
			w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete) // which somebody asks for
			w.exact("x", "a", "b")
		})
	}
}

// A trigger that nobody has taken yet is cancelled in the store: it has no run, whoever serves later, and its id stays
// cancelled. One that is neither a run nor in line cannot be.
func TestCancelInLine(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	topic := pipeline.TopicTrigger("job")
	for _, id := range []string{"one", "two"} {
		if _, err := w.conn.Bus().Ask(briefly(t), topic, id, []byte("{}")); err == nil {
			t.Fatal("somebody serves")
		}
	}
	if a, err := w.node.Coordinator().Cancel(t.Context(), "one"); err != nil || a.State != pipeline.AnswerCancelling || a.Job != "job" {
		t.Errorf("answered with %+v, %v", a, err)
	}
	if a, err := w.node.Coordinator().Cancel(t.Context(), "three"); err != nil || a.Error == "" {
		t.Errorf("answered with %+v, %v", a, err)
	}
	w.serve()
	w.until(pipeline.EventEnded, "two")
	if _, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, "one"); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("it has a run: %v", err)
	}
	for { // its turn may come after the other's
		a := w.ask(topic, "one", "{}")
		if a.State == pipeline.StoppedCancelled && a.Duplicate {
			return
		}
		if a.State != pipeline.AnswerQueued && a.Error == "" {
			t.Fatalf("once more it is answered with %+v", a)
		}
	}
}

// briefly is a context for a question that nobody answers.
func briefly(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Two processes that write down the same cancellation at one moment, or one over damage, lose none.
func TestCancelTwiceAtOnce(t *testing.T) {
	w := serving(t)
	old := w.lastRun()
	ended := make(chan error, 4)
	for range cap(ended) {
		go func() {
			_, err := w.another().Coordinator().Cancel(t.Context(), old)
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	damage(t, w.node.Stores.Runs, checkpoint.CancelKey(old), "not JSON")
	if _, err := w.node.Coordinator().Cancel(t.Context(), old); err != nil {
		t.Error(err)
	}
	e, err := w.node.Stores.Runs.Get(t.Context(), checkpoint.CancelKey(old))
	var c checkpoint.Cancellation
	if err != nil || json.Unmarshal(e.Value, &c) != nil || c.At.IsZero() {
		t.Errorf("it is %s, %v", e.Value, err)
	}
}
