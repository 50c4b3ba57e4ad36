package process_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/coordinate"

	"fanmill/pipeline"
)

func (w *world) record(run string) checkpoint.RunRecord {
	w.t.Helper()
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](w.t.Context(), w.node.Stores.Runs, checkpoint.RunKey(run))
	if err != nil {
		w.t.Fatal(err)
	}
	return cell.Value()
}

func (w *world) lastRun() string {
	w.t.Helper()
	id, err := w.node.View().LastRun(w.t.Context(), "job")
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// died makes the job's newest run one that its process left running.
func (w *world) died(trigger uint64) string {
	w.t.Helper()
	id := w.lastRun()
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](w.t.Context(), w.node.Stores.Runs, id)
	if err != nil {
		w.t.Fatal(err)
	}
	rec := cell.Value()
	rec.State, rec.Owner, rec.Ended, rec.Trigger = pipeline.RunRunning, pipeline.Owner{Token: "dead", Host: "here"}, time.Time{}, trigger
	if err := cell.Write(w.t.Context(), rec); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// interrupted runs the job until its first connection is in every artifact, and stops it.
func (w *world) interrupted() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.observe(func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted {
			cancel()
		}
	})
	if out, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		w.t.Fatalf("the run ended: %s", out.State)
	}
	w.observe(nil)
}

// observe has f see the events from now on.
func (w *world) observe(f func(pipeline.Event)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch = f
}

// stuck answers until its first row, and then not at all.
func stuck() script {
	s := of(5, 10)
	s.before = func(ctx context.Context, _, _, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}
	return s
}

// A resume that is refused leaves no run that seems to be running: it would keep everybody else from the job for as
// long as this process lives.
func TestRefusedResumeIsNotRunning(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", stuck())
	w.deliverTo("x")
	w.interrupted()
	w.serve()
	run := w.died(0)
	w.job.TimeZone = "Asia/Kolkata"
	if a := w.ask(pipeline.TopicTrigger("job"), "", `{"resume":true}`); !strings.Contains(a.Error, "Asia/Kolkata") {
		t.Errorf("the resume is answered with %+v", a)
	}
	if s := w.state(run); s != pipeline.RunInterrupted {
		t.Errorf("the run is %s", s)
	}
	w.job.TimeZone = ""
	w.rescript("b", of(5, 10))
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", "a", "b")
}

// Who follows runs is told of the end of each, also of one that does not come about: a log file is open for it.
func TestFollowersAreDone(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", stuck())
	w.deliverTo("x")
	var open atomic.Int32
	follow := w.node.Follow
	w.node.Follow = func(job *pipeline.Job, run string, to []pipeline.ManifestDestination) coordinate.Follower {
		f := follow(job, run, to)
		open.Add(1)
		f.Done = func(*coordinate.Outcome, error) { open.Add(-1) }
		return f
	}
	w.interrupted()
	w.job.TimeZone = "Asia/Kolkata"
	if _, err := w.run(t.Context(), pipeline.Trigger{Resume: true}); err == nil {
		t.Error("the resume is not refused")
	}
	w.job.TimeZone = ""
	rowLogs := w.node.RowLogs
	w.node.RowLogs = &failingLogs{RowLogs: rowLogs, fail: func() error { return pipeline.Transient(errBroken) }}
	if _, err := w.run(t.Context(), pipeline.Trigger{}); !errors.Is(err, errBroken) {
		t.Errorf("a run without a row log: %v", err)
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d followers were not told of the end", n)
	}
}

// failingLogs makes a log, and then fails.
type failingLogs struct {
	pipeline.RowLogs
	fail func() error
	made atomic.Int32
}

func (l *failingLogs) Create(ctx context.Context, m *pipeline.Manifest, generation int) (pipeline.RowLog, error) {
	log, err := l.RowLogs.Create(ctx, m, generation)
	l.made.Add(1)
	if ferr := l.fail(); ferr != nil {
		return nil, ferr
	}
	return log, err
}

// A run whose beginning fails half-way leaves no row log, which would be reserved for ever, and its trigger goes on
// with it.
func TestBeginningThatFailsLeavesNoLog(t *testing.T) {
	w := newRealWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	inner := w.node.RowLogs
	failing := &failingLogs{RowLogs: inner}
	failing.fail = func() error {
		if failing.made.Load() == 1 {
			return pipeline.Transient(errBroken)
		}
		return nil
	}
	w.node.RowLogs = failing
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	w.until(pipeline.EventEnded, "night")
	w.exact("x", "a")
	if _, err := inner.Open(t.Context(), "night", 1); !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("the first log: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	failing.fail = func() error { cancel(); return nil } // stopped at this moment
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Error("a stopped run succeeds")
	}
	runs, err := w.node.View().List(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		for g := range 3 {
			if _, err := inner.Open(t.Context(), r.Run, g); !errors.Is(err, pipeline.ErrNoLog) {
				t.Errorf("row log %d of run %s, which is %s: %v", g, r.Run, r.Record.State, err)
			}
		}
	}
}

// An unfinished run is given up for a fresh one that begins, not for one that turns out not to.
func TestUnfinishedRunSurvivesARunThatDoesNotBegin(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", stuck())
	w.deliverTo("x")
	w.interrupted()
	run := w.lastRun()
	def := w.definition()
	def.Resolve = func(string, time.Time) ([]pipeline.ManifestDestination, error) { return nil, errBroken }
	if _, err := w.node.Run(t.Context(), def, pipeline.Trigger{}); !errors.Is(err, errBroken) {
		t.Fatalf("the run: %v", err)
	}
	if s := w.state(run); s != pipeline.RunInterrupted {
		t.Errorf("the unfinished run is %s", s)
	}
	w.rescript("b", of(5, 10))
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"b"}) {
		t.Errorf("the resume asked %v", asked)
	}
	w.exact("x", "a", "b")
}

// A job that has nothing to ask is complete at once, and so is one that has nowhere to deliver to.
func TestEmptyJobs(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x")
	w = newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
}

// A thousand branches on one server are asked as many at a time as may be, and all of them.
func TestThousandConnectionsOnOneServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 16*mb)
	w.node.Parallel = 16
	w.job.ParallelPerHost = 8
	w.db.host = func(string) string { return "shared" }
	var now, most atomic.Int64
	s := of(1, 10)
	s.open = func(int) error {
		n := now.Load()
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return nil
	}
	s.before = func(context.Context, int, int, int) error { now.Add(1); defer now.Add(-1); return nil }
	n := 1000
	if testing.Short() {
		n = 100
	}
	ids := branches(w, n, s)
	w.deliverTo("x")
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	started := time.Now()
	out, err := w.node.Run(ctx, w.definition(), pipeline.Trigger{})
	if err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("%v %v", out, err)
	}
	t.Logf("%d connections in %s", n, time.Since(started).Round(time.Millisecond))
	w.exact("x", ids...)
	if most.Load() > 8 {
		t.Errorf("%d at a time", most.Load())
	}
}

// A row log that could not be removed when its run did not begin is removed with what the run left behind, though the
// record says already that the next one has another number.
func TestLogOfARunThatDidNotBegin(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	inner := w.node.RowLogs
	ctx, cancel := context.WithCancel(t.Context())
	failing := &failingLogs{RowLogs: &logs{RowLogs: inner, remove: func() error { return pipeline.Transient(errBroken) }}}
	failing.fail = func() error { cancel(); return nil }
	w.node.RowLogs = failing
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatal("a stopped run succeeds")
	}
	w.node.RowLogs = inner
	runs, err := w.node.View().List(t.Context(), "job")
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	id := runs[0].Run
	if _, err := inner.Open(t.Context(), id, 1); err != nil {
		t.Fatalf("there is no log to be removed: %v", err)
	}
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey(id))
	if err != nil {
		t.Fatal(err)
	}
	rec := cell.Value()
	rec.Ended = time.Now().Add(-8 * day)
	if err := cell.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	if _, err := inner.Open(t.Context(), id, 1); !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("the log stays, and the storage reserved for it: %v", err)
	}
}
