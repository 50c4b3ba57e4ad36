package checkpoint_test

import (
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// A connection is given back by the process that has it, for the incarnation that it had it for: what another one has
// claimed meanwhile, or the same one for a later incarnation, stays claimed. It is no try, and nobody has died.
func TestReleaseConn(t *testing.T) {
	running := func(owner string, incarnation int) checkpoint.ConnRecord {
		r := checkpoint.OpenConn(checkpoint.Opened{Epoch: 1, Incarnation: incarnation, Generation: 1})
		if !r.Claim(pipeline.Owner{Token: owner}, time.Now()) {
			t.Fatal("it cannot be claimed")
		}
		return r
	}
	done := running("own", 1)
	done.Finish(time.Now())
	for name, c := range map[string]struct {
		is       checkpoint.ConnRecord
		want     checkpoint.ConnState
		attempts int
	}{
		"its own":              {running("own", 1), checkpoint.ConnPending, 0},
		"of before the resume": {running("own", 0), checkpoint.ConnPending, 0},
		"another's":            {running("other", 1), checkpoint.ConnRunning, 1},
		"a later one of its":   {running("own", 2), checkpoint.ConnRunning, 1},
		"done":                 {done, checkpoint.ConnDone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			kv := &memstore.KV{}
			if _, err := checkpoint.CreateDocument(t.Context(), kv, checkpoint.ConnKey("r", "c"), c.is); err != nil {
				t.Fatal(err)
			}
			if err := checkpoint.ReleaseConn(t.Context(), kv, "r", "c", "own", 1); err != nil {
				t.Fatal(err)
			}
			doc, err := checkpoint.LoadConn(t.Context(), kv, "r", "c")
			if err != nil {
				t.Fatal(err)
			}
			if rec := doc.Value(); rec.State != c.want || rec.Attempts != c.attempts || rec.Attempt != 1 || len(rec.Deaths) > 0 {
				t.Errorf("it is %+v", rec)
			}
		})
	}
	if err := checkpoint.ReleaseConn(t.Context(), &memstore.KV{}, "r", "c", "own", 1); err != nil {
		t.Errorf("of a run that is over: %v", err)
	}
}
