package coordinate

import (
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// Sequence 15: a run that is adopted goes on by the job that it began with, whatever has become of that since; without
// a specification that can be read, by the job as it is.
func TestAdoptedAsItBegan(t *testing.T) {
	for name, c := range map[string]struct {
		damage   func(*adoptWorld)
		attempts int // of the job that it goes on by
	}{
		"as it began":               {func(*adoptWorld) {}, 3},
		"no specification":          {func(w *adoptWorld) { _ = w.kv.RemoveAll(t.Context(), "r.spec.>") }, 9},
		"one that cannot be read":   {func(w *adoptWorld) { _, _ = w.kv.Put(t.Context(), checkpoint.SpecKey("r", 0), []byte("{}")) }, 9},
		"a part of it that is gone": {func(w *adoptWorld) { _ = w.kv.RemoveAll(t.Context(), "r.spec.part.*") }, 9},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAdoptWorld(t)
			for i := range w.m.Connections {
				c := &w.m.Connections[i]
				c.Driver, c.Queries[0].Digest = "fake", pipeline.QueryDigest("select")
			}
			s, err := spec.New(w.job, w.m, nil)
			if err == nil {
				err = s.Store(t.Context(), w.kv, "r", 0, 1)
			}
			if err == nil {
				err = checkpoint.StoreManifest(t.Context(), w.kv, w.m, func(string) []pipeline.Option { return nil })
			}
			if err != nil {
				t.Fatal(err)
			}
			c.damage(w)
			w.dies("a")
			edited := *w.job
			edited.Connections, edited.Retry.Attempts = nil, 9
			b := w.node("b")
			b.Jobs = &spec.Jobs{}
			def, err := b.DefinitionOf(t.Context(), "job", "r")
			if err != nil || (def != nil) != (c.attempts == 3) {
				t.Errorf("its job is %+v, %v", def, err)
			}
			r, _, err := b.begin(t.Context(), &spec.Definition{Job: &edited}, spec.Request{Run: "r", Seq: 5})
			if err != nil || r.handover == nil {
				t.Fatalf("it was not adopted: %v", err)
			}
			if r.job.Retry.Attempts != c.attempts || len(r.job.Connections) != len(w.job.Connections) && c.attempts == 3 {
				t.Errorf("it goes on by %+v", r.job)
			}
		})
	}
}
