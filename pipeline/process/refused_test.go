package process_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
)

// R7 refuses what changed, and only that.
func TestDriverChangeAndOptions(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("d")
	w.job.Destinations[0].Options = json.RawMessage(`{"delimiter":"&"}`)
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	if _, err := w.run(t.Context(), pipeline.Trigger{Resume: true}); err != nil {
		t.Errorf("nothing changed, and the resume is refused: %v", err)
	}
	w.job.Destinations[0].Options = nil
	w2 := newWorld(t, 8*mb)
	w2.connect("a", of(5, 10))
	w2.connect("bad", bad)
	w2.deliverTo("d")
	w2.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w2.node.Databases["fake2"] = &pipeline.DatabaseKind{Name: "fake2", Driver: w2.db}
	w2.job.Connections[0].Driver = "fake2"
	if _, err := w2.run(t.Context(), pipeline.Trigger{Resume: true}); err == nil || !strings.Contains(err.Error(), "fake2") {
		t.Errorf("the driver of a delivered connection changed, and the resume answers %v", err)
	}
	w2.job.Connections[0].Driver = "fake"
	if _, err := w2.run(t.Context(), pipeline.Trigger{Resume: true, Connections: []string{"tpyo"}}); err == nil {
		t.Errorf("a resume for a connection that does not exist is accepted")
	}
}

// A resume with a changed query is killed between writing the manifest and the records; the next one knows of the
// change, and delivers none of the rows of the old query that are in the log.
func TestChangedQueryIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	ctx, cancel := context.WithCancel(t.Context())
	w.connect("x", of(5, 10))
	w.deliverTo("d")
	w.disk.failing(func(_, step, _ string) error {
		if step == "append" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventDelivered {
			cancel()
		}
	}
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatal("not interrupted")
	}
	w.watch = nil
	w.disk.failing(nil)
	w.job.Connections[0].Queries = []pipeline.Query{{SQL: "select repaired"}}
	w.rescript("x", of(7, 10))
	runs := w.node.Stores.Runs
	ctx, cancel = context.WithCancel(t.Context())
	w.node.Stores.Runs = &cancelingKV{KV: runs, suffix: ".manifest", cancel: cancel}
	if _, err := w.run(ctx, pipeline.Trigger{Resume: true}); err == nil {
		t.Fatal("not interrupted")
	}
	w.node.Stores.Runs = runs
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("d", "x")
}

// cancelingKV ends the process, as far as a test can, after a key was put.
type cancelingKV struct {
	pipeline.KV
	suffix string
	cancel func()
}

func (k *cancelingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := k.KV.Update(ctx, key, value, revision)
	if strings.HasSuffix(key, k.suffix) {
		k.cancel()
	}
	return rev, err
}

// A resume that asks a rejected connection again is killed before that connection's new attempt has a frame in the log.
// The next one does not take the old attempt's eof, which the record's floor excludes, for rows that are yet to come.
func TestResumeKilledBeforeTheNewAttempt(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 1
	ctx, cancel := context.WithCancel(t.Context())
	held := of(5, 10) // the run is interrupted here, with x rejected and its eof in the log
	w.connect("x", of(5, 10))
	w.connect("y", held)
	w.deliverTo("d")
	w.disk.reject = func(_, c string, _ *pipeline.Opening) string {
		if c == "x" {
			return "other columns"
		}
		return ""
	}
	rejected := make(chan struct{})
	var once sync.Once
	w.disk.failing(func(_, step, _ string) error { // the commit that records the rejection publishes
		if step == "release" {
			once.Do(func() { close(rejected) })
		}
		return nil
	})
	held.open = func(int) error { <-rejected; cancel(); return pipeline.Transient(errBroken) }
	w.rescript("y", held)
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatal("not interrupted")
	}
	w.disk.reject = nil
	ctx, cancel = context.WithCancel(t.Context())
	again := of(5, 10)
	again.open = func(int) error { cancel(); return pipeline.Transient(errBroken) }
	w.rescript("x", again)
	if _, err := w.run(ctx, pipeline.Trigger{Resume: true}); err == nil {
		t.Fatal("not interrupted")
	}
	w.rescript("x", of(5, 10))
	w.rescript("y", of(5, 10))
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if out, err := w.run(ctx, pipeline.Trigger{Resume: true}); err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("the last resume: %v", err)
	}
	w.exact("d", "x", "y")
}
