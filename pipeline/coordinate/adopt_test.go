package coordinate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/spec"
)

// adoptWorld is a run that process a coordinates: process w asks the connection "asked" and writes the destination d,
// the connection "waits" is to be asked, and "done" is. All of it is in memory, with whatever coordinators a test
// wants.
type adoptWorld struct {
	t     *testing.T
	kv    *memstore.KV
	logs  *memstore.Logs
	log   pipeline.RowLog
	bus   *commandBus
	m     *pipeline.Manifest
	job   *pipeline.Job
	claim checkpoint.Claim // of w
}

// commandBus keeps what is published.
type commandBus struct {
	pipeline.Bus
	mu        sync.Mutex
	published []string // connections and destinations
}

func (b *commandBus) Publish(topic, _ string, payload []byte) error {
	var c struct{ Connection, Destination string }
	if err := json.Unmarshal(payload, &c); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Connection+c.Destination != "" && topic[:len("fanmill.events")] != "fanmill.events" {
		b.published = append(b.published, c.Connection+c.Destination)
	}
	return nil
}

func (b *commandBus) Drop(context.Context, string) error                             { return nil }
func (b *commandBus) Kept(context.Context, string, int) ([]*pipeline.Message, error) { return nil, nil }

func (b *commandBus) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.published)
}

func processOf(token string) pipeline.Owner {
	return pipeline.Owner{Token: token, Host: "host of " + token, PID: len(token) + int(token[0]), LeaseMS: 15000}
}

func newAdoptWorld(t *testing.T) *adoptWorld {
	w := &adoptWorld{t: t, kv: &memstore.KV{}, logs: &memstore.Logs{}, bus: &commandBus{}}
	w.m = &pipeline.Manifest{Run: "r", JobID: "job", LogMaxBytes: 64 << 20, Destinations: []pipeline.ManifestDestination{{ID: "d", Type: "memory"}}}
	w.job = &pipeline.Job{ID: "job", ParallelPerHost: 1, Retry: pipeline.Retry{Attempts: 3}}
	opened := checkpoint.Opened{Epoch: 1, Generation: 1}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"asked", "waits", "done"} {
		w.m.Connections = append(w.m.Connections, pipeline.ManifestConnection{ID: id, Name: id, Queries: make([]pipeline.ManifestQuery, 1)})
		w.job.Connections = append(w.job.Connections, pipeline.Connection{ID: id, Name: id, Driver: "fake", Queries: []pipeline.Query{{SQL: "select"}}})
		rec := checkpoint.OpenConn(opened)
		switch id {
		case "asked":
			rec.Claim(processOf("w"), time.Now())
		case "done":
			rec.Claim(processOf("w"), time.Now())
			rec.Finish(time.Now())
		}
		_, err := checkpoint.CreateDocument(t.Context(), w.kv, checkpoint.ConnKey("r", id), rec)
		must(err)
	}
	must(checkpoint.StoreManifest(t.Context(), w.kv, w.m, func(string) []pipeline.Option { return nil }))
	var err error
	w.log, err = w.logs.Create(t.Context(), w.m, 1)
	must(err)
	_, err = checkpoint.CreateDocument(t.Context(), w.kv, checkpoint.RunKey("r"), checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Owner: processOf("a"), Epoch: 1, Generation: 1, Trigger: 5})
	must(err)
	_, err = checkpoint.CreateDocument(t.Context(), w.kv, checkpoint.JobRunKey("job"), checkpoint.JobRun{Run: "r"})
	must(err)
	state, err := w.log.State(t.Context())
	must(err)
	must(w.records().Create(t.Context(), "r", "d", checkpoint.OpenRecord(opened)))
	claimer := processOf("w")
	claimer.Token = "claim of w"
	w.claim, err = w.records().Claim(t.Context(), "r", "d", 0, claimer, "", nil)
	must(err)
	must(w.claim.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Log = state.ID }))
	for _, token := range []string{"a", "b", "w"} {
		_, err := checkpoint.CreateDocument(t.Context(), w.kv, checkpoint.ProcessKey(token), checkpoint.ProcessRecord{Owner: processOf(token)})
		must(err)
	}
	return w
}

func (w *adoptWorld) records() checkpoint.Records { return checkpoint.NewRecords(w.kv) }

// dies has a process declared dead.
func (w *adoptWorld) dies(token string) {
	w.t.Helper()
	doc, err := checkpoint.LoadDocument[checkpoint.ProcessRecord](w.t.Context(), w.kv, checkpoint.ProcessKey(token))
	if err == nil {
		err = doc.Change(w.t.Context(), checkpoint.Anybody, func(r *checkpoint.ProcessRecord) { r.Condemn(processOf("judge"), time.Now()) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// node is a process that coordinates runs, and knows by now who is gone.
func (w *adoptWorld) node(token string) *Coordinator {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	unknown := func(pipeline.Owner) (alive, known bool) { return false, false }
	peers, err := checkpoint.ObserveProcesses(w.t.Context(), w.kv, processOf(token), unknown, log)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(peers.Close)
	return &Coordinator{Stores: pipeline.Stores{Runs: w.kv}, Records: w.records(), RowLogs: w.logs, Bus: w.bus, Describer: oneServer{}, Alive: unknown,
		Owner: processOf(token), Peers: peers, Progress: checkpoint.NewProgress(w.kv, w.t.TempDir()), Timeout: time.Minute, Budget: memory.NewBudget(1 << 20), Log: log}
}

// oneServer has all connections.
type oneServer struct{ Describing }

func (oneServer) Server(*spec.Definition, *pipeline.Connection) string { return "server" }

// noShare does nothing for a run.
type noShare struct{ Share }

func (noShare) Asks(string) bool                                        { return false }
func (noShare) Writes(string) bool                                      { return false }
func (noShare) Measured() (batches, bytes int64, logWait time.Duration) { return 0, 0, 0 }

func (w *adoptWorld) definition() *spec.Definition { return &spec.Definition{Job: w.job} }

func (w *adoptWorld) runDoc() *checkpoint.Document[checkpoint.RunRecord] {
	w.t.Helper()
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](w.t.Context(), w.kv, checkpoint.RunKey("r"))
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

func (w *adoptWorld) conn(id string) *checkpoint.Document[checkpoint.ConnRecord] {
	w.t.Helper()
	doc, err := checkpoint.LoadConn(w.t.Context(), w.kv, "r", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// supervising is the supervisor of a run that a process coordinates, as execute makes it.
func (w *adoptWorld) supervising(r *run) *supervisor {
	r.fixed = r.doc.Value()
	s := newSupervisor(r)
	s.queue, s.mine, s.stop = r.dispatcher(), checkpoint.Owned(r.doc), func(error) {}
	s.share = noShare{}
	return s
}

// first is a, as it coordinates the run.
func (w *adoptWorld) first() *supervisor {
	s := w.supervising(&run{c: w.node("a"), def: w.definition(), job: w.job, m: w.m, doc: w.runDoc(), log: w.log})
	rec, err := w.records().Load(w.t.Context(), "r", "d")
	if err != nil {
		w.t.Fatal(err)
	}
	s.records["d"] = rec
	return s
}

// adopted is b, when it has adopted the run, which a has lost.
func (w *adoptWorld) adopted() *supervisor {
	w.t.Helper()
	w.dies("a")
	b := w.node("b")
	r, out, err := b.begin(w.t.Context(), w.definition(), spec.Request{Run: "r", Seq: 5})
	if err != nil || out != nil || r.handover == nil {
		w.t.Fatalf("the run was not adopted: %+v %v", out, err)
	}
	s := w.supervising(r)
	if err := s.markRecords(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Sequence 5: a run whose coordinator is gone is adopted. Its record has another owner and a later epoch, and nothing
// else; who has a connection or a destination keeps it, and what is still to be asked is asked.
func TestAdoptLeavesWorkersAlone(t *testing.T) {
	w := newAdoptWorld(t)
	before := w.runDoc().Value()
	asked, waits, done := w.conn("asked"), w.conn("waits"), w.conn("done")
	s := w.adopted()
	want := before
	want.Owner, want.Epoch = processOf("b"), 2
	if got := w.runDoc().Value(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the run's record is\n%+v, want\n%+v", got, want)
	}
	for id, was := range map[string]*checkpoint.Document[checkpoint.ConnRecord]{"asked": asked, "waits": waits, "done": done} {
		if w.conn(id).Revision() != was.Revision() {
			t.Errorf("the record of %s was written: %+v", id, w.conn(id).Value())
		}
	}
	if err := w.claim.Commit(t.Context(), func(r *checkpoint.CommitRecord) { r.Seq = 9 }); err != nil {
		t.Errorf("the claim of the destination: %v", err)
	}
	if rec := w.claim.Record(); rec.Opened != (checkpoint.Opened{Epoch: 2, Generation: 1}) || rec.Seq != 9 || rec.Token != "claim of w" {
		t.Errorf("its record is %+v", rec)
	}
	next := asked.Value()
	next.Finish(time.Now())
	if err := asked.Write(t.Context(), next); err != nil {
		t.Errorf("the worker's end: %v", err)
	}
	// One connection at a time on a server: the one that is asked has the place.
	if ids := s.queue.next(); len(ids) != 0 || !s.queue.out["asked"] {
		t.Errorf("%v are asked now, beside %v", ids, s.queue.out)
	}
	s.queue.ended("asked")
	if ids := s.queue.next(); !slices.Equal(ids, []string{"waits"}) {
		t.Errorf("then %v are asked, want waits", ids)
	}
}

// The run that was adopted goes on to its end: the commands that are due are published, and no others.
func TestAdoptedRunEnds(t *testing.T) {
	w := newAdoptWorld(t)
	s := w.adopted()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.supervise(ctx, ctx) }()
	asked := w.conn("asked")
	rec := asked.Value()
	rec.Finish(time.Now())
	if err := asked.Write(ctx, rec); err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for len(w.bus.all()) == 0 && ctx.Err() == nil {
		<-look.C
	}
	if err := w.claim.Commit(ctx, func(r *checkpoint.CommitRecord) { r.State = pipeline.RecordFinished }); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := w.bus.all(); !slices.Equal(got, []string{"waits"}) {
		t.Errorf("commands for %v were published, want waits", got)
	}
}

// stored is what the store has of the run, by key.
func (w *adoptWorld) stored() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	keys, err := w.kv.Keys(w.t.Context(), ">")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, key := range keys {
		if key == "job" { // the public checkpoint, which is derived
			continue
		}
		e, err := w.kv.Get(w.t.Context(), key)
		if err != nil {
			w.t.Fatal(err)
		}
		all[key] = string(e.Value)
	}
	return all
}

func (w *adoptWorld) logState() pipeline.LogState {
	w.t.Helper()
	state, err := w.log.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

// Facts 1.1 #1: the coordinator that was taken for dead wakes when the run is adopted. Nothing that it does changes a
// record, a frame or the log, and it learns that it has lost the run.
func TestThawedCoordinatorChangesNothing(t *testing.T) {
	for name, act := range map[string]func(context.Context, *supervisor) error{
		"it renews its lease":       func(ctx context.Context, s *supervisor) error { return s.renew(ctx) },
		"it detaches a destination": func(ctx context.Context, s *supervisor) error { return s.detach(ctx, "d", "no progress") },
		"it ends the run":           func(ctx context.Context, s *supervisor) error { _, err := s.run.end(ctx, s); return err },
		"it interrupts the run":     func(ctx context.Context, s *supervisor) error { return s.interrupt(ctx, errors.New("stopped")) },
		"it takes it back": func(ctx context.Context, s *supervisor) error {
			return s.c.Records.Adopt(ctx, "r", "d", s.run.fixed.Opened())
		},
		"it trims the log": func(ctx context.Context, s *supervisor) error {
			rec := s.records["d"]
			rec.Seq = 1
			s.records["d"] = rec
			return errors.Join(s.trim(ctx), s.renew(ctx))
		},
		"it sees a record": func(ctx context.Context, s *supervisor) error {
			rec, err := s.c.Records.Load(ctx, "r", "d")
			if err != nil {
				return err
			}
			return s.recordChanged(ctx, checkpoint.RecordUpdate{Destination: "d", Record: rec})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAdoptWorld(t)
			if _, err := w.log.Append(t.Context(), &pipeline.Frame{Kind: pipeline.FrameOpen, Connection: "asked", Attempt: 1}); err != nil {
				t.Fatal(err)
			}
			s := w.first()
			w.adopted()
			before, said := w.stored(), w.logState()
			if err := act(t.Context(), s); !errors.Is(err, pipeline.ErrFenced) {
				t.Errorf("it learns %v, want ErrFenced", err)
			}
			if after := w.stored(); !maps.Equal(before, after) {
				t.Errorf("the store was\n%v, is\n%v", before, after)
			}
			if w.logState() != said {
				t.Errorf("the row log was %+v, is %+v", said, w.logState())
			}
		})
	}
}

// The former coordinator sleeps before it gives a connection up, and wakes when its successor has done so: the row log
// says it once.
func TestThawedCoordinatorGivesNothingUp(t *testing.T) {
	w := newAdoptWorld(t)
	doc := w.conn("waits")
	rec := doc.Value()
	rec.Claim(processOf("w"), time.Now())
	rec.Exhaust(time.Now(), errors.New("no"))
	if err := doc.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	first, seen := w.first(), w.conn("waits")
	s := w.adopted()
	if err := s.publishFailure(t.Context(), "waits", w.conn("waits"), "no"); err != nil {
		t.Fatal(err)
	}
	before, said := w.stored(), w.logState()
	if err := first.publishFailure(t.Context(), "waits", seen, "no"); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("it learns %v, want ErrConflict", err)
	}
	if w.logState() != said || !maps.Equal(before, w.stored()) {
		t.Errorf("the row log was %+v, is %+v", said, w.logState())
	}
}

// The former coordinator has detached a destination before its successor wrote into the record: that counts, as if the
// run had been adopted later.
func TestAdoptedAfterADetach(t *testing.T) {
	w := newAdoptWorld(t)
	first := w.first()
	w.dies("a")
	b := w.node("b")
	r, _, err := b.begin(t.Context(), w.definition(), spec.Request{Run: "r", Seq: 5})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.detach(t.Context(), "d", "no progress"); err != nil {
		t.Fatal(err)
	}
	s := w.supervising(r)
	if err := s.supervise(t.Context(), t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := s.records["d"]; rec.State != pipeline.RecordDetached || r.outcome(s.records) == pipeline.RunComplete {
		t.Errorf("the record is %+v", rec)
	}
}

// Facts 1.1 #3: a run that ends between the moment at which it was judged and that at which it is adopted has ended.
func TestEndedBeforeItIsAdopted(t *testing.T) {
	w := newAdoptWorld(t)
	doc := w.runDoc()
	w.dies("a")
	b := w.node("b")
	if orphaned, err := b.orphaned(t.Context(), doc); err != nil || !orphaned {
		t.Fatal(orphaned, err)
	}
	if err := w.runDoc().Change(t.Context(), checkpoint.Anybody, func(r *checkpoint.RunRecord) { r.End(pipeline.RunComplete, nil, true, nil, nil) }); err != nil {
		t.Fatal(err)
	}
	if r, err := b.adopt(t.Context(), w.definition(), spec.Request{Run: "r"}, doc); r != nil || !errors.Is(err, pipeline.ErrHeld) {
		t.Errorf("it was adopted: %v", err)
	}
	if rec := w.runDoc().Value(); rec.State != pipeline.RunComplete || rec.Owner.Token != "a" {
		t.Errorf("the record is %+v", rec)
	}
}

// Of two that adopt a run at once one does.
func TestTwoAdoptAtOnce(t *testing.T) {
	w := newAdoptWorld(t)
	w.dies("a")
	docs := []*checkpoint.Document[checkpoint.RunRecord]{w.runDoc(), w.runDoc()}
	errs := make([]error, len(docs))
	var both sync.WaitGroup
	for i, token := range []string{"b", "c"} {
		node := w.node(token)
		both.Go(func() { _, errs[i] = node.adopt(t.Context(), w.definition(), spec.Request{Run: "r"}, docs[i]) })
	}
	both.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), pipeline.ErrHeld) {
		t.Errorf("they learn %v", errs)
	}
	if rec := w.runDoc().Value(); rec.Epoch != 2 {
		t.Errorf("the record is %+v", rec)
	}
}

// What nobody works on is not adopted, but taken over; what a living process coordinates, or what fanmill run has asked
// of itself, is left alone.
func TestNotAdopted(t *testing.T) {
	for name, c := range map[string]struct {
		orphaned, left bool
		happens        func(*adoptWorld)
	}{
		"w lives":            {true, false, func(w *adoptWorld) { w.dies("a") }},
		"a lives":            {false, true, func(*adoptWorld) {}},
		"nobody works on it": {false, false, func(w *adoptWorld) { w.dies("a"); w.dies("w") }},
		"of fanmill run": {true, true, func(w *adoptWorld) {
			w.dies("a")
			if err := w.runDoc().Change(w.t.Context(), checkpoint.Anybody, func(r *checkpoint.RunRecord) { r.Trigger = 0 }); err != nil {
				w.t.Fatal(err)
			}
		}},
		"interrupted": {false, true, func(w *adoptWorld) {
			w.dies("a")
			if err := w.runDoc().Change(w.t.Context(), checkpoint.Anybody, (*checkpoint.RunRecord).Judge); err != nil {
				w.t.Fatal(err)
			}
		}},
		"w has a destination": {true, false, func(w *adoptWorld) {
			w.dies("a")
			doc := w.conn("asked")
			rec := doc.Value()
			rec.Finish(time.Now())
			if err := doc.Write(w.t.Context(), rec); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAdoptWorld(t)
			c.happens(w)
			b := w.node("b")
			orphaned, err := b.orphaned(t.Context(), w.runDoc())
			if err != nil || orphaned != c.orphaned {
				t.Errorf("it can be adopted: %v, %v", orphaned, err)
			}
			if all, err := b.Orphans(t.Context()); err != nil || (len(all) == 0) != c.left {
				t.Errorf("%d runs are for b to go on with, %v", len(all), err)
			}
		})
	}
}

// The process that has a connection of an adopted run dies, too: the coordinator has it asked again, as a death. An eof
// that it has stored counts first.
func TestWorkerOfAnAdoptedRunDies(t *testing.T) {
	for _, eof := range []bool{false, true} {
		w := newAdoptWorld(t)
		s := w.adopted()
		doc := w.conn("asked")
		s.running["asked"] = doc
		if err := s.judgeGone(t.Context()); err != nil || w.conn("asked").Revision() != doc.Revision() {
			t.Fatalf("the record of a worker that lives is %+v, %v", w.conn("asked").Value(), err)
		}
		want := checkpoint.ConnPending
		if eof {
			want = checkpoint.ConnDone
			if _, err := w.log.Append(t.Context(), &pipeline.Frame{Kind: pipeline.FrameEOF, Connection: "asked", Attempt: 1}); err != nil {
				t.Fatal(err)
			}
		}
		w.dies("w")
		look := time.NewTicker(time.Millisecond)
		for s.c.Peers.Life("w") != checkpoint.LifeDead {
			<-look.C
		}
		look.Stop()
		if err := s.judgeGone(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec := w.conn("asked").Value()
		if rec.State != want || !eof && (len(rec.Deaths) != 1 || rec.Deaths[0].Host != "host of w" || rec.Attempts != 0) {
			t.Errorf("the record is %+v", rec)
		}
	}
}
