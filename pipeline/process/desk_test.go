package process_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/coordinate"

	"fanmill/pipeline"
)

// lateEars hears what passes by only after a while.
type lateEars struct {
	pipeline.Bus
	topic string
	gate  chan struct{}
}

func (b lateEars) Listen(topic string, f func(pipeline.Inquiry)) (func(), error) {
	return b.Bus.Listen(topic, func(q pipeline.Inquiry) {
		if topic == b.topic {
			<-b.gate
		}
		f(q)
	})
}

// A trigger that comes from the stream before it is heard to pass by is no duplicate of itself.
func TestTriggerHeardLate(t *testing.T) {
	for _, payload := range []string{"{}", `{"resume":true}`} {
		w := newWorld(t, 8*mb)
		gate := make(chan struct{})
		w.connect("a", gated(gate))
		w.deliverTo("x")
		ears := lateEars{Bus: w.node.Bus, topic: pipeline.TopicTriggers, gate: make(chan struct{})}
		w.node.Bus = ears
		follow := w.node.Follow
		// The trigger is being carried out.
		w.node.Follow = func(job *pipeline.Job, run string, to []pipeline.ManifestDestination) coordinate.Follower {
			close(ears.gate)
			time.Sleep(50 * time.Millisecond) // room for a hasty answer
			return follow(job, run, to)
		}
		w.serve()
		if a := w.ask(pipeline.TopicTrigger("job"), "night", payload); a.Duplicate || a.Run != "night" || a.State != "running" {
			t.Errorf("%s is answered with %+v", payload, a)
		}
		close(gate)
		w.until(pipeline.EventEnded, "night")
	}
}

// Two that publish the same message before anybody has taken it are both answered, the second that it is a duplicate.
func TestBothAskersAreAnswered(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	asked, come := make(chan struct{}, 2), make(chan struct{})
	w.node.Bus = countingEars{Bus: tapBus{Bus: w.node.Bus, tap: func(_ *pipeline.Message, handle func() error) error { <-come; return handle() }}, heard: asked}
	w.serve()
	answers := make(chan pipeline.Answer, 2)
	for range 2 {
		go func() { answers <- w.ask(pipeline.TopicTrigger("job"), "night", "{}") }()
	}
	<-asked
	<-asked
	close(come)
	one, two := <-answers, <-answers
	if one.Run != "night" || two.Run != "night" || one.Duplicate == two.Duplicate {
		t.Errorf("answered with %+v and %+v", one, two)
	}
	w.until(pipeline.EventEnded, "night")
}

type countingEars struct {
	pipeline.Bus
	heard chan struct{}
}

func (b countingEars) Listen(topic string, f func(pipeline.Inquiry)) (func(), error) {
	return b.Bus.Listen(topic, func(q pipeline.Inquiry) {
		f(q)
		if topic == pipeline.TopicTriggers {
			time.AfterFunc(50*time.Millisecond, func() { b.heard <- struct{}{} })
		}
	})
}

// Of several processes, the one that has a run in line answers its cancellation; the others know nothing of it, and let
// it speak first.
func TestCancelIsAnsweredByWhoHasIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	gate := make(chan struct{})
	w.connect("a", gated(gate))
	w.deliverTo("x")
	idle := w.another()
	idle.Bus = tapBus{Bus: w.node.Bus, tap: func(*pipeline.Message, func() error) error { return errBroken }}
	idle.Roles = []string{pipeline.RoleCoordinator}
	w.node.Alive = func(pipeline.Owner) (bool, bool) { return true, true }
	idle.Alive = w.node.Alive
	w.serveBy(idle)
	w.node.Stores.Runs = slowKV{KV: w.node.Stores.Runs} // who does not have it finds out faster
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "one", "{}")
	w.until(pipeline.EventConnected, "one")
	w.ask(pipeline.TopicTrigger("job"), "two", "{}")
	if a := w.ask(pipeline.TopicCancel("two"), "", ""); a.Error != "" || a.State != pipeline.AnswerCancelling {
		t.Errorf("answered with %+v", a)
	}
	if a := w.ask(pipeline.TopicCancel("three"), "", ""); !strings.Contains(a.Error, "no run") {
		t.Errorf("answered with %+v", a)
	}
	close(gate)
	w.until(pipeline.EventEnded, "one")
}

// slowKV takes its time with the record of run two.
type slowKV struct{ pipeline.KV }

func (k slowKV) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	if key == "two" {
		time.Sleep(50 * time.Millisecond)
	}
	return k.KV.Get(ctx, key)
}

// A Nats-Msg-Id names one run: another job's trigger under it is told so, and one that could not name a stream is
// refused.
func TestMsgIDsThatNameNoRun(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	w.until(pipeline.EventEnded, "night")
	if a := w.ask(pipeline.TopicTrigger("other"), "night", "{}"); a.Duplicate || !strings.Contains(a.Error, "run of job job") {
		t.Errorf("answered with %+v", a)
	}
	if a := w.ask(pipeline.TopicTrigger("job"), strings.Repeat("n", 300), "{}"); !strings.Contains(a.Error, "too long") {
		t.Errorf("answered with %+v", a)
	}
}
