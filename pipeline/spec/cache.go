package spec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Run is what the store has of a run for who works on it. It is not changed.
type Run struct {
	Manifest *pipeline.Manifest
	Spec     *Stored
}

// Cache reads runs from the store, and keeps the last ones that were asked for. It is safe for concurrent use.
type Cache struct {
	Runs pipeline.KV

	mu   sync.Mutex
	kept []*cached // the last asked for at the end
}

// maxCached is how many runs are kept: a process works on a few at a time. A run of 1,000 connections takes some MB.
const maxCached = 8

type cached struct {
	run         string
	incarnation int

	mu       sync.Mutex // held while it is read
	read     *Run       // nil until then
	revision uint64     // of the specification's head
}

// Run reads a run as it is in an incarnation that goes on: what was read of an earlier one is not used, nor of a run
// that had this id before. The error is ErrForeign if the store does not have it, or has something else in its place.
func (c *Cache) Run(ctx context.Context, run string, incarnation int) (*Run, error) {
	e := c.entry(run, incarnation)
	e.mu.Lock()
	defer e.mu.Unlock()
	key := checkpoint.SpecKey(run, incarnation)
	head, err := c.Runs.Get(ctx, key)
	switch {
	case errors.Is(err, pipeline.ErrNoKey) && e.read == nil:
		return nil, checkpoint.ForeignRecord(key, errors.New("there is none"))
	case err != nil && !errors.Is(err, pipeline.ErrNoKey):
		return nil, fmt.Errorf("read specification of run %s: %w", run, err)
	case e.read != nil && (err != nil || head.Revision == e.revision): // what somebody removed is known here still
		return e.read, nil
	}
	m, err := checkpoint.LoadManifest(ctx, c.Runs, run)
	if errors.Is(err, pipeline.ErrNoKey) {
		return nil, checkpoint.ForeignRecord(checkpoint.ManifestKey(run), errors.New("there is none"))
	}
	if err != nil {
		return nil, err
	}
	s, err := Load(ctx, c.Runs, run, incarnation)
	if err != nil {
		return nil, err
	}
	e.read, e.revision = &Run{m, s}, head.Revision
	return e.read, nil
}

func (c *Cache) entry(run string, incarnation int) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.kept, func(e *cached) bool { return e.run == run && e.incarnation == incarnation })
	e := &cached{run: run, incarnation: incarnation}
	if i >= 0 {
		e = c.kept[i]
		c.kept = slices.Delete(c.kept, i, i+1)
	}
	c.kept = append(c.kept, e)
	c.kept = slices.Delete(c.kept, 0, max(0, len(c.kept)-maxCached))
	return e
}
