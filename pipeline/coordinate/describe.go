package coordinate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// describeParallel is how many connections are described at a time: that costs them a login, and this process next to
// nothing.
const describeParallel = 16

// describe fixes the columns of the destinations that have room for one set, from what all reachable connections say
// before anything is written. One that cannot be reached now has its say when it is asked: a column that nobody else
// has turns it away. Where the job wants differences to count, and none of several can be reached, there is nothing to
// go by, and the run does not begin.
func (r *run) describe(ctx context.Context) error {
	if !slices.ContainsFunc(r.m.Destinations, func(d pipeline.ManifestDestination) bool { return r.oneSchema(&d) }) {
		return nil
	}
	started := time.Now()
	queries := 0
	for _, c := range r.m.Connections {
		queries = max(queries, len(c.Queries))
	}
	columns := make([][]pipeline.Described, queries) // by query, in the order of the job
	for q := range columns {
		columns[q] = make([]pipeline.Described, len(r.m.Connections))
	}
	var silent []string
	var why error // of the last one
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(describeParallel)
	hosts := pipeline.NewHosts(r.job.ParallelPerHost)
	// One connection has nobody to be compared with: a query that would run for this alone has its say when it is
	// asked.
	alone := len(r.m.Connections) == 1
	news := newComparison(r.m.Connections)
	defer news.tell(r.c.Log, cmp.Or(r.c.News, comparisonNews))()
	for i, c := range r.m.Connections {
		g.Go(func() error {
			opening, _, err := r.c.Describer.Describe(ctx, spec.Probe{Definition: r.def, Connection: c.ID, Args: r.m.Params, Hosts: hosts, NoRun: alone, Asks: func() { news.asks(i) }})
			news.done(i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent, why = append(silent, c.Name), err
				r.c.Log.Debug("columns are not known yet", "connection", c.ID, "error", err)
				return nil // it has its say when it is asked
			}
			for q := range opening.Queries {
				columns[q][i] = pipeline.Described{Connection: c.ID, Columns: opening.Queries[q].Columns}
			}
			return nil
		})
	}
	_ = g.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if n := len(silent); n == len(r.m.Connections) && n > 1 && (r.m.OnDrift == pipeline.DriftFail || r.m.OnDrift == pipeline.DriftSkip) {
		return pipeline.Permanent(fmt.Errorf("none of the %d connections could be described, so that nobody knows which columns differ, and the job says onDrift: %s; nothing was written. The last one, %s: %s", n, r.m.OnDrift, silent[n-1], pipeline.ShortError(why)))
	}
	var usual []pipeline.Schema
	for q := range columns {
		known := slices.DeleteFunc(columns[q], func(d pipeline.Described) bool { return d.Connection == "" })
		r.m.Schemas = append(r.m.Schemas, schemaFor(r.m.OnDrift, known))
		usual = append(usual, pipeline.Common(known))
	}
	r.c.Log.Debug(fmt.Sprintf("described %d of %d connections in %s", len(r.m.Connections)-len(silent), len(r.m.Connections), time.Since(started).Round(time.Millisecond)))
	return r.driftFound(usual)
}

// describeAgain fixes the columns of queries that no connection could describe when the run began: as long as nothing
// is committed, a resume may. Those that are fixed stay.
func (r *run) describeAgain(ctx context.Context, records []checkpoint.CommitRecord) error {
	unknown := func(s pipeline.Schema) bool { return len(s.Columns) == 0 }
	begun := func(c checkpoint.CommitRecord) bool { return len(c.Settled)+len(c.Sealed)+len(c.Parts) > 0 }
	if !slices.ContainsFunc(r.m.Schemas, unknown) || slices.ContainsFunc(records, begun) {
		return nil
	}
	was := r.m.Schemas
	r.m.Schemas = nil
	if err := r.describe(ctx); err != nil {
		return err
	}
	for q := range r.m.Schemas {
		if q < len(was) && !unknown(was[q]) {
			r.m.Schemas[q] = was[q]
		}
	}
	return nil
}

// schemaFor applies a job's onDrift.
func schemaFor(onDrift string, known []pipeline.Described) pipeline.Schema {
	if onDrift == pipeline.DriftSkip {
		return pipeline.Common(known)
	}
	return pipeline.Union(known)
}

// driftFound tells how connections differ from what is usual, by query, and ends the run where the job says so.
func (r *run) driftFound(usual []pipeline.Schema) error {
	var all []string
	for q, u := range usual {
		for _, c := range r.m.Connections {
			if differs := u.Drift[c.ID]; differs != "" {
				name := c.Name
				if len(usual) > 1 && q < len(c.Queries) {
					name += ", query " + c.Queries[q].Name + ":"
				}
				all = append(all, name+" "+differs)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	if r.m.OnDrift == pipeline.DriftFail {
		return pipeline.Permanent(fmt.Errorf("the columns of the connections differ, and the job says onDrift: fail; nothing was written. %s. Give all the same columns, or choose onDrift: union or skip", strings.Join(all, "; ")))
	}
	for _, differs := range all {
		r.c.Log.Warn("columns differ: " + differs)
	}
	return nil
}

func (r *run) oneSchema(d *pipeline.ManifestDestination) bool {
	kind := r.c.Sinks[d.Type]
	return kind != nil && kind.OneSchema(d)
}
