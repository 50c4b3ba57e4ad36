package process_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// A hostile hand on the store: each record of a run deleted, emptied or filled with what is none, while the run goes
// on, when it is to be resumed or given up, and after it. No row is lost or doubled, the job is never blocked, and
// everybody else goes on.

// records are the keys that a run of connections a and b into destination x has.
var records = map[string]func(w *world, run string) (pipeline.KV, string){
	"run": func(w *world, run string) (pipeline.KV, string) { return w.node.Stores.Runs, checkpoint.RunKey(run) },
	"manifest": func(w *world, run string) (pipeline.KV, string) {
		return w.node.Stores.Runs, checkpoint.ManifestKey(run)
	},
	"done conn": func(w *world, run string) (pipeline.KV, string) {
		return w.node.Stores.Runs, checkpoint.ConnKey(run, "a")
	},
	"open conn": func(w *world, run string) (pipeline.KV, string) {
		return w.node.Stores.Runs, checkpoint.ConnKey(run, "b")
	},
	"pointer": func(w *world, _ string) (pipeline.KV, string) {
		return w.node.Stores.Runs, checkpoint.JobRunKey(w.job.ID)
	},
	"commit": func(w *world, run string) (pipeline.KV, string) {
		return w.node.Stores.Checkpoints, checkpoint.RecordKey(run, w.job.Destinations[0].ID)
	},
	"error": func(w *world, run string) (pipeline.KV, string) {
		return w.node.Stores.Checkpoints, checkpoint.ErrorKey(run, w.job.Destinations[0].ID, "a")
	},
	"checkpoint": func(w *world, _ string) (pipeline.KV, string) {
		return w.node.Stores.Checkpoints, pipeline.Token(w.job.ID)
	},
	"job": func(w *world, _ string) (pipeline.KV, string) { return w.node.Stores.Jobs, pipeline.Token(w.job.ID) },
}

// ends are the records whose damage ends the run that goes on. The others nobody reads meanwhile.
var ends = map[string]bool{"run": true, "done conn": true, "open conn": true, "commit": true}

var deeds = map[string]string{
	"emptied":     "",
	"not JSON":    "\x00\xff{",
	"a list":      "[1,2]",
	"null":        "null",
	"an object":   "{}",
	"later state": `{"job":"job","state":"paused","generation":1}`,
	"far numbers": `{"job":"job","run":"r","state":"open","generation":-7,"attempt":-1,"seq":-1,"leaseMs":9e18,"settled":{"99":{"r":[1],"a":1}}}`,
}

func damage(t *testing.T, kv pipeline.KV, key, deed string) {
	t.Helper()
	var err error
	if text, ok := deeds[deed]; ok {
		_, err = kv.Put(t.Context(), key, []byte(text))
	} else {
		err = kv.Delete(t.Context(), key)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// damaged is a world for many runs, one after the other, each of a job of its own.
type damaged struct {
	*world
	n int
}

func newDamaged(t *testing.T) *damaged {
	w := newWorld(t, 4*mb)
	w.node.Owner.LeaseMS = 200
	return &damaged{world: w}
}

// next makes a job whose connection b waits for gate. began gets the run's id once a is committed and b has begun:
// then every record of the run is there.
func (d *damaged) next() (gate chan struct{}, began chan string) {
	d.n++
	d.job = &pipeline.Job{ID: fmt.Sprintf("job%d", d.n), Name: "Job", Retry: pipeline.Retry{Attempts: 3}}
	gate, began = make(chan struct{}), make(chan string, 1)
	d.connect("a", of(5, 10))
	d.connect("b", waiting(of(5, 10), gate))
	d.deliverTo(fmt.Sprintf("x%d", d.n))
	d.mu.Lock()
	defer d.mu.Unlock()
	var committed, asked atomic.Bool
	d.watch = func(e pipeline.Event) {
		switch {
		case e.Kind == pipeline.EventCommitted && e.Connection == "a":
			committed.Store(true)
		case e.Kind == pipeline.EventConnected && e.Connection == "b":
			asked.Store(true)
		}
		if committed.Load() && asked.Load() {
			select {
			case began <- e.Run:
			default:
			}
		}
	}
	return gate, began
}

// others looks whether everybody else goes on.
func (d *damaged) others(t *testing.T) {
	t.Helper()
	if _, err := d.node.View().List(t.Context(), ""); err != nil {
		t.Errorf("runs cannot be listed: %v", err)
	}
}

func (d *damaged) whole(t *testing.T, trigger pipeline.Trigger) {
	t.Helper()
	d.world.t = t
	out, err := d.run(t.Context(), trigger)
	if err != nil || out.State != pipeline.RunComplete {
		t.Fatalf("the run ended with %+v, %v", out, err)
	}
	d.exact(d.job.Destinations[0].ID, "a", "b")
}

// each calls f for every record and deed.
func (d *damaged) each(t *testing.T, f func(t *testing.T, name, deed string)) {
	all := []string{"deleted", "far numbers"}
	if !testing.Short() { // goroutines share the same, whatever stands there
		all = append(slices.Collect(maps.Keys(deeds)), "deleted")
	}
	for name := range records {
		for _, deed := range all {
			t.Run(name+" "+deed, func(t *testing.T) { f(t, name, deed) })
		}
	}
}

// While the run goes on: it ends as interrupted if the record is one that it relies on, and says which; its resume
// brings what is missing.
func TestDamageWhileRunning(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	d.each(t, func(t *testing.T, name, deed string) {
		gate, began := d.next()
		d.world.t = t
		end := d.start(pipeline.Trigger{})
		run := <-began
		kv, key := records[name](d.world, run)
		damage(t, kv, key, deed)
		d.others(t)
		if !ends[name] {
			close(gate)
			if got := <-end; got.err != nil || got.out.State != pipeline.RunComplete {
				t.Fatalf("the run ended with %+v, %v", got.out, got.err)
			}
			d.exact(d.job.Destinations[0].ID, "a", "b")
			return
		}
		got := <-end
		if !errors.Is(got.err, pipeline.ErrForeign) || errors.Is(got.err, pipeline.ErrFenced) || !strings.Contains(got.err.Error(), key) {
			t.Fatalf("the run ended with %+v, %v", got.out, got.err)
		}
		info, err := d.node.View().Inspect(t.Context(), run)
		if err != nil || info.Record.State != pipeline.RunInterrupted {
			t.Fatalf("the run is %+v, %v", info, err)
		}
		close(gate)
		d.whole(t, pipeline.Trigger{Resume: true})
	})
}

// Between the end of a process and what follows: a resume goes on, a fresh run takes the place, and other jobs do not
// notice.
func TestDamageOfAnUnfinishedRun(t *testing.T) {
	t.Parallel()
	for _, resume := range []bool{true, false} {
		t.Run(fmt.Sprintf("resume %v", resume), func(t *testing.T) {
			d := newDamaged(t)
			d.each(t, func(t *testing.T, name, deed string) {
				gate, began := d.next()
				d.world.t = t
				ctx, cancel := context.WithCancel(t.Context())
				end := make(chan error, 1)
				go func() {
					_, err := d.run(ctx, pipeline.Trigger{})
					end <- err
				}()
				run := <-began
				cancel()
				if err := <-end; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				close(gate)
				kv, key := records[name](d.world, run)
				damage(t, kv, key, deed)
				d.others(t)
				d.whole(t, pipeline.Trigger{Resume: resume})
			})
		})
	}
}

// A run that is asked for by its id comes to its end under that id, whatever was damaged of it: what starts it again
// does so until then.
func TestDamageOfANamedRun(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	for _, names := range [][]string{{"run"}, {"manifest"}, {"run", "manifest"}, {"commit", "manifest"}, {"run", "manifest", "commit", "done conn", "pointer"}} {
		for _, deed := range []string{"deleted", "emptied", "not JSON", "an object"} {
			t.Run(strings.Join(names, ", ")+" "+deed, func(t *testing.T) {
				gate, began := d.next()
				d.world.t = t
				id := fmt.Sprintf("night-%d", d.n)
				ctx, cancel := context.WithCancel(t.Context())
				end := make(chan error, 1)
				go func() {
					_, err := d.run(ctx, pipeline.Trigger{ID: id})
					end <- err
				}()
				run := <-began
				cancel()
				if err := <-end; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				close(gate)
				for _, name := range names {
					kv, key := records[name](d.world, run)
					damage(t, kv, key, deed)
				}
				d.whole(t, pipeline.Trigger{ID: id})
				out, err := d.run(t.Context(), pipeline.Trigger{ID: id})
				if err != nil || out.Run != id || !out.Already {
					t.Errorf("asked for once more, it is %+v, %v", out, err)
				}
			})
		}
	}
}

// Who asks for a job's newest run is shown one, whatever stands in the pointer to it.
func TestNewestRunWithoutItsPointer(t *testing.T) {
	d := newDamaged(t)
	gate, began := d.next()
	close(gate)
	d.whole(t, pipeline.Trigger{})
	run := <-began
	for _, text := range []string{run, "", "garbage!", "null", "{}", "gone", "job", "a.b", "*"} {
		if _, err := d.node.Stores.Runs.Put(t.Context(), checkpoint.JobRunKey(d.job.ID), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := d.node.View().LastRun(t.Context(), d.job.ID); err != nil || got != run {
			t.Errorf("%q: the newest run is %q, %v", text, got, err)
		}
	}
	if err := d.node.Stores.Runs.Delete(t.Context(), checkpoint.RunKey(run)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.node.View().LastRun(t.Context(), d.job.ID); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("without any, it is %q, %v", got, err)
	}
}

// After the run: nobody minds, and the run can be forgotten.
func TestDamageOfACompleteRun(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	d.each(t, func(t *testing.T, name, deed string) {
		gate, began := d.next()
		close(gate)
		d.whole(t, pipeline.Trigger{})
		run := <-began
		kv, key := records[name](d.world, run)
		damage(t, kv, key, deed)
		d.others(t)
		d.whole(t, pipeline.Trigger{})
		if err := d.node.Coordinator().Remove(t.Context(), run); err != nil {
			t.Fatalf("it cannot be forgotten: %v", err)
		}
		if _, err := d.node.View().Inspect(t.Context(), run); !errors.Is(err, pipeline.ErrNoKey) {
			t.Errorf("and is still there: %v", err)
		}
	})
}
