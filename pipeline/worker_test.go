package pipeline

import (
	"errors"
	"testing"
)

// Invariant 3 and sequence 9: a query command of an incarnation that a resume has ended allocates no attempt, also
// where nobody has taken the successor's yet. It would fence the successor's own attempt, and end before it had
// delivered anything.
func TestLateQueryCommandClaimsNothing(t *testing.T) {
	w := newFenceWorld(t)
	w.change(func(r *ConnRecord) { r.reopen(Opened{2, 1, 1}, "successor", false, 0) })
	before := w.record()
	if err := w.query(); !errors.Is(err, ErrFenced) {
		t.Errorf("it answers %v, want ErrFenced", err)
	}
	w.ends(ConnPending, 0)
	if after := w.record(); after.Revision() != before.Revision() {
		t.Errorf("the record was %+v, is %+v", before.Value(), after.Value())
	}
	if err := w.worker().Query(t.Context(), w.m, w.job, "c", 1); err != nil {
		t.Fatal(err)
	}
	w.ends(ConnDone, 1, frames(1)...)
}

// The worker reads the record before a resume opens it anew, from a replica that lags behind, say: it claims nothing
// either.
func TestLateQueryCommandOfAStaleRead(t *testing.T) {
	w := newFenceWorld(t)
	stale := w.kv.entries[ConnKey("r", "c")]
	w.change(func(r *ConnRecord) { r.reopen(Opened{2, 1, 1}, "successor", false, 0) })
	w.kv.lag = []KVEntry{stale}
	if err := w.query(); !errors.Is(err, ErrConflict) {
		t.Errorf("it answers %v, want ErrConflict", err)
	}
	w.ends(ConnPending, 0)
	if rec := w.record().Value(); rec.Attempt != 0 || rec.Opened.Incarnation != 1 {
		t.Errorf("the record is %+v", rec)
	}
}

// The row log of a worker's record is gone. Where the run has gone on with another one the worker has nothing to do
// with it any more; where it has not, the command comes again, which is no try.
func TestWorkerWithoutItsRowLog(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*RunRecord)
		fenced bool
	}{
		"deleted":             {func(*RunRecord) {}, false},
		"the next generation": {(*RunRecord).nextLog, true},
		"taken over":          {func(r *RunRecord) { r.take(Owner{Token: "successor"}) }, true},
		"resumed":             {func(r *RunRecord) { r.resume(Trigger{}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFenceWorld(t)
			w.log.gone = true
			run, err := LoadCell[RunRecord](t.Context(), w.kv, RunKey("r"))
			if err == nil {
				err = run.Change(t.Context(), anybody, c.change)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = w.query()
			if errors.Is(err, ErrFenced) != c.fenced || err == nil {
				t.Errorf("it answers %v", err)
			}
			w.ends(ConnPending, 0)
		})
	}
}

// A record that an earlier version of fanmill wrote says nothing of what it was opened for: the newest row log is its.
func TestQueryOfAnOldRecord(t *testing.T) {
	w := newFenceWorld(t)
	w.change(func(r *ConnRecord) { r.Opened = Opened{} })
	w.mustQuery()
	w.ends(ConnDone, 1, frames(1)...)
}

// Rows cost no write of the connection's record: there is one when a worker takes it, and one when it is done.
func TestWritesOfAConnectionsRecord(t *testing.T) {
	w := newFenceWorld(t)
	before := w.kv.rev
	w.mustQuery()
	w.ends(ConnDone, 1, frames(1)...)
	if n := w.kv.rev - before; n != 2 {
		t.Errorf("%d writes for %d frames, want 2", n, len(frames(1)))
	}
}
