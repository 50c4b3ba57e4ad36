package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/soak"
	"fanmill/pipeline/process"

	"fanmill/pipeline"
)

// A sink command delivered a second time (at-least-once) to an idle worker does not end the run.
func TestRedeliveredSinkCommand(t *testing.T) {
	t.Parallel()
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
			if err := w.node.Bus.Publish(pipeline.TopicSinkCommand(pipeline.OwnPool(w.node.Owner.Token), "memory", e.Run, "d"), "", payload); err != nil {
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

// The same job started twice in one moment: one runs, the other is told so; neither waits for a trigger that the
// other took or dropped.
func TestStartedTwiceAtOnce(t *testing.T) {
	t.Parallel()
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
				_, err := node.Run(ctx, w.definition(), pipeline.Trigger{})
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

// A coordinator that was frozen on its way to give a connection up wakes after its successor has asked that
// connection again: it changes nothing. Going on from the record as it is by then, it would fail what is going well.
func TestZombieCoordinatorGivesNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS = 60000
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("x", bad)
	w.deliverTo("d")

	frozen, wake, woken := make(chan struct{}), make(chan struct{}), make(chan struct{})
	zombie := *w.node
	zombie.Stores.Runs = &freezingKV{KV: w.node.Stores.Runs, suffix: ".conn.x", at: 3, frozen: frozen, wake: wake}
	zombie.RowLogs = &logs{RowLogs: w.node.RowLogs}
	zombie.Bus = frozenBus{Bus: w.node.Bus, frozen: frozen}
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = zombie.Run(ctx, w.definition(), pipeline.Trigger{})
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

func (b frozenBus) Serve(ctx context.Context, log *slog.Logger, handlers ...pipeline.Handler) error {
	return b.Bus.Serve(ctx, log, tapped(handlers, "", func(_ *pipeline.Message, handle func() error) error {
		select {
		case <-b.frozen:
			<-ctx.Done()
			return context.Cause(ctx)
		default:
			return handle()
		}
	})...)
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

// Of two writers of one process that begin from the same revision one is told that it has won.
func TestOneWinnerOfARevision(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx := t.Context()
	if _, err := checkpoint.CreateDocument(ctx, w.node.Stores.Runs, "r.conn.x", checkpoint.ConnRecord{State: checkpoint.ConnPending, Owner: "p"}); err != nil {
		t.Fatal(err)
	}
	won := 0
	var cells []*checkpoint.Document[checkpoint.ConnRecord]
	for range 2 {
		c, err := checkpoint.LoadDocument[checkpoint.ConnRecord](ctx, w.node.Stores.Runs, "r.conn.x")
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

// A run that is waited for as its process gives no sign of life, and that ends after all, does not refuse the trigger
// that waits: its turn has come.
func TestRunThatEndsWhileItIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	run := w.died(0)
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, run)
	if err != nil {
		t.Fatal(err)
	}
	rec := cell.Value()
	rec.Owner.LeaseMS = 300
	if err := cell.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	w.node.Alive = func(o pipeline.Owner) (bool, bool) { return false, o.Token != "dead" }
	var once sync.Once
	w.node.Log = slog.New(logHook{Handler: slog.DiscardHandler, f: func(line string) {
		if strings.Contains(line, "for a sign of life") {
			once.Do(func() {
				rec.State = pipeline.RunComplete
				if err := cell.Write(t.Context(), rec); err != nil {
					t.Error(err)
				}
			})
		}
	}})
	w.node.Follow = nil
	w.serve()
	if a := w.ask(pipeline.TopicTrigger("job"), "next", "{}"); a.State != pipeline.AnswerQueued {
		t.Errorf("answered with %+v", a)
	}
	for w.lastRun() != "next" || w.state("next") != pipeline.RunComplete {
		time.Sleep(5 * time.Millisecond)
	}
	w.exact("x", "a")
}

// Of processes that want the same run at the same time, to resume it, to give it up or to begin a fresh one instead,
// one goes on; the others are told who has it or how it ended, and disturb nothing. So it is also where none can tell
// whether the others live.
func TestOneOfSeveralGoesOn(t *testing.T) {
	t.Parallel()
	rounds := soak.Rounds(2, 6)
	run := func(trigger pipeline.Trigger) func(*world, *process.Node) error {
		return func(w *world, n *process.Node) error {
			out, err := n.Run(w.t.Context(), w.definition(), trigger)
			if err == nil && out.State != pipeline.RunComplete {
				err = fmt.Errorf("it is %s", out.State)
			}
			return err
		}
	}
	fresh, resume := run(pipeline.Trigger{}), run(pipeline.Trigger{Resume: true})
	abandon := func(w *world, n *process.Node) error {
		_, err := n.Coordinator().Abandon(w.t.Context(), "job")
		return err
	}
	for name, all := range map[string][]func(*world, *process.Node) error{
		"resume": {resume, resume}, "fresh": {fresh, fresh}, "resume and fresh": {resume, fresh}, "resume and give up": {resume, abandon}, "three": {resume, fresh, resume},
	} {
		for known, alive := range map[string]bool{"known": true, "unknown": false} {
			t.Run(name+", "+known, func(t *testing.T) {
				for round := range rounds {
					w := newRealWorld(t, 8*mb)
					w.node.Owner.LeaseMS = 5000
					bad := of(5, 10)
					bad.open = func(int) error { return pipeline.Permanent(errBroken) }
					w.connect("a", of(5, 10))
					w.connect("b", bad)
					w.deliverTo("d", "e")
					w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
					w.rescript("b", of(5, 10))
					errs := make([]error, len(all))
					var over sync.WaitGroup
					for i, act := range all {
						node := w.another()
						node.Alive = func(pipeline.Owner) (bool, bool) { return alive, alive }
						over.Go(func() { errs[i] = act(w, node) })
					}
					over.Wait()
					went := 0
					for _, err := range errs {
						switch {
						case err == nil:
							went++
						case !errors.Is(err, pipeline.ErrHeld) || !strings.Contains(err.Error(), "process") && !strings.Contains(err.Error(), "has ended"):
							t.Errorf("round %d: %v", round, err)
						}
					}
					if went == 0 {
						t.Errorf("round %d: none went on: %v", round, errs)
					}
					if name != "resume and give up" {
						w.exact("d", "a", "b")
						w.exact("e", "a", "b")
					}
				}
			})
		}
	}
}
