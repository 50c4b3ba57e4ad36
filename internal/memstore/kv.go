package memstore

import (
	"context"
	"errors"
	"sync"

	"fanmill/pipeline"
)

// MemKV is one bucket in memory. lose makes the next write's answer get lost, before or after it happened.
type MemKV struct {
	pipeline.KV // nil: what is not below is not used
	mu          sync.Mutex
	Entries     map[string]pipeline.KVEntry
	Rev         uint64
	Lose        func() (happens, lost bool)
	Lag         []pipeline.KVEntry // what the next reads are answered with, by a replica that is behind; one without a key is not there yet
}

// ErrLost is a write of whose outcome nobody hears.
var ErrLost = errors.New("no answer")

func (m *MemKV) Get(_ context.Context, key string) (pipeline.KVEntry, error) {
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

func (m *MemKV) Update(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	happens, lost := true, false
	if m.Lose != nil {
		happens, lost = m.Lose()
	}
	if happens {
		if m.Entries[key].Revision != revision {
			return 0, pipeline.ErrConflict
		}
		m.Rev++
		if m.Entries == nil {
			m.Entries = map[string]pipeline.KVEntry{}
		}
		m.Entries[key] = pipeline.KVEntry{Key: key, Value: append([]byte(nil), value...), Revision: m.Rev}
	}
	if lost {
		return 0, ErrLost
	}
	return m.Rev, nil
}

func (m *MemKV) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return m.Update(ctx, key, value, 0)
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
