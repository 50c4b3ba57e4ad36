package process_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
)

// Invariant 5: a connection six times the log passes through it, and the log never grows past its bound, whatever a
// slow destination does; invariant 8: neither destination loses, repeats or reorders a row.
func TestLogBoundHoldsAndSlowDestinationIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4*mb)
	w.connect("big", of(24*16, 64<<10))
	w.connect("small", of(100, 100))
	w.connect("empty", of(0, 0))
	w.deliverTo("fast", "slow")
	w.node.RowLogs = &logs{RowLogs: w.node.RowLogs}
	most := int64(0)
	var mu sync.Mutex
	w.disk.failing(func(dest, step, _ string) error {
		if dest != "slow" || step != "save" {
			return nil
		}
		// The slow one sees to it that the log is looked at while it holds everybody up.
		log := w.node.RowLogs.(*logs).last()
		for range 3 {
			st, err := log.State(context.Background())
			if err != nil {
				return err
			}
			mu.Lock()
			most = max(most, st.Bytes)
			mu.Unlock()
		}
		return nil
	})
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("fast", "big", "small", "empty")
	w.exact("slow", "big", "small", "empty")
	mu.Lock()
	defer mu.Unlock()
	if most == 0 || most > 4*mb {
		t.Errorf("the log held %d bytes, bound %d", most, 4*mb)
	}
}

// A row larger than a message travels in fragments and arrives whole, beside ordinary connections.
func TestHugeRowInFragments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 32*mb)
	w.connect("huge", of(2, 12*mb))
	w.connect("small", of(1000, 100))
	w.deliverTo("a", "b")
	spy := &logs{RowLogs: w.node.RowLogs}
	w.node.RowLogs = spy
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("a", "huge", "small")
	w.exact("b", "huge", "small")
	if spy.fragments() < 4 {
		t.Errorf("%d fragments were published; the rows were to be larger than a message", spy.fragments())
	}
}

// A row that takes more than half of the log fails its connection alone, by name.
func TestRowTooLargeForTheLog(t *testing.T) {
	w := newWorld(t, 4*mb)
	w.connect("huge", of(1, 3*mb))
	w.connect("small", of(10, 100))
	w.deliverTo("a")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("a", "small")
	if c := out.Reports[0].Connections[0]; c.State != pipeline.ReportFailed || !strings.Contains(c.Error, "--log-max-mb") || c.Attempts != 1 {
		t.Errorf("the connection is reported as %+v", c)
	}
}

// A transient failure in the middle of a stream is tried again; no row of the first attempt is left.
func TestRetryInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	s := of(40, 64<<10)
	s.before = func(_ context.Context, attempt, _, row int) error {
		if attempt == 1 && row == 25 {
			return pipeline.Transient(errBroken)
		}
		return nil
	}
	w.connect("shaky", s)
	w.connect("steady", of(40, 64<<10))
	w.deliverTo("a", "b")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("a", "shaky", "steady")
	w.exact("b", "shaky", "steady")
	if c := out.Reports[0].Connections[0]; c.Attempts != 2 {
		t.Errorf("attempts are %d, want 2", c.Attempts)
	}
}

// Invariant 7: a connection that fails is named and fails nothing else; the resume asks it and no other.
func TestFailedConnectionIsResumedAlone(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(50, 1000)
	bad.open = func(int) error { return pipeline.Permanent(fmt.Errorf("password refused")) }
	w.connect("a", of(50, 1000))
	w.connect("bad", bad)
	w.connect("c", of(50, 1000))
	w.deliverTo("x", "y")
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("x", "a", "c")
	w.exact("y", "a", "c")
	for _, r := range out.Reports {
		if c := r.Connections[1]; c.State != pipeline.ReportFailed || !strings.Contains(c.Error, "password refused") || c.Attempts != 1 {
			t.Errorf("%s reports the failed connection as %+v", r.Destination, c)
		}
		if r.State != pipeline.RecordFinished {
			t.Errorf("%s is %s", r.Destination, r.State)
		}
	}
	w.db.askedSince()
	w.rescript("bad", of(50, 1000))
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"bad"}) {
		t.Errorf("the resume asked %v", asked)
	}
	w.exact("x", "a", "bad", "c")
	w.exact("y", "a", "bad", "c")
}

// A destination that cannot hold a connection turns it away alone; others take it, and the run says so.
func TestRejectedConnection(t *testing.T) {
	w := newWorld(t, 8*mb)
	odd := of(50, 1000)
	odd.columns = []string{"id", "other"}
	w.connect("a", of(50, 1000))
	w.connect("odd", odd)
	w.deliverTo("strict", "lax")
	w.disk.reject = func(dest, _ string, o *pipeline.Opening) string {
		if dest == "strict" && o.Queries[0].Columns[1].Name != "body" {
			return "column other instead of body"
		}
		return ""
	}
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("strict", "a")
	w.exact("lax", "a", "odd")
	if c := out.Reports[0].Connections[1]; c.State != pipeline.ReportRejected || c.Error != "column other instead of body" {
		t.Errorf("reported as %+v", c)
	}
	w.db.askedSince()
	w.rescript("odd", of(50, 1000))
	w.disk.reject = nil
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("strict", "a", "odd")
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"odd"}) {
		t.Errorf("the resume asked %v", asked)
	}
}

// Several queries of a connection share its attempt, its numbering and its checksum, and are settled together.
func TestSeveralQueries(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("two", script{queries: []rows{{n: 30, size: 64 << 10}, {n: 0, size: 0}, {n: 5, size: 10}}})
	w.connect("more", script{queries: []rows{{n: 3, size: 10}, {n: 30, size: 64 << 10}, {n: 1, size: 1}}})
	w.deliverTo("a")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("a", "two", "more")
}

// Invariant 8: a destination that fails for good is detached and named; the other is complete; the resume brings it
// what it lacks, never what it has.
func TestDetachedDestinationIsResumed(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 1
	settled := make(chan struct{})
	b := of(20, 1000)
	b.before = func(ctx context.Context, _, _, _ int) error { // b comes after broken has a
		select {
		case <-settled:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	w.connect("a", of(20, 1000))
	w.connect("b", b)
	w.deliverTo("good", "broken")
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Destination == "broken" {
			close(settled)
		}
	}
	w.disk.failing(func(dest, step, connection string) error {
		if dest == "broken" && step == "stage" && connection == "b" {
			return pipeline.Permanent(fmt.Errorf("no such folder"))
		}
		return nil
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.exact("good", "a", "b")
	if out.Reports[1].State != pipeline.RecordDetached {
		t.Errorf("the broken one is %s", out.Reports[1].State)
	}
	w.db.askedSince()
	w.disk.failing(nil)
	w.watch = nil
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("good", "a", "b")
	w.exact("broken", "a", "b")
	if asked := w.db.askedSince(); slices.Contains(asked, "a") {
		t.Errorf("the resume asked %v although all have a", asked)
	}
}

// Whatever is cancelled in the middle, a resume ends where an undisturbed run does.
func TestInterruptedInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4*mb)
	ctx, cancel := context.WithCancel(t.Context())
	big := of(12*16, 64<<10)
	big.before = func(_ context.Context, _, _, row int) error {
		if row == 100 {
			cancel()
		}
		return nil
	}
	w.connect("big", big)
	w.connect("small", of(20, 1000))
	w.deliverTo("a", "b")
	if out, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatalf("the run ended: %s", out.State)
	}
	w.rescript("big", of(12*16, 64<<10))
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("a", "big", "small")
	w.exact("b", "big", "small")
}

// R7: a resume with a changed job is refused, naming everything at once, and the run stays resumable.
func TestChangedJobIsRefused(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("x", "y")
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)

	was := *w.job
	changed := was
	changed.TimeZone = "Asia/Kolkata"
	changed.Connections = slices.Clone(was.Connections)
	changed.Connections[0].Queries = []pipeline.Query{{SQL: "select other"}}
	changed.Connections[1].Name = "Renamed"
	changed.Destinations = []pipeline.Destination{{ID: "x", Type: "memory", FilePath: "elsewhere"}, {ID: "z", Type: "memory", FilePath: "z"}}
	w.job = &changed
	_, err := w.run(t.Context(), pipeline.Trigger{Resume: true})
	if err == nil || !pipeline.IsPermanent(err) {
		t.Fatalf("the resume answers %v", err)
	}
	for _, want := range []string{"Asia/Kolkata", "connection a", "Renamed", "elsewhere", "destination y is gone", "destination z is new"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the refusal does not name %q: %v", want, err)
		}
	}
	w.job = &was
	w.rescript("bad", of(5, 10))
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", "a", "bad")
}

// What R7 allows: a connection settled nowhere may get another query, and connections may be added.
func TestResumeWithAllowedChanges(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.job.Connections[1].Queries = []pipeline.Query{{SQL: "select repaired"}}
	w.rescript("bad", of(7, 10))
	w.connect("added", of(3, 10))
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("x", "a", "bad", "added")
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"added", "bad"}) {
		t.Errorf("the resume asked %v", asked)
	}
}

// logs looks at, and holds up, what is published.
type logs struct {
	pipeline.RowLogs
	mu      sync.Mutex
	made    pipeline.RowLog
	pieces  int
	publish func(ctx context.Context, f *pipeline.Frame) // before a frame is stored
	remove  func() error
	state   func(pipeline.LogState) // as somebody has found it
}

func (l *logs) last() pipeline.RowLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.made
}

func (l *logs) fragments() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pieces
}

func (l *logs) Create(ctx context.Context, m *pipeline.Manifest, generation int) (pipeline.RowLog, error) {
	log, err := l.RowLogs.Create(ctx, m, generation)
	return l.wrap(log), err
}

func (l *logs) Open(ctx context.Context, run string, generation int) (pipeline.RowLog, error) {
	log, err := l.RowLogs.Open(ctx, run, generation)
	return l.wrap(log), err
}

func (l *logs) Delete(ctx context.Context, run string, generation int) error {
	if l.remove != nil {
		if err := l.remove(); err != nil {
			return err
		}
	}
	return l.RowLogs.Delete(ctx, run, generation)
}

func (l *logs) wrap(log pipeline.RowLog) pipeline.RowLog {
	if log == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = log
	return &spiedLog{RowLog: log, l: l}
}

type spiedLog struct {
	pipeline.RowLog
	l *logs
}

func (s *spiedLog) State(ctx context.Context) (pipeline.LogState, error) {
	st, err := s.RowLog.State(ctx)
	if err == nil && s.l.state != nil {
		s.l.state(st)
	}
	return st, err
}

func (s *spiedLog) Append(ctx context.Context, f *pipeline.Frame) (uint64, error) {
	if s.l.publish != nil {
		s.l.publish(ctx, f)
	}
	seq, err := s.RowLog.Append(ctx, f)
	if err == nil && f.Fragments > 1 {
		s.l.mu.Lock()
		s.l.pieces++
		s.l.mu.Unlock()
	}
	return seq, err
}

// What a source says of its values reaches the readers of every artifact (invariant 9), but for what another file
// than theirs holds, and also those of a resume.
func TestNotesOfASource(t *testing.T) {
	w := newWorld(t, 8*mb)
	s := script{queries: []rows{{n: 10, size: 100}, {n: 10, size: 100}}, notes: map[int][]string{0: {"of the first"}, 1: {"of the second", "and more"}}}
	w.connect("noted", s)
	w.connect("silent", script{queries: s.queries})
	broken := script{queries: s.queries, open: func(int) error { return pipeline.Permanent(errors.New("no")) }}
	w.connect("late", broken)
	w.deliverTo("all", "second")
	d := w.definition()
	resolve := d.Resolve
	d.Resolve = func(run string, at time.Time) ([]pipeline.ManifestDestination, error) {
		all, err := resolve(run, at)
		one := 1
		all[1].Query = &one
		return all, err
	}
	check := func(trigger pipeline.Trigger, state pipeline.RunState, late string) {
		t.Helper()
		out, err := w.node.Run(t.Context(), d, trigger)
		if err != nil || out.State != state {
			t.Fatalf("the run: %+v, %v", out, err)
		}
		for i, want := range []string{"[[of the first of the second and more] [] %s]", "[[of the second and more] [] %s]"} {
			var got [][]string
			for _, c := range out.Reports[i].Connections {
				got = append(got, c.Notes)
			}
			if want := fmt.Sprintf(want, late); fmt.Sprint(got) != want {
				t.Errorf("the report of %s has the notes %v, want %s", out.Reports[i].Destination, got, want)
			}
		}
	}
	check(pipeline.Trigger{}, pipeline.RunPartial, "[]")
	w.rescript("late", script{queries: s.queries, notes: map[int][]string{1: {"late"}}})
	check(pipeline.Trigger{Resume: true}, pipeline.RunComplete, "[late]")
}
