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

// claim implements Claim.
type claim struct {
	mu    sync.Mutex
	kv    pipeline.KV
	key   string
	doc   *Document[CommitRecord]
	wrote time.Time
}

func (c *claim) Token() string { return c.Record().Token }

func (c *claim) Record() CommitRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doc.Value()
}

func (c *claim) Commit(ctx context.Context, change func(*CommitRecord)) error {
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
	return c.write(ctx, func(*CommitRecord) {})
}

func (c *claim) Release(ctx context.Context) error {
	return c.Commit(ctx, (*CommitRecord).LetGo)
}

// write is the fence. A claimer takes the record by changing its token and its epoch, so an owner that slept
// through that finds a conflict and a foreign token, and nothing that it prepared meanwhile is ever recorded. A
// conflict alone says nothing: as long as the record has the claim's token and epoch, change is applied to what
// stands there and written again.
func (c *claim) write(ctx context.Context, change func(*CommitRecord)) error {
	was := c.doc.Value()
	mine := func(r *CommitRecord) bool { return r.Token == was.Token && r.Epoch == was.Epoch }
	for before := was; ; {
		next := clone(before)
		change(&next)
		if err := tell(ctx, c.kv, c.key, &before, &next); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		again, err := c.doc.Again(c.doc.Write(ctx, next), mine)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		if !again {
			c.wrote = time.Now()
			return nil
		}
		before = c.doc.Value()
		if err := recall(ctx, c.kv, c.key, &before); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
}

func clone(r CommitRecord) CommitRecord {
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
