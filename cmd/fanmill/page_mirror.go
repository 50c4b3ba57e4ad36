package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// mirrorKV reads keys of some patterns from what a watch brings, and all else from the store. To look at a run of 1,000
// connections takes 1,000 reads otherwise, each a message to the store that the run itself needs; a watch brings them
// in one go, and then only what changes. It is for looking: what it has may be a moment old.
type mirrorKV struct {
	pipeline.KV
	patterns []string
	cancel   context.CancelFunc

	mu      sync.Mutex
	entries map[string]pipeline.KVEntry
	primed  chan struct{} // closed when all patterns have brought what there was
	left    int
	broken  bool // a watch has ended: the store is asked again
}

// newMirror begins to watch. It is closed by close.
func newMirror(kv pipeline.KV, patterns ...string) *mirrorKV {
	ctx, cancel := context.WithCancel(context.Background())
	m := &mirrorKV{KV: kv, patterns: patterns, cancel: cancel, entries: map[string]pipeline.KVEntry{}, primed: make(chan struct{}), left: len(patterns)}
	for _, pattern := range patterns {
		go m.watch(ctx, pattern)
	}
	return m
}

func (m *mirrorKV) close() { m.cancel() }

func (m *mirrorKV) watch(ctx context.Context, pattern string) {
	changes, err := m.KV.Watch(ctx, pattern)
	if err == nil {
		for e := range changes {
			m.take(e)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = true
	if m.left > 0 { // whoever waits asks the store
		m.left = 0
		close(m.primed)
	}
}

func (m *mirrorKV) take(e pipeline.KVEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case e.Key == "":
		if m.left > 0 {
			if m.left--; m.left == 0 {
				close(m.primed)
			}
		}
	case e.Deleted:
		delete(m.entries, e.Key)
	default:
		m.entries[e.Key] = e
	}
}

// ready waits until the mirror has what there was when it began; false if the store is to be asked.
func (m *mirrorKV) ready(ctx context.Context) bool {
	select {
	case <-m.primed:
	case <-ctx.Done():
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.broken
}

// Get implements pipeline.KV.
func (m *mirrorKV) Get(ctx context.Context, key string) (pipeline.KVEntry, error) {
	if !m.covers(key) || !m.ready(ctx) {
		return m.KV.Get(ctx, key)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		return e, nil
	}
	return pipeline.KVEntry{}, pipeline.ErrNoKey
}

// Keys implements pipeline.KV.
func (m *mirrorKV) Keys(ctx context.Context, pattern string) ([]string, error) {
	if !m.covers(pattern) || !m.ready(ctx) {
		return m.KV.Keys(ctx, pattern)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for key := range m.entries {
		if matches(pattern, key) {
			out = append(out, key)
		}
	}
	return out, nil
}

// covers reports whether everything that a key or a pattern means is watched.
func (m *mirrorKV) covers(what string) bool {
	for _, pattern := range m.patterns {
		if matches(pattern, what) {
			return true
		}
	}
	return false
}

// matches reports whether a key matches a pattern in which * stands for one token. A pattern matches one that means
// more.
func matches(pattern, key string) bool {
	p, k := strings.Split(pattern, "."), strings.Split(key, ".")
	if len(p) != len(k) {
		return false
	}
	for i := range p {
		if p[i] != k[i] && p[i] != "*" {
			return false
		}
	}
	return true
}

// mirrors are those of the runs that somebody looks at.
type mirrors struct {
	mu     sync.Mutex
	all    map[string]*mirrored
	closed bool
}

type mirrored struct {
	runs, checkpoints *mirrorKV
	used              time.Time
}

// keepMirror is how long a run is watched that nobody looks at any more.
const keepMirror = 30 * time.Second

// mostMirrors bounds what is watched at a time.
const mostMirrors = 32

// of is the mirror of a run; nil if there are too many. Those that nobody has looked at for a while end.
func (m *mirrors) of(stores pipeline.Stores, run string) *mirrored {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string]*mirrored{}
	}
	now := time.Now()
	for other, v := range m.all {
		if other != run && now.Sub(v.used) > keepMirror {
			v.close()
			delete(m.all, other)
		}
	}
	v := m.all[run]
	if v == nil && (m.closed || len(m.all) >= mostMirrors) {
		return nil
	}
	if v == nil {
		of := checkpoint.RunKey(run)
		v = &mirrored{runs: newMirror(stores.Runs, of+".conn.*"), checkpoints: newMirror(stores.Checkpoints, of+".*.error.*", of+".*.told.*.*")}
		m.all[run] = v
	}
	v.used = now
	return v
}

func (m *mirrored) close() {
	m.runs.close()
	m.checkpoints.close()
}

// close ends all.
func (m *mirrors) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.all {
		v.close()
	}
	m.all, m.closed = nil, true
}
