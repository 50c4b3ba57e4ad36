package checkpoint

import (
	"context"
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

func (c *claim) Release(ctx context.Context) error {
	return c.Commit(ctx, (*pipeline.CommitRecord).LetGo)
}

// write is the fence. A claimer takes the record by changing its token and its epoch, so an owner that slept
// through that finds a conflict and a foreign token, and nothing that it prepared meanwhile is ever recorded. A
// conflict alone says nothing: as long as the record has the claim's token and epoch, change is applied to what
// stands there and written again.
func (c *claim) write(ctx context.Context, change func(*pipeline.CommitRecord)) error {
	was := c.cell.Value()
	mine := func(r *pipeline.CommitRecord) bool { return r.Token == was.Token && r.Epoch == was.Epoch }
	for before := was; ; {
		next := clone(before)
		change(&next)
		if err := tell(ctx, c.kv, c.key, &before, &next); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		again, err := c.cell.Again(c.cell.Write(ctx, next), mine)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if !again {
			c.wrote = time.Now()
			return nil
		}
		before = c.cell.Value()
		if err := recall(ctx, c.kv, c.key, &before); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
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
