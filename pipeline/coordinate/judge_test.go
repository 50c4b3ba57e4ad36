package coordinate

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// coordinator is one of the run in a fenceWorld.
func (w *fenceWorld) coordinator() *supervisor {
	node := &Coordinator{Stores: pipeline.Stores{Runs: w.kv}, Owner: pipeline.Owner{Token: "run"}, Bus: noBus{}, Log: slog.New(slog.DiscardHandler)}
	return newSupervisor(&run{c: node, job: w.job, m: w.m, log: w.log})
}

// judge has a coordinator judge that the connection's worker is gone.
func (w *fenceWorld) judge() checkpoint.ConnRecord {
	w.t.Helper()
	rec, err := w.coordinator().judge(w.t.Context(), "c", w.record())
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// dies has a worker of another process vanish before it stores a frame; a coordinator judges it.
func (w *fenceWorld) dies(process int, before uint64) checkpoint.ConnRecord {
	w.t.Helper()
	w.by = pipeline.Owner{Token: fmt.Sprint("w", process), Host: fmt.Sprint("host", process), PID: process}
	wake := w.sleeping(before)
	w.t.Cleanup(func() { _ = wake() }) // it is gone for good
	w.by = pipeline.Owner{Token: "run"}
	return w.judge()
}

// Sequence 10: a hint of a connection that a worker has, delivered again to another one, is no second attempt.
func TestHintOfARunningConnection(t *testing.T) {
	for _, owner := range []string{"run", "other"} {
		w := newFenceWorld(t)
		wake := w.sleeping(2)
		before := w.record()
		w.by = pipeline.Owner{Token: owner}
		for range 3 {
			w.mustQuery()
		}
		if after := w.record(); after.Revision() != before.Revision() {
			t.Errorf("the record was %+v, is %+v", before.Value(), after.Value())
		}
		if err := wake(); err != nil {
			t.Errorf("the worker answers %v", err)
		}
		w.ends(checkpoint.ConnDone, 1, frames(1)...)
	}
}

// Sequence 10: what ends processes uses up no try. After three deaths, at three places, the connection has all its
// tries.
func TestDeathsAreNoTries(t *testing.T) {
	w := newFenceWorld(t)
	w.job.Retry = pipeline.Retry{Attempts: 2, Backoff: 1, Max: 1}
	w.specify(0)
	for i, before := range []uint64{3, 1, 2} {
		if rec := w.dies(i, before); rec.State != checkpoint.ConnPending || rec.Attempts != 0 || len(rec.Deaths) != 1 {
			t.Errorf("after death %d: %+v", i, rec)
		}
	}
	w.mu.Lock()
	w.fails = pipeline.Transient(errors.New("the line broke"))
	w.mu.Unlock()
	w.mustQuery()
	if rec := w.record().Value(); rec.State != checkpoint.ConnGivenUp || rec.Attempts != 2 || rec.Attempt != 5 || !strings.Contains(rec.Error, "the line broke") {
		t.Errorf("after two tries: %+v", rec)
	}
}

// Sequence 10: a connection whose workers die at the same place of its rows, wherever that is, is given up: at the
// third death where no rows come, later where some do. The reason names them, and the row log says so.
func TestLastDeathAtTheSamePlace(t *testing.T) {
	for before, most := range []int{checkpoint.MaxDeaths, checkpoint.MaxDeaths, checkpoint.MaxDeathsInRows, checkpoint.MaxDeathsInRows, checkpoint.MaxDeathsInRows} {
		t.Run(fmt.Sprintf("before frame %d", before), func(t *testing.T) {
			w, before := newFenceWorld(t), uint64(before)
			w.job.Retry.Attempts = 1
			w.specify(0)
			for i := range most - 1 {
				if rec := w.dies(i, before); rec.State != checkpoint.ConnPending || len(rec.Deaths) != i+1 {
					t.Fatalf("after death %d: %+v", i, rec)
				}
			}
			rec := w.dies(most-1, before)
			for i := range most {
				if name := fmt.Sprintf("process %d on host%d", i, i); !strings.Contains(rec.Error, name) {
					t.Errorf("the reason does not name %s: %s", name, rec.Error)
				}
			}
			if rec.State != checkpoint.ConnGivenUp {
				t.Fatalf("after the last death: %+v", rec)
			}
			if err := w.coordinator().publishFailure(t.Context(), "c", w.record(), rec.Error); err != nil {
				t.Fatal(err)
			}
			w.mustQuery()
			if all := w.log.All(); all[len(all)-1] != fmt.Sprintf("%d/0:failed", most+1) || w.record().Value().State != checkpoint.ConnFailed || w.timesAsked() != most {
				t.Errorf("the row log has %v, the record is %+v", all, w.record().Value())
			}
		})
	}
}

// How far a worker had got is known where its frames are trimmed, too: by the destinations that have read them.
func TestDeathAfterATrim(t *testing.T) {
	w := newFenceWorld(t)
	w.by = pipeline.Owner{Token: "other"}
	wake := w.sleeping(3)
	if err := w.log.Trim(t.Context(), w.log.Position()); err != nil {
		t.Fatal(err)
	}
	s := w.coordinator()
	s.records["x"] = checkpoint.CommitRecord{Parts: []pipeline.PartState{{PartID: pipeline.PartID{Connection: 0, Attempt: 1}, Frame: 2}}}
	rec, err := s.judge(t.Context(), "c", w.record())
	if err != nil || len(rec.Deaths) != 1 || rec.Deaths[0].Frame != 2 {
		t.Errorf("%+v, %v", rec, err)
	}
	_ = wake()
}

// A worker of this process that gave its command up, as it could not write the record, say, has not died.
func TestWorkerThatGaveUpIsNoDeath(t *testing.T) {
	w := newFenceWorld(t)
	for range 5 {
		wake := w.sleeping(2)
		t.Cleanup(func() { _ = wake() })
		if rec := w.judge(); rec.State != checkpoint.ConnPending || len(rec.Deaths) > 0 || rec.Attempts != 0 {
			t.Fatalf("%+v", rec)
		}
	}
	w.mustQuery()
	if rec := w.record().Value(); rec.State != checkpoint.ConnDone || rec.Attempt != 6 {
		t.Errorf("%+v", rec)
	}
}

// Sequence 10: the worker that is taken for dead completes, at every moment between the look at it and the next
// worker. Nobody asks the connection again.
func TestCompletionWhileJudged(t *testing.T) {
	t.Run("before the look", func(t *testing.T) { // it cannot say so in its record
		w := newFenceWorld(t)
		wake := w.sleeping(4)
		w.change(func(*checkpoint.ConnRecord) {})
		_ = wake()
		if rec, err := w.coordinator().judge(t.Context(), "c", w.record()); err != nil || rec.State != checkpoint.ConnDone {
			t.Errorf("%+v, %v", rec, err)
		}
		w.mustQuery()
		w.ends(checkpoint.ConnDone, 1, frames(1)...)
	})
	t.Run("between the look and the judgement", func(t *testing.T) {
		w := newFenceWorld(t)
		wake := w.sleeping(4)
		w.log.Looked = func() {
			w.log.Looked = nil
			if err := wake(); err != nil {
				t.Error(err)
			}
		}
		if rec, err := w.coordinator().judge(t.Context(), "c", w.record()); !errors.Is(err, pipeline.ErrConflict) {
			t.Errorf("%+v, %v", rec, err)
		}
		w.mustQuery()
		w.ends(checkpoint.ConnDone, 1, frames(1)...)
	})
	t.Run("after the judgement", func(t *testing.T) {
		w := newFenceWorld(t)
		wake := w.sleeping(4)
		w.judge()
		_ = wake()
		w.mustQuery()
		w.ends(checkpoint.ConnDone, 1, frames(1)...)
	})
}

// A resume opens the record of a connection: a worker that had it and died with its process is counted, once, and
// whoever asks for the connection after it failed begins to count anew.
func TestReopenedConnection(t *testing.T) {
	deaths := func(n int, frame uint64) (all []checkpoint.Death) {
		for i := range n {
			all = append(all, checkpoint.Death{Host: "h", PID: i + 1, Frame: frame})
		}
		return all
	}
	for name, c := range map[string]struct {
		state  checkpoint.ConnState
		had    []checkpoint.Death
		died   bool
		frame  uint64
		wants  checkpoint.ConnState
		deaths int
	}{
		"it was never taken":                    {checkpoint.ConnPending, nil, true, 0, checkpoint.ConnPending, 0},
		"its worker stopped":                    {checkpoint.ConnRunning, deaths(2, 0), false, 0, checkpoint.ConnPending, 2},
		"its worker died":                       {checkpoint.ConnRunning, nil, true, 5, checkpoint.ConnPending, 1},
		"a second died there":                   {checkpoint.ConnRunning, deaths(1, 5), true, 5, checkpoint.ConnPending, 2},
		"a third died without a row":            {checkpoint.ConnRunning, deaths(2, 0), true, 0, checkpoint.ConnGivenUp, 3},
		"a third died there":                    {checkpoint.ConnRunning, deaths(2, 5), true, 5, checkpoint.ConnPending, 3},
		"a tenth died there":                    {checkpoint.ConnRunning, deaths(9, 5), true, 5, checkpoint.ConnGivenUp, 10},
		"a third died elsewhere":                {checkpoint.ConnRunning, deaths(2, 5), true, 6, checkpoint.ConnPending, 1},
		"the resume before this one was killed": {checkpoint.ConnPending, deaths(2, 5), true, 5, checkpoint.ConnPending, 2},
		"nor could the end be told":             {checkpoint.ConnGivenUp, deaths(3, 0), true, 0, checkpoint.ConnGivenUp, 3},
		"it had failed for that":                {checkpoint.ConnFailed, deaths(3, 0), true, 0, checkpoint.ConnPending, 0},
		"it was tried in vain":                  {checkpoint.ConnGivenUp, nil, true, 5, checkpoint.ConnPending, 0},
		"it is done, and asked anew":            {checkpoint.ConnDone, nil, true, 5, checkpoint.ConnPending, 0},
	} {
		r := checkpoint.ConnRecord{State: c.state, Deaths: c.had, Attempt: 4, Attempts: 3, Host: "h", PID: 9, Error: "no"}
		r.Reopen(checkpoint.Opened{Epoch: 3, Incarnation: 2, Generation: 1}, "run", c.died, c.frame)
		if r.State != c.wants || len(r.Deaths) != c.deaths || r.Attempts != 0 || r.Floor != 5 || r.Opened.Incarnation != 2 {
			t.Errorf("%s: %+v", name, r)
		}
		if (r.Error != "") != (r.State == checkpoint.ConnGivenUp) {
			t.Errorf("%s: its error is %q", name, r.Error)
		}
	}
}

// A connection that may be what ends processes is asked last, and in the end alone: no other one dies with it.
func TestSuspectsAreAskedAlone(t *testing.T) {
	r := &run{c: &Coordinator{Parallel: 4}, job: &pipeline.Job{}, wanted: []string{"x", "a", "u", "b", "y", "v"},
		suspect: map[string]checkpoint.Suspicion{"x": checkpoint.AskedAlone, "y": checkpoint.AskedAlone, "u": checkpoint.AskedLast, "v": checkpoint.AskedLast}}
	d := r.dispatcher()
	next := func(want ...string) {
		t.Helper()
		if got := d.next(); !slices.Equal(got, want) {
			t.Errorf("asked are %v, want %v", got, want)
		}
	}
	next("a", "b")
	d.ended("a")
	next()
	d.again("b", checkpoint.Unsuspected) // its worker is gone
	next("b")
	d.again("b", checkpoint.AskedLast)
	next("b", "u", "v")
	d.ended("u")
	d.ended("b")
	next()
	d.ended("v")
	next("x")
	next()
	d.ended("x")
	next("y")
	d.again("y", checkpoint.AskedAlone)
	next("y")
	d.ended("y")
	next()
}

// A coordinator that slept through a resume sees records that its successor has opened: it ends at once. Else it would
// take the successor's end for its own, and tidy up the row log that the successor still reads.
func TestCoordinatorSeesItsSuccessor(t *testing.T) {
	later, same := checkpoint.Opened{Epoch: 2, Incarnation: 1, Generation: 1}, checkpoint.Opened{Epoch: 1, Generation: 1}
	for _, o := range []checkpoint.Opened{later, same, {}} {
		w := newFenceWorld(t)
		w.m.Destinations = []pipeline.ManifestDestination{{ID: "d"}}
		s := w.coordinator()
		s.run.fixed = checkpoint.RunRecord{Epoch: 1, Generation: 1}
		s.running, s.queue = map[string]*checkpoint.Document[checkpoint.ConnRecord]{}, s.run.dispatcher()
		w.change(func(r *checkpoint.ConnRecord) { r.Opened = o })
		if err := s.connChanged(t.Context(), w.kv.Entries[checkpoint.ConnKey("r", "c")]); errors.Is(err, pipeline.ErrFenced) != (o == later) {
			t.Errorf("a connection's record that is opened for %+v: %v", o, err)
		}
		if o != later {
			continue
		}
		u := checkpoint.RecordUpdate{Destination: "d", Record: checkpoint.CommitRecord{Opened: o, State: pipeline.RecordFinished}}
		if err := s.recordChanged(t.Context(), u); !errors.Is(err, pipeline.ErrFenced) {
			t.Errorf("a destination's: %v", err)
		}
	}
}
