package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"fanmill/pipeline"
)

// claim implements pipeline.Claim.
type claim struct {
	mu    sync.Mutex
	kv    pipeline.KV
	key   string
	cell  *pipeline.Cell[pipeline.CommitRecord]
	wrote time.Time
}

func (c *claim) Token() string { return c.Record().Token }

func (c *claim) Record() pipeline.CommitRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cell.Value()
}

func (c *claim) Commit(ctx context.Context, change func(*pipeline.CommitRecord)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(ctx, change)
}

func (c *claim) Renew(ctx context.Context, age time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.wrote) < age {
		return nil
	}
	return c.write(ctx, func(*pipeline.CommitRecord) {})
}

// write is the fence. A claimer takes the record by changing its token, so an owner that slept through that finds a
// conflict and a foreign token, and nothing that it prepared meanwhile is ever recorded. A conflict with the own
// token cannot be: only the claim's holder writes under it, one write at a time; Cell.Write has already recognized
// its own.
func (c *claim) write(ctx context.Context, change func(*pipeline.CommitRecord)) error {
	before := c.cell.Value()
	next := clone(before)
	change(&next)
	if err := tell(ctx, c.kv, c.key, &before, &next); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	err := c.cell.Write(ctx, next)
	if errors.Is(err, pipeline.ErrForeign) {
		return fmt.Errorf("commit: %w", err)
	}
	if errors.Is(err, pipeline.ErrConflict) {
		return pipeline.Permanent(fmt.Errorf("commit: %w", pipeline.ErrFenced))
	}
	if err == nil {
		c.wrote = time.Now()
	}
	return err
}

func clone(r pipeline.CommitRecord) pipeline.CommitRecord {
	r.Settled = cloneMap(r.Settled)
	r.Sealed = cloneMap(r.Sealed)
	r.Failed = cloneMap(r.Failed)
	r.Floor = cloneMap(r.Floor)
	r.Parts = slices.Clone(r.Parts)
	r.Homes = slices.Clone(r.Homes)
	r.Artifact = slices.Clone(r.Artifact)
	return r
}

// cloneMap gives change a map it can write to.
func cloneMap[V any](m map[int]V) map[int]V {
	if m == nil {
		return map[int]V{}
	}
	return maps.Clone(m)
}
