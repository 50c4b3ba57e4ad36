// Package porttest has one suite for each port of the pipeline, which the real store and the one in memory run: so that
// what is tested against the one in memory holds for the other.
package porttest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"fanmill/pipeline"
)

// KV runs the suite of a key-value store; open gives an empty bucket.
func KV(t *testing.T, open func(t *testing.T) pipeline.KV) {
	for name, check := range map[string]func(*testing.T, pipeline.KV){
		"compare-and-set": compareAndSet, "keys": listKeys, "remove all": removeAll, "watch": watch,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

// Compare-and-set: of two writers who saw the same revision one wins, and deletion gives the key back.
func compareAndSet(t *testing.T, kv pipeline.KV) {
	key := pipeline.Token("2026 é") + "." + pipeline.Token("excel/1.a")
	ctx := t.Context()
	if _, err := kv.Get(ctx, key); !errors.Is(err, pipeline.ErrNoKey) {
		t.Fatalf("get of no key: %v", err)
	}
	if err := kv.Delete(ctx, key); err != nil {
		t.Fatalf("delete of no key: %v", err)
	}
	r1, err := kv.Create(ctx, key, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(ctx, key, []byte("other")); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("second create: %v", err)
	}
	r2, err := kv.Update(ctx, key, []byte("two"), r1)
	if err != nil || r2 <= r1 {
		t.Fatal(r2, err)
	}
	if _, err := kv.Update(ctx, key, []byte("three"), r1); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("update at an old revision: %v", err)
	}
	e, err := kv.Get(ctx, key)
	if err != nil || e.Key != key || string(e.Value) != "two" || e.Revision != r2 || e.Deleted || e.Modified.IsZero() {
		t.Errorf("entry %+v, %v", e, err)
	}
	if err := kv.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Get(ctx, key); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("get of a deleted key: %v", err)
	}
	if _, err := kv.Update(ctx, key, nil, r2); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("update of a deleted key: %v", err)
	}
	if _, err := kv.Create(ctx, key, []byte("again")); err != nil {
		t.Errorf("create after delete: %v", err)
	}
}

// Keys lists what exists and matches, and nothing that was deleted.
func listKeys(t *testing.T, kv pipeline.KV) {
	ctx := t.Context()
	for _, k := range []string{"r1", "r1.manifest", "r1.conn.a", "r1.conn.b=20c", "r1.conn.gone", "r2.conn.a"} {
		if _, err := kv.Put(ctx, k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	if err := kv.Delete(ctx, "r1.conn.gone"); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string][]string{
		"r1.conn.*": {"r1.conn.a", "r1.conn.b=20c"},
		"*.conn.a":  {"r1.conn.a", "r2.conn.a"},
		"r1.>":      {"r1.conn.a", "r1.conn.b=20c", "r1.manifest"},
		"none.>":    nil,
		"*":         {"r1"},
	} {
		got, err := kv.Keys(ctx, pattern)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s lists %q, %v; want %q", pattern, got, err, want)
		}
	}
}

// RemoveAll removes what matches and nothing else; the keys can be made again.
func removeAll(t *testing.T, kv pipeline.KV) {
	ctx := t.Context()
	for _, k := range []string{"r1", "r1.manifest", "r1.conn.a", "r11", "r11.conn.a", "r=31.manifest"} {
		if _, err := kv.Create(ctx, k, []byte(k)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pattern := range []string{"r1.>", "none.>"} {
		if err := kv.RemoveAll(ctx, pattern); err != nil {
			t.Fatalf("%s: %v", pattern, err)
		}
	}
	got, err := kv.Keys(ctx, ">")
	slices.Sort(got)
	if want := []string{"r1", "r11", "r11.conn.a", "r=31.manifest"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("left are %q, %v; want %q", got, err, want)
	}
	if _, err := kv.Get(ctx, "r1.manifest"); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("get of a removed key: %v", err)
	}
	if _, err := kv.Create(ctx, "r1.manifest", nil); err != nil {
		t.Errorf("create after the removal: %v", err)
	}
}

// A watch tells what is there, then that this was all, then each change, deletions too; and ends with its context.
func watch(t *testing.T, kv pipeline.KV) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, k := range []string{"r.conn.a", "r.conn.b", "r.conn.gone", "other.conn.a"} {
		if _, err := kv.Put(ctx, k, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := kv.Delete(ctx, "r.conn.gone"); err != nil {
		t.Fatal(err)
	}
	ch, err := kv.Watch(ctx, "r.conn.*")
	if err != nil {
		t.Fatal(err)
	}
	Expect(t, ch, "r.conn.a=1", "r.conn.b=1", "")
	if _, err := kv.Put(ctx, "r.conn.b", []byte("2")); err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(ctx, "r.conn.a"); err != nil {
		t.Fatal(err)
	}
	Expect(t, ch, "r.conn.b=2", "r.conn.a deleted")
	empty, err := kv.Watch(ctx, "nothing.>")
	if err != nil {
		t.Fatal(err)
	}
	Expect(t, empty, "")
	cancel()
	for range ch {
		t.Error("an entry after the end")
	}
	for range empty {
		t.Error("an entry after the end")
	}
}

// Expect asserts what a watch says next: key=value, "key deleted", or "" for the end of what there is.
func Expect(t *testing.T, ch <-chan pipeline.KVEntry, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case e, ok := <-ch:
			got := e.Key
			switch {
			case !ok:
				t.Fatalf("the watch ended before %q", w)
			case e.Deleted:
				got += " deleted"
			case e.Key != "":
				got += "=" + string(e.Value)
			}
			if got != w {
				t.Fatalf("the watch says %q, want %q", got, w)
			}
		case <-t.Context().Done():
			t.Fatalf("the watch does not say %q", w)
		}
	}
}
