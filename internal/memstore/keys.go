package memstore

import (
	"context"
	"strings"

	"fanmill/pipeline"
)

// Put implements pipeline.KV.
func (m *MemKV) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	m.mu.Lock()
	rev := m.Entries[key].Revision
	m.mu.Unlock()
	return m.Update(ctx, key, value, rev)
}

// Delete implements pipeline.KV.
func (m *MemKV) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.Entries, key)
	return nil
}

// RemoveAll implements pipeline.KV.
func (m *MemKV) RemoveAll(ctx context.Context, pattern string) error {
	keys, err := m.Keys(ctx, pattern)
	for _, key := range keys {
		_ = m.Delete(ctx, key)
	}
	return err
}

// Keys implements pipeline.KV.
func (m *MemKV) Keys(_ context.Context, pattern string) (keys []string, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.Entries {
		if matches(pattern, key) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// matches reports whether a key is one that a pattern stands for.
func matches(pattern, key string) bool {
	p, patterns, more := strings.Cut(pattern, ".")
	k, keys, rest := strings.Cut(key, ".")
	switch {
	case p == ">":
		return true
	case p != "*" && p != k, more != rest:
		return false
	case !more:
		return true
	}
	return matches(patterns, keys)
}

var _ pipeline.KV = (*MemKV)(nil)
