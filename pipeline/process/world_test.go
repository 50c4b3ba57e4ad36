package process_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"

	"github.com/cespare/xxhash/v2"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/nats"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/pipeline/spool"
)

// store is what a world's processes share: in memory, or a real one.
type store interface {
	Stores() pipeline.Stores
	RowLogs() pipeline.RowLogs
	Bus() pipeline.Bus
}

// world is a node over a store, with databases and destinations that do what a test tells them.
type world struct {
	t    *testing.T
	conn store
	node *process.Node
	db   *fakeDB
	disk *disk
	job  *pipeline.Job

	mu      sync.Mutex
	events  []pipeline.Event
	changed chan struct{} // closed with the next event
	watch   func(pipeline.Event)

	sweepEvery time.Duration // of processes that serve; 0 is as ever

	served trigger.Served // of processes that serve; nil has no schedules
	alarms pipeline.Alarms

	serving sync.Map // tokens of processes that do
}

const mb = 1 << 20

// newWorld makes a world over a store in memory, whose row logs hold logBytes.
func newWorld(t *testing.T, logBytes int64) *world {
	t.Helper()
	return newWorldOver(t, logBytes, &memstore.Store{})
}

// newRealWorld makes a world over an embedded server, for what depends on how that one stores, sends and ends.
func newRealWorld(t *testing.T, logBytes int64) *world {
	t.Helper()
	return newWorldAt(t, logBytes, nats.Options{DataDir: t.TempDir(), NoSync: true})
}

// newWorldAt makes a world over the store that the options lead to.
func newWorldAt(t *testing.T, logBytes int64, o nats.Options) *world {
	t.Helper()
	o.Log = testLog(t)
	conn, err := nats.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return newWorldOver(t, logBytes, conn)
}

func newWorldOver(t *testing.T, logBytes int64, conn store) *world {
	w := &world{t: t, conn: conn, db: &fakeDB{scripts: map[string]script{}}, disk: newDisk(), changed: make(chan struct{})}
	w.job = &pipeline.Job{ID: "job", Name: "Job", Retry: pipeline.Retry{Attempts: 3}}
	stores := conn.Stores()
	w.node = &process.Node{
		Stores: stores, Records: checkpoint.NewRecords(stores.Checkpoints), RowLogs: conn.RowLogs(), Bus: conn.Bus(),
		Progress: checkpoint.NewProgress(stores.Checkpoints, t.TempDir()),
		Specs:    &spec.Cache{Runs: stores.Runs}, Jobs: &spec.Jobs{},
		Databases: map[string]*pipeline.DatabaseKind{"fake": {Name: "fake", Driver: w.db}}, Sinks: map[string]*pipeline.SinkKind{"memory": w.disk.kind(pipeline.Traits{})},
		Owner:    pipeline.Owner{Token: pipeline.NewToken(), Host: "here", PID: os.Getpid(), LeaseMS: 15000},
		Parallel: 4, LogMaxBytes: logBytes, Timeout: time.Minute, Log: testLog(t),
		Budget: memory.NewBudget(256 * mb),
		Spool:  &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}},
	}
	w.node.Follow = func(*pipeline.Job, string, []pipeline.ManifestDestination) coordinate.Follower {
		return coordinate.Follower{Log: w.node.Log, Event: func(e pipeline.Event) {
			w.mu.Lock()
			w.events = append(w.events, e)
			close(w.changed)
			w.changed = make(chan struct{})
			watch := w.watch
			w.mu.Unlock()
			if watch != nil {
				watch(e)
			}
		}}
	}
	w.node.Alive = func(o pipeline.Owner) (bool, bool) {
		_, serving := w.serving.Load(o.Token)
		return serving || o.Token == w.node.Owner.Token, true
	}
	return w
}

// definition is the job as the tests load it.
func (w *world) definition() *spec.Definition {
	job := w.job
	return &spec.Definition{Job: job,
		Resolve: func(string, time.Time) (out []pipeline.ManifestDestination, err error) {
			for _, d := range job.Destinations {
				out = append(out, pipeline.ManifestDestination{ID: d.ID, Type: d.Type, Place: d.Place, Path: d.FilePath, Mode: d.Mode, Options: d.Options, Partitions: d.Partitions})
			}
			return out, nil
		},
		Params: func(map[string]any, time.Time) ([]pipeline.Arg, error) { return nil, nil },
		Expand: func(s string) (string, error) { return s, nil },
	}
}

// keepRun has the store know a run that no coordinator began.
func (w *world) keepRun(m *pipeline.Manifest, incarnation int) {
	w.t.Helper()
	job, kept := *w.job, *m
	kept.LogMaxBytes = cmp.Or(m.LogMaxBytes, 8*mb)
	for _, c := range m.Connections {
		if _, err := job.Connection(c.ID); err != nil {
			job.Connections = append(job.Connections, pipeline.Connection{ID: c.ID, Queries: make([]pipeline.Query, len(c.Queries))})
		}
	}
	runs := w.node.Stores.Runs
	s, err := spec.New(&job, m, nil)
	if err == nil {
		err = errors.Join(s.Store(w.t.Context(), runs, m.Run, incarnation, 1), checkpoint.StoreManifest(w.t.Context(), runs, &kept, func(string) []pipeline.Option { return nil }))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func testLog(t *testing.T) *slog.Logger {
	if os.Getenv("FANMILL_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// connect adds a connection of one query for each script.
func (w *world) connect(id string, s script) {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	w.db.scripts[id] = s
	c := pipeline.Connection{ID: id, Name: strings.ToUpper(id), Driver: "fake", DSN: id}
	for q := range max(1, len(s.queries)) {
		query := pipeline.Query{SQL: "select"}
		if len(s.queries) > 1 {
			query.Name = fmt.Sprintf("q%d", q)
		}
		c.Queries = append(c.Queries, query)
	}
	w.job.Connections = append(w.job.Connections, c)
}

func (w *world) deliverTo(ids ...string) {
	for _, id := range ids {
		w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: id, Type: "memory", FilePath: id})
	}
}

// script changes what a database answers, also between runs.
func (w *world) rescript(id string, s script) {
	w.db.mu.Lock()
	defer w.db.mu.Unlock()
	w.db.scripts[id] = s
}

func (w *world) run(ctx context.Context, t pipeline.Trigger) (*coordinate.Outcome, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	return w.node.Run(ctx, w.definition(), t)
}

func (w *world) mustRun(t pipeline.Trigger, want pipeline.RunState) *coordinate.Outcome {
	w.t.Helper()
	out, err := w.run(w.t.Context(), t)
	if err != nil {
		w.t.Fatalf("run: %v", err)
	}
	if out.State != want {
		w.t.Fatalf("the run is %s, want %s: %+v", out.State, want, reports(out))
	}
	return out
}

func reports(out *coordinate.Outcome) (s string) {
	for _, r := range out.Reports {
		s += fmt.Sprintf("\n%s (%s):", r.Destination, r.State)
		for _, c := range r.Connections {
			s += fmt.Sprintf(" %s=%s%v", c.ID, c.State, c.Rows)
			if c.Error != "" {
				s += "(" + c.Error + ")"
			}
		}
	}
	return s
}

// exact compares an artifact with what the databases hold now: each connection whole, once, in its order.
func (w *world) exact(dest string, ids ...string) {
	w.t.Helper()
	got := w.disk.artifact(dest)
	var have []string
	for _, e := range got {
		if slices.Contains(have, e.connection) {
			w.t.Errorf("%s holds %s twice", dest, e.connection)
		}
		have = append(have, e.connection)
		w.db.mu.Lock()
		s := w.db.scripts[e.connection]
		w.db.mu.Unlock()
		for q, rows := range s.queries {
			want := part{}
			for i := range rows.n {
				want.add(int64(i), value(e.connection, q, i, rows.size))
			}
			if e.queries[q] != want {
				w.t.Errorf("%s: query %d of %s is %+v, want %+v", dest, q, e.connection, e.queries[q], want)
			}
		}
	}
	slices.Sort(have)
	want := slices.Sorted(slices.Values(ids))
	if !slices.Equal(have, want) {
		w.t.Errorf("%s holds %v, want %v", dest, have, want)
	}
}

// script is how a database behaves.
type script struct {
	queries []rows
	columns []string // "id", "body" if nil
	open    func(attempt int) error
	opens   func(context.Context, pipeline.Request) error // nothing else waits for it
	// before is called before a row is handed over; an error ends the attempt there.
	before func(ctx context.Context, attempt, query, row int) error
	notes  map[int][]string // by query
}

type rows struct {
	n    int
	size int // bytes of body, which do not compress
}

func of(n, size int) script { return script{queries: []rows{{n: n, size: size}}} }

// value is the body of a row.
// waiting is a script whose rows come once gate is closed.
func waiting(s script, gate <-chan struct{}) script {
	s.before = func(ctx context.Context, _, _, _ int) error {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	return s
}

func value(connection string, query, row, size int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], xxhash.Sum64String(fmt.Sprintf("%s/%d/%d", connection, query, row)))
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// fakeDB is every database.
type fakeDB struct {
	mu      sync.Mutex
	scripts map[string]script
	asked   []string
	host    func(dsn string) string
}

func (d *fakeDB) askedSince() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	slices.Sort(asked)
	return asked
}

func (d *fakeDB) Host(dsn string) string {
	if d.host == nil {
		return ""
	}
	return d.host(dsn)
}

func (d *fakeDB) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	dsn := r.DSN
	d.mu.Lock()
	opens := d.scripts[dsn].opens
	d.mu.Unlock()
	if opens != nil {
		if err := opens(ctx, r); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, dsn)
	attempt := 0
	for _, a := range d.asked {
		if a == dsn {
			attempt++
		}
	}
	s := d.scripts[dsn]
	if s.open != nil {
		if err := s.open(attempt); err != nil {
			return nil, err
		}
	}
	return &fakeSession{id: dsn, script: s, attempt: attempt}, nil
}

type fakeSession struct {
	id string
	script
	attempt int
}

func (s *fakeSession) Columns(int) []columnar.Column {
	names := s.columns
	if names == nil {
		names = []string{"id", "body"}
	}
	out := []columnar.Column{{Name: names[0], Kind: columnar.Int}}
	for _, n := range names[1:] {
		out = append(out, columnar.Column{Name: n, Kind: columnar.Binary})
	}
	return out
}

func (s *fakeSession) Stream(ctx context.Context, q int, b *columnar.Builder, due func(*columnar.Builder) bool, emit func(*columnar.Builder) error) error {
	for i := range s.queries[q].n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if s.before != nil {
			if err := s.before(ctx, s.attempt, q, i); err != nil {
				return err
			}
		}
		b.Column(0).Long(int64(i))
		for c := 1; c < b.Columns(); c++ {
			b.Column(c).Bytes(value(s.id, q, i, s.queries[q].size))
		}
		b.EndRow()
		if due(b) {
			if err := emit(b); err != nil {
				return err
			}
		}
	}
	return emit(b)
}

func (s *fakeSession) Server() string       { return "fake 1" }
func (s *fakeSession) Notes(q int) []string { return s.notes[q] }
func (s *fakeSession) Close() error         { return nil }

// disk is what the destinations of type "memory" leave behind: it outlives claims, and a claim sees only what was
// recorded.
type disk struct {
	mu        sync.Mutex
	artifacts map[string][]entry
	parts     map[string][]part // by name; what is durable is said by the record
	// fail is asked before each step of a destination: an error is what the step returns. It may block.
	fail   func(dest, step, connection string) error
	reject func(dest, connection string, o *pipeline.Opening) string
}

type entry struct {
	connection string
	queries    []part
}

// part is a query's rows in the order in which they came.
type part struct {
	Rows int64
	Sum  uint64
}

func (p *part) add(id int64, body []byte) {
	var head [24]byte
	binary.LittleEndian.PutUint64(head[:], p.Sum)
	binary.LittleEndian.PutUint64(head[8:], uint64(id))
	binary.LittleEndian.PutUint64(head[16:], xxhash.Sum64(body))
	p.Rows, p.Sum = p.Rows+1, xxhash.Sum64(head[:])
}

func newDisk() *disk { return &disk{artifacts: map[string][]entry{}, parts: map[string][]part{}} }

func (d *disk) artifact(dest string) []entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.artifacts[dest])
}

func (d *disk) step(dest, step, connection string) error {
	d.mu.Lock()
	fail := d.fail
	d.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(dest, step, connection)
}

func (d *disk) failing(f func(dest, step, connection string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

// kind is the kind of destination that the disk is behind.
func (d *disk) kind(traits pipeline.Traits) *pipeline.SinkKind {
	return &pipeline.SinkKind{Name: "memory", Traits: traits,
		New: func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
			return &memorySink{d: d, spec: spec, id: spec.Destination.ID}, nil
		},
		Clean: func(_ context.Context, spec pipeline.SinkSpec, _ bool) ([]string, error) {
			return nil, d.step(spec.Destination.ID, "clean", "")
		}}
}

type memorySink struct {
	d    *disk
	spec pipeline.SinkSpec
	id   string
	n    int // entries committed
}

func (s *memorySink) Recover(_ context.Context, _ pipeline.Fence, state pipeline.State, _ []pipeline.PartState) (pipeline.Recovered, error) {
	if len(state) > 0 {
		if err := json.Unmarshal(state, &s.n); err != nil {
			return pipeline.Recovered{}, err
		}
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if len(s.d.artifacts[s.id]) < s.n {
		return pipeline.Recovered{}, fmt.Errorf("%d entries of %d: %w", len(s.d.artifacts[s.id]), s.n, pipeline.ErrLost)
	}
	s.d.artifacts[s.id] = slices.Clone(s.d.artifacts[s.id][:s.n])
	st, err := json.Marshal(s.n)
	return pipeline.Recovered{State: st}, err
}

func (s *memorySink) connection(i int) string { return s.spec.Manifest.Connections[i].ID }

func (s *memorySink) Open(_ context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, _ pipeline.Rows) (pipeline.Part, error) {
	p := &memoryPart{s: s, id: id, queries: make([]part, len(o.Queries))}
	if from != nil {
		return p, json.Unmarshal(from.State, &p.queries)
	}
	if s.d.reject != nil {
		if why := s.d.reject(s.id, s.connection(id.Connection), o); why != "" {
			return nil, &pipeline.RejectError{Reason: why}
		}
	}
	return p, s.d.step(s.id, "open", s.connection(id.Connection))
}

func (s *memorySink) Stage(_ context.Context, parts []pipeline.Part, _ int, final *pipeline.Report) (pipeline.Staged, error) {
	if final != nil {
		if err := s.d.step(s.id, "finish", ""); err != nil {
			return pipeline.Staged{}, err
		}
	}
	for _, p := range parts {
		p := p.(*memoryPart)
		id := s.connection(p.id.Connection)
		if err := s.d.step(s.id, "stage", id); err != nil {
			return pipeline.Staged{}, err
		}
		s.d.mu.Lock()
		s.d.artifacts[s.id] = append(s.d.artifacts[s.id], entry{connection: id, queries: p.queries})
		s.n = len(s.d.artifacts[s.id])
		s.d.mu.Unlock()
	}
	st, err := json.Marshal(s.n)
	return pipeline.Staged{State: st}, err
}

func (s *memorySink) Release(_ context.Context, _ []pipeline.WireRequest, r *pipeline.Report, insist bool) (pipeline.Released, error) {
	switch {
	case r == nil:
		return pipeline.Released{}, s.d.step(s.id, "adopted", "")
	case insist:
		return pipeline.Released{}, nil
	}
	return pipeline.Released{}, s.d.step(s.id, "release", "")
}

func (s *memorySink) Close() error { return nil }

type memoryPart struct {
	s       *memorySink
	id      pipeline.PartID
	queries []part
}

func (p *memoryPart) connection() string { return p.s.connection(p.id.Connection) }

func (p *memoryPart) Encode(_ int, _ int64, b *columnar.Batch) (pipeline.Chunk, error) {
	return b, p.s.d.step(p.s.id, "encode", p.connection())
}

func (p *memoryPart) Append(_ context.Context, q int, c pipeline.Chunk) error {
	if err := p.s.d.step(p.s.id, "append", p.connection()); err != nil {
		return err
	}
	b := c.(*columnar.Batch)
	for i := range b.Rows {
		p.queries[q].add(b.Cols[0].Longs[i], b.Cols[1].Bytes(i))
	}
	return nil
}

func (p *memoryPart) Save(context.Context) (pipeline.State, error) {
	if err := p.s.d.step(p.s.id, "save", p.connection()); err != nil {
		return nil, err
	}
	return json.Marshal(p.queries)
}

func (p *memoryPart) Finish(context.Context) (pipeline.Summary, error) {
	return pipeline.Summary{}, nil
}

func (p *memoryPart) Discard() error { return nil }

var errBroken = errors.New("the line broke")

func checkpointOf(kv pipeline.KV) checkpoint.Records { return checkpoint.NewRecords(kv) }
