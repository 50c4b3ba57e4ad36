package main

import (
	"context"
	"errors"
	"slices"
	"testing"

	"fanmill/pipeline"
)

// watchedKV is a store in which a watch can be heard and ended.
type watchedKV struct {
	pipeline.KV
	changes chan pipeline.KVEntry
	asked   int
}

func (k *watchedKV) Watch(ctx context.Context, _ string) (<-chan pipeline.KVEntry, error) {
	return k.changes, nil
}

func (k *watchedKV) Get(context.Context, string) (pipeline.KVEntry, error) {
	k.asked++
	return pipeline.KVEntry{}, pipeline.ErrNoKey
}

func (k *watchedKV) Keys(context.Context, string) ([]string, error) {
	k.asked++
	return nil, nil
}

// A mirror has what the watch brought, asks the store for nothing that it watches, and for everything once the watch
// has ended.
func TestMirror(t *testing.T) {
	kv := &watchedKV{changes: make(chan pipeline.KVEntry)}
	m := newMirror(kv, "r1.conn.*")
	defer m.close()
	kv.changes <- pipeline.KVEntry{Key: "r1.conn.a", Value: []byte("1")}
	kv.changes <- pipeline.KVEntry{Key: "r1.conn.b", Value: []byte("2")}
	kv.changes <- pipeline.KVEntry{}
	kv.changes <- pipeline.KVEntry{Key: "r1.conn.b", Deleted: true}
	kv.changes <- pipeline.KVEntry{Key: "r1.conn.a", Value: []byte("3")}
	kv.changes <- pipeline.KVEntry{Key: "r1.conn.c", Value: []byte("4")}
	kv.changes <- pipeline.KVEntry{Key: "r1.conn.c", Value: []byte("4")} // the one before is taken by now
	keys, err := m.Keys(t.Context(), "r1.conn.*")
	if slices.Sort(keys); err != nil || !slices.Equal(keys, []string{"r1.conn.a", "r1.conn.c"}) {
		t.Errorf("the keys are %v, %v", keys, err)
	}
	if e, err := m.Get(t.Context(), "r1.conn.a"); err != nil || string(e.Value) != "3" {
		t.Errorf("a is %q, %v", e.Value, err)
	}
	if _, err := m.Get(t.Context(), "r1.conn.b"); !errors.Is(err, pipeline.ErrNoKey) || kv.asked > 0 {
		t.Errorf("b is %v, the store was asked %d times", err, kv.asked)
	}
	_, _ = m.Get(t.Context(), "r1")
	_, _ = m.Keys(t.Context(), "r1.*.error.*")
	if kv.asked != 2 {
		t.Errorf("for what is not watched the store was asked %d times, want 2", kv.asked)
	}
	close(kv.changes)
	for m.ready(t.Context()) {
	}
	if _, _ = m.Get(t.Context(), "r1.conn.a"); kv.asked != 3 {
		t.Error("after the end of the watch the store is not asked")
	}
}
