package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// Sequence 8 and R1: what others write into a document ends no owner, also where reads are answered by a replica that
// lags behind; only another token or epoch does. A loser's Document is as it was: it does not take the winner's
// document for its own.
func TestChange(t *testing.T) {
	own := func(r *CommitRecord) bool { return r.Token == "a" && r.Epoch == 1 }
	for name, c := range map[string]struct {
		other  func(*CommitRecord)
		fenced bool
	}{
		"a member of another's":  {func(r *CommitRecord) { r.Outbox = 9 }, false},
		"nothing but the stamp":  {func(*CommitRecord) {}, false},
		"another token":          {func(r *CommitRecord) { r.Token = "b" }, true},
		"no token":               {func(r *CommitRecord) { r.Token = "" }, true},
		"the token, taken again": {func(r *CommitRecord) { r.Epoch = 2 }, true},
	} {
		for _, lags := range []bool{false, true} {
			kv := &memstore.KV{}
			mine, err := CreateDocument(t.Context(), kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "z"})
			if err != nil {
				t.Fatal(err)
			}
			before := kv.Entries["k"] // of another owner
			if err := mine.Write(t.Context(), CommitRecord{State: pipeline.RecordOpen, Token: "a", Epoch: 1}); err != nil {
				t.Fatal(err)
			}
			other, err := LoadDocument[CommitRecord](t.Context(), kv, "k")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				next := other.Value()
				c.other(&next)
				if err := other.Write(t.Context(), next); err != nil {
					t.Fatal(err)
				}
			}
			if lags {
				kv.Lag = []pipeline.KVEntry{before, before}
			}
			calls := 0
			err = mine.Change(t.Context(), own, func(r *CommitRecord) { r.Seq, calls = r.Seq+1, calls+1 })
			stored, loadErr := LoadDocument[CommitRecord](t.Context(), kv, "k")
			if loadErr != nil {
				t.Fatal(loadErr)
			}
			want := other.Value()
			if c.fenced {
				if !errors.Is(err, pipeline.ErrFenced) || !pipeline.IsPermanent(err) {
					t.Errorf("%s: %v", name, err)
				}
				if r := mine.Value(); r.Token != "a" || r.Epoch != 1 {
					t.Errorf("%s: the loser takes %+v for its own", name, r)
				}
				if again := mine.Change(t.Context(), own, func(*CommitRecord) {}); !errors.Is(again, pipeline.ErrFenced) {
					t.Errorf("%s: once more, %v", name, again)
				}
			} else {
				want.Seq++
				if err != nil || calls != 2 {
					t.Errorf("%s: %v, after %d calls", name, err, calls)
				}
			}
			if got := stored.Value(); got.Token != want.Token || got.Epoch != want.Epoch || got.Outbox != want.Outbox || got.Seq != want.Seq {
				t.Errorf("%s (lags: %v): it has become %+v, want %+v", name, lags, got, want)
			}
		}
	}
}

// Answers that get lost, and writes of others, in every order: each change is there once in the end.
func TestChangeWithLostAnswers(t *testing.T) {
	for _, happens := range []bool{true, false} {
		kv := &memstore.KV{}
		a, err := CreateDocument(t.Context(), kv, "k", CommitRecord{State: pipeline.RecordOpen, Token: "a"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := LoadDocument[CommitRecord](t.Context(), kv, "k")
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			for _, c := range []*Document[CommitRecord]{a, b} {
				kv.Lose = memstore.Once(happens)
				if err := c.Change(t.Context(), Anybody, func(r *CommitRecord) { r.Seq++ }); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := b.Value().Seq; got != 8 {
			t.Errorf("answers lost, and the writes happened: %v: it is %d after 8 changes", happens, got)
		}
	}
}

// endingKV ends a context at a conflict, before anybody can look at what stands there.
type endingKV struct {
	pipeline.KV
	end func()
}

func (k endingKV) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	rev, err := k.KV.Update(ctx, key, value, revision)
	if errors.Is(err, pipeline.ErrConflict) {
		k.end()
	}
	return rev, err
}

// R1: a conflict alone says nothing, and where the context ends before the document was read it is not known whose it
// is. The write fails: it neither applies its change to what an earlier conflict found nor counts as fenced.
func TestContextEndsAtAConflict(t *testing.T) {
	for _, earlier := range []bool{false, true} {
		t.Run(fmt.Sprintf("after an earlier conflict %v", earlier), func(t *testing.T) {
			kv := &memstore.KV{}
			doc, err := CreateDocument(t.Context(), kv, "k", JobRun{Run: "a"})
			if err != nil {
				t.Fatal(err)
			}
			others := func(run string) {
				other, err := LoadDocument[JobRun](t.Context(), kv, "k")
				if err == nil {
					err = other.Write(t.Context(), JobRun{Run: run})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			keep := func(*JobRun) {}
			if earlier {
				others("b")
				if err := doc.Change(t.Context(), Anybody, keep); err != nil {
					t.Fatal(err)
				}
			}
			others("c")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			doc.kv = endingKV{kv, cancel}
			if err := doc.Change(ctx, Anybody, keep); err == nil || errors.Is(err, pipeline.ErrFenced) {
				t.Errorf("the write ended with %v", err)
			}
			if got, err := LoadDocument[JobRun](t.Context(), kv, "k"); err != nil || got.Value().Run != "c" {
				t.Errorf("there is %+v, %v", got.Value(), err)
			}
		})
	}
}
