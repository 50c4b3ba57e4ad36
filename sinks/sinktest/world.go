package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// world is one destination of one run: a target, a commit record, and the rows that its connections have.
type world struct {
	t       testing.TB
	subject Subject
	target  Target
	root    string // has out, the target's folder, and spool
	plan    plan
	record  record
	twice   bool                    // what may be repeated is repeated
	fenced  bool                    // another claim owns the record
	step    func(name string) error // called between any two steps; nil does nothing
	// unreadable is asked, on any goroutine, before a batch is read from the spool; nil reads all.
	unreadable func() bool
	mu         *sync.Mutex // held to change the record, which other goroutines look at
}

// plan is who has how many rows, and who comes when.
type plan struct {
	rows     [][]int   // by connection and query
	groups   [][][]int // by run and commit: connections
	replaced int       // the connection whose first attempt is replaced by a second one; -1 for none
}

// standard is a run with a connection that is cut in its middle, one without rows, one whose attempt is replaced and
// one that fails; and a resume that brings the last one and another that the job has gained.
func standard() plan {
	return plan{rows: [][]int{{5, 1}, {0, 0}, {3, 4}, {2, 0}, {1, 3}}, groups: [][][]int{{{1, 0}, {2}}, {{4, 3}}}, replaced: 2}
}

// record is a commit record as far as the suite needs one. It is replaced as a whole, as a compare-and-set does.
type record struct {
	Epoch    uint64
	Run      int // how many runs are over
	State    pipeline.RecordState
	Artifact pipeline.State `json:",omitempty"` // nil before the first claim
	Parts    []pipeline.PartState
	Sealed   map[int]pipeline.Settlement
	Settled  map[int]pipeline.Settlement
	Attempts map[int]int
	Staged   []int // connections of a spooled destination that a Stage took
	Shown    []int // connections that were settled when a Release last succeeded
	Outbox   outbox
}

// clone is a record of which nothing is the other one's but what never changes.
func (r *record) clone() record {
	c := *r
	c.Parts, c.Staged, c.Shown = slices.Clone(r.Parts), slices.Clone(r.Staged), slices.Clone(r.Shown)
	c.Sealed, c.Settled, c.Attempts = maps.Clone(r.Sealed), maps.Clone(r.Settled), maps.Clone(r.Attempts)
	o := &c.Outbox
	o.Requests, o.Stagings = slices.Clone(o.Requests), slices.Clone(o.Stagings)
	o.Answered, o.Dead = maps.Clone(o.Answered), maps.Clone(o.Dead)
	return c
}

// newWorld makes a world with nothing in it.
func newWorld(t testing.TB, s Subject, p plan) *world {
	w := &world{t: t, subject: s, root: Folder(t), plan: p, mu: new(sync.Mutex)}
	if err := os.MkdirAll(w.out(), 0o777); err != nil {
		t.Fatal(err)
	}
	w.target = s.New(t, w.out())
	w.record = newRecord()
	return w
}

func newRecord() record {
	return record{State: pipeline.RecordOpen, Sealed: map[int]pipeline.Settlement{}, Settled: map[int]pipeline.Settlement{}, Attempts: map[int]int{}}
}

// Folder makes a folder that goes with the test, in memory where the system has one: for tests that are not about what
// a disk keeps. A sync costs nothing there.
func Folder(t testing.TB) string {
	const memory = "/dev/shm"
	dir, err := os.MkdirTemp(memory, "sinktest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *world) out() string { return filepath.Join(w.root, "out") }

// at is where a step ends and the next one begins.
func (w *world) at(name string) error {
	if w.step == nil {
		return nil
	}
	return w.step(name)
}

// cas writes the record.
func (w *world) cas(change func(*record)) {
	next := w.record.clone()
	change(&next)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = next
}

// recorded is the record as it is now, for whoever is not the loop.
func (w *world) recorded() record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.record
}

// commit writes the record between two steps.
func (w *world) commit(name string, change func(*record)) error {
	if err := w.at("before the record: " + name); err != nil {
		return err
	}
	if w.fenced {
		return pipeline.ErrFenced
	}
	w.cas(change)
	return w.at("after the record: " + name)
}

func name(i int) string { return fmt.Sprintf("Branch_%03d", i) }

// connections are those that the present run knows. A resume may bring more.
func (w *world) connections() int {
	if w.record.Run == 0 && len(w.plan.groups) > 1 {
		return len(w.plan.rows) - 1
	}
	return len(w.plan.rows)
}

// queries is how many queries the destination takes.
func (w *world) queries() int {
	if w.subject.Kind.Traits.OneQuery {
		return 1
	}
	return len(w.plan.rows[0])
}

// rows is how many rows a connection has, by query.
func (w *world) rows(i int) []int64 {
	all := make([]int64, w.queries())
	for q := range all {
		all[q] = int64(w.plan.rows[i][q])
	}
	return all
}

// split says that each connection has a file of its own.
func (w *world) split() bool { return strings.Contains(w.target.Dest.Path, "{connection}") }

// spec is what a claim's sink is made from.
func (w *world) spec() pipeline.SinkSpec {
	d := w.target.Dest
	if d.ID == "" {
		d.ID = "d"
	}
	if d.Type == "" {
		d.Type = w.subject.Kind.Name
	}
	m := &pipeline.Manifest{Run: "run1", JobID: "job", JobName: "Job", Birth: "birth", Created: time.Date(2026, 11, 23, 18, 45, 0, 0, time.UTC)}
	for q := range w.queries() {
		m.Schemas = append(m.Schemas, pipeline.Schema{Columns: w.opening().Queries[q].Columns})
	}
	for i := range w.connections() {
		c := pipeline.ManifestConnection{ID: fmt.Sprint("c", i), Name: name(i)}
		for q := range w.queries() {
			c.Queries = append(c.Queries, pipeline.ManifestQuery{Name: fmt.Sprint("query", q)})
		}
		m.Connections = append(m.Connections, c)
		if w.split() {
			d.Files = append(d.Files, strings.ReplaceAll(d.Path, "{connection}", name(i)))
		}
	}
	m.Destinations = []pipeline.ManifestDestination{d}
	spec := pipeline.SinkSpec{Manifest: m, Destination: &m.Destinations[0], StoreID: "store"}
	if w.target.Spec != nil {
		w.target.Spec(&spec)
	}
	return spec
}

func (w *world) opening() *pipeline.Opening {
	queries, cols := make([]pipeline.Query, w.queries()), make([][]columnar.Column, w.queries())
	for q := range queries {
		queries[q].Name, cols[q] = fmt.Sprint("query", q), columns
	}
	o := pipeline.NewOpening(queries, cols)
	return &o
}

// batchRows is how many rows a batch has at most.
const batchRows = 2

// batches hands over a connection's rows from the numbers of rows on that from says; nil is all.
func (w *world) batches(i int, from []int64, take func(query int, first int64, b *columnar.Batch) error) error {
	for q, all := range w.rows(i) {
		first := int64(0)
		if from != nil {
			first = from[q]
		}
		for ; first < all; first += batchRows {
			b := columnar.NewBuilder(columns)
			for line := first; line < min(all, first+batchRows); line++ {
				b.Column(0).String(name(i))
				b.Column(1).Long(int64(q))
				b.Column(2).Long(line)
				b.EndRow()
			}
			body, err := b.Encode()
			if err != nil {
				return err
			}
			batch, err := columnar.Decode(bytes.Clone(body))
			if err != nil {
				return err
			}
			if err := take(q, first, batch); err != nil {
				return err
			}
		}
	}
	return nil
}

// report is what the loop says of the destination now.
func (w *world) report(m *pipeline.Manifest, d *pipeline.ManifestDestination, state pipeline.RecordState) *pipeline.Report {
	failed, sealed, why := map[int]pipeline.Refusal{}, map[int]pipeline.Seal{}, map[string]string{}
	for i, s := range w.record.Sealed {
		sealed[i] = pipeline.Seal{Settlement: s}
	}
	for i := range m.Connections {
		if !slices.Contains(slices.Concat(w.plan.groups[w.record.Run]...), i) {
			failed[i] = pipeline.Refusal{Attempt: 1, Attempts: 1}
			why[m.Connections[i].ID] = "no route to host"
		}
	}
	rec := checkpoint.CommitRecord{State: state, Settled: w.record.Settled, Failed: failed, Sealed: sealed}
	return checkpoint.NewReport(m, d, rec, why)
}

// script delivers what is left of all runs, from the record on.
func (w *world) script(ctx context.Context) error {
	for w.record.Run < len(w.plan.groups) {
		if err := w.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// run delivers what is left of the present run, and ends it.
func (w *world) run(ctx context.Context) error {
	if err := w.deliver(ctx); err != nil {
		return err
	}
	if w.subject.Kind.Clean != nil {
		if _, err := w.subject.Kind.Clean(ctx, w.spec(), false); err != nil {
			return fmt.Errorf("clean: %w", err)
		}
	}
	return w.commit("next run", func(r *record) { r.Run, r.State = r.Run+1, pipeline.RecordOpen })
}

// whole checks that the target has every connection that is delivered by now, and each of them whole. A user may have
// taken some away.
func (w *world) whole(gone ...string) error {
	seen, err := w.visible()
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for run := range min(w.record.Run, len(w.plan.groups)) {
		for _, i := range slices.Concat(w.plan.groups[run]...) {
			want[name(i)] = true
		}
	}
	for i, rows := range w.plan.rows {
		if w.empty(rows) {
			delete(want, name(i))
		}
	}
	for _, name := range gone {
		delete(want, name)
		delete(seen, name)
	}
	if have, need := slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(want)); !slices.Equal(have, need) {
		return fmt.Errorf("a reader finds %v, and is to find %v", have, need)
	}
	return nil
}

// empty reports whether a reader finds nothing of a connection.
func (w *world) empty(rows []int) bool {
	return !slices.ContainsFunc(rows[:w.queries()], func(n int) bool { return n > 0 })
}

// visible reads the target. A connection that is there is there whole, once, with its rows in order.
func (w *world) visible() (map[string]bool, error) {
	rows, err := w.target.Read()
	if err != nil {
		return nil, fmt.Errorf("what a reader finds is not whole: %w", err)
	}
	known, next := map[string]bool{}, map[string][]int64{}
	for i := range w.plan.rows {
		known[name(i)] = true
	}
	for _, r := range rows {
		if !known[r.Branch] || r.Query < 0 || r.Query >= w.queries() {
			return nil, fmt.Errorf("a reader finds %+v, which nobody delivered", r)
		}
		if next[r.Branch] == nil {
			next[r.Branch] = make([]int64, w.queries())
		}
		if next[r.Branch][r.Query] != int64(r.Line) {
			return nil, fmt.Errorf("a reader finds row %d of query %d of %s where row %d belongs", r.Line, r.Query, r.Branch, next[r.Branch][r.Query])
		}
		next[r.Branch][r.Query]++
	}
	seen := map[string]bool{}
	for i := range w.plan.rows {
		if have := next[name(i)]; have != nil {
			seen[name(i)] = true
			if want := w.rows(i); !slices.Equal(have, want) {
				return nil, fmt.Errorf("a reader finds %v rows of %s, which has %v: half a connection", have, name(i), want)
			}
		}
	}
	return seen, nil
}

// sound checks what a reader finds at any instant: nothing that is half, and of what the record says everything that it
// promised before.
func (w *world) sound() error {
	seen, err := w.visible()
	if err != nil {
		return err
	}
	for _, i := range w.record.Shown {
		if !seen[name(i)] && !w.empty(w.plan.rows[i]) {
			return fmt.Errorf("%s was released, and a reader does not find it", name(i))
		}
	}
	for i := range w.plan.rows {
		_, settled := w.record.Settled[i]
		_, sealed := w.record.Sealed[i]
		if seen[name(i)] && !settled && !(sealed && slices.Contains(w.record.Staged, i)) {
			return fmt.Errorf("a reader finds %s, of which no record says that it is committed", name(i))
		}
	}
	return nil
}

// artifacts are the files that readers see, by name, but for reports, which have the time in them.
func (w *world) artifacts() (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(w.out(), func(path string, e os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && e.Name() == ".fanmill":
			return filepath.SkipDir
		case e.IsDir() || strings.HasSuffix(path, ".manifest.json"):
			return nil
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(w.out(), path)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	return all, err
}
