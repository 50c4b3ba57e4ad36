package process_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// Tidying up fails: the run is complete all the same, and other jobs run.
func TestTidyingUpThatFailsBlocksNothing(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	w.disk.failing(func(_, step, _ string) error {
		if step == "clean" {
			return pipeline.Transient(fmt.Errorf("the share is away"))
		}
		return nil
	})
	if out, err := w.run(t.Context(), pipeline.Trigger{}); err != nil || out.State != pipeline.RunComplete {
		t.Errorf("a complete run answers %v", err)
	}
	other := *w.job
	other.ID, other.Destinations = "other", []pipeline.Destination{{ID: "d2", Type: "memory", FilePath: "d2"}}
	w.job = &other
	w.disk.failing(func(dest, step, _ string) error {
		if step == "clean" && dest == "d" {
			return pipeline.Transient(fmt.Errorf("the share is away"))
		}
		return nil
	})
	if _, err := w.run(t.Context(), pipeline.Trigger{}); err != nil {
		t.Errorf("another job does not run: %v", err)
	}
}

// agedBus says that what a topic keeps is older than it is.
type agedBus struct {
	pipeline.Bus
	age time.Duration
}

func (b agedBus) Kept(ctx context.Context, topic string, limit int) ([]*pipeline.Message, error) {
	kept, err := b.Bus.Kept(ctx, topic, limit)
	for _, m := range kept {
		m.Stored = time.Now().Add(-b.age)
	}
	return kept, err
}

// A process that was killed before it had a run leaves what it asked of itself. That is removed when the process is
// known to be gone, and after a week where nobody can tell; not what one that works asked.
func TestStrayTriggersAreRemoved(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	bus, alive := w.node.Bus, w.node.Alive
	w.node.Alive = func(o pipeline.Owner) (bool, bool) {
		switch o.Token {
		case "at.work":
			return true, true
		case "elsewhere":
			return false, false
		}
		return alive(o)
	}
	topics := map[string]string{"gone": pipeline.TopicOwnTrigger("job", "gone"), "at work": pipeline.TopicOwnTrigger("elsewhere", "at.work"), "unknown": pipeline.TopicOwnTrigger("job", "elsewhere")}
	for id, topic := range topics {
		if err := bus.Publish(topic, id, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	working := checkpoint.RunRecord{Job: "elsewhere", State: pipeline.RunRunning, Owner: pipeline.Owner{Token: "at.work", Host: "elsewhere", PID: 1}, Started: time.Now()}
	if _, err := checkpoint.CreateDocument(t.Context(), w.node.Stores.Runs, checkpoint.RunKey("night"), working); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		age  time.Duration
		left []string
	}{{0, []string{"at work", "unknown"}}, {6 * 24 * time.Hour, []string{"at work", "unknown"}}, {8 * 24 * time.Hour, []string{"at work"}}} {
		w.node.Bus = agedBus{Bus: bus, age: step.age}
		w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
		var left []string
		for id, topic := range topics {
			kept, err := bus.Kept(t.Context(), topic, 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) > 0 {
				left = append(left, id)
			}
		}
		if slices.Sort(left); !slices.Equal(left, step.left) {
			t.Errorf("after %s there is what %q asked, want %q", step.age, left, step.left)
		}
	}
}

// An abandoned run whose tidying up was cut short is tidied up by a later one: its row log does not stay reserved.
func TestAbandonedLogIsRemovedLater(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx, cancel := context.WithCancel(t.Context())
	s := of(5, 10)
	s.before = func(context.Context, int, int, int) error { cancel(); return nil }
	w.connect("a", s)
	w.deliverTo("d")
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatal("not interrupted")
	}
	old, err := w.node.View().LastRun(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	w.rescript("a", of(5, 10))
	var failed atomic.Bool
	inner := w.node.RowLogs
	w.node.RowLogs = &logs{RowLogs: inner, remove: func() error {
		if !failed.Swap(true) {
			return pipeline.Transient(errBroken) // or a kill just before
		}
		return nil
	}}
	_, _ = w.run(t.Context(), pipeline.Trigger{}) // starts over; the clean-up fails
	if !failed.Load() {
		t.Fatal("the deletion was to fail")
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	if _, err := inner.Open(t.Context(), old, 1); err == nil {
		t.Errorf("the row log of abandoned run %s is still there after two more runs", old)
	}
}
