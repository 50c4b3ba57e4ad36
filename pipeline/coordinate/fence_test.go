package coordinate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fanmill/pipeline/columnar"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/query"
	"fanmill/pipeline/spec"
)

// fenceWorld is a run of one connection with three batches, its records and its row log in memory: what any number of
// workers and coordinators that share a store meet. Each is stopped where a test wants it to sleep.
type fenceWorld struct {
	t   *testing.T
	kv  *memstore.KV
	log *memstore.Log
	m   *pipeline.Manifest
	job *pipeline.Job
	by  pipeline.Owner // of the next worker

	mu      sync.Mutex
	asked   int    // times that the database was opened
	opens   func() // called then
	refuses error  // what the database says to who opens it
	fails   error  // of the database, after two of its batches
}

func newFenceWorld(t *testing.T) *fenceWorld {
	w := &fenceWorld{t: t, kv: &memstore.KV{}, log: &memstore.Log{}, by: pipeline.Owner{Token: "run"}}
	c := pipeline.Connection{ID: "c", Name: "C", Driver: "fake", Queries: []pipeline.Query{{SQL: "select"}}}
	w.job = &pipeline.Job{ID: "job", Connections: []pipeline.Connection{c}, Retry: pipeline.Retry{Attempts: 3}}
	w.m = &pipeline.Manifest{Run: "r", JobID: "job", LogMaxBytes: 64 << 20, Connections: []pipeline.ManifestConnection{{ID: "c", Queries: make([]pipeline.ManifestQuery, 1)}}}
	if _, err := checkpoint.CreateDocument(t.Context(), w.kv, checkpoint.RunKey("r"), checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Epoch: 1, Generation: 1, Owner: pipeline.Owner{Token: "run"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.CreateDocument(t.Context(), w.kv, checkpoint.ConnKey("r", "c"), checkpoint.OpenConn(checkpoint.Opened{Epoch: 1, Incarnation: 0, Generation: 1})); err != nil {
		t.Fatal(err)
	}
	w.specify(0)
	if err := checkpoint.StoreManifest(t.Context(), w.kv, w.m, func(string) []pipeline.Option { return nil }); err != nil {
		t.Fatal(err)
	}
	return w
}

// specify writes the specification of an incarnation of the run.
func (w *fenceWorld) specify(incarnation int) {
	w.t.Helper()
	s, err := spec.New(w.job, w.m, nil)
	if err == nil {
		err = s.Store(w.t.Context(), w.kv, "r", incarnation, 1)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// worker is a further worker of the run.
func (w *fenceWorld) worker() *query.Worker {
	return &query.Worker{Runs: w.kv, Specs: &spec.Cache{Runs: w.kv}, Jobs: &spec.Jobs{}, RowLogs: memstore.One{Log: w.log}, Databases: map[string]*pipeline.DatabaseKind{"fake": {Name: "fake", Driver: w}}, Owner: w.by,
		Log: slog.New(slog.DiscardHandler), Budget: memory.NewBudget(64 << 20)}
}

func (w *fenceWorld) query() error {
	return w.worker().Query(w.t.Context(), pipeline.QueryCommand{Run: "r", Connection: "c"}, nil)
}

func (w *fenceWorld) mustQuery() {
	w.t.Helper()
	if err := w.query(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *fenceWorld) record() *checkpoint.Document[checkpoint.ConnRecord] {
	w.t.Helper()
	doc, err := checkpoint.LoadConn(w.t.Context(), w.kv, "r", "c")
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// change does what a coordinator does to the connection's record.
func (w *fenceWorld) change(f func(*checkpoint.ConnRecord)) {
	w.t.Helper()
	doc := w.record()
	rec := doc.Value()
	f(&rec)
	if err := doc.Write(w.t.Context(), rec); err != nil {
		w.t.Fatal(err)
	}
}

// again has the connection asked once more in the same run: its worker was taken for dead.
func (w *fenceWorld) again() { w.change(func(r *checkpoint.ConnRecord) { r.Judge(true, 0) }) }

func (w *fenceWorld) timesAsked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// ends asserts how the connection's record and its frames are, and how often it was asked.
func (w *fenceWorld) ends(state checkpoint.ConnState, asked int, frames ...string) {
	w.t.Helper()
	if got := w.record().Value(); got.State != state {
		w.t.Errorf("the record is %+v, want it %s", got, state)
	}
	if got := w.log.All(); !slices.Equal(got, frames) {
		w.t.Errorf("the row log has %v, want %v", got, frames)
	}
	if got := w.timesAsked(); got != asked {
		w.t.Errorf("the database was asked %d times, want %d", got, asked)
	}
}

func (w *fenceWorld) Host(string) string { return "" }

func (w *fenceWorld) Open(context.Context, pipeline.Request) (pipeline.Session, error) {
	w.mu.Lock()
	w.asked++
	opens, refuses := w.opens, w.refuses
	w.mu.Unlock()
	if refuses != nil {
		return nil, refuses
	}
	if opens != nil {
		opens()
	}
	return w, nil
}

func (w *fenceWorld) Server() string { return "fake" }
func (w *fenceWorld) Close() error   { return nil }

func (w *fenceWorld) Columns(int) []columnar.Column {
	return []columnar.Column{{Name: "id", Kind: columnar.Int}}
}

func (w *fenceWorld) Stream(_ context.Context, _ int, b *columnar.Builder, _ func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	for i := range int64(3) {
		w.mu.Lock()
		fails := w.fails
		w.mu.Unlock()
		if i == 2 && fails != nil {
			return fails
		}
		b.Column(0).Long(i)
		b.EndRow()
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// frames are those of a whole attempt.
func frames(attempt int) []string { return someFrames(attempt, 0, 4) }

func someFrames(attempt, from, to int) (out []string) {
	for n := from; n <= to; n++ {
		kind := pipeline.FrameRows
		switch n {
		case 0:
			kind = pipeline.FrameOpen
		case 4:
			kind = pipeline.FrameEOF
		}
		out = append(out, fmt.Sprintf("%d/%d:%s", attempt, n, kind))
	}
	return out
}

// sleeping starts a worker that sleeps before it stores frame n of its attempt, and returns when it does. wake lets it
// go on, and returns what it answers.
func (w *fenceWorld) sleeping(n uint64) (wake func() error) {
	attempt := w.record().Value().Attempt + 1
	asleep, awake, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var slept atomic.Bool
	w.log.Before = func(f *pipeline.Frame) {
		if f.Attempt == attempt && f.Number == n && slept.CompareAndSwap(false, true) {
			close(asleep)
			<-awake
		}
	}
	go func() { ended <- w.query() }()
	select {
	case <-asleep:
	case err := <-ended:
		w.t.Fatalf("the worker ended before frame %d: %v", n, err)
	}
	return func() error {
		close(awake)
		return <-ended
	}
}

// Sequence 4 (invariant 6): a worker that was taken for dead wakes anywhere in its attempt, when its successor has
// delivered the connection. Its next frame is refused, the successor's eof stays the newest, and nobody asks again. It
// ends quietly: the run is still its owner's.
func TestZombieWorkerIsRefused(t *testing.T) {
	for n := range uint64(5) {
		t.Run(fmt.Sprintf("before frame %d", n), func(t *testing.T) {
			w := newFenceWorld(t)
			wake := w.sleeping(n)
			w.again()
			w.mustQuery()
			if err := wake(); err != nil {
				t.Errorf("the zombie answers %v", err)
			}
			want := frames(2)
			if n > 0 {
				want = append(someFrames(1, 0, int(n)-1), want...)
			}
			w.ends(checkpoint.ConnDone, 2, want...)
			if rec := w.record().Value(); rec.Attempt != 2 {
				t.Errorf("the record has attempt %d, of a successor that has number 2", rec.Attempt)
			}
			w.again() // whoever judges it anew, and from whatever
			w.mustQuery()
			w.ends(checkpoint.ConnDone, 2, want...)
		})
	}
}

// The zombie stores its eof after it was looked for, and before its successor looks: the connection is delivered, and
// not asked again.
func TestZombieEOFBeforeTheSuccessorLooks(t *testing.T) {
	w := newFenceWorld(t)
	wake := w.sleeping(4)
	w.again()
	_ = wake() // it cannot say so in the record
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 1, frames(1)...)
}

// The same between the successor's fence and its look: it finds the eof, which came first.
func TestZombieEOFBeforeTheFence(t *testing.T) {
	w := newFenceWorld(t)
	wake := w.sleeping(4)
	w.again()
	w.log.Fences = func() {
		w.log.Fences = nil
		_ = wake()
	}
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 1, frames(1)...)
}

// While the successor connects to the database its fence stands: the zombie's frames are refused, whichever they are.
func TestZombieWhileTheSuccessorConnects(t *testing.T) {
	for n := range uint64(5) {
		w := newFenceWorld(t)
		wake := w.sleeping(n)
		w.again()
		w.opens = func() {
			if err := wake(); err != nil {
				t.Errorf("the zombie answers %v", err)
			}
		}
		w.mustQuery()
		want := frames(2)
		if n > 0 {
			want = append(someFrames(1, 0, int(n)-1), want...)
		}
		w.ends(checkpoint.ConnDone, 2, want...)
	}
}

// A resume has the connection asked again, whatever its attempts so far have left: their eof is below the floor.
func TestEOFBelowTheFloor(t *testing.T) {
	w := newFenceWorld(t)
	w.mustQuery()
	w.change(func(r *checkpoint.ConnRecord) { r.Reopen(r.Opened, "run", false, 0) })
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 2, append(frames(1), frames(2)...)...)
}

// All frames of a connection are trimmed while it is asked, again and again: its attempt goes on, in order.
func TestTrimmedWhileAsked(t *testing.T) {
	w := newFenceWorld(t)
	w.log.Before = func(f *pipeline.Frame) {
		if f.Number%2 == 1 {
			_ = w.log.Trim(t.Context(), w.log.Position())
		}
	}
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 1, someFrames(1, 3, 4)...)
	if w.log.Position() != 5 {
		t.Errorf("%d frames were stored, want 5", w.log.Position())
	}
}

// The fence is trimmed when the zombie wakes, in the middle of storing a frame: the log takes it. It hides no frame of
// its successor, whose eof is what anybody finds who asks again.
func TestZombieOfATrimmedFence(t *testing.T) {
	w := newFenceWorld(t)
	wake := w.sleeping(2)
	w.again()
	w.mustQuery()
	if err := w.log.Trim(t.Context(), w.log.Position()-1); err != nil { // but for the successor's eof
		t.Fatal(err)
	}
	if err := wake(); !errors.Is(err, pipeline.ErrConflict) { // it cannot say that it is done
		t.Errorf("the zombie answers %v", err)
	}
	w.again()
	w.mustQuery()
	w.ends(checkpoint.ConnDone, 2, append([]string{"2/4:eof"}, someFrames(1, 2, 4)...)...)
}

// The fence is trimmed while the zombie waits for its database: it has stored nothing for so long that it asks the
// record before its next frame, and stores none.
func TestZombieAsksTheRecordAfterALongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newFenceWorld(t)
		w.opens = func() {
			w.opens = nil               // its successor's does not wait
			time.Sleep(6 * time.Second) // of the bubble's clock
			w.again()
			w.mustQuery()
			if err := w.log.Trim(t.Context(), w.log.Position()); err != nil {
				t.Error(err)
			}
		}
		w.mustQuery()
		w.ends(checkpoint.ConnDone, 2)
	})
}

// The zombie's attempt was the last one that the connection had: what fences it is no try, and gives nobody up.
func TestFencedAttemptIsNoTry(t *testing.T) {
	w := newFenceWorld(t)
	w.job.Retry.Attempts = 1
	w.specify(0)
	wake := w.sleeping(2)
	w.again()
	w.change(func(r *checkpoint.ConnRecord) { r.Attempts = 0 })
	w.mustQuery()
	if err := wake(); err != nil {
		t.Errorf("the zombie answers %v", err)
	}
	if rec := w.record().Value(); rec.State != checkpoint.ConnDone || rec.Error != "" {
		t.Errorf("the record is %+v", rec)
	}
}

// A connection is given up behind its newest frame, and a worker that wakes then is refused. One that has stored
// its eof first is right: the connection has not failed.
func TestGivenUpInTheLog(t *testing.T) {
	for what, zombie := range map[string]struct {
		sleeps uint64 // before this frame
		first  bool   // it wakes before the connection is given up
		ends   checkpoint.ConnState
		frames []string
	}{
		"it wakes later":          {2, false, checkpoint.ConnFailed, append(someFrames(1, 0, 1), "2/0:failed")},
		"its eof comes first":     {4, true, checkpoint.ConnDone, frames(1)},
		"its eof comes too late":  {4, false, checkpoint.ConnFailed, append(someFrames(1, 0, 3), "2/0:failed")},
		"it has not begun at all": {0, false, checkpoint.ConnFailed, []string{"2/0:failed"}},
	} {
		t.Run(what, func(t *testing.T) {
			w := newFenceWorld(t)
			wake := w.sleeping(zombie.sleeps)
			w.change(func(r *checkpoint.ConnRecord) { r.State = checkpoint.ConnGivenUp })
			if zombie.first {
				_ = wake()
			}
			s := newSupervisor(&run{c: &Coordinator{Stores: pipeline.Stores{Runs: w.kv}, Owner: pipeline.Owner{Token: "run"}, Bus: noBus{}, Log: slog.New(slog.DiscardHandler)}, m: w.m, log: w.log})
			if err := s.publishFailure(t.Context(), "c", w.record(), "no"); err != nil {
				t.Fatal(err)
			}
			if !zombie.first {
				if err := wake(); err != nil {
					t.Errorf("the zombie answers %v", err)
				}
			}
			w.ends(zombie.ends, 1, zombie.frames...)
		})
	}
}

// A coordinator that sleeps while it gives a connection up, and wakes when a successor has had it asked again, says
// nothing in the row log.
func TestZombieCoordinatorGivesNothingUp(t *testing.T) {
	w := newFenceWorld(t)
	w.fails = pipeline.Permanent(fmt.Errorf("no"))
	w.mustQuery()
	w.fails = nil
	s := newSupervisor(&run{c: &Coordinator{Stores: pipeline.Stores{Runs: w.kv}, Owner: pipeline.Owner{Token: "run"}, Bus: noBus{}, Log: slog.New(slog.DiscardHandler)}, m: w.m, log: w.log})
	w.log.Before = func(f *pipeline.Frame) {
		if f.Kind == pipeline.FrameFailed {
			w.log.Before = nil
			w.change(func(r *checkpoint.ConnRecord) { r.Reopen(r.Opened, "run", false, 0) })
			w.mustQuery()
		}
	}
	if err := s.publishFailure(t.Context(), "c", w.record(), "no"); err == nil {
		t.Error("it has given the connection up")
	}
	w.ends(checkpoint.ConnDone, 2, append(someFrames(1, 0, 2), frames(3)...)...)
}

// noBus has no room for events.
type noBus struct{ pipeline.Bus }

func (noBus) Publish(string, string, []byte) error { return memstore.ErrLost }
