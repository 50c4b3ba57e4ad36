package process_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"

	"fanmill/pipeline"
)

// sinkHeld has the first claim of a destination find it held.
type sinkHeld struct {
	checkpoint.Records
	once sync.Once
}

func (r *sinkHeld) Claim(ctx context.Context, run, destination string, incarnation int, owner pipeline.Owner, previous string, look checkpoint.Look) (c checkpoint.Claim, err error) {
	r.once.Do(func() { err = pipeline.ErrHeld })
	if err != nil {
		return nil, err
	}
	return r.Records.Claim(ctx, run, destination, incarnation, owner, previous, look)
}

// A destination that is held when its command comes, by a predecessor about to learn that it is one, is claimed
// later: the run does not wait for ever.
func TestHeldDestinationIsClaimedLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.deliverTo("x", "y")
	w.node.Records = &sinkHeld{Records: w.node.Records}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("x", "a")
	w.exact("y", "a")
}

// lateClaim holds up the claim of one destination.
type lateClaim struct {
	checkpoint.Records
	id   string
	gate chan struct{}
}

func (r *lateClaim) Claim(ctx context.Context, run, destination string, incarnation int, owner pipeline.Owner, previous string, look checkpoint.Look) (checkpoint.Claim, error) {
	if destination == r.id {
		<-r.gate
	}
	return r.Records.Claim(ctx, run, destination, incarnation, owner, previous, look)
}

// A resume, too, asks its connections once every destination has claimed its record.
func TestResumeAsksWhenAllHaveClaimed(t *testing.T) {
	w := newWorld(t, 8*mb)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("x", "y")
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.db.askedSince()
	claims := &lateClaim{Records: w.node.Records, id: "y", gate: make(chan struct{})}
	w.node.Records = claims
	var early atomic.Bool
	good := of(5, 10)
	good.open = func(int) error {
		select {
		case <-claims.gate:
		default:
			early.Store(true)
		}
		return nil
	}
	w.rescript("bad", good)
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "x" && step == "adopted" {
			time.AfterFunc(200*time.Millisecond, func() { close(claims.gate) }) // room for asking too early
		}
		return nil
	})
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	w.exact("y", "a", "bad")
	if early.Load() {
		t.Error("a connection was asked before every destination had claimed its record")
	}
}

// lateDrop removes commands only when it is let to.
type lateDrop struct {
	pipeline.Bus
	late atomic.Bool
	gate chan struct{}
}

func (b *lateDrop) Drop(ctx context.Context, topic string) error {
	if b.late.Load() && (strings.Contains(topic, ".sink.") || strings.Contains(topic, ".query.")) {
		<-b.gate
	}
	return b.Bus.Drop(ctx, topic)
}

// Who tidies up after a run that another process has meanwhile resumed removes none of the other's commands, nor its
// row log. It may be the one that stopped the run, or one that found its owner gone, and it may have stood still in
// between.
func TestTidyingUpLeavesTheSuccessorAlone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(w *world, slow *process.Node, late *lateDrop){
		"stopped": func(w *world, slow *process.Node, late *lateDrop) {
			w.rescript("b", stuck())
			ctx, cancel := context.WithCancel(t.Context())
			w.observe(func(e pipeline.Event) {
				if e.Kind == pipeline.EventCommitted {
					late.late.Store(true)
					cancel()
				}
			})
			_, _ = slow.Run(ctx, w.definition(), pipeline.Trigger{})
		},
		"partial": func(w *world, slow *process.Node, late *lateDrop) {
			bad := of(5, 10)
			bad.open = func(int) error { return pipeline.Permanent(errBroken) }
			w.rescript("b", bad)
			w.observe(func(e pipeline.Event) {
				if e.Kind == pipeline.EventEnded && e.State == string(pipeline.RunPartial) {
					late.late.Store(true)
				}
			})
			_, _ = slow.Run(t.Context(), w.definition(), pipeline.Trigger{})
		},
		"swept": func(w *world, slow *process.Node, late *lateDrop) {
			w.rescript("b", stuck())
			w.interrupted()
			w.died(0)
			late.late.Store(true)
			other := *w.job
			other.ID = "other"
			_, _ = slow.Run(t.Context(), &spec.Definition{Job: &other, Resolve: func(string, time.Time) ([]pipeline.ManifestDestination, error) { return nil, errBroken },
				Params: w.definition().Params, Expand: w.definition().Expand}, pipeline.Trigger{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8*mb)
			w.connect("a", of(5, 10))
			w.connect("b", of(5, 10))
			w.connect("c", of(5, 10))
			w.deliverTo("x")
			w.node.Parallel = 1 // the commands wait for each other
			late := &lateDrop{Bus: w.node.Bus, gate: make(chan struct{})}
			slow := w.another()
			slow.Bus = late
			var over sync.WaitGroup
			over.Go(func() { end(w, slow, late) })
			for !late.late.Load() || w.state(w.lastRun()) == pipeline.RunRunning {
				time.Sleep(2 * time.Millisecond)
			}
			good := of(5, 10)
			let := sync.OnceFunc(func() { close(late.gate) })
			defer let()
			good.before = func(_ context.Context, _, _, row int) error {
				if row == 2 { // in the middle of the resume the other one goes on tidying up
					let()
					over.Wait()
				}
				return nil
			}
			w.observe(nil)
			w.rescript("b", good)
			w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
			w.exact("x", "a", "b", "c")
		})
	}
}

// A process that removes the row log of a run which has waited for its resume for too long leaves a resume that
// begins meanwhile its own: that one waits for the removal. It would have gone on with a log that is gone the next
// moment.
func TestResumeWhileItsLogIsSwept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", stuck())
	w.deliverTo("x")
	w.interrupted()
	run := w.lastRun()
	w.node.Alive = func(pipeline.Owner) (bool, bool) { return true, true }
	waits := make(chan struct{})
	said := sync.OnceFunc(func() { close(waits) })
	w.node.Log = slog.New(logHook{Handler: slog.DiscardHandler, f: func(line string) {
		if strings.Contains(line, "waits for its turn") {
			said()
		}
	}})
	w.serve()
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, run)
	if err != nil {
		t.Fatal(err)
	}
	rec := cell.Value()
	rec.Ended = rec.Ended.Add(-8 * 24 * time.Hour)
	if err := cell.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	w.rescript("b", gated(gone))
	asked := w.count(pipeline.EventConnected)
	sweeper := w.another()
	var once sync.Once
	sweeper.RowLogs = &logs{RowLogs: w.node.RowLogs, remove: func() error {
		once.Do(func() {
			w.ask(pipeline.TopicTrigger("job"), "go-on", `{"resume":true}`)
			for w.count(pipeline.EventConnected) == asked {
				select {
				case <-waits:
					return
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
		return nil
	}}
	def := w.definition()
	def.Job, def.Resolve = &pipeline.Job{ID: "other"}, func(string, time.Time) ([]pipeline.ManifestDestination, error) { return nil, nil }
	if _, err := sweeper.Run(t.Context(), def, pipeline.Trigger{}); err != nil {
		t.Error(err)
	}
	close(gone)
	w.until(pipeline.EventEnded, run)
	if rec := w.record(run); rec.State != pipeline.RunComplete || rec.Resumes != 1 {
		t.Errorf("the run is %s after %d resumes", rec.State, rec.Resumes)
	}
	w.exact("x", "a", "b")
}

// A run whose destination has lost what it had committed ends, and is resumed by itself. Whoever takes it in between
// has it: nothing of it is changed any more.
func TestLostDestinationOfARunThatWasTaken(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Parallel = 1
	settled := make(chan struct{})
	w.connect("a", of(5, 10))
	w.connect("b", waiting(of(5, 10), settled))
	w.deliverTo("x")
	w.disk.failing(func(_, step, connection string) error {
		if step == "stage" && connection == "b" { // somebody empties the disk
			w.disk.mu.Lock()
			w.disk.artifacts["x"] = nil
			w.disk.mu.Unlock()
			return pipeline.Transient(errBroken)
		}
		return nil
	})
	var run string
	other := w.another()
	w.watch = func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Connection == "a" {
			close(settled)
		}
		if e.Kind != pipeline.EventEnded || run != "" {
			return
		}
		run = e.Run
		cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](context.Background(), w.node.Stores.Runs, checkpoint.RunKey(run))
		if err == nil {
			rec := cell.Value()
			rec.Owner, rec.Taken = other.Owner, true
			err = cell.Write(context.Background(), rec)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := w.run(t.Context(), pipeline.Trigger{}); !errors.Is(err, pipeline.ErrHeld) {
		t.Errorf("the run that another process has taken: %v", err)
	}
	rec, err := w.node.Records.Load(t.Context(), run, "x")
	if err != nil || rec.State != pipeline.RecordDetached || !rec.Lost {
		t.Errorf("its record was changed: %+v, %v", rec, err)
	}
	if _, err := w.node.RowLogs.Open(t.Context(), run, 1); err != nil {
		t.Errorf("its row log: %v", err)
	}
}

// A process that has taken a job's unfinished run, and describes connections for long before it goes on or gives that
// run up, gives signs of life meanwhile. If the run is taken from it all the same, as after a freeze, it leaves
// everything of the run alone.
func TestRunTakenWhileConnectionsAreDescribed(t *testing.T) {
	for name, trigger := range map[string]pipeline.Trigger{"fresh": {}, "resume": {Resume: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8*mb)
			w.node.Sinks["memory"] = w.disk.kind(pipeline.Traits{OneSchema: true})
			w.node.Owner.LeaseMS = 150
			away := of(5, 10)
			away.open = func(int) error { return pipeline.Permanent(errBroken) }
			w.connect("a", away)
			w.deliverTo("x")
			w.mustRun(pipeline.Trigger{}, pipeline.RunFailed)
			run, other := w.lastRun(), w.another()
			back := of(5, 10)
			back.open = func(int) error {
				ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
				defer stop()
				changes, err := w.node.Stores.Runs.Watch(ctx, checkpoint.RunKey(run))
				if err != nil {
					return err
				}
				for signs := 0; signs < 3; { // the record as it is, and two signs of life
					e, ok := <-changes
					if !ok {
						t.Error("no sign of life")
						return errBroken
					}
					if e.Key != "" {
						signs++
					}
				}
				for { // the other process takes it
					cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, w.node.Stores.Runs, checkpoint.RunKey(run))
					if err != nil {
						return err
					}
					rec := cell.Value()
					rec.Owner, rec.Taken = other.Owner, true
					if err = cell.Write(ctx, rec); !errors.Is(err, pipeline.ErrConflict) {
						return err
					}
				}
			}
			w.rescript("a", back)
			before, err := w.node.Records.Load(t.Context(), run, "x")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.run(t.Context(), trigger); !errors.Is(err, pipeline.ErrHeld) {
				t.Errorf("the run that another process has taken: %v", err)
			}
			if after, err := w.node.Records.Load(t.Context(), run, "x"); err != nil || after.State != before.State || after.Token != before.Token {
				t.Errorf("its record was %+v, is %+v, %v", before, after, err)
			}
		})
	}
}
