package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// Columns that nobody could describe when the run began, because nobody was reached, are described by the resume, as
// long as nothing is committed.
func TestColumnsAreDescribedWhenSomebodyAnswers(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Sinks["memory"] = w.disk.kind(pipeline.Traits{OneSchema: true})
	away := of(5, 10)
	away.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", away)
	w.connect("b", away)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunFailed)
	wide := of(5, 10)
	wide.columns = []string{"id", "body", "note"}
	w.rescript("a", of(5, 10))
	w.rescript("b", wide)
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	m, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, w.lastRun())
	if err != nil || len(m.Schemas) != 1 || len(m.Schemas[0].Columns) != 3 {
		t.Errorf("the run has the columns %+v, %v", m.Schemas, err)
	}
	w.exact("x", "a", "b")
}

// Columns that are fixed stay so: a connection that was away then and has another column is its own affair, and one
// that is added, too.
func TestFixedColumnsStay(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Sinks["memory"] = w.disk.kind(pipeline.Traits{OneSchema: true})
	away := of(5, 10)
	away.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("b", away)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	wide := of(5, 10)
	wide.columns = []string{"id", "body", "note"}
	w.rescript("b", wide)
	w.connect("added", wide)
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	m, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, w.lastRun())
	if err != nil || len(m.Schemas) != 1 || len(m.Schemas[0].Columns) != 2 || len(m.Connections) != 3 {
		t.Errorf("the run has the columns %+v of %d connections, %v", m.Schemas, len(m.Connections), err)
	}
	w.job.OnDrift = pipeline.DriftSkip
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.rescript("b", bad)
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.job.OnDrift = pipeline.DriftFail
	if _, err := w.run(t.Context(), pipeline.Trigger{Resume: true}); err == nil || !strings.Contains(err.Error(), "onDrift") {
		t.Errorf("a resume with another onDrift: %v", err)
	}
}

// A run of chosen connections stays one: a resume of it brings those. A resume may choose among them, and names what
// it left out.
func TestResumeOfChosenConnections(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("b", bad)
	w.connect("c", bad)
	w.connect("d", of(5, 10))
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{Connections: []string{"a", "b", "c"}}, pipeline.RunPartial)
	w.rescript("b", of(5, 10))
	w.rescript("c", of(5, 10))
	w.db.askedSince()
	out := w.mustRun(pipeline.Trigger{Resume: true, Connections: []string{"b"}}, pipeline.RunPartial)
	if c := out.Reports[0].Connections[2]; !strings.Contains(c.Error, "left out of this resume") {
		t.Errorf("c is reported as %+v", c)
	}
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"b", "c"}) {
		t.Errorf("asked %v", asked)
	}
	w.exact("x", "a", "b", "c")
}

// The parameters that a run was begun with are those of its resumes; other ones are refused.
func TestParametersOfAResume(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("b", bad)
	w.deliverTo("x")
	def := w.definition()
	def.Params = func(given map[string]any, _ time.Time) ([]pipeline.Arg, error) {
		from, _ := given["from"].(string)
		return []pipeline.Arg{{Name: "from", Type: pipeline.ArgText, Text: from}}, nil
	}
	given := func(from string) map[string]any { return map[string]any{"from": from} }
	if out, err := w.node.Run(t.Context(), def, pipeline.Trigger{Params: given("april")}); err != nil || out.State != pipeline.RunPartial {
		t.Fatal(out, err)
	}
	w.rescript("b", of(5, 10))
	if _, err := w.node.Run(t.Context(), def, pipeline.Trigger{Resume: true, Params: given("may")}); err == nil || !strings.Contains(err.Error(), "april") {
		t.Errorf("a resume with other parameters: %v", err)
	}
	if out, err := w.node.Run(t.Context(), def, pipeline.Trigger{Resume: true}); err != nil || out.State != pipeline.RunComplete {
		t.Fatal(out, err)
	}
	w.exact("x", "a", "b")
}

// A cancelled run whose end could not be stored is not gone on with when its trigger comes again: that it is to
// stop was stored before. Then its end is, and a resume goes on.
func TestStopThatIsNotRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	asked, slow := make(chan struct{}), stuck()
	slow.open = func(int) error { close(asked); return nil }
	w.connect("a", slow)
	w.deliverTo("x")
	runs := w.node.Stores.Runs
	lost := &losingKV{KV: runs, key: "night"}
	w.node.Stores.Runs = lost
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	<-asked
	w.rescript("a", of(5, 10))
	lost.broken.Store(true)
	w.ask(pipeline.TopicCancel("night"), "", "")
	w.untilRecord("night", func(r checkpoint.RunRecord) bool { return r.Stopped == pipeline.StoppedCancelled })
	if lost.broken.Load() {
		t.Error("its end was stored at once")
	}
	if asked := w.db.askedSince(); len(asked) != 1 {
		t.Errorf("asked %q", asked)
	}
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", "a")
}

// untilRecord waits until a run's record is as it is to be.
func (w *world) untilRecord(run string, as func(checkpoint.RunRecord) bool) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer stop()
	entries, err := w.node.Stores.Runs.Watch(ctx, run)
	if err != nil {
		w.t.Fatal(err)
	}
	var last []byte
	for e := range entries {
		if e.Key == run && !e.Deleted {
			var rec checkpoint.RunRecord
			last = e.Value
			if err := json.Unmarshal(e.Value, &rec); err != nil {
				w.t.Fatal(err)
			}
			if as(rec) {
				return
			}
		}
	}
	w.t.Fatalf("the record of run %s has stayed %s", run, last)
}

// losingKV cannot write that a run is interrupted, for one whole write. Signs of life are let pass: one may come at
// any moment.
type losingKV struct {
	pipeline.KV
	key    string
	broken atomic.Bool
}

func (k *losingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if key == k.key && k.broken.Load() && bytes.Contains(value, []byte(`"`+pipeline.RunInterrupted+`"`)) {
		<-ctx.Done() // as long as anybody waits
		k.broken.Store(false)
		return 0, ctx.Err()
	}
	return k.KV.Update(ctx, key, value, revision)
}
