package process_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
	"fanmill/pipeline/query"
	"fanmill/pipeline/spec"
)

// describes has a process answer who asks what connections return, until stop is called. has are its variables.
func (w *world) describes(token string, has ...string) (stop func()) {
	w.t.Helper()
	node := w.another()
	node.Owner.Token = token
	jobs := &spec.Jobs{Elsewhere: func(text string) (string, error) {
		name, refers := strings.CutPrefix(text, "${")
		if name = strings.TrimSuffix(name, "}"); refers && !slices.Contains(has, name) {
			return "", noVariable(name)
		}
		return name, nil
	}}
	ctx, cancel := context.WithCancel(context.Background())
	answering := &query.DescribingFor{Describer: node.Describer(), Jobs: jobs, Bus: node.Bus, Owner: node.Owner, Log: node.Log}
	done := make(chan struct{})
	ready := make(chan struct{})
	answering.Ready = func() { close(ready) }
	go func() { defer close(done); answering.Serve(ctx) }()
	<-ready
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	w.t.Cleanup(stop)
	return stop
}

// Sequence 20: a process without the variables of a job, or without a way to its databases, has them described by those
// that ask them; one that lacks a variable, too, or is gone, is passed over.
func TestDescribedByAnotherProcess(t *testing.T) {
	w := newWorld(t, 8*mb)
	odd := of(1, 1)
	odd.columns = []string{"id", "corps"}
	w.connect("a", of(1, 1))
	w.connect("odd", odd)
	w.db.host = func(dsn string) string { return "server of " + dsn }
	for i := range w.job.Connections {
		w.job.Connections[i].DSN = "${" + w.job.Connections[i].ID + "}"
	}
	var workers []string
	elsewhere := &query.DescribedElsewhere{Bus: w.node.Bus, Workers: func() []string { return workers }, Holds: func(*pipeline.Connection) bool { return false }}
	ask := func(id string) (*pipeline.Opening, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		o, _, err := elsewhere.Describe(ctx, spec.Probe{Definition: w.definition(), Connection: id, Hosts: pipeline.NewHosts(1)})
		return o, err
	}
	if _, err := ask("a"); err == nil || !strings.Contains(err.Error(), "no process asks databases") {
		t.Errorf("nobody is there: %v", err)
	}
	workers = []string{"gone"}
	if _, err := ask("a"); !errors.Is(err, pipeline.ErrNoAnswer) {
		t.Errorf("a process that is gone: %v", err)
	}
	w.describes("w1")
	w.describes("w2", "a", "odd")
	workers = []string{"gone", "w1", "w2"}
	for range 3 { // whoever is asked first
		o, err := ask("odd")
		if err != nil || len(o.Queries) != 1 || o.Queries[0].Columns[1].Name != "corps" {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	server := func(id string) string {
		c, err := w.job.Connection(id)
		if err != nil {
			t.Fatal(err)
		}
		return elsewhere.Server(w.definition(), c)
	}
	if a, o := server("a"), server("odd"); a == "" || a == o || a != server("a") || strings.Contains(a, "server") {
		t.Errorf("the servers are %q and %q", a, o)
	}
	broken := of(1, 1)
	broken.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.rescript("a", broken)
	if _, err := ask("a"); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("a database that says no: %v", err)
	}
	workers = []string{"w1"}
	if _, err := ask("odd"); err == nil || !strings.Contains(err.Error(), "${odd} is not set") {
		t.Errorf("nobody has the variable: %v", err)
	}
}

// A process that is stopped, or gone, while a database takes its time: the next one is asked.
func TestDescribingProcessEnds(t *testing.T) {
	for name, end := range map[string]func(stop func(), gone func()){
		"stopped": func(stop, _ func()) { stop() },
		"gone":    func(_, gone func()) { gone() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 8*mb)
			slow := of(1, 1)
			asked := make(chan struct{}, 9)
			first := true
			var mu sync.Mutex
			slow.opens = func(ctx context.Context, _ pipeline.Request) error {
				mu.Lock()
				waits := first
				first = false
				mu.Unlock()
				if asked <- struct{}{}; waits {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}
			w.connect("a", slow)
			stops := map[string]func(){"w1": w.describes("w1"), "w2": w.describes("w2")}
			workers := []string{"w1", "w2"}
			elsewhere := &query.DescribedElsewhere{Bus: w.node.Bus, Workers: func() []string {
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(workers)
			}, Holds: func(*pipeline.Connection) bool { return false }}
			done := make(chan error, 1)
			go func() {
				o, _, err := elsewhere.Describe(t.Context(), spec.Probe{Definition: w.definition(), Connection: "a", Hosts: pipeline.NewHosts(1)})
				if err == nil && len(o.Queries) != 1 {
					err = errors.New("it says nothing")
				}
				done <- err
			}()
			<-asked
			// The first question, which is for the server, went to the second of the two.
			end(stops["w1"], func() {
				mu.Lock()
				workers = []string{"w2"}
				mu.Unlock()
			})
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Sequence 20: a process that coordinates and asks no databases knows their columns all the same before anything is
// written, and which of them are on one server.
func TestColumnsForACoordinatorAlone(t *testing.T) {
	for _, onDrift := range []string{pipeline.DriftFail, pipeline.DriftUnion} {
		t.Run(onDrift, func(t *testing.T) {
			w := driftWorld(t, onDrift)
			w.db.host = func(string) string { return "one server" }
			coordinator, none := w.worker(pipeline.RoleCoordinator)
			asker, some := w.worker(pipeline.RoleQuery)
			sink, _ := w.worker(pipeline.RoleSink)
			for _, node := range []*process.Node{asker, sink, coordinator} {
				w.serveBy(node)
			}
			dead := w.deadLetters()
			run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
			if onDrift == pipeline.DriftFail {
				if m := <-dead; m == nil || some.Load() != 3 {
					t.Errorf("%d connections were described", some.Load())
				}
				w.exact("flat")
				return
			}
			w.until(pipeline.EventEnded, run)
			m, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, run)
			if err != nil || len(m.Schemas) != 1 || spelled(m.Schemas[0]) != "id:int body:binary corps:binary" {
				t.Errorf("schemas are %+v, %v", m.Schemas, err)
			}
			if none.Load() != 0 || some.Load() != 6 {
				t.Errorf("the coordinator has asked %d times, the worker %d", none.Load(), some.Load())
			}
			w.exact("flat", "a", "odd", "c")
		})
	}
}
