package memstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"fanmill/pipeline"
)

// KV is one bucket in memory. It is safe for concurrent use; its fields are set before that.
type KV struct {
	Entries map[string]pipeline.KVEntry
	Rev     uint64
	// Lose makes the next write's answer get lost, after it happened or in its place.
	Lose func() (happens, lost bool)
	// Lag are what the next reads are answered with, by a replica that is behind; one without a key is not there yet.
	Lag []pipeline.KVEntry

	mu      sync.Mutex
	watches map[*watch]bool
}

// ErrLost is a write of whose outcome nobody hears.
var ErrLost = errors.New("no answer")

var _ pipeline.KV = (*KV)(nil)

// Get implements pipeline.KV.
func (m *KV) Get(_ context.Context, key string) (pipeline.KVEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.Entries[key]
	if len(m.Lag) > 0 {
		e, m.Lag = m.Lag[0], m.Lag[1:]
		ok = e.Key != ""
	}
	if !ok {
		return pipeline.KVEntry{}, pipeline.ErrNoKey
	}
	return e, nil
}

// Update implements pipeline.KV.
func (m *KV) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return m.write(key, value, func(e pipeline.KVEntry) bool { return e.Revision == revision })
}

// Create implements pipeline.KV.
func (m *KV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return m.Update(ctx, key, value, 0)
}

// Put implements pipeline.KV.
func (m *KV) Put(_ context.Context, key string, value []byte) (uint64, error) {
	return m.write(key, value, func(pipeline.KVEntry) bool { return true })
}

func (m *KV) write(key string, value []byte, may func(pipeline.KVEntry) bool) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	happens, lost := true, false
	if m.Lose != nil {
		happens, lost = m.Lose()
	}
	if happens {
		if !may(m.Entries[key]) {
			return 0, pipeline.ErrConflict
		}
		m.Rev++
		if m.Entries == nil {
			m.Entries = map[string]pipeline.KVEntry{}
		}
		m.Entries[key] = pipeline.KVEntry{Key: key, Value: slices.Clone(value), Revision: m.Rev, Modified: time.Now()}
		m.tell(m.Entries[key])
	}
	if lost {
		return 0, ErrLost
	}
	return m.Rev, nil
}

// Delete implements pipeline.KV.
func (m *KV) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(key)
	return nil
}

func (m *KV) remove(key string) {
	if _, ok := m.Entries[key]; ok {
		m.Rev++
		delete(m.Entries, key)
		m.tell(pipeline.KVEntry{Key: key, Revision: m.Rev, Modified: time.Now(), Deleted: true})
	}
}

// RemoveAll implements pipeline.KV.
func (m *KV) RemoveAll(_ context.Context, pattern string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.matching(pattern) {
		m.remove(e.Key)
	}
	return nil
}

// Keys implements pipeline.KV.
func (m *KV) Keys(_ context.Context, pattern string) (keys []string, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.matching(pattern) {
		keys = append(keys, e.Key)
	}
	return keys, nil
}

// matching are the entries of a pattern, the oldest first.
func (m *KV) matching(pattern string) (all []pipeline.KVEntry) {
	for _, e := range m.Entries {
		if matches(pattern, e.Key) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b pipeline.KVEntry) int { return int(a.Revision) - int(b.Revision) })
	return all
}

// matches reports whether * for one token, and a final > for the rest, make a pattern the key.
func matches(pattern, key string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(key, ".")
	for i, w := range want {
		switch {
		case i >= len(have):
			return false
		case w == ">":
			return true
		case w != "*" && w != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}

// watch is one call of Watch: what it has yet to say.
type watch struct {
	pattern string
	queue   []pipeline.KVEntry
	more    chan struct{} // holds a token when there is something in the queue
}

// tell hands a change to those who watch.
func (m *KV) tell(e pipeline.KVEntry) {
	for w := range m.watches {
		if matches(w.pattern, e.Key) {
			w.queue = append(w.queue, e)
			w.wake()
		}
	}
}

func (w *watch) wake() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Watch implements pipeline.KV.
func (m *KV) Watch(ctx context.Context, pattern string) (<-chan pipeline.KVEntry, error) {
	m.mu.Lock()
	w := &watch{pattern: pattern, queue: append(m.matching(pattern), pipeline.KVEntry{}), more: make(chan struct{}, 1)}
	w.wake()
	if m.watches == nil {
		m.watches = map[*watch]bool{}
	}
	m.watches[w] = true
	m.mu.Unlock()
	out := make(chan pipeline.KVEntry)
	go func() {
		defer close(out)
		defer func() {
			m.mu.Lock()
			delete(m.watches, w)
			m.mu.Unlock()
		}()
		for {
			select {
			case <-w.more:
			case <-ctx.Done():
				return
			}
			m.mu.Lock()
			said := w.queue
			w.queue = nil
			m.mu.Unlock()
			for _, e := range said {
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// Once loses the first write only.
func Once(happens bool) func() (bool, bool) {
	first := true
	return func() (bool, bool) {
		if first {
			first = false
			return happens, true
		}
		return true, false
	}
}
