package checkpoint

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

const testLease = 15 * time.Second

// observerWorld is an observer whose clock stands where a test puts it, and the record of one process.
type observerWorld struct {
	t   *testing.T
	kv  *memstore.KV
	p   *Processes
	doc *Document[ProcessRecord]
	now time.Time
}

func nobodySeen(pipeline.Owner) (alive, known bool) { return false, false }

func newObserverWorld(t *testing.T) *observerWorld {
	w := &observerWorld{t: t, kv: &memstore.KV{}, now: time.Now()}
	w.p = w.observer("me")
	var err error
	w.doc, err = CreateDocument(t.Context(), w.kv, ProcessKey("p"), ProcessRecord{Owner: pipeline.Owner{Token: "p", Host: "h", PID: 7, LeaseMS: testLease.Milliseconds()}})
	if err != nil {
		t.Fatal(err)
	}
	w.tell(w.p)
	return w
}

// observer is a further observer, which has begun to look now.
func (w *observerWorld) observer(token string) *Processes {
	p := newProcesses(w.kv, pipeline.Owner{Token: token, LeaseMS: testLease.Milliseconds()}, nobodySeen, slog.New(slog.DiscardHandler))
	p.looked = w.now
	return p
}

// tell has the observer's watch bring the record as it is.
func (w *observerWorld) tell(p *Processes) {
	w.t.Helper()
	e, err := w.kv.Get(w.t.Context(), ProcessKey("p"))
	if err != nil {
		w.t.Fatal(err)
	}
	p.hear(e, w.now)
}

// pass lets time pass, in steps at which the observers look.
func (w *observerWorld) pass(d time.Duration, all ...*Processes) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(testLease / 8)
		for _, p := range all {
			p.look(w.t.Context(), w.now)
		}
	}
}

func (w *observerWorld) renew() {
	w.t.Helper()
	if err := w.doc.Change(w.t.Context(), func(r *ProcessRecord) bool { return r.Dead == nil }, func(*ProcessRecord) {}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *observerWorld) is(p *Processes, want Life) {
	w.t.Helper()
	if got := p.Life("p"); got != want {
		w.t.Errorf("its life is %d, want %d", got, want)
	}
}

func (w *observerWorld) gone(p *Processes, want bool) {
	w.t.Helper()
	got, err := p.Gone(w.t.Context(), "p")
	if err != nil {
		w.t.Fatal(err)
	}
	if got != want {
		w.t.Errorf("gone is %v, want %v", got, want)
	}
}

// A process whose record stands still for its lease is silent, and is dead once that is written over what was seen:
// its next renewal fails. Before that it is alive if it has renewed its lease while it was looked at, whether or not
// the watch has said so.
func TestSilentForALease(t *testing.T) {
	w := newObserverWorld(t)
	w.is(w.p, LifeUnknown)
	w.renew()
	w.pass(testLease, w.p)
	w.is(w.p, LifeAlive)
	w.gone(w.p, false)
	w.pass(testLease, w.p)
	w.is(w.p, LifeSilent)
	if all := w.p.Live(); len(all) != 0 {
		t.Errorf("these live: %+v", all)
	}
	w.gone(w.p, true)
	w.is(w.p, LifeDead)
	if err := w.doc.Change(t.Context(), func(r *ProcessRecord) bool { return r.Dead == nil }, func(*ProcessRecord) {}); err == nil {
		t.Error("the dead one has renewed its lease")
	}
}

// Facts 1.1 #5: an observer that stood still itself has seen nothing in that time.
func TestObserverWithAGap(t *testing.T) {
	w := newObserverWorld(t)
	w.pass(testLease*3/4, w.p)
	w.now = w.now.Add(3 * testLease) // SIGSTOP, or a machine that sleeps
	w.p.look(t.Context(), w.now)
	w.is(w.p, LifeUnknown)
	w.pass(testLease*3/4, w.p)
	w.is(w.p, LifeUnknown)
	w.gone(w.p, false)
	w.pass(testLease/2, w.p)
	w.is(w.p, LifeSilent)
}

// Sequence 18: while the store does not answer nobody is silent, and nobody is right after that.
func TestObserverWithoutAStore(t *testing.T) {
	w := newObserverWorld(t)
	away := &awayKV{KV: w.kv}
	w.p.runs = away
	w.pass(testLease/2, w.p)
	away.set(true)
	w.pass(4*testLease, w.p)
	w.is(w.p, LifeUnknown)
	away.set(false)
	w.pass(testLease*3/4, w.p)
	w.is(w.p, LifeUnknown)
	w.renew()
	w.pass(testLease/2, w.p)
	w.is(w.p, LifeAlive)
}

// Facts 1.1 #3: the process renews its lease between the moment at which it was judged and that at which it is
// declared dead: it lives.
func TestRenewedAfterItWasJudged(t *testing.T) {
	w := newObserverWorld(t)
	w.pass(2*testLease, w.p)
	w.is(w.p, LifeSilent)
	w.renew()
	w.gone(w.p, false)
	w.is(w.p, LifeAlive)
}

// Two judge at once: one of them declares it, and both know.
func TestTwoJudgesOfAProcess(t *testing.T) {
	w := newObserverWorld(t)
	other := w.observer("other")
	w.tell(other)
	w.pass(2*testLease, w.p, other)
	before := w.kv.Rev
	var both sync.WaitGroup
	for _, p := range []*Processes{w.p, other} {
		both.Go(func() { w.gone(p, true) })
	}
	both.Wait()
	if w.kv.Rev != before+1 {
		t.Errorf("%d of them have declared it", w.kv.Rev-before)
	}
	rec := until(t, w.kv, "p", func(ProcessRecord) bool { return true })
	if rec.Dead == nil || rec.Ended.IsZero() || rec.Owner.Host != "h" {
		t.Errorf("the record is %+v", rec)
	}
}

// A process that ends in order is gone at once.
func TestReleasedProcessIsGone(t *testing.T) {
	w := newObserverWorld(t)
	changeProcess(t, w.kv, "p", func(r *ProcessRecord) { r.Release(time.Now()) })
	w.tell(w.p)
	w.is(w.p, LifeReleased)
	w.gone(w.p, true)
}

// Sequence 27: a process of this host that left no lock behind is gone at once, by a word over what was seen; one of
// whom that is not known has its lease.
func TestProcessKnownToBeGone(t *testing.T) {
	w := newObserverWorld(t)
	w.p.alive = func(o pipeline.Owner) (bool, bool) { return false, o.Host == "h" }
	w.gone(w.p, true)
	if rec := until(t, w.kv, "p", func(ProcessRecord) bool { return true }); rec.Dead == nil || rec.Dead.Token != "me" {
		t.Errorf("the record is %+v", rec)
	}
}

// Facts 1.1 #4: a process without a record, which somebody has deleted or an earlier version did not write, is judged
// like one whose record stands still. One that writes its record anew lives.
func TestProcessWithoutARecord(t *testing.T) {
	w := newObserverWorld(t)
	if err := w.kv.Delete(t.Context(), ProcessKey("p")); err != nil {
		t.Fatal(err)
	}
	w.is(w.p, LifeUnknown)
	w.pass(testLease*3/4, w.p)
	w.gone(w.p, false)
	doc, err := CreateDocument(t.Context(), w.kv, ProcessKey("p"), w.doc.Value())
	if err != nil {
		t.Fatal(err)
	}
	w.doc = doc
	w.pass(testLease, w.p)
	w.is(w.p, LifeAlive)
	if err := w.kv.Delete(t.Context(), ProcessKey("p")); err != nil {
		t.Fatal(err)
	}
	w.pass(2*testLease, w.p)
	w.gone(w.p, true)
	if rec := until(t, w.kv, "p", func(ProcessRecord) bool { return true }); rec.Owner.Token != "p" || rec.Dead == nil {
		t.Errorf("the record is %+v", rec)
	}
}

// A record that cannot be read is one that stands still; one of a later version of fanmill is nobody's to judge.
func TestUnreadableProcesses(t *testing.T) {
	for text, want := range map[string]Life{"x": LifeSilent, `{"version":2,"owner":{"token":"p"}}`: LifeUnknown} {
		w := newObserverWorld(t)
		if _, err := w.kv.Put(t.Context(), ProcessKey("p"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		w.pass(2*testLease, w.p)
		w.is(w.p, want)
		w.gone(w.p, want == LifeSilent)
	}
}

// A sweep declares dead what is silent, and forgets what has ended a day ago.
func TestSweepOfProcesses(t *testing.T) {
	w := newObserverWorld(t)
	old := ProcessRecord{Owner: pipeline.Owner{Token: "old"}}
	old.Release(time.Now().Add(-25 * time.Hour))
	if _, err := CreateDocument(t.Context(), w.kv, ProcessKey("old"), old); err != nil {
		t.Fatal(err)
	}
	e, err := w.kv.Get(t.Context(), ProcessKey("old"))
	if err != nil {
		t.Fatal(err)
	}
	w.p.hear(e, w.now)
	w.pass(2*testLease, w.p)
	for range 2 {
		if err := w.p.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := w.kv.Keys(t.Context(), processPattern)
	if err != nil || len(keys) != 1 || keys[0] != ProcessKey("p") {
		t.Errorf("there are %v, %v", keys, err)
	}
	w.is(w.p, LifeDead)
}

// A process that carries out a run of its own, and sleeps, is left alone by sweeps: nobody takes what it has by
// himself. Whoever wants that finds it gone.
func TestSweepLeavesOwnRunsAlone(t *testing.T) {
	w := newObserverWorld(t)
	changeProcess(t, w.kv, "p", func(r *ProcessRecord) { r.Roles = []string{pipeline.RoleRun} })
	w.tell(w.p)
	w.pass(4*testLease, w.p)
	if err := w.p.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.is(w.p, LifeSilent)
	w.gone(w.p, true)
}

// muteKV has watches that bring what there is, and nothing of what follows.
type muteKV struct {
	*memstore.KV
	mu      sync.Mutex
	watches int
}

func (k *muteKV) Watch(ctx context.Context, pattern string) (<-chan pipeline.KVEntry, error) {
	k.mu.Lock()
	k.watches++
	k.mu.Unlock()
	entries, err := k.KV.Watch(ctx, pattern)
	if err != nil {
		return nil, err
	}
	out := make(chan pipeline.KVEntry)
	go func() {
		defer close(out)
		primed := false
		for e := range entries {
			if !primed {
				select {
				case out <- e:
				case <-ctx.Done():
				}
			}
			primed = primed || e.Key == ""
		}
	}()
	return out, nil
}

// Facts 1.1 #10: with a watch that never brings anything an observer sees who lives, who has died, and who has come.
// It makes few watches over that.
func TestObserverWithAMuteWatch(t *testing.T) {
	kv := &muteKV{KV: &memstore.KV{}}
	log := slog.New(slog.DiscardHandler)
	me := pipeline.Owner{Token: "me", LeaseMS: 40}
	p, err := ObserveProcesses(t.Context(), kv, me, nobodySeen, log)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	lives := leaseOf(t, kv, "lives", time.Minute)
	dead := ProcessRecord{Owner: pipeline.Owner{Token: "dead", LeaseMS: 40}}
	if _, err := CreateDocument(t.Context(), kv, ProcessKey("dead"), dead); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for n := 0; ; n++ { // a renewal each time
		<-look.C
		lives.Change(func(r *ProcessRecord) { r.Slots = n })
		gone, err := p.Gone(t.Context(), "dead")
		if err != nil {
			t.Fatal(err)
		}
		if live := p.Live(); gone && len(live) == 1 && live[0].Owner.Token == "lives" {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("gone is %v, these live: %+v", gone, p.Live())
		}
	}
	kv.mu.Lock()
	defer kv.mu.Unlock()
	if most := 2 + int(time.Since(began)/watchPause); kv.watches > most {
		t.Errorf("%d watches in %s", kv.watches, time.Since(began))
	}
}

// Keys of processes are none of a run or a job.
func TestKeysOfProcessesAreTheirOwn(t *testing.T) {
	if err := pipeline.CheckRunID(pipeline.ProcessKeys); err == nil {
		t.Error("a run may be called as the keys of processes begin")
	}
	for _, key := range []string{JobRunKey("process"), RunKey("process-1"), ConnKey("r", "process"), fmt.Sprintf("%s.x", JobRunKey("p"))} {
		if len(key) > len(processPrefix) && key[:len(processPrefix)] == processPrefix {
			t.Errorf("%s is no process's key", key)
		}
	}
}

// Nobody judges itself: an observer that stood still, or takes its own lock for free, does not declare itself dead.
func TestObserverDoesNotJudgeItself(t *testing.T) {
	kv := &memstore.KV{}
	me := pipeline.Owner{Token: "me", Host: "here", PID: 1, LeaseMS: 1}
	if _, err := CreateDocument(t.Context(), kv, ProcessKey("me"), ProcessRecord{Owner: me}); err != nil {
		t.Fatal(err)
	}
	peers, err := ObserveProcesses(t.Context(), kv, me, func(pipeline.Owner) (alive, known bool) { return false, true }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer peers.Close()
	if err := peers.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gone, err := peers.Gone(t.Context(), "me"); err != nil || gone || peers.Life("me") != LifeAlive {
		t.Errorf("it takes itself for gone: %v, %v, %v", gone, err, peers.Life("me"))
	}
}
