package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// The id of a trigger that was refused is free: asked under it again, at once, it is answered with the reason for as
// long as that lasts, and has its run when the cause is gone, also from a process that has heard nothing of the
// refusal.
func TestRefusedIDIsFree(t *testing.T) {
	w := newRealWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	stop := w.serve()
	topic := pipeline.TopicTrigger("job")
	for _, bad := range []struct{ topic, payload, want string }{
		{topic, `{"resum":true}`, "unknown field"},
		{topic, `{"resum":true}`, "unknown field"},
		{topic, `{"connections":["b"]}`, `no connection "b"`},
		{pipeline.TopicTrigger("nojob"), `{}`, "no job"},
		{topic, `{`, "cannot be read"},
	} {
		if a := w.ask(bad.topic, "night", bad.payload); a.Run != "" || !strings.Contains(a.Error, bad.want) {
			t.Errorf("%s to %s is answered with %+v", bad.payload, bad.topic, a)
		}
	}
	stop()
	w.serveBy(w.another())
	w.connect("b", of(5, 10)) // the job is mended
	if a := w.ask(topic, "night", `{"connections":["b"]}`); a.Run != "night" || a.Duplicate || a.Error != "" {
		t.Errorf("with its cause gone it is answered with %+v", a)
	}
	w.until(pipeline.EventEnded, "night")
	w.exact("x", "b")
	if a := w.ask(topic, "night", `{"connections":["b"]}`); a.Run != "night" || !a.Duplicate || a.State != "complete" {
		t.Errorf("once more it is answered with %+v", a)
	}
	if a := w.ask(topic, "night", `{"resum":true}`); a.Run != "night" || !a.Duplicate || a.State != "complete" {
		t.Errorf("once more, and in error, it is answered with %+v", a)
	}
}

// What a stream drops because of an id that it has just seen is answered as the one before was.
func TestDroppedByItsIDIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	var heard func(pipeline.Inquiry)
	w.node.Bus = listening{Bus: w.node.Bus, heard: &heard}
	w.serve()
	topic := pipeline.TopicTrigger("job")
	first := w.ask(topic, "night", `{"resum":true}`)
	answers := make(chan []byte, 2)
	hear := func(payload string) (a pipeline.Answer) {
		heard(pipeline.Inquiry{Subject: topic, MsgID: "night", Payload: []byte(payload), Answer: func(data []byte) error { answers <- data; return nil }})
		if err := json.Unmarshal(<-answers, &a); err != nil {
			t.Error(err)
		}
		return a
	}
	if second := hear(`{"resum":true}`); second != first || second.Error == "" {
		t.Errorf("it is answered with %+v, the one before with %+v", second, first)
	}
	w.ask(topic, "night", `{"resum":true}`)
	if third := hear(`{"resume":true}`); !strings.Contains(third.Error, "publish it again") {
		t.Errorf("another one is answered with %+v", third)
	}
}

// listening lets a test say what passes by, and no stream has.
type listening struct {
	pipeline.Bus
	heard *func(pipeline.Inquiry)
}

func (b listening) Listen(topic string, f func(pipeline.Inquiry)) (func(), error) {
	if topic == pipeline.TopicTriggers {
		*b.heard = f
	}
	return b.Bus.Listen(topic, f)
}

// A skipped trigger's id is free once the job is; while it runs it is answered so each time.
func TestSkippedIDIsFree(t *testing.T) {
	w := newWorld(t, 8*mb)
	gate := make(chan struct{})
	w.connect("a", gated(gate))
	w.deliverTo("x")
	w.job.OnOverlap = pipeline.OverlapSkip
	w.serve()
	topic := pipeline.TopicTrigger("job")
	w.ask(topic, "one", "{}")
	w.until(pipeline.EventConnected, "one")
	for range 2 {
		if a := w.ask(topic, "two", "{}"); !a.Skipped || a.Error == "" || a.Run != "" {
			t.Errorf("while the job runs it is answered with %+v", a)
		}
		if a := w.ask(topic, "one", "{}"); a.Run != "one" || !a.Duplicate || a.Skipped {
			t.Errorf("the run itself, asked for again, is answered with %+v", a)
		}
	}
	close(gate)
	w.until(pipeline.EventEnded, "one")
	for { // its turn ends a moment after its run
		a := w.ask(topic, "two", "{}")
		if a.Run == "two" {
			break
		}
		if !a.Skipped {
			t.Fatalf("it is answered with %+v", a)
		}
	}
	w.until(pipeline.EventEnded, "two")
	if s := w.state("one"); s != pipeline.RunComplete {
		t.Errorf("run one is %s", s)
	}
}

// A trigger that was cancelled before its run began stays cancelled, whoever serves by then.
func TestCancelledIDStaysCancelled(t *testing.T) {
	w := newWorld(t, 8*mb)
	gate := make(chan struct{})
	w.connect("a", gated(gate))
	w.deliverTo("x")
	stop := w.serve()
	topic := pipeline.TopicTrigger("job")
	w.ask(topic, "one", "{}")
	w.until(pipeline.EventConnected, "one")
	if a := w.ask(topic, "two", "{}"); a.State != pipeline.AnswerQueued {
		t.Fatalf("answered with %+v", a)
	}
	if a := w.ask(topic, "two", "{}"); a.State != pipeline.AnswerQueued || !a.Duplicate {
		t.Errorf("once more it is answered with %+v", a)
	}
	if waiting, err := w.node.View().Waiting(t.Context(), ""); err != nil || len(waiting) != 1 || waiting[0].Run != "two" {
		t.Errorf("%+v wait (%v)", waiting, err)
	}
	w.ask(pipeline.TopicCancel("two"), "", "")
	cancelled := func(when string) {
		t.Helper()
		for { // the cancellation is answered before it is noted
			a := w.ask(topic, "two", "{}")
			if a.State == pipeline.StoppedCancelled && a.Duplicate && a.Run == "two" {
				return
			}
			if a.State != pipeline.AnswerCancelling {
				t.Fatalf("%s it is answered with %+v", when, a)
			}
		}
	}
	cancelled("cancelled,")
	close(gate)
	w.until(pipeline.EventEnded, "one")
	stop()
	w.serveBy(w.another())
	cancelled("by another process")
	if _, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey("two")); err == nil {
		t.Error("it has a run")
	}
}

// A trigger that had an unfinished run resumed is known by its id when later runs have come.
func TestResumingIDIsKnown(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	var mended atomic.Bool
	bad.open = func(int) error {
		if mended.Load() {
			return nil
		}
		return pipeline.Permanent(errBroken)
	}
	w.connect("a", of(5, 10))
	w.connect("b", bad)
	w.deliverTo("x")
	w.serve()
	topic := pipeline.TopicTrigger("job")
	ended := func(id, payload, run string) {
		t.Helper()
		w.mu.Lock()
		w.events = nil
		w.mu.Unlock()
		if a := w.ask(topic, id, payload); a.Run != run && a.State != pipeline.AnswerQueued || a.Duplicate {
			t.Fatalf("%s is answered with %+v", id, a)
		}
		w.until(pipeline.EventEnded, run)
	}
	ended("one", "{}", "one")
	mended.Store(true)
	ended("again", `{"resume":true}`, "one")
	mended.Store(false)
	ended("two", "{}", "two")
	if a := w.ask(topic, "again", `{"resume":true}`); a.Run != "one" || !a.Duplicate || a.State != "complete" {
		t.Errorf("what resumed run one is answered with %+v", a)
	}
	if s := w.state("two"); s != pipeline.RunPartial {
		t.Errorf("run two is %s: it was resumed by a trigger of before", s)
	}
}

// Each of some that publish one id at once is answered with the one run; so is who just publishes.
func TestManyOfOneID(t *testing.T) {
	w := newWorld(t, 8*mb)
	gate := make(chan struct{})
	w.connect("a", gated(gate))
	w.deliverTo("x")
	w.serve()
	w.serveBy(w.another())
	topic := pipeline.TopicTrigger("job")
	const many = 8
	answers := make(chan pipeline.Answer, many)
	for i := range many {
		go func() {
			if i == 0 {
				ctx, cancel := context.WithCancel(t.Context())
				cancel() // published, and no answer awaited
				_, _ = w.conn.Bus().Ask(ctx, topic, "night", []byte("{}"))
			}
			answers <- w.ask(topic, "night", "{}")
		}()
	}
	for range many {
		if a := <-answers; a.Run != "night" || a.Error != "" {
			t.Errorf("answered with %+v", a)
		}
	}
	close(gate)
	w.until(pipeline.EventEnded, "night")
	for i := range 2 {
		if a := w.ask(topic, "night", fmt.Sprintf(`{"params":{"n":%d}}`, i)); a.Run != "night" || !a.Duplicate {
			t.Errorf("answered with %+v", a)
		}
	}
	w.exact("x", "a")
	w.mu.Lock()
	defer w.mu.Unlock()
	starts := 0
	for _, e := range w.events {
		if e.Kind == pipeline.EventStarted {
			starts++
		}
	}
	if starts != 1 {
		t.Errorf("%d runs began", starts)
	}
}
