package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"
)

// serves has a node serve the world's job until ctx ends, and returns what comes of that.
func (w *world) serves(ctx context.Context, n *process.Node) (ended chan error) {
	w.t.Helper()
	ended = make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		ended <- n.Serve(ctx, trigger.Service{MaxRuns: 1, Ready: func() { close(ready) },
			Find: func(string, json.RawMessage) (*spec.Definition, error) { return w.definition(), nil }})
	}()
	select {
	case <-ready:
	case err := <-ended:
		w.t.Fatalf("serve: %v", err)
	}
	return ended
}

// unknowing is a further node of the world, which can tell of no process but by its lease.
func (w *world) unknowing(lease int64) *process.Node {
	n := w.another()
	n.Owner.LeaseMS = lease
	token := n.Owner.Token
	n.Alive = func(o pipeline.Owner) (bool, bool) { return o.Token == token, o.Token == token }
	return n
}

// Sequence 5: the process that coordinates a run is declared dead while another one, w, has a connection of it in hand.
// Who serves beside it adopts the run: it is the same incarnation, w keeps what it has, what is delivered stays, and
// what the dead one had is asked again. Then w dies, too. The trigger, which comes again, finds how the run ended.
func TestServingProcessAdoptsARun(t *testing.T) {
	t.Parallel()
	w := newRealWorld(t, 8*mb)
	a, b, other := w.unknowing(1500), w.unknowing(1500), w.unknowing(1500)
	a.Owner.Host, b.Owner.Host, other.Owner.Host = "host a", "host b", "host w"
	a.Parallel = 1 // "held" is w's before a worker of a looks at it
	lease, err := checkpoint.Keep(t.Context(), w.node.Stores.Runs, checkpoint.ProcessRecord{Owner: other.Owner}, w.node.Log)
	if err != nil {
		t.Fatal(err)
	}
	held := checkpoint.ConnKey("one", "held")
	taken := make(chan struct{})
	var once sync.Once
	first := of(50, 10)
	first.before = func(ctx context.Context, _, _, _ int) error {
		var err error
		once.Do(func() {
			defer close(taken)
			var doc *checkpoint.Document[checkpoint.ConnRecord]
			if doc, err = checkpoint.LoadDocument[checkpoint.ConnRecord](ctx, w.node.Stores.Runs, held); err != nil {
				return
			}
			rec := doc.Value()
			if !rec.Claim(other.Owner, time.Now()) {
				err = fmt.Errorf("%s is %s", held, rec.State)
				return
			}
			err = doc.Write(ctx, rec)
		})
		if err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	w.connect("whole", of(5, 10))
	w.connect("first", first)
	w.connect("held", of(7, 10))
	w.deliverTo("d")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	of1 := w.serves(ctx, a)
	if ans := w.ask(pipeline.TopicTrigger("job"), "one", "{}"); ans.Run != "one" {
		t.Fatalf("answered with %+v", ans)
	}
	<-taken
	before := w.revision(held)
	of2 := w.serves(ctx, b)
	w.rescript("first", of(50, 10))
	w.db.askedSince()
	w.condemn(a)
	if err := <-of1; !errors.Is(err, checkpoint.ErrDead) {
		t.Errorf("the dead one ends with %v", err)
	}
	w.connIs("one", "first", checkpoint.ConnPending) // it is asked when the others have ended
	rec, err := checkpoint.LoadDocument[checkpoint.RunRecord](t.Context(), w.node.Stores.Runs, checkpoint.RunKey("one"))
	if err != nil {
		t.Fatal(err)
	}
	if r := rec.Value(); r.State != pipeline.RunRunning || r.Resumes != 0 || r.Epoch != 2 || r.Died || r.Owner.Token != b.Owner.Token {
		t.Errorf("the run was not adopted: %+v", r)
	}
	if w.revision(held) != before {
		t.Error("the record of the connection that w has was written")
	}
	w.condemn(other)
	<-lease.Lost()
	w.ends("one", pipeline.RunComplete)
	w.exact("d", "whole", "first", "held")
	if asked := fmt.Sprint(w.db.askedSince()); asked != "[first held]" {
		t.Errorf("asked %s", asked)
	}
	stop()
	if err := <-of2; err != nil {
		t.Error(err)
	}
}

// connIs waits until a connection of a run is in that state.
func (w *world) connIs(run, connection string, state checkpoint.ConnState) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), 40*time.Second)
	defer stop()
	entries, err := w.node.Stores.Runs.Watch(ctx, checkpoint.ConnKey(run, connection))
	if err != nil {
		w.t.Fatal(err)
	}
	for e := range entries {
		if e.Key == "" || e.Deleted {
			continue
		}
		if doc, err := checkpoint.DocumentOf[checkpoint.ConnRecord](w.node.Stores.Runs, e); err == nil && doc.Value().State == state {
			return
		}
	}
	w.t.Fatalf("connection %s never came to be %s", connection, state)
}
