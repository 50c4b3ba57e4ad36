package spec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Stored is the specification of an incarnation of a run, as the store has it: what is needed to go on with the run,
// beside its manifest, by whoever has the store and its own secrets. It is not changed.
type Stored struct {
	s     *checkpoint.Spec
	index map[string]int // of connections, by id
}

// New is the specification of a run of a job with this manifest. held reports whether the address of a connection must
// not go into the store; nil holds none.
func New(job *pipeline.Job, m *pipeline.Manifest, held func(*pipeline.Connection) bool) (*Stored, error) {
	s := &checkpoint.Spec{Head: checkpoint.SpecRecord{Retry: job.Retry, MaxDuration: job.MaxDuration, OnOverlap: job.OnOverlap, OnUnfinished: job.OnUnfinished,
		ParallelPerHost: job.ParallelPerHost, Snapshot: job.Snapshot, Notify: job.Notify}}
	texts := map[string]int{}
	for _, mc := range m.Connections {
		c, err := job.Connection(mc.ID)
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		sc := checkpoint.SpecConnection{ID: c.ID, Driver: c.Driver, DSN: c.DSN}
		if held != nil && held(c) {
			sc.DSN, sc.Held = "", true
		}
		for _, q := range c.Queries {
			at, known := texts[q.SQL]
			if !known {
				at = len(s.Texts)
				texts[q.SQL] = at
				s.Texts = append(s.Texts, q.SQL)
			}
			sc.Queries = append(sc.Queries, checkpoint.SpecQuery{Name: q.Name, Text: at, Verify: q.Verify})
		}
		s.Connections = append(s.Connections, sc)
	}
	return stored(s), nil
}

func stored(s *checkpoint.Spec) *Stored {
	out := &Stored{s: s, index: make(map[string]int, len(s.Connections))}
	for i := range s.Connections {
		out.index[s.Connections[i].ID] = i
	}
	return out
}

// Load reads the specification of an incarnation of a run. The error is ErrNoKey if there is none: an earlier version
// of fanmill began it. It is ErrForeign if something of it is gone, or cannot be read.
func Load(ctx context.Context, runs pipeline.KV, run string, incarnation int) (*Stored, error) {
	s, err := checkpoint.LoadSpec(ctx, runs, run, incarnation)
	if err != nil {
		return nil, err
	}
	return stored(s), nil
}

// LoadFor reads the specification that a run with this manifest goes on by, which has been resumed so many times. A
// resume that ended between its manifest and the run's record has written the one that belongs to that manifest.
func LoadFor(ctx context.Context, runs pipeline.KV, m *pipeline.Manifest, resumes int) (*Stored, error) {
	s, err := Load(ctx, runs, m.Run, resumes)
	if err == nil {
		err = s.fits(m)
	}
	if err == nil || !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, pipeline.ErrNoKey) {
		return s, err
	}
	if next, nextErr := Load(ctx, runs, m.Run, resumes+1); nextErr == nil && next.fits(m) == nil {
		return next, nil
	}
	return nil, err
}

// fits reports ErrForeign unless the specification is that of a manifest.
func (s *Stored) fits(m *pipeline.Manifest) error {
	is := func(mc pipeline.ManifestConnection, c checkpoint.SpecConnection) bool {
		return mc.ID == c.ID && mc.Driver == c.Driver && slices.EqualFunc(mc.Queries, c.Queries, func(mq pipeline.ManifestQuery, q checkpoint.SpecQuery) bool {
			return mq.Name == q.Name && mq.Digest == pipeline.QueryDigest(s.s.Texts[q.Text])
		})
	}
	if !slices.EqualFunc(m.Connections, s.s.Connections, is) {
		return checkpoint.ForeignRecord(checkpoint.ManifestKey(m.Run), errors.New("its connections are not those of the run's specification"))
	}
	return nil
}

// Store writes a specification for an incarnation of a run that is about to begin, or to go on; epoch is the run's, of
// its owner. See checkpoint.StoreSpec.
func (s *Stored) Store(ctx context.Context, runs pipeline.KV, run string, incarnation int, epoch uint64) error {
	return checkpoint.StoreSpec(ctx, runs, run, incarnation, epoch, s.s)
}

// Traced is the same specification for an incarnation with this span.
func (s *Stored) Traced(span *pipeline.RunSpan) *Stored {
	again := *s.s
	again.Head.Trace = span
	return &Stored{s: &again, index: s.index}
}

// Span is that of the incarnation; nil where nothing traces it.
func (s *Stored) Span() *pipeline.RunSpan { return s.s.Head.Trace }

// StoreAgain has a further incarnation of a run go by a specification that was loaded. See checkpoint.StoreSpecAgain.
func (s *Stored) StoreAgain(ctx context.Context, runs pipeline.KV, run string, incarnation int, epoch uint64) error {
	return checkpoint.StoreSpecAgain(ctx, runs, run, incarnation, epoch, s.s)
}

// Connection is what a worker needs to ask a connection. Of one that is held the address is "": only processes that
// hold the job have it.
func (s *Stored) Connection(id string) (c *pipeline.Connection, held bool, _ error) {
	i, ok := s.index[id]
	if !ok {
		return nil, false, pipeline.Permanent(fmt.Errorf("the run has no connection %q", id))
	}
	sc := &s.s.Connections[i]
	c = &pipeline.Connection{ID: sc.ID, Driver: sc.Driver, DSN: sc.DSN}
	for _, q := range sc.Queries {
		c.Queries = append(c.Queries, pipeline.Query{Name: q.Name, SQL: s.s.Texts[q.Text], Verify: q.Verify})
	}
	return c, sc.Held, nil
}

// Retry says how a connection is tried again.
func (s *Stored) Retry() pipeline.Retry { return s.s.Head.Retry }

// MaxDuration bounds an attempt at a connection; 0 is no limit.
func (s *Stored) MaxDuration() pipeline.Duration { return s.s.Head.MaxDuration }

// Snapshot says that all queries of a connection see one state of its database.
func (s *Stored) Snapshot() bool { return s.s.Head.Snapshot }

// Definition is the job as the run began with it, or was last resumed with by somebody: who resumes by it goes on with
// exactly that. m is the run's manifest. Addresses that the store does not have are those that jobs has, or "".
func (s *Stored) Definition(m *pipeline.Manifest, jobs *Jobs) *Definition {
	head := &s.s.Head
	job := &pipeline.Job{ID: m.JobID, Name: m.JobName, TimeZone: m.TimeZone, Retry: head.Retry, MaxDuration: head.MaxDuration, OnOverlap: head.OnOverlap,
		OnUnfinished: head.OnUnfinished, OnDrift: m.OnDrift, ParallelPerHost: head.ParallelPerHost, Snapshot: head.Snapshot, Alert: m.Alert, Notify: head.Notify}
	for _, mc := range m.Connections {
		c, held, err := s.Connection(mc.ID)
		if err != nil {
			continue // there is none, see fits
		}
		if c.Name = mc.Name; held {
			c.DSN, _ = jobs.DSN(m.JobID, mc.ID)
		}
		job.Connections = append(job.Connections, *c)
	}
	for _, d := range m.Wholes() {
		job.Destinations = append(job.Destinations, pipeline.Destination{ID: d.ID, Type: d.Type, FilePath: d.Path, Mode: d.Mode, Options: d.Options})
	}
	return &Definition{Job: job, Stored: s, Expand: jobs.Expand(m.JobID),
		Resolve: func(string, time.Time) ([]pipeline.ManifestDestination, error) {
			return slices.Clone(m.Destinations), nil
		},
		Params: func(map[string]any, time.Time) ([]pipeline.Arg, error) { return slices.Clone(m.Params), nil }}
}
