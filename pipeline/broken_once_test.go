package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
)

// Rows in fragments. Each connection's first piece fits the log, no second one does, and a destination cannot let go
// of a piece.
func TestFragmentsFillTheLog(t *testing.T) {
	w := newWorld(t, 30*mb)
	w.node.Timeout = 30 * time.Second
	all := make(chan struct{})
	spy := &logs{RowLogs: w.node.RowLogs}
	first := map[string]bool{}
	var mu sync.Mutex
	var once sync.Once
	spy.publish = func(ctx context.Context, f *pipeline.Frame) {
		if f.Fragments < 2 || f.Fragment != 1 {
			return
		}
		mu.Lock()
		if first[f.Connection] = true; len(first) == 3 {
			once.Do(func() { close(all) })
		}
		mu.Unlock()
		select { // its first piece is stored; wait for those of the others, as a slow network might
		case <-all:
		case <-time.After(300 * time.Millisecond): // the others are kept from it
		}
	}
	w.node.RowLogs = spy
	for _, id := range []string{"a", "b", "c"} {
		w.connect(id, of(1, 14*mb+mb/2))
	}
	w.deliverTo("d")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out, err := w.run(ctx, pipeline.Trigger{})
	if err != nil || out.State != pipeline.RunComplete {
		if out != nil {
			t.Fatalf("the run is %s: %s", out.State, reports(out))
		}
		t.Fatal(err)
	}
}

// Invariant 8. One destination hangs; the healthy one, which merely has nothing left to read, is detached with it.
func TestHealthyDestinationIsDetachedToo(t *testing.T) {
	w := newWorld(t, 4*mb)
	w.node.Timeout = 1500 * time.Millisecond
	release := make(chan struct{})
	var once sync.Once
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventDetached {
			once.Do(func() { close(release) })
		}
	}
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "hung" && step == "append" {
			<-release
		}
		return nil
	})
	w.connect("big", of(12*16, 64<<10))
	w.deliverTo("hung", "healthy")
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	if out.State != pipeline.RunPartial {
		t.Errorf("the run is %s: %s", out.State, reports(out))
	}
	w.exact("healthy", "big")
}

// A sink command delivered a second time (at-least-once) to an idle worker ends the run.
func TestRedeliveredSinkCommand(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 1500
	again := make(chan struct{})
	slow := of(5, 10)
	slow.before = func(ctx context.Context, _, _, row int) error {
		if row == 4 {
			select {
			case <-again:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.connect("slow", slow)
	w.deliverTo("d", "e")
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "e" && step == "adopted" { // e is detached at once: its worker is idle
			return pipeline.Permanent(errBroken)
		}
		return nil
	})
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventConnected {
			payload, _ := json.Marshal(pipeline.SinkCommand{Job: e.Job, Run: e.Run, Destination: "d"})
			if err := w.node.Bus.Publisher().Publish(pipeline.TopicSink(e.Run), newMessage(payload)); err != nil {
				t.Error(err)
			}
			time.AfterFunc(4*time.Second, func() { close(again) })
		}
	}
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil {
		t.Fatalf("the run stopped: %v", err)
	}
	w.exact("d", "slow")
	_ = out
}

// Tidying up fails. The run is complete, but is reported as an error, and no other job can run either.
func TestTidyingUpBlocksEverything(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	w.disk.failing(func(_, step, _ string) error {
		if step == "clean" {
			return pipeline.Transient(fmt.Errorf("the share is away"))
		}
		return nil
	})
	if out, err := w.run(t.Context(), pipeline.Trigger{}); err != nil || out.State != pipeline.RunComplete {
		t.Errorf("a complete run answers %v", err)
	}
	other := *w.job
	other.ID, other.Destinations = "other", []pipeline.Destination{{ID: "d2", Type: "memory", FilePath: "d2"}}
	w.job = &other
	w.disk.failing(func(dest, step, _ string) error {
		if step == "clean" && dest == "d" {
			return pipeline.Transient(fmt.Errorf("the share is away"))
		}
		return nil
	})
	if _, err := w.run(t.Context(), pipeline.Trigger{}); err != nil {
		t.Errorf("another job does not run: %v", err)
	}
}

// An abandoned run whose tidying up was cut short is never tidied up: its row log stays reserved for ever.
func TestAbandonedLogLeaks(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx, cancel := context.WithCancel(t.Context())
	s := of(5, 10)
	s.before = func(context.Context, int, int, int) error { cancel(); return nil }
	w.connect("a", s)
	w.deliverTo("d")
	if _, err := w.run(ctx, pipeline.Trigger{}); err == nil {
		t.Fatal("not interrupted")
	}
	old, err := w.node.Stores.Runs.Get(t.Context(), pipeline.JobRunKey("job"))
	if err != nil {
		t.Fatal(err)
	}
	w.rescript("a", of(5, 10))
	var failed atomic.Bool
	inner := w.node.RowLogs
	w.node.RowLogs = &logs{RowLogs: inner, remove: func() error {
		if !failed.Swap(true) {
			return pipeline.Transient(errBroken) // or a kill just before
		}
		return nil
	}}
	_, _ = w.run(t.Context(), pipeline.Trigger{}) // starts over; the clean-up fails
	if !failed.Load() {
		t.Fatal("the deletion was to fail")
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	if _, err := inner.Open(t.Context(), string(old.Value), 1); err == nil {
		t.Errorf("the row log of abandoned run %s is still there after two more runs", old.Value)
	}
}

// The same job started twice in one moment: one of them waits for ever for a trigger that the other took or dropped.
func TestStartedTwiceAtOnce(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 2000
	w.connect("a", of(5, 10))
	w.deliverTo("d")
	hung := 0
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		var both sync.WaitGroup
		var mu sync.Mutex
		for range 2 {
			node := *w.node
			node.Owner.Token = pipeline.NewToken()
			node.Alive = func(pipeline.Owner) (bool, bool) { return true, true }
			both.Go(func() {
				_, err := node.Run(ctx, w.job, pipeline.Trigger{})
				if ctx.Err() != nil {
					mu.Lock()
					hung++
					mu.Unlock()
				}
				t.Logf("%v", err)
			})
		}
		both.Wait()
		cancel()
		if hung > 0 {
			break
		}
	}
	if hung > 0 {
		t.Errorf("one of them hangs")
	}
}

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
	w2.node.Drivers["fake2"] = w2.db
	w2.job.Connections[0].Driver = "fake2"
	if _, err := w2.run(t.Context(), pipeline.Trigger{Resume: true}); err == nil || !strings.Contains(err.Error(), "fake2") {
		t.Errorf("the driver of a delivered connection changed, and the resume answers %v", err)
	}
	w2.job.Connections[0].Driver = "fake"
	if _, err := w2.run(t.Context(), pipeline.Trigger{Resume: true, Connections: []string{"tpyo"}}); err == nil {
		t.Errorf("a resume for a connection that does not exist is accepted")
	}
}

func newMessage(payload []byte) *message.Message {
	return message.NewMessage(watermill.NewUUID(), payload)
}

// A coordinator that was frozen on its way to give a connection up wakes after its successor has asked that
// connection again: going on from the record as it is by then, it would fail what is going well.
func TestZombieCoordinatorGivesUp(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 60000
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("x", bad)
	w.deliverTo("d")

	frozen, wake, woken := make(chan struct{}), make(chan struct{}), make(chan struct{})
	zombie := *w.node
	zombie.Stores.Runs = &freezingKV{KV: w.node.Stores.Runs, suffix: ".conn.x", at: 2, frozen: frozen, wake: wake}
	zombie.RowLogs = &logs{RowLogs: w.node.RowLogs}
	zombie.Bus = frozenBus{w.node.Bus, frozen}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = zombie.Run(ctx, w.job, pipeline.Trigger{})
	}()
	defer func() { kill(); <-ended }()
	<-frozen

	good := of(5, 10)
	good.before = func(ctx context.Context, _, _, row int) error {
		if row == 4 {
			close(wake)
			select {
			case <-woken:
			case <-time.After(2 * time.Second): // it was fenced: nothing came
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.rescript("x", good)
	w.node.Owner.Token = pipeline.NewToken()
	w.node.Alive = func(o pipeline.Owner) (bool, bool) { return o.Token == w.node.Owner.Token, true }
	w.node.RowLogs = &logs{RowLogs: w.node.RowLogs}
	out, err := w.run(t.Context(), pipeline.Trigger{Resume: true})
	if err != nil {
		t.Fatal(err)
	}
	if out.State != pipeline.RunComplete {
		t.Errorf("the resumed run is %s: %s", out.State, reports(out))
	}
}

// frozenBus takes no more messages once its process is frozen.
type frozenBus struct {
	pipeline.Bus
	frozen <-chan struct{}
}

func (b frozenBus) Subscriber(durable string, parallel int) message.Subscriber {
	s := b.Bus.Subscriber(durable, parallel)
	go func() {
		<-b.frozen
		_ = s.Close()
	}()
	return s
}

// freezingKV freezes at the n-th update of a key.
type freezingKV struct {
	pipeline.KV
	suffix       string
	at           int32
	n            atomic.Int32
	frozen, wake chan struct{}
}

func (k *freezingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if strings.HasSuffix(key, k.suffix) && k.n.Add(1) == k.at {
		close(k.frozen)
		<-k.wake
	}
	return k.KV.Update(ctx, key, value, revision)
}

// Two writers of one process begin from the same revision; both are told that they have won.
func TestTwoWinnersOfOneRevision(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx := t.Context()
	if _, err := pipeline.CreateCell(ctx, w.node.Stores.Runs, "r.conn.x", pipeline.ConnRecord{Owner: "p"}); err != nil {
		t.Fatal(err)
	}
	won := 0
	var cells []*pipeline.Cell[pipeline.ConnRecord]
	for range 2 {
		c, err := pipeline.LoadCell[pipeline.ConnRecord](ctx, w.node.Stores.Runs, "r.conn.x")
		if err != nil {
			t.Fatal(err)
		}
		cells = append(cells, c)
	}
	for i, c := range cells {
		next := c.Value() // as Worker.Query does
		next.Attempt, next.Owner, next.Error = next.Attempt+1, "p", fmt.Sprint("writer ", i)
		if c.Write(ctx, next) == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d writers own attempt 1", won)
	}
}

// A destination that the coordinator has detached, and whose sink then fails with something transient, claims its
// record again and holds the trim as before.
func TestDetachedDestinationComesBack(t *testing.T) {
	w := newWorld(t, 4*mb)
	var run atomic.Value
	var taken, back atomic.Bool
	settled := make(chan struct{})
	w.watch = func(e pipeline.Event) {
		switch {
		case e.Kind == pipeline.EventStarted:
			run.Store(e.Run)
		case e.Kind == pipeline.EventCommitted && e.Destination == "hung" && !back.Swap(true):
			close(settled)
		}
	}
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "hung" && step == "append" && !taken.Swap(true) { // as detachStalled does it
			err := w.node.Records.Reset(context.Background(), run.Load().(string), "hung", func(c *pipeline.CommitRecord) { c.State = pipeline.RecordDetached })
			if err != nil {
				return err
			}
			return pipeline.Transient(fmt.Errorf("the share answered after all: try again"))
		}
		return nil
	})
	w.connect("a", of(3, 10))
	slow := of(3, 10)
	slow.before = func(ctx context.Context, _, _, row int) error {
		if row == 2 { // leave it time to come back
			select {
			case <-settled:
			case <-time.After(2 * time.Second):
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.connect("slow", slow)
	w.deliverTo("hung", "healthy")
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	if back.Load() {
		t.Errorf("the detached destination claimed its record again in the run that gave it up: %s %s", out.State, reports(out))
	}
}

// Rows that do not add up are the fault of one connection; they take every destination away from all others, and
// again at every resume.
func TestBadChecksumDetachesTheDestination(t *testing.T) {
	w := newWorld(t, 8*mb)
	l := &logScript{max: 8 * mb}
	x, y := &attempt{id: "x", number: 1}, &attempt{id: "y", number: 1}
	l.put(x.open(), x.row(10), y.open(), y.row(10))
	x.chain++
	l.put(x.eof(), y.eof())
	rec, err := w.delivered(l, "memory", "d", "x", "y")
	if err != nil || rec.State != pipeline.RecordFinished || len(rec.Settled) != 1 || len(rec.Failed) != 1 {
		t.Errorf("error %v, record %s %q, settled %v, failed %v; y is whole", err, rec.State, rec.Error, rec.Settled, rec.Failed)
	}
}

// A resume with a changed query is killed between writing the manifest and the records; the next one finds
// nothing changed, and delivers the rows of the old query that are in the log.
func TestChangedQueryIsForgotten(t *testing.T) {
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

func (k *cancelingKV) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	rev, err := k.KV.Put(ctx, key, value)
	if strings.HasSuffix(key, k.suffix) {
		k.cancel()
	}
	return rev, err
}

// A destination that was given up after everything was settled is named nowhere in the outcome.
func TestDetachedDestinationHasNoReason(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("d", "e")
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "d" && step == "finish" {
			return pipeline.Permanent(fmt.Errorf("disk is read-only"))
		}
		return nil
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	data, err := json.Marshal(out.Reports[0])
	if err != nil || !strings.Contains(string(data), "disk is read-only") {
		t.Errorf("the reason is not in the report: %s", data)
	}
}

// A resume that asks a rejected connection again is killed before that connection's new attempt has a frame in the log.
// The next one takes the old attempt's eof, which the record's floor excludes, for rows that are yet to come, and waits for ever.
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
		if step == "publish" {
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
