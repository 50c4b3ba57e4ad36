package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"

	"fanmill/pipeline"
)

// serve serves the world's job until the test ends, or until the returned function is called.
func (w *world) serve() (stop func()) {
	w.t.Helper()
	return w.serveBy(w.node)
}

// serveBy has a node serve it.
func (w *world) serveBy(node *process.Node) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done, ready, token := make(chan error, 1), make(chan struct{}), node.Owner.Token
	w.serving.Store(token, true)
	go func() {
		defer w.serving.Delete(token)
		done <- node.Serve(ctx, trigger.Service{MaxRuns: 2, SweepEvery: w.sweepEvery, Served: w.served, Alarms: w.alarms, Ready: func() { close(ready) }, Find: func(job string, inline json.RawMessage) (*spec.Definition, error) {
			if job != "job" {
				return nil, fmt.Errorf("there is no job %q", job)
			}
			return w.definition(), nil
		}})
	}()
	select {
	case <-ready:
	case err := <-done:
		w.t.Fatalf("serve: %v", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// ask publishes a trigger and returns the answer.
func (w *world) ask(topic, msgID, payload string) (a pipeline.Answer) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	data, err := w.conn.Bus().Ask(ctx, topic, msgID, []byte(payload))
	if err != nil {
		w.t.Fatalf("%s %s: %v", topic, payload, err)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		w.t.Fatalf("%s is answered with %s", payload, data)
	}
	return a
}

// until waits for an event of a kind, in a run if that is not "".
func (w *world) until(kind, run string) {
	w.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		changed := w.changed
		found := slices.ContainsFunc(w.events, func(e pipeline.Event) bool { return e.Kind == kind && (run == "" || e.Run == run) })
		w.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("no event %s of run %s", kind, run)
		}
	}
}

func (w *world) state(run string) pipeline.RunState {
	w.t.Helper()
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](w.t.Context(), w.node.Stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		w.t.Fatal(err)
	}
	return cell.Value().State
}

// Every trigger is answered: a good one with its run, a bad one with what is wrong; the bad ones are kept among the
// dead letters.
func TestTriggersAreAnswered(t *testing.T) {
	w := newWorld(t, 8*mb)
	ids := branches(w, 3, of(10, 100))
	w.deliverTo("x")
	dead := w.deadLetters()
	w.serve()
	topic := pipeline.TopicTrigger("job")
	good := w.ask(topic, "", `{"connections":["b01","b02","b03"]}`)
	if good.Run == "" || good.Job != "job" || good.State != "running" || good.Error != "" || good.Seq == 0 {
		t.Errorf("a good trigger is answered with %+v", good)
	}
	w.until(pipeline.EventEnded, good.Run)
	w.exact("x", ids...)
	for payload, want := range map[string]string{
		`{"resum":true}`:           `unknown field "resum"`,
		`{`:                        "unexpected EOF",
		`{} {}`:                    "after the object",
		`{"connections":["b99"]}`:  `no connection "b99"`,
		`{"resume":"yes, please"}`: "resume",
	} {
		if a := w.ask(topic, "", payload); a.Run != "" || !strings.Contains(a.Error, want) {
			t.Errorf("%s is answered with %+v", payload, a)
		}
	}
	for _, id := range []string{"night.1", "a b", "n#1", "é"} { // which streams and files could not be called
		if a := w.ask(topic, id, "{}"); a.Run != "" || !strings.Contains(a.Error, "letters, digits, _ and - only") {
			t.Errorf("the Nats-Msg-Id %q is answered with %+v", id, a)
		}
	}
	if a := w.ask(topic, "", `{"job":{"password":"s3cr3t"}}`); !strings.Contains(a.Error, "publish it to fanmill.jobs.inline.job") {
		t.Errorf("an inline job on the subject of one that is served is answered with %+v", a)
	}
	if a := w.ask(pipeline.TopicInline("job"), "", `{"connections":["b01"]}`); !strings.Contains(a.Error, "brings none") {
		t.Errorf("a trigger without a job on the subject of inline jobs is answered with %+v", a)
	}
	for _, payload := range []string{`{"job":{"password":"s3cr3t"}},`, `{"jobb":{"password":"s3cr3t"}}`} {
		if a := w.ask(topic, "", payload); !strings.Contains(a.Error, "cannot be read") {
			t.Errorf("%s is answered with %+v", payload, a)
		}
	}
	if a := w.ask(pipeline.TopicInline("job"), "", `{"resume":true,"connections":["b99"],"job":{"password":"s3cr3t"}}`); !strings.Contains(a.Error, `no connection "b99"`) {
		t.Errorf("an inline job is answered with %+v", a)
	}
	if a := w.ask("fanmill.jobs.run.gst.daily", "", "{}"); !strings.Contains(a.Error, "the subject is fanmill.jobs.run.gst=2Edaily") {
		t.Errorf("a subject of two words is answered with %+v", a)
	}
	if a := w.ask(pipeline.TopicTrigger("nobody's"), "", "{}"); !strings.Contains(a.Error, "there is no job") {
		t.Errorf("an unknown job is answered with %+v", a)
	}
	left := 0
	for range 15 {
		select {
		case m := <-dead:
			if strings.Contains(string(m.Payload), "s3cr3t") {
				t.Errorf("a dead letter has the inline job's password: %s", m.Payload)
			}
			if string(m.Payload) == `{"resume":true,"connections":["b99"],"job":"left out, as it may hold passwords"}` {
				left++
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a refused trigger is not among the dead letters")
		}
	}
	if left != 1 {
		t.Errorf("of the inline job's trigger there are %d dead letters", left)
	}
}

func (w *world) deadLetters() <-chan *pipeline.Message {
	w.t.Helper()
	dead := make(chan *pipeline.Message)
	var reading sync.WaitGroup
	w.t.Cleanup(reading.Wait)
	reading.Go(func() {
		err := w.conn.Bus().Serve(w.t.Context(), w.node.Log, pipeline.Handler{Topic: pipeline.TopicDeadTriggers, Durable: "test", Parallel: 1,
			Handle: func(ctx context.Context, m *pipeline.Message) error {
				select {
				case dead <- m:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}})
		if err != nil {
			w.t.Error(err)
		}
	})
	return dead
}

// Triggers of one job wait for each other; the same Msg-Id asks for the same run; one that waits can be cancelled,
// and one that runs.
func TestTriggersWaitAndAreCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	gate := make(chan struct{})
	s := of(10, 100)
	s.before = func(ctx context.Context, _, _, row int) error {
		if row == 5 {
			select {
			case <-gate:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.connect("a", s)
	w.deliverTo("x")
	w.serve()
	topic := pipeline.TopicTrigger("job")
	first := w.ask(topic, "night-1", "{}")
	if first.Run != "night-1" || first.State != "running" || first.Duplicate {
		t.Fatalf("the first is answered with %+v", first)
	}
	w.until(pipeline.EventConnected, "night-1")
	if again := w.ask(topic, "night-1", "{}"); again.Run != "night-1" || !again.Duplicate {
		t.Errorf("the same Msg-Id is answered with %+v", again)
	}
	second, third := w.ask(topic, "night-2", "{}"), w.ask(topic, "night-3", "{}")
	if second.State != "queued" || third.State != "queued" {
		t.Errorf("the next are answered with %+v, %+v", second, third)
	}
	w.waiting("night-2", "night-3")
	if c := w.ask(pipeline.TopicCancel("night-2"), "", ""); c.State != pipeline.AnswerCancelling || c.Error != "" {
		t.Errorf("a cancellation is answered with %+v", c)
	}
	if c := w.ask(pipeline.TopicCancel("night-1"), "", ""); c.State != pipeline.AnswerCancelling {
		t.Errorf("a cancellation is answered with %+v", c)
	}
	close(gate)
	w.until(pipeline.EventEnded, "night-3")
	w.exact("x", "a")
	if s := w.state("night-1"); s != pipeline.RunAbandoned { // night-3 took its place
		t.Errorf("the cancelled run is %s", s)
	}
	if _, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, "night-2"); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("the trigger that was cancelled while it waited became a run: %v", err)
	}
	w.waiting()
	if again := w.ask(topic, "night-2", "{}"); again.Run != "night-2" || !again.Duplicate || again.State != "cancelled" {
		t.Errorf("the Msg-Id of the one that was cancelled while it waited is answered with %+v", again)
	}
	if c := w.ask(pipeline.TopicCancel("night-2"), "", ""); c.Error != "the run was cancelled before it began" {
		t.Errorf("cancelling it again is answered with %+v", c)
	}
	if c := w.ask(pipeline.TopicCancel("nothing"), "", ""); !strings.Contains(c.Error, "no run") {
		t.Errorf("cancelling nothing is answered with %+v", c)
	}
	if c := w.ask(pipeline.TopicCancel("night-3"), "", ""); !strings.Contains(c.Error, "complete") {
		t.Errorf("cancelling what has ended is answered with %+v", c)
	}
}

// waiting checks which triggers of the job are listed as waiting. One that was just dropped or begun may be gone a
// moment later.
func (w *world) waiting(want ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		list, err := w.node.View().Waiting(ctx, "job")
		if err != nil {
			w.t.Fatalf("list what waits: %v", err)
		}
		var got []string
		for _, one := range list {
			if one.Job != "job" || one.Resume || one.Since.IsZero() || time.Since(one.Since) > time.Hour {
				w.t.Errorf("a trigger is listed as %+v", one)
			}
			got = append(got, one.Run)
		}
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			w.t.Fatalf("%v wait, want %v", got, want)
		}
	}
}

// With onOverlap skip a trigger that finds its job running is dropped, and told so.
func TestOverlapSkip(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.job.OnOverlap = pipeline.OverlapSkip
	gate := make(chan struct{})
	s := of(10, 100)
	s.before = func(ctx context.Context, _, _, row int) error {
		if row == 5 {
			<-gate
		}
		return nil
	}
	w.connect("a", s)
	w.deliverTo("x")
	w.serve()
	first := w.ask(pipeline.TopicTrigger("job"), "", `{}`)
	w.until(pipeline.EventConnected, first.Run)
	if a := w.ask(pipeline.TopicTrigger("job"), "", `{"connections":["a"]}`); !a.Skipped || a.Run != "" {
		t.Errorf("the overlapping trigger is answered with %+v", a)
	}
	close(gate)
	w.until(pipeline.EventEnded, first.Run)
}

// A process that stops gives its triggers back: the next one goes on with the run that was interrupted, and with what
// waited, and no connection that is settled is asked again.
func TestServeGoesOn(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 1
	reached := make(chan struct{}, 1)
	s := of(10, 100)
	s.before = func(ctx context.Context, _, _, row int) error {
		if row == 5 {
			reached <- struct{}{}
			<-ctx.Done()
		}
		return ctx.Err()
	}
	w.connect("a", of(10, 100))
	w.connect("b", s)
	w.deliverTo("x")
	stop := w.serve()
	w.ask(pipeline.TopicTrigger("job"), "one", `{}`)
	w.ask(pipeline.TopicTrigger("job"), "two", `{}`)
	<-reached
	w.until(pipeline.EventCommitted, "one")
	stop()
	if s := w.state("one"); s != pipeline.RunInterrupted {
		t.Fatalf("the run is %s after the stop", s)
	}
	w.rescript("b", of(10, 100))
	w.db.askedSince()
	w.serve()
	w.until(pipeline.EventEnded, "one")
	w.until(pipeline.EventEnded, "two")
	w.exact("x", "a", "b")
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"a", "b", "b"}) {
		t.Errorf("asked %v: the first run lacked b only, the second asks both", asked)
	}
	if one, two := w.state("one"), w.state("two"); one != pipeline.RunComplete || two != pipeline.RunComplete {
		t.Errorf("the runs are %s and %s", one, two)
	}
}
