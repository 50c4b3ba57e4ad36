package pipeline

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// memKV is one bucket in memory. lose makes the next write's answer get lost, before or after it happened.
type memKV struct {
	KV      // nil: what is not below is not used
	mu      sync.Mutex
	entries map[string]KVEntry
	rev     uint64
	lose    func() (happens, lost bool)
	lag     []KVEntry // what the next reads are answered with, by a replica that is behind; one without a key is not there yet
}

var errLost = errors.New("no answer")

func (m *memKV) Get(_ context.Context, key string) (KVEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[key]
	if len(m.lag) > 0 {
		e, m.lag = m.lag[0], m.lag[1:]
		ok = e.Key != ""
	}
	if !ok {
		return KVEntry{}, ErrNoKey
	}
	return e, nil
}

func (m *memKV) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	happens, lost := true, false
	if m.lose != nil {
		happens, lost = m.lose()
	}
	if happens {
		if m.entries[key].Revision != revision {
			return 0, ErrConflict
		}
		m.rev++
		if m.entries == nil {
			m.entries = map[string]KVEntry{}
		}
		m.entries[key] = KVEntry{Key: key, Value: append([]byte(nil), value...), Revision: m.rev}
	}
	if lost {
		return 0, errLost
	}
	return m.rev, nil
}

func (m *memKV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return m.Update(ctx, key, value, 0)
}

// once loses the first write only.
func once(happens bool) func() (bool, bool) {
	first := true
	return func() (bool, bool) {
		if first {
			first = false
			return happens, true
		}
		return true, false
	}
}

// R1: a write whose answer was lost is one's own success if it happened, and is repeated if it did not.
func TestCellLostAnswer(t *testing.T) {
	for name, happens := range map[string]bool{"it happened": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			kv := &memKV{}
			kv.lose = once(happens)
			c, err := CreateCell(ctx, kv, "k", CommitRecord{State: RecordOpen, Token: "a"})
			if err != nil {
				t.Fatal(err)
			}
			kv.lose = once(happens)
			if err := c.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 7}); err != nil {
				t.Fatal(err)
			}
			kv.lose = nil
			if err := c.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 9}); err != nil {
				t.Fatalf("the next write, at the revision found: %v", err)
			}
			got, err := LoadCell[CommitRecord](ctx, kv, "k")
			if err != nil || got.Value().Seq != 9 || kv.rev != 3 {
				t.Errorf("got %+v after %d writes, %v", got.Value(), kv.rev, err)
			}
		})
	}
}

// R1: a write that happened and is repeated by the client library is in conflict with itself. A replica that has not
// seen it, nor the one before, does not make it somebody else's.
func TestCellLaggingReplica(t *testing.T) {
	ctx := t.Context()
	kv := &memKV{}
	c, err := CreateCell(ctx, kv, "k", CommitRecord{State: RecordOpen, Token: "a"})
	if err != nil {
		t.Fatal(err)
	}
	first := kv.entries["k"]
	if err := c.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 7}); err != nil {
		t.Fatal(err)
	}
	kv.lag = []KVEntry{first}
	kv.lose = func() (bool, bool) { kv.lose = nil; return true, true }
	c.kv = &repeatingKV{kv}
	if err := c.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 9}); err != nil {
		t.Fatalf("one's own write: %v", err)
	}
	c.kv, kv.lag = kv, []KVEntry{{}}
	kv.lose = once(false)
	if err := c.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 11}); err != nil {
		t.Fatalf("the next: %v", err)
	}
}

// repeatingKV repeats a write whose answer was lost, as the client library does.
type repeatingKV struct{ *memKV }

func (k *repeatingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := k.memKV.Update(ctx, key, value, revision)
	if errors.Is(err, errLost) {
		rev, err = k.memKV.Update(ctx, key, value, revision)
	}
	return rev, err
}

// R1: whoever slept through a takeover finds a conflict, also when its own write's answer was lost.
func TestCellConflict(t *testing.T) {
	ctx := t.Context()
	kv := &memKV{}
	old, err := CreateCell(ctx, kv, "k", CommitRecord{State: RecordOpen, Token: "a"})
	if err != nil {
		t.Fatal(err)
	}
	successor, err := LoadCell[CommitRecord](ctx, kv, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := successor.Write(ctx, CommitRecord{State: RecordOpen, Token: "b", Seq: 5}); err != nil {
		t.Fatal(err)
	}
	if err := old.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 99}); !errors.Is(err, ErrConflict) {
		t.Errorf("the fenced owner's write: %v, want a conflict", err)
	}
	kv.lose = once(false)
	if err := old.Write(ctx, CommitRecord{State: RecordOpen, Token: "a", Seq: 99}); !errors.Is(err, ErrConflict) {
		t.Errorf("the fenced owner's write with a lost answer: %v, want a conflict", err)
	}
	if _, err := CreateCell(ctx, kv, "k", CommitRecord{State: RecordOpen, Token: "c"}); !errors.Is(err, ErrConflict) {
		t.Errorf("creating what exists: %v, want a conflict", err)
	}
	if err := successor.Reload(ctx); err != nil || successor.Value().Seq != 5 {
		t.Errorf("the record is %+v, %v", successor.Value(), err)
	}
}

// A write that is cancelled says so and does not hang.
func TestCellCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	kv := &memKV{lose: func() (bool, bool) { cancel(); return false, true }}
	done := make(chan error, 1)
	go func() {
		_, err := CreateCell(ctx, kv, "k", CommitRecord{State: RecordOpen, Token: "a"})
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a write that never happened succeeded")
		}
	case <-time.After(time.Minute):
		t.Fatal("hangs")
	}
}

// Different ids have different tokens, and a token is a legal subject token and key segment, from which the id can be
// read.
func TestToken(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"", "=", "conn_1", "conn.1", "conn 1", "conn=2E1", "महाराष्ट्र", "a*b", "a>b", "A", "a"} {
		tok := Token(id)
		if other, taken := seen[tok]; taken {
			t.Errorf("%q and %q have the token %q", id, other, tok)
		}
		seen[tok] = id
		if back := Untoken(tok); back != id {
			t.Errorf("token %q of %q is read as %q", tok, id, back)
		}
		for i := range len(tok) {
			if !tokenByte(tok[i]) && tok[i] != '=' {
				t.Errorf("%q: token %q has the byte %q", id, tok, tok[i])
			}
		}
	}
	for _, strange := range []string{"a=", "a=4", "a=xx", "a=41=4"} { // subjects are anybody's
		if got := Untoken(strange); got != strange {
			t.Errorf("%q, which is no token, is read as %q", strange, got)
		}
	}
}

// A write that its caller gave up, and that happened all the same, is not taken for somebody else's by the next one.
func TestCellWriteGivenUp(t *testing.T) {
	for name, happens := range map[string]bool{"it happened": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			kv := &memKV{}
			c, err := CreateCell(t.Context(), kv, "k", RunRecord{State: RunRunning, Job: "0"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			kv.lose = func() (bool, bool) { cancel(); return happens, true }
			if err := c.Write(ctx, RunRecord{State: RunRunning, Job: "1"}); err == nil {
				t.Fatal("the write is taken for done")
			}
			kv.lose = nil
			if err := c.Write(t.Context(), RunRecord{State: RunRunning, Job: "2"}); err != nil {
				t.Fatalf("the next write: %v", err)
			}
			other, err := LoadCell[RunRecord](t.Context(), kv, "k")
			if err != nil || other.Value().Job != "2" {
				t.Fatalf("the record is %+v, %v", other.Value(), err)
			}
			if err := other.Write(t.Context(), RunRecord{State: RunRunning, Job: "3"}); err != nil {
				t.Fatal(err)
			}
			if err := c.Write(t.Context(), RunRecord{State: RunRunning, Job: "4"}); !errors.Is(err, ErrConflict) {
				t.Errorf("a write over somebody else's: %v", err)
			}
		})
	}
}
