package checkpoint

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// tokenBytes are what a token may have in it, of any id.
const tokenBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_="

// R1: a write whose answer was lost is one's own success if it happened, and is repeated if it did not.
func TestCellLostAnswer(t *testing.T) {
	for name, happens := range map[string]bool{"it happened": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			kv := &memstore.KV{}
			kv.Lose = memstore.Once(happens)
			c, err := CreateDocument(ctx, kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "a"})
			if err != nil {
				t.Fatal(err)
			}
			kv.Lose = memstore.Once(happens)
			if err := c.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 7}); err != nil {
				t.Fatal(err)
			}
			kv.Lose = nil
			if err := c.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 9}); err != nil {
				t.Fatalf("the next write, at the revision found: %v", err)
			}
			got, err := LoadDocument[CommitRecord](ctx, kv, "k")
			if err != nil || got.Value().Seq != 9 || kv.Rev != 3 {
				t.Errorf("got %+v after %d writes, %v", got.Value(), kv.Rev, err)
			}
		})
	}
}

// R1: a write that happened and is repeated by the client library is in conflict with itself. A replica that has not
// seen it, nor the one before, does not make it somebody else's.
func TestCellLaggingReplica(t *testing.T) {
	ctx := t.Context()
	kv := &memstore.KV{}
	c, err := CreateDocument(ctx, kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "a"})
	if err != nil {
		t.Fatal(err)
	}
	first := kv.Entries["k"]
	if err := c.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 7}); err != nil {
		t.Fatal(err)
	}
	kv.Lag = []pipeline.KVEntry{first}
	kv.Lose = func() (bool, bool) { kv.Lose = nil; return true, true }
	c.kv = &repeatingKV{kv}
	if err := c.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 9}); err != nil {
		t.Fatalf("one's own write: %v", err)
	}
	c.kv, kv.Lag = kv, []pipeline.KVEntry{{}}
	kv.Lose = memstore.Once(false)
	if err := c.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 11}); err != nil {
		t.Fatalf("the next: %v", err)
	}
}

// repeatingKV repeats a write whose answer was lost, as the client library does.
type repeatingKV struct{ *memstore.KV }

func (k *repeatingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := k.KV.Update(ctx, key, value, revision)
	if errors.Is(err, memstore.ErrLost) {
		rev, err = k.KV.Update(ctx, key, value, revision)
	}
	return rev, err
}

// R1: whoever slept through a takeover finds a conflict, also when its own write's answer was lost.
func TestCellConflict(t *testing.T) {
	ctx := t.Context()
	kv := &memstore.KV{}
	old, err := CreateDocument(ctx, kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "a"})
	if err != nil {
		t.Fatal(err)
	}
	successor, err := LoadDocument[CommitRecord](ctx, kv, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := successor.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "b", Seq: 5}); err != nil {
		t.Fatal(err)
	}
	if err := old.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 99}); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("the fenced owner's write: %v, want a conflict", err)
	}
	kv.Lose = memstore.Once(false)
	if err := old.Write(ctx, CommitRecord{State: pipeline.RecordOpen, Token: "a", Seq: 99}); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("the fenced owner's write with a lost answer: %v, want a conflict", err)
	}
	if _, err := CreateDocument(ctx, kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "c"}); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("creating what exists: %v, want a conflict", err)
	}
	if err := successor.Reload(ctx); err != nil || successor.Value().Seq != 5 {
		t.Errorf("the record is %+v, %v", successor.Value(), err)
	}
}

// A write that is cancelled says so and does not hang.
func TestCellCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	kv := &memstore.KV{Lose: func() (bool, bool) { cancel(); return false, true }}
	done := make(chan error, 1)
	go func() {
		_, err := CreateDocument(ctx, kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "a"})
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
		tok := pipeline.Token(id)
		if other, taken := seen[tok]; taken {
			t.Errorf("%q and %q have the token %q", id, other, tok)
		}
		seen[tok] = id
		if back := pipeline.Untoken(tok); back != id {
			t.Errorf("token %q of %q is read as %q", tok, id, back)
		}
		for i := range len(tok) {
			if !strings.ContainsRune(tokenBytes, rune(tok[i])) {
				t.Errorf("%q: token %q has the byte %q", id, tok, tok[i])
			}
		}
	}
	for _, strange := range []string{"a=", "a=4", "a=xx", "a=41=4"} { // subjects are anybody's
		if got := pipeline.Untoken(strange); got != strange {
			t.Errorf("%q, which is no token, is read as %q", strange, got)
		}
	}
}

// A write that its caller gave up, and that happened all the same, is not taken for somebody else's by the next one.
func TestCellWriteGivenUp(t *testing.T) {
	for name, happens := range map[string]bool{"it happened": true, "it did not": false} {
		t.Run(name, func(t *testing.T) {
			kv := &memstore.KV{}
			c, err := CreateDocument(t.Context(), kv, "k", RunRecord{State: pipeline.RunRunning, Job: "0"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			kv.Lose = func() (bool, bool) { cancel(); return happens, true }
			if err := c.Write(ctx, RunRecord{State: pipeline.RunRunning, Job: "1"}); err == nil {
				t.Fatal("the write is taken for done")
			}
			kv.Lose = nil
			if err := c.Write(t.Context(), RunRecord{State: pipeline.RunRunning, Job: "2"}); err != nil {
				t.Fatalf("the next write: %v", err)
			}
			other, err := LoadDocument[RunRecord](t.Context(), kv, "k")
			if err != nil || other.Value().Job != "2" {
				t.Fatalf("the record is %+v, %v", other.Value(), err)
			}
			if err := other.Write(t.Context(), RunRecord{State: pipeline.RunRunning, Job: "3"}); err != nil {
				t.Fatal(err)
			}
			if err := c.Write(t.Context(), RunRecord{State: pipeline.RunRunning, Job: "4"}); !errors.Is(err, pipeline.ErrConflict) {
				t.Errorf("a write over somebody else's: %v", err)
			}
		})
	}
}
