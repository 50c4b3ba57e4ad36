package checkpoint

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// leaseOf begins a lease in kv, which ends with the test.
func leaseOf(t *testing.T, kv pipeline.KV, token string, lease time.Duration) *Lease {
	t.Helper()
	l, err := Keep(t.Context(), kv, ProcessRecord{Owner: pipeline.Owner{Token: token, Host: "h", PID: 7, LeaseMS: lease.Milliseconds()}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.stop(); <-l.done })
	return l
}

// until returns once the record of the process is as f wants it; it fails the test if the record is not in the end.
func until(t *testing.T, kv pipeline.KV, token string, f func(ProcessRecord) bool) ProcessRecord {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	entries, err := kv.Watch(ctx, ProcessKey(token))
	if err != nil {
		t.Fatal(err)
	}
	for e := range entries {
		if e.Key == "" || e.Deleted {
			continue
		}
		if doc, err := DocumentOf[ProcessRecord](kv, e); err == nil && f(doc.Value()) {
			return doc.Value()
		}
	}
	t.Fatalf("the record of %s never came to that", token)
	return ProcessRecord{}
}

// changeProcess writes into the record as another process does.
func changeProcess(t *testing.T, kv pipeline.KV, token string, f func(*ProcessRecord)) {
	t.Helper()
	doc, err := LoadDocument[ProcessRecord](t.Context(), kv, ProcessKey(token))
	if err == nil {
		err = doc.Change(t.Context(), Anybody, f)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func lost(l *Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// A lease is renewed, and released in order: the record says so, and stays.
func TestLeaseIsRenewedAndReleased(t *testing.T) {
	kv := &memstore.KV{}
	l := leaseOf(t, kv, "p", 30*time.Millisecond)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	entries, err := kv.Watch(ctx, processPattern)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if e := <-entries; e.Deleted || ctx.Err() != nil {
			t.Fatalf("it was not renewed: %+v", e)
		}
	}
	if err := l.Release(ctx); err != nil {
		t.Fatal(err)
	}
	rec := until(t, kv, "p", func(r ProcessRecord) bool { return r.Released })
	if rec.Ended.IsZero() || rec.Dead != nil || lost(l) {
		t.Errorf("the record is %+v", rec)
	}
}

// Many changes are few writes, and the last of them is what the record says.
func TestChangesOfALeaseAreCoalesced(t *testing.T) {
	kv := &memstore.KV{}
	began := time.Now()
	l := leaseOf(t, kv, "p", 300*time.Millisecond)
	for i := range 1000 {
		l.Change(func(r *ProcessRecord) { r.InHand.Connections = i + 1 })
	}
	until(t, kv, "p", func(r ProcessRecord) bool { return r.InHand.Connections == 1000 })
	l.stop()
	<-l.done
	if most := uint64(2 + time.Since(began)/(100*time.Millisecond)); kv.Rev > most {
		t.Errorf("%d writes in %s, at most %d are due", kv.Rev, time.Since(began), most)
	}
}

// Who was declared dead learns it at its next renewal, and writes nothing from then on.
func TestDeadProcessLearnsIt(t *testing.T) {
	kv := &memstore.KV{}
	l := leaseOf(t, kv, "p", 30*time.Millisecond)
	changeProcess(t, kv, "p", func(r *ProcessRecord) { r.Condemn(pipeline.Owner{Token: "judge"}, time.Now()) })
	<-l.Lost()
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rec := until(t, kv, "p", func(ProcessRecord) bool { return true }); rec.Dead == nil || rec.Dead.Token != "judge" || rec.Released {
		t.Errorf("the record is %+v", rec)
	}
}

// What others write into the record ends nothing and stays: a process is told so to take nothing more.
func TestDrainingIsSaidByOthers(t *testing.T) {
	kv := &memstore.KV{}
	l := leaseOf(t, kv, "p", 30*time.Millisecond)
	changeProcess(t, kv, "p", (*ProcessRecord).Drain)
	l.Change(func(r *ProcessRecord) { r.Slots = 4 })
	until(t, kv, "p", func(r ProcessRecord) bool { return r.Slots == 4 && r.Draining })
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !l.Record().Draining || lost(l) {
		t.Errorf("the process says %+v", l.Record())
	}
}

// Facts 1.1 #4: a record that somebody deletes, or writes over, says nothing of its process, which writes it anew.
func TestLeaseSurvivesItsRecord(t *testing.T) {
	for name, damage := range map[string]func(*memstore.KV) error{
		"deleted":     func(kv *memstore.KV) error { return kv.Delete(t.Context(), ProcessKey("p")) },
		"overwritten": func(kv *memstore.KV) error { _, err := kv.Put(t.Context(), ProcessKey("p"), []byte("x")); return err },
	} {
		t.Run(name, func(t *testing.T) {
			kv := &memstore.KV{}
			l := leaseOf(t, kv, "p", 30*time.Millisecond)
			if err := damage(kv); err != nil {
				t.Fatal(err)
			}
			l.Change(func(r *ProcessRecord) { r.Slots = 4 })
			until(t, kv, "p", func(r ProcessRecord) bool { return r.Slots == 4 })
			if lost(l) {
				t.Error("it is lost")
			}
		})
	}
}

// The record is gone for so long that others have declared its process dead: they wrote first.
func TestDeletedAndDeclaredDead(t *testing.T) {
	kv := &memstore.KV{}
	l := leaseOf(t, kv, "p", time.Hour)
	if err := kv.Delete(t.Context(), ProcessKey("p")); err != nil {
		t.Fatal(err)
	}
	dead := ProcessRecord{Owner: pipeline.Owner{Token: "p"}}
	dead.Condemn(pipeline.Owner{Token: "judge"}, time.Now())
	if _, err := CreateDocument(t.Context(), kv, ProcessKey("p"), dead); err != nil {
		t.Fatal(err)
	}
	l.stop()
	<-l.done
	if err := l.write(t.Context()); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the next renewal is %v", err)
	}
}

// overwritingKV has a judge write first when the process finds its record gone.
type overwritingKV struct {
	*memstore.KV
	judge func()
}

func (k *overwritingKV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if judge := k.judge; judge != nil {
		k.judge = nil
		judge()
	}
	return k.KV.Create(ctx, key, value)
}

// The same, between the process's look and its write.
func TestDeclaredDeadWhileItIsWrittenAnew(t *testing.T) {
	kv := &overwritingKV{KV: &memstore.KV{}}
	l := leaseOf(t, kv, "p", time.Hour)
	l.stop()
	<-l.done
	if err := kv.Delete(t.Context(), ProcessKey("p")); err != nil {
		t.Fatal(err)
	}
	kv.judge = func() {
		dead := ProcessRecord{Owner: pipeline.Owner{Token: "p"}}
		dead.Condemn(pipeline.Owner{Token: "judge"}, time.Now())
		if _, err := CreateDocument(t.Context(), kv.KV, ProcessKey("p"), dead); err != nil {
			t.Error(err)
		}
	}
	if err := l.write(t.Context()); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the renewal is %v", err)
	}
}

// Sequence 18: a store that is away loses no lease. The process is unsure meanwhile; when the store takes a write, it
// goes on.
func TestLeaseOutlivesTheStoresAbsence(t *testing.T) {
	kv := &awayKV{KV: &memstore.KV{}}
	l := leaseOf(t, kv, "p", time.Minute)
	kv.set(true)
	l.mu.Lock()
	l.sure = time.Now().Add(-50 * time.Second)
	l.mu.Unlock()
	if !l.Unsure() {
		t.Error("it is sure after 50 s of a minute")
	}
	kv.set(false)
	l.Change(func(r *ProcessRecord) { r.Slots = 4 })
	until(t, kv.KV, "p", func(r ProcessRecord) bool { return r.Slots == 4 })
	l.stop()
	<-l.done
	if lost(l) || l.Unsure() {
		t.Error("it is lost, or not sure again")
	}
}

// awayKV answers nothing while it is away.
type awayKV struct {
	*memstore.KV
	mu   sync.Mutex
	away bool
}

func (k *awayKV) set(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

func (k *awayKV) missing() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return memstore.ErrLost
	}
	return nil
}

func (k *awayKV) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	if err := k.missing(); err != nil {
		return pipeline.KVEntry{}, err
	}
	return k.KV.Get(ctx, key)
}

func (k *awayKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := k.missing(); err != nil {
		return 0, err
	}
	return k.KV.Update(ctx, key, value, revision)
}
