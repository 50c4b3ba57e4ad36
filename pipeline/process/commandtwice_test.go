package process_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// twiceBus delivers each command of a kind a second time while the first delivery is being handled, as the server does
// after a freeze. Who acknowledges either has acknowledged the command, whatever the other says then.
type twiceBus struct {
	pipeline.Bus
	kind    string
	started <-chan struct{} // the first delivery is being handled
}

func (b twiceBus) Serve(ctx context.Context, log *slog.Logger, handlers ...pipeline.Handler) error {
	var once sync.Once
	return b.Bus.Serve(ctx, log, tapped(handlers, b.kind+"-", func(_ *pipeline.Message, handle func() error) error {
		again := false
		once.Do(func() { again = true })
		if !again {
			return handle()
		}
		outcome := make(chan error, 2)
		go func() { outcome <- handle() }()
		<-b.started
		go func() { outcome <- handle() }()
		if err := <-outcome; err == nil {
			return nil
		}
		return <-outcome
	})...)
}

// A command that is delivered again while it is being carried out is acknowledged then. Should what is under way fail
// after that, the command is not lost: the run would wait for it for ever. Nor is it when the store does not take it
// back at once.
func TestCommandComesAgainAndFails(t *testing.T) {
	w := newWorld(t, 8*mb)
	started, asked, gate := make(chan struct{}), make(chan struct{}), make(chan struct{})
	w.job.Retry = pipeline.Retry{Attempts: 3, Backoff: pipeline.Duration(time.Millisecond)}
	rows := of(5, 10)
	rows.before = func(_ context.Context, attempt, _, _ int) error {
		if attempt == 1 {
			<-gate
			return pipeline.Transient(errBroken)
		}
		return nil
	}
	w.connect("a", rows)
	w.deliverTo("x")
	var published atomic.Int32
	w.node.Bus = twiceBus{Bus: answeringBus{Bus: w.node.Bus, answer: func(topic string, publish func() error) error {
		if strings.HasPrefix(topic, "fanmill.work.query.") && published.Add(1) == 2 {
			return pipeline.Transient(errBroken)
		}
		return publish()
	}}, kind: "query", started: started}
	var once sync.Once
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventConnected {
			once.Do(func() {
				defer close(asked)
				// Somebody changes the record, so that the next attempt cannot be written there, and is gone.
				key := checkpoint.ConnKey(e.Run, "a")
				cell, err := checkpoint.LoadDocument[checkpoint.ConnRecord](context.Background(), w.node.Stores.Runs, key)
				if err == nil {
					err = cell.Write(context.Background(), cell.Value())
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	go func() {
		<-asked
		close(started)
		time.AfterFunc(100*time.Millisecond, func() { close(gate) }) // leave the second delivery time to be looked at
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	out, err := w.run(ctx, pipeline.Trigger{})
	if err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("the run: %v, %v", out, err)
	}
	w.exact("x", "a")
}
