package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
)

// A run's specification is what its workers need of the job and its manifest does not have. There is one for each
// incarnation of the run. A head names the parts, which are named by what is in them: a resume that changes nothing
// writes a head, and no part. Nothing of it is ever changed in place, but for a head that was written for a resume
// which then did not happen.

// SpecRecord is the head of a specification.
type SpecRecord struct {
	// Epoch is RunRecord.Epoch of who wrote it: of two that resume the run at once the later owner's stays.
	Epoch           uint64            `json:"epoch"`
	Retry           pipeline.Retry    `json:"retry"`
	MaxDuration     pipeline.Duration `json:"maxDuration,omitempty"`
	OnOverlap       string            `json:"onOverlap,omitempty"`
	OnUnfinished    string            `json:"onUnfinished,omitempty"`
	ParallelPerHost int               `json:"parallelPerHost,omitempty"`
	Snapshot        bool              `json:"snapshot,omitempty"`
	// Notify are those who are told how the run ends; references as they are.
	Notify []pipeline.NotifyTarget `json:"notify,omitempty"`
	// Trace is the span that work for this incarnation goes below; nil where nothing traces it.
	Trace *pipeline.RunSpan `json:"trace,omitempty"`
	// Digests of parts. Each has some connections, in the manifest's order, or some texts of queries.
	Connections []string `json:"connections"`
	Texts       []string `json:"texts"`
}

// SpecConnection is a connection of a specification.
type SpecConnection struct {
	ID     string `json:"id"`
	Driver string `json:"driver"`
	// DSN as the job has it, references not replaced. Of a connection that is held it is "": it has, or may have, a
	// password in it, and is only in the memory of the processes that hold the job.
	DSN     string      `json:"dsn,omitempty"`
	Held    bool        `json:"held,omitempty"`
	Queries []SpecQuery `json:"queries"`
}

// SpecQuery is a query of a specification.
type SpecQuery struct {
	Name string `json:"name,omitempty"`
	Text int    `json:"text"` // its place among the texts of all parts
	// Verify are its control totals; nil is none.
	Verify *pipeline.Verify `json:"verify,omitempty"`
}

// Spec is a specification as a whole.
type Spec struct {
	Head        SpecRecord
	Connections []SpecConnection // in the manifest's order
	Texts       []string         // of queries, each once

	doc *Document[SpecRecord] // as it was read; nil for one that was not
}

type (
	specConnections struct {
		Connections []SpecConnection `json:"connections"`
	}
	specTexts struct {
		Texts []string `json:"texts"`
	}
)

const (
	// specPartBytes is how large a part becomes. What is larger by itself has a part of its own.
	specPartBytes = 64 << 10
	specAtOnce    = 16 // reads or writes of parts
)

// StoreSpec writes the specification of an incarnation of a run, which is not in force yet. epoch is the run's, of who
// writes it. Parts that are there are not written again. The error is ErrFenced if a later owner of the run has
// written one: that stays.
func StoreSpec(ctx context.Context, runs pipeline.KV, run string, incarnation int, epoch uint64, s *Spec) error {
	head, parts := s.Head, map[string][]byte{}
	var err error
	if head.Connections, err = packSpec(s.Connections, parts, func(some []SpecConnection) any { return specConnections{some} }); err == nil {
		head.Texts, err = packSpec(s.Texts, parts, func(some []string) any { return specTexts{some} })
	}
	if err != nil {
		return pipeline.Permanent(fmt.Errorf("write specification of run %s: %w", run, err))
	}
	if err := storeParts(ctx, runs, run, parts); err != nil {
		return fmt.Errorf("write specification of run %s: %w", run, err)
	}
	return storeHead(ctx, runs, run, incarnation, epoch, head, nil)
}

// StoreSpecAgain has a further incarnation of a run go by a specification that was loaded: also by what this program
// does not know of it.
func StoreSpecAgain(ctx context.Context, runs pipeline.KV, run string, incarnation int, epoch uint64, s *Spec) error {
	return storeHead(ctx, runs, run, incarnation, epoch, s.Head, s.doc)
}

// packSpec puts items into parts and returns the digests of these, in order.
func packSpec[T any](items []T, parts map[string][]byte, part func([]T) any) (digests []string, _ error) {
	for len(items) > 0 {
		size, n := 0, 0
		for ; n < len(items); n++ {
			data, err := json.Marshal(items[n])
			if err != nil {
				return nil, err
			}
			if size += len(data) + 1; size > specPartBytes && n > 0 {
				break
			}
		}
		data, err := EncodeRecord(part(items[:n]))
		if err != nil {
			return nil, err
		}
		digest := specDigest(data)
		parts[digest] = data
		digests, items = append(digests, digest), items[n:]
	}
	return digests, nil
}

func specDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// storeParts writes the parts that are not there yet, and again those that another program has damaged.
func storeParts(ctx context.Context, runs pipeline.KV, run string, parts map[string][]byte) error {
	keys, err := runs.Keys(ctx, SpecPartKey(run, "*"))
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(specAtOnce)
	for digest, data := range parts {
		key := SpecPartKey(run, digest)
		g.Go(func() error {
			if slices.Contains(keys, key) {
				if e, err := runs.Get(ctx, key); err == nil && specDigest(e.Value) == digest {
					return nil
				}
			}
			_, err := runs.Put(ctx, key, data)
			return err
		})
	}
	return g.Wait()
}

// storeHead writes a head; from is the one that it repeats, nil for a new one.
func storeHead(ctx context.Context, runs pipeline.KV, run string, incarnation int, epoch uint64, head SpecRecord, from *Document[SpecRecord]) error {
	key := SpecKey(run, incarnation)
	head.Epoch = epoch
	for {
		found, err := LoadDocument[SpecRecord](ctx, runs, key)
		next := &Document[SpecRecord]{kv: runs, key: key, rev: found.rev}
		if from != nil {
			next.origin = from.origin
		}
		switch {
		case errors.Is(err, pipeline.ErrNoKey):
			next.rev = 0
		case errors.Is(err, pipeline.ErrForeign): // nobody can read it, and it is in nobody's way
		case err != nil:
			return fmt.Errorf("write specification of run %s: %w", run, err)
		case found.value.Epoch > epoch:
			return pipeline.Permanent(fmt.Errorf("write specification of run %s: %w", run, pipeline.ErrFenced))
		}
		if err = next.Write(ctx, head); err == nil || !errors.Is(err, pipeline.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// LoadSpec reads the specification of an incarnation of a run. The error is ErrNoKey if there is none, and ErrForeign
// if something of it is gone or cannot be read.
func LoadSpec(ctx context.Context, runs pipeline.KV, run string, incarnation int) (*Spec, error) {
	doc, err := LoadDocument[SpecRecord](ctx, runs, SpecKey(run, incarnation))
	if err != nil {
		return nil, fmt.Errorf("read specification of run %s: %w", run, err)
	}
	s := &Spec{Head: doc.Value(), doc: doc}
	connections, err := loadParts[specConnections](ctx, runs, run, s.Head.Connections)
	if err != nil {
		return nil, err
	}
	texts, err := loadParts[specTexts](ctx, runs, run, s.Head.Texts)
	if err != nil {
		return nil, err
	}
	for _, p := range connections {
		s.Connections = append(s.Connections, p.Connections...)
	}
	for _, p := range texts {
		s.Texts = append(s.Texts, p.Texts...)
	}
	for _, c := range s.Connections {
		for _, q := range c.Queries {
			if q.Text < 0 || q.Text >= len(s.Texts) {
				return nil, ForeignRecord(SpecKey(run, incarnation), fmt.Errorf("connection %s has query text %d of %d", c.ID, q.Text, len(s.Texts)))
			}
		}
	}
	return s, nil
}

// loadParts reads parts, in the order of their digests.
func loadParts[T any](ctx context.Context, runs pipeline.KV, run string, digests []string) ([]T, error) {
	parts := make([]T, len(digests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(specAtOnce)
	for i, digest := range digests {
		key := SpecPartKey(run, digest)
		g.Go(func() error {
			e, err := runs.Get(ctx, key)
			switch {
			case errors.Is(err, pipeline.ErrNoKey):
				return deleted(key)
			case err != nil:
				return fmt.Errorf("read %s: %w", key, err)
			case specDigest(e.Value) != digest:
				return ForeignRecord(key, errors.New("it is not what it was written as"))
			}
			return DecodeRecord(key, e.Value, &parts[i])
		})
	}
	return parts, g.Wait()
}
