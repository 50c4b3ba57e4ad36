package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// vanishBus gives the commands of some connections to workers that take them and are gone.
type vanishBus struct {
	pipeline.Bus
	take func(c pipeline.QueryCommand) bool
}

func (b vanishBus) Serve(ctx context.Context, log *slog.Logger, handlers ...pipeline.Handler) error {
	return b.Bus.Serve(ctx, log, tapped(handlers, "query-", func(m *pipeline.Message, handle func() error) error {
		var c pipeline.QueryCommand
		if err := json.Unmarshal(m.Payload, &c); err != nil {
			return err
		}
		if b.take(c) {
			return nil
		}
		return handle()
	})...)
}

// vanishes makes the world's bus one whose workers of a connection vanish so many times, each a process of its own.
func (w *world) vanishes(connection string, times int32) (left *atomic.Int32) {
	left = &atomic.Int32{}
	left.Store(times)
	w.node.Bus = vanishBus{Bus: w.node.Bus, take: func(c pipeline.QueryCommand) bool {
		if c.Connection != connection || left.Add(-1) < 0 {
			return false
		}
		n := times - left.Load()
		ctx := context.Background()
		cell, err := checkpoint.LoadDocument[checkpoint.ConnRecord](ctx, w.node.Stores.Runs, checkpoint.ConnKey(c.Run, connection))
		if err == nil {
			rec := cell.Value()
			if rec.State != checkpoint.ConnPending {
				w.t.Errorf("worker %d finds the record %+v", n, rec)
			}
			rec.State, rec.Attempt, rec.Attempts = checkpoint.ConnRunning, rec.Attempt+1, rec.Attempts+1
			rec.Owner, rec.Host, rec.PID = fmt.Sprint("gone", n), fmt.Sprint("host", n), int(n)
			err = cell.Write(ctx, rec)
		}
		if err != nil {
			w.t.Error(err)
		}
		return true
	}}
	w.node.Owner.LeaseMS = 300 // the coordinator looks every 50 ms
	return left
}

// Sequence 10: a connection whose workers vanish in a live run is asked again, by the word of the coordinator; at the
// third death it is given up, with its workers named, and the run ends with all others. A resume asks it
// anew.
func TestConnectionThatEndsItsWorkers(t *testing.T) {
	w := newWorld(t, 8*mb)
	for _, id := range []string{"x", "a", "b"} {
		w.connect(id, of(5, 10))
	}
	w.deliverTo("d", "e")
	left := w.vanishes("x", 3)
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	if left.Load() > 0 {
		t.Errorf("%d of 3 workers were not asked for", left.Load())
	}
	said := reports(out)
	for n := 1; n <= 3; n++ {
		if name := fmt.Sprintf("process %d on host%d", n, n); !strings.Contains(said, name) {
			t.Errorf("%s is not named in %s", name, said)
		}
	}
	for _, d := range []string{"d", "e"} {
		w.exact(d, "a", "b")
	}
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); len(asked) != 1 || asked[0] != "x" {
		t.Errorf("the resume has asked %v", asked)
	}
	w.exact("d", "x", "a", "b")
}

// Two deaths use up no try of a connection that may be tried once.
func TestDeathsLeaveTheTries(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.job.Retry.Attempts = 1
	w.connect("x", of(5, 10))
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	w.vanishes("x", 2)
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("d", "x", "a")
}
