package process_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// Sequence 21: a trigger that was skipped or refused, and whose acknowledgement was lost, comes again when it could be
// carried out: its job is free, its mistake is mended, another process serves. It is answered for and has no run. A new
// message of the same id is carried out.
func TestOutcomeOutlivesALostAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload string
		left    func(a pipeline.Answer) bool
	}{
		"skipped": {"{}", func(a pipeline.Answer) bool { return a.Skipped && a.Job == "job" }},
		"refused": {`{"connections":["late"]}`, func(a pipeline.Answer) bool { return !a.Skipped && a.Error != "" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8*mb)
			w.job.OnOverlap = pipeline.OverlapSkip
			gate, mended, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
			w.connect("a", gated(gate))
			w.deliverTo("x")
			var seen atomic.Bool
			tap := tapBus{Bus: w.node.Bus, tap: func(m *pipeline.Message, handle func() error) error {
				err := handle()
				if m.MsgID != "two" || seen.Swap(true) {
					return err
				}
				go func() {
					<-mended
					if err := handle(); err != nil && !pipeline.IsPermanent(err) {
						t.Errorf("delivered again: %v", err)
					}
					close(over)
				}()
				return err
			}}
			node := w.another()
			node.Bus = tap
			w.serveBy(node)
			topic := pipeline.TopicTrigger("job")
			w.ask(topic, "one", "{}")
			w.until(pipeline.EventConnected, "one")
			if a := w.ask(topic, "two", c.payload); !c.left(a) {
				t.Fatalf("answered with %+v", a)
			}
			if a, ok, err := w.node.View().Left(t.Context(), "two"); err != nil || !ok || !c.left(a) {
				t.Errorf("the store knows %+v, %v, %v", a, ok, err)
			}
			close(gate)
			w.until(pipeline.EventEnded, "one")
			w.connect("late", of(5, 10))
			for free := false; !free; { // the first one's place in line is given up a moment after its end
				a := w.ask(topic, "", `{"connections":["late"]}`)
				free = !a.Skipped
			}
			close(mended)
			<-over
			if _, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, "two"); !errors.Is(err, pipeline.ErrNoKey) {
				t.Errorf("it has a run: %v", err)
			}
			for {
				if a := w.ask(topic, "two", c.payload); !a.Skipped { // by the run before, it may be
					if a.Run != "two" || a.Error != "" {
						t.Errorf("published anew it is answered with %+v", a)
					}
					break
				}
			}
			w.until(pipeline.EventEnded, "two")
		})
	}
}
