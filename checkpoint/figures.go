package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
)

// What a job's connections delivered the last time is kept with the job, as its runs are forgotten one day. A run gets
// a copy when it begins: what it is compared with does not change while it goes on, however often it is resumed, nor
// afterwards.

// JobFigures is a part of what is known of a job's connections: of those whose ids fall into it.
type JobFigures struct {
	Connections map[string]pipeline.Figures `json:"connections"`
}

// RunFigures is a part of what a run's connections delivered the last time, as the run found it.
type RunFigures struct {
	Connections map[string]pipeline.Figures `json:"connections"`
	More        bool                        `json:"more,omitempty"` // another part follows
}

const (
	figureParts     = 8        // of a job: 1,000 connections have some 25 KB in each
	maxFiguresBytes = 64 << 10 // of a part
	maxSumsBytes    = 512      // of the sums of a connection; further ones are not compared
)

// figuresKey is a part of what is known of a job's connections, in Stores.Runs: a JobFigures.
func figuresKey(job string, part int) string {
	return fmt.Sprintf("%s.figures.%d", JobRunKey(job), part)
}

// beforeKey is a part of a run's copy: a RunFigures.
func beforeKey(run string, part int) string { return fmt.Sprintf("%s.before.%d", RunKey(run), part) }

// figurePart is where a connection's figures are.
func figurePart(connection string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(connection))
	return int(h.Sum32() % figureParts)
}

// Note takes in what connections delivered. What a later run has said of one stays: a process that slept may say it
// late. The oldest go where there is no room. It reports whether anything is new.
func (f *JobFigures) Note(some map[string]pipeline.Figures) (changed bool) {
	all := maps.Clone(f.Connections)
	if all == nil {
		all = map[string]pipeline.Figures{}
	}
	for id, is := range some {
		was, known := all[id]
		if known && (was.At.After(is.At) || was.Run == is.Run && slices.Equal(was.Rows, is.Rows) && slices.Equal(was.Sums, is.Sums)) {
			continue
		}
		all[id], changed = is, true
	}
	if f.Connections = all; !changed {
		return false
	}
	oldest := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[a].At.Compare(all[b].At) })
	for len(oldest) > 0 {
		if data, err := EncodeRecord(f); err == nil && len(data) <= maxFiguresBytes {
			break
		}
		n := max(1, len(oldest)/8)
		for _, id := range oldest[:n] {
			delete(all, id)
		}
		oldest = oldest[n:]
	}
	return true
}

// boundedFigures is f with no more sums than there is room for.
func boundedFigures(f pipeline.Figures) pipeline.Figures {
	bytes := 0
	for i, s := range f.Sums {
		if bytes += len(s.Column) + len(s.Value) + len(`{"c":"","v":""},`); bytes > maxSumsBytes {
			f.Sums = f.Sums[:i:i]
			break
		}
	}
	return f
}

// NoteFigures keeps what the connections of a job delivered in a run, by id. Repeating it changes nothing.
func NoteFigures(ctx context.Context, runs pipeline.KV, job string, all map[string]pipeline.Figures) error {
	var parts [figureParts]map[string]pipeline.Figures
	for id, f := range all {
		part := figurePart(id)
		if parts[part] == nil {
			parts[part] = map[string]pipeline.Figures{}
		}
		parts[part][id] = boundedFigures(f)
	}
	g, ctx := errgroup.WithContext(ctx)
	for part, some := range parts {
		if some != nil {
			g.Go(func() error { return noteFigures(ctx, runs, figuresKey(job, part), some) })
		}
	}
	return g.Wait()
}

func noteFigures(ctx context.Context, runs pipeline.KV, key string, some map[string]pipeline.Figures) error {
	for {
		doc, err := LoadDocument[JobFigures](ctx, runs, key)
		if err != nil && !errors.Is(err, pipeline.ErrNoKey) && !errors.Is(err, pipeline.ErrForeign) {
			return err
		}
		next := doc.Value()
		if !next.Note(some) {
			return nil
		}
		if err = doc.Write(ctx, next); err == nil || !errors.Is(err, pipeline.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}

// LoadFigures is what the connections of a job delivered the last time, by id. A part that cannot be read is passed
// over: nobody is compared with it, and the next run writes it anew.
func LoadFigures(ctx context.Context, runs pipeline.KV, job string) (map[string]pipeline.Figures, error) {
	var parts [figureParts]map[string]pipeline.Figures
	g, loading := errgroup.WithContext(ctx)
	for part := range parts {
		g.Go(func() error {
			doc, err := LoadDocument[JobFigures](loading, runs, figuresKey(job, part))
			switch {
			case err == nil:
				parts[part] = doc.Value().Connections
			case !errors.Is(err, pipeline.ErrNoKey) && !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, ErrLater):
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("read what job %s delivered the last time: %w", job, err)
	}
	all := map[string]pipeline.Figures{}
	for _, some := range parts {
		maps.Copy(all, some)
	}
	return all, nil
}

// StoreBefore keeps, for a run that begins, what its connections delivered the last time.
func StoreBefore(ctx context.Context, runs pipeline.KV, run string, all map[string]pipeline.Figures) error {
	ids := slices.Sorted(maps.Keys(all))
	for part := 0; len(ids) > 0; part++ {
		f, size, n := RunFigures{Connections: map[string]pipeline.Figures{}}, 0, 0
		for _, id := range ids {
			data, err := EncodeRecord(all[id])
			if err != nil {
				return pipeline.Permanent(err)
			}
			if size += len(id) + len(data) + len(`"":,`); size > maxFiguresBytes && n > 0 {
				break
			}
			f.Connections[id] = all[id]
			n++
		}
		ids = ids[n:]
		f.More = len(ids) > 0
		data, err := EncodeRecord(f)
		if err == nil {
			_, err = runs.Put(ctx, beforeKey(run, part), data)
		}
		if err != nil {
			return fmt.Errorf("write what the run before %s delivered: %w", run, err)
		}
	}
	return nil
}

// LoadBefore is what the connections of a run delivered the last time before it, by id; nil if nothing is known.
func LoadBefore(ctx context.Context, runs pipeline.KV, run string) (all map[string]pipeline.Figures, _ error) {
	for part := 0; ; part++ {
		e, err := runs.Get(ctx, beforeKey(run, part))
		if errors.Is(err, pipeline.ErrNoKey) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what the run before %s delivered: %w", run, err)
		}
		var f RunFigures
		if err := DecodeRecord(e.Key, e.Value, &f); err != nil {
			return nil, err
		}
		if all == nil {
			all = map[string]pipeline.Figures{}
		}
		maps.Copy(all, f.Connections)
		if !f.More {
			return all, nil
		}
	}
}
