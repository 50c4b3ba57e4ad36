package coordinate

import (
	"errors"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Invariant 3 and sequence 9: a query command of an incarnation that a resume has ended allocates no attempt, also
// where nobody has taken the successor's yet. It would fence the successor's own attempt, and end before it had
// delivered anything.
func TestLateQueryCommandClaimsNothing(t *testing.T) {
	w := newFenceWorld(t)
	w.change(func(r *checkpoint.ConnRecord) {
		r.Reopen(checkpoint.Opened{Epoch: 2, Incarnation: 1, Generation: 1}, "successor", false, 0)
	})
	before := w.record()
	if err := w.query(); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("it answers %v, want ErrFenced", err)
	}
	w.ends(checkpoint.ConnPending, 0)
	if after := w.record(); after.Revision() != before.Revision() {
		t.Errorf("the record was %+v, is %+v", before.Value(), after.Value())
	}
	w.specify(1)
	if err := w.worker().Query(t.Context(), pipeline.QueryCommand{Run: "r", Incarnation: 1, Connection: "c"}, nil); err != nil {
		t.Fatal(err)
	}
	w.ends(checkpoint.ConnDone, 1, frames(1)...)
}

// The worker reads the record before a resume opens it anew, from a replica that lags behind, say: it claims nothing
// either.
func TestLateQueryCommandOfAStaleRead(t *testing.T) {
	w := newFenceWorld(t)
	stale := w.kv.Entries[checkpoint.ConnKey("r", "c")]
	w.change(func(r *checkpoint.ConnRecord) {
		r.Reopen(checkpoint.Opened{Epoch: 2, Incarnation: 1, Generation: 1}, "successor", false, 0)
	})
	w.kv.Lag = []pipeline.KVEntry{stale}
	if err := w.query(); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("it answers %v, want ErrConflict", err)
	}
	w.ends(checkpoint.ConnPending, 0)
	if rec := w.record().Value(); rec.Attempt != 0 || rec.Opened.Incarnation != 1 {
		t.Errorf("the record is %+v", rec)
	}
}

// The row log of a worker's record is gone. Where the run has gone on with another one the worker has nothing to do
// with it any more; where it has not, the command comes again, which is no try.
func TestWorkerWithoutItsRowLog(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*checkpoint.RunRecord)
		fenced bool
	}{
		"deleted":             {func(*checkpoint.RunRecord) {}, false},
		"the next generation": {(*checkpoint.RunRecord).NextLog, true},
		"taken over":          {func(r *checkpoint.RunRecord) { r.Take(pipeline.Owner{Token: "successor"}) }, true},
		"resumed":             {func(r *checkpoint.RunRecord) { r.Resume(0, false, "") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFenceWorld(t)
			w.log.Gone = true
			run, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.kv, checkpoint.RunKey("r"))
			if err == nil {
				err = run.Change(t.Context(), checkpoint.Anybody, c.change)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = w.query()
			if errors.Is(err, pipeline.ErrFenced) != c.fenced || err == nil {
				t.Errorf("it answers %v", err)
			}
			w.ends(checkpoint.ConnPending, 0)
		})
	}
}

// A record that an earlier version of fanmill wrote says nothing of what it was opened for: the newest row log is its.
func TestQueryOfAnOldRecord(t *testing.T) {
	w := newFenceWorld(t)
	w.change(func(r *checkpoint.ConnRecord) { r.Opened = checkpoint.Opened{} })
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 1, frames(1)...)
}

// Rows cost no write of the connection's record: there is one when a worker takes it, and one when it is done.
func TestWritesOfAConnectionsRecord(t *testing.T) {
	w := newFenceWorld(t)
	before := w.kv.Rev
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 1, frames(1)...)
	if n := w.kv.Rev - before; n != 2 {
		t.Errorf("%d writes for %d frames, want 2", n, len(frames(1)))
	}
}
