package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// Describer opens connections to find out what their queries return.
type Describer struct {
	Databases    map[string]*pipeline.DatabaseKind // by each of their names
	QueryTimeout time.Duration                     // a database may say nothing for so long; 0 is no limit
}

// Describe opens a connection, learns what its queries return, shows the session to p.Look, whose error is then its
// own, and closes it. took is how long the database needed to answer, also where it fails; that a place on its server
// was waited for is not part of it. The time that the job gives an attempt, and that a database may be silent, hold
// here too.
func (d *Describer) Describe(ctx context.Context, p spec.Probe) (o *pipeline.Opening, took time.Duration, err error) {
	job := p.Definition.Job
	c, err := job.Connection(p.Connection)
	if err != nil {
		return nil, 0, err
	}
	kind, ok := d.Databases[c.Driver]
	if !ok {
		return nil, 0, pipeline.Permanent(fmt.Errorf("no driver %q", c.Driver))
	}
	dsn, err := p.Definition.Expand(c.DSN)
	if err != nil {
		return nil, 0, err
	}
	release, err := p.Hosts.Enter(ctx, kind.Driver.Host(dsn))
	if err != nil {
		return nil, 0, err
	}
	defer release()
	if p.Asks != nil {
		p.Asks()
	}
	within, cancel := Within(ctx, d.QueryTimeout, job.MaxDuration)
	defer cancel()
	defer func() {
		if cause := context.Cause(within); err != nil && cause != nil {
			err = cause // what came of it is no news
		}
	}()
	queries := slices.Clone(c.Queries)
	for i := range queries {
		queries[i].Args = p.Args
	}
	started := time.Now()
	session, err := kind.Driver.Open(within, pipeline.Request{DSN: dsn, Queries: queries, Snapshot: job.Snapshot, NoRun: p.NoRun})
	took = time.Since(started)
	if err != nil {
		return nil, took, err
	}
	opening := pipeline.OpeningOf(session, queries)
	if p.Look != nil {
		if err := p.Look(within, session); err != nil {
			return nil, took, errors.Join(err, session.Close())
		}
	}
	return &opening, took, session.Close()
}

// Server names the database server of a connection; "" if that is not known.
func (d *Describer) Server(def *spec.Definition, c *pipeline.Connection) string {
	kind, ok := d.Databases[c.Driver]
	if !ok {
		return ""
	}
	dsn, err := def.Expand(c.DSN)
	if err != nil {
		return ""
	}
	return kind.Driver.Host(dsn)
}

// Within is ctx with an end: when a database that is asked for columns or first rows has said nothing for silence, or
// an attempt has taken the job's maxDuration. 0 is no limit.
func Within(ctx context.Context, silence time.Duration, maxDuration pipeline.Duration) (context.Context, context.CancelFunc) {
	limit, cause := silence, errSilent(silence)
	if most := time.Duration(maxDuration); most > 0 && (limit <= 0 || most < limit) {
		limit, cause = most, errTooLong(most)
	}
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, cause)
}
