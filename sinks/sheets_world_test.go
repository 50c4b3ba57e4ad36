package sinks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

const robot = "robot@fake.iam.gserviceaccount.com"

// sheetsWorld is a spreadsheet of the fake, and runs of a job that write it as the loop does.
type sheetsWorld struct {
	t        testing.TB
	fake     *sheetsfake.Server
	book     *sheetsfake.Book
	options  map[string]any
	mode     string
	manifest *pipeline.Manifest
	branches []*sheetsBranch
	query    *int

	runs     int
	epoch    uint64
	sink     pipeline.Sink
	settled  map[int]pipeline.Settlement
	rejected map[int]string
	said     map[int]pipeline.Summary
}

// sheetsBranch is a connection, and the rows that it returns.
type sheetsBranch struct {
	name    string
	queries []*sheetsResult
}

// sheetsResult is what one query returns; it implements pipeline.Rows with the others of its connection.
type sheetsResult struct {
	name    string
	cols    []columnar.Column
	rows    int
	fill    func(b *columnar.Builder, row int)
	batches []*columnar.Batch
}

func newSheetsWorld(t testing.TB, mode string, options map[string]any) *sheetsWorld {
	t.Helper()
	return newSheetsWorldOf(t, sheetsfake.Options{}, mode, options)
}

func newSheetsWorldOf(t testing.TB, o sheetsfake.Options, mode string, options map[string]any) *sheetsWorld {
	t.Helper()
	fake, err := sheetsfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &sheetsWorld{t: t, fake: fake, book: fake.Create("doc", robot), mode: mode, options: map[string]any{"spreadsheet": "doc", "endpoint": fake.URL(), "credentials": "${KEY}"}}
	maps.Copy(w.options, options)
	t.Cleanup(func() { w.leave(); _ = fake.Close() })
	return w
}

var sheetsColumns = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "party", Kind: columnar.Text}, {Name: "amount", Kind: columnar.Decimal, Precision: 9, Scale: 2}}

// branch adds a connection of one query. Its rows have the tag.
func (w *sheetsWorld) branch(name string, rows int, tag string) *sheetsBranch {
	b := &sheetsBranch{name: name, queries: []*sheetsResult{{cols: sheetsColumns, rows: rows, fill: taggedRow(tag)}}}
	w.branches = append(w.branches, b)
	return b
}

// taggedRow is row i: its number, a text with the tag, an amount of a hundredth of it.
func taggedRow(tag string) func(b *columnar.Builder, row int) {
	return func(b *columnar.Builder, row int) {
		b.Column(0).Long(int64(row + 1))
		b.Column(1).String(fmt.Sprintf("%s %d", tag, row+1))
		b.Column(2).Decimal(cents(row + 1))
	}
}

func (r *sheetsResult) all(t testing.TB) []*columnar.Batch {
	const size = 500
	for len(r.batches)*size < r.rows {
		b := columnar.NewBuilder(r.cols)
		for i := len(r.batches) * size; i < min(r.rows, (len(r.batches)+1)*size); i++ {
			r.fill(b, i)
			b.EndRow()
		}
		r.batches = append(r.batches, decoded(t, b))
	}
	return r.batches
}

// sheetsRows are a branch's rows as the spool gives them.
type sheetsRows struct {
	w *sheetsWorld
	b *sheetsBranch
}

func (r sheetsRows) Bytes() int64 { return 1 }

func (r sheetsRows) Count() (n []int64) {
	for _, q := range r.b.queries {
		n = append(n, int64(q.rows))
	}
	return n
}

func (r sheetsRows) Each(ctx context.Context, take func(query int, first int64, b *columnar.Batch) error) error {
	for q, result := range r.b.queries {
		if r.w.query != nil && *r.w.query != q {
			continue
		}
		first := int64(0)
		for _, b := range result.all(r.w.t) {
			if err := take(q, first, b); err != nil {
				return err
			}
			first += int64(b.Rows)
		}
	}
	return ctx.Err()
}

// begin begins a run of the job.
func (w *sheetsWorld) begin() {
	w.t.Helper()
	w.leave()
	w.runs++
	w.epoch, w.settled, w.rejected, w.said = 0, map[int]pipeline.Settlement{}, map[int]string{}, map[int]pipeline.Summary{}
	w.manifest = &pipeline.Manifest{Run: fmt.Sprint("run ", w.runs), Birth: fmt.Sprint("birth ", w.runs), JobID: "job", JobName: "Sales", Created: time.Unix(int64(1000*w.runs), 0)}
	for _, b := range w.branches {
		c := pipeline.ManifestConnection{ID: "id of " + b.name, Name: b.name}
		for _, q := range b.queries {
			c.Queries = append(c.Queries, pipeline.ManifestQuery{Name: q.name})
		}
		w.manifest.Connections = append(w.manifest.Connections, c)
	}
	if kind := w.kind(); kind.OneSchema(w.spec().Destination) {
		w.manifest.Schemas = w.schemas()
	}
}

// schemas are the columns of all branches, by query, in the order of first appearance.
func (w *sheetsWorld) schemas() (out []pipeline.Schema) {
	for q := range w.branches[0].queries {
		var s pipeline.Schema
		for _, b := range w.branches {
			for _, c := range b.queries[q].cols {
				if !slices.ContainsFunc(s.Columns, func(o pipeline.OpeningColumn) bool { return o.Name == c.Name }) {
					s.Columns = append(s.Columns, pipeline.OpeningColumn{Name: c.Name, Type: c.Type()})
				}
			}
		}
		out = append(out, s)
	}
	return out
}

func (w *sheetsWorld) kind() *pipeline.SinkKind { return sinks.Kinds()["sheets"] }

func (w *sheetsWorld) spec() pipeline.SinkSpec {
	w.t.Helper()
	options, err := json.Marshal(w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	return pipeline.SinkSpec{Manifest: w.manifest, StoreID: "store", Destination: &pipeline.ManifestDestination{ID: "sheets", Type: "sheets", Mode: w.mode, Options: options, Query: w.query},
		Expand: func(text string) (string, error) {
			return strings.ReplaceAll(text, "${KEY}", string(w.fake.KeyFile(robot))), nil
		}}
}

// claim takes the destination over; the process before is gone, or was closed.
func (w *sheetsWorld) claim() error {
	w.t.Helper()
	w.epoch++
	var err error
	if w.sink, err = w.kind().New(w.spec()); err != nil {
		w.t.Fatal(err)
	}
	found, err := w.sink.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken(), Epoch: w.epoch, Birth: w.manifest.Birth}, nil, nil)
	if err != nil {
		return err
	}
	maps.Copy(w.settled, found.Settled)
	_, err = w.sink.Release(context.Background(), nil, nil, false)
	return err
}

func (w *sheetsWorld) leave() {
	if w.sink != nil {
		_ = w.sink.Close()
		w.sink = nil
	}
}

// stage opens and stages what has no settlement.
func (w *sheetsWorld) stage() {
	w.t.Helper()
	var parts []pipeline.Part
	for i, b := range w.branches {
		if _, done := w.settled[i]; done || w.rejected[i] != "" {
			continue
		}
		queries, cols := make([]pipeline.Query, len(b.queries)), make([][]columnar.Column, len(b.queries))
		for q, r := range b.queries {
			queries[q].Name, cols[q] = r.name, r.cols
		}
		o := pipeline.NewOpening(queries, cols)
		p, err := w.sink.Open(context.Background(), pipeline.PartID{Connection: i, Attempt: 1}, &o, nil, sheetsRows{w, b})
		if err == nil {
			w.said[i], err = p.Finish(context.Background())
		}
		var turned *pipeline.RejectError
		if errors.As(err, &turned) {
			w.rejected[i] = turned.Reason
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		parts = append(parts, p)
	}
	staged, err := w.sink.Stage(context.Background(), parts, 1, nil)
	if err != nil || len(staged.Allocated) != len(parts) || len(staged.State) == 0 {
		w.t.Fatalf("staged %v of %d parts, %v", staged.Allocated, len(parts), err)
	}
}

// release sends what is staged, once.
func (w *sheetsWorld) release(insist bool) error {
	r, err := w.sink.Release(context.Background(), nil, &pipeline.Report{State: pipeline.RecordFinished}, insist)
	maps.Copy(w.settled, r.Settled)
	maps.Copy(w.rejected, r.Rejected)
	return err
}

// goOn claims, sends and ends, or tells the first error.
func (w *sheetsWorld) goOn() error {
	w.t.Helper()
	if err := w.claim(); err != nil {
		return err
	}
	w.stage()
	if err := w.release(false); err != nil {
		return err
	}
	return w.release(true)
}

// run is a whole run.
func (w *sheetsWorld) run() {
	w.t.Helper()
	w.begin()
	if err := w.goOn(); err != nil {
		w.t.Fatal(err)
	}
	if len(w.settled)+len(w.rejected) != len(w.branches) {
		w.t.Fatalf("%d of %d are settled, rejected: %v", len(w.settled), len(w.branches), w.rejected)
	}
	w.tidy()
}

// tidy checks that no hidden tab is left.
func (w *sheetsWorld) tidy() {
	w.t.Helper()
	for _, t := range w.book.Tabs() {
		if t.Hidden {
			w.t.Errorf("the hidden tab %q is left", t.Title)
		}
	}
}

// sheetLines are the rows of a tag as a tab has them, after the name of their connection, if it has one.
func sheetLines(rows int, tag, name string) (out [][]any) {
	for i := 1; i <= rows; i++ {
		line := []any{float64(i), fmt.Sprintf("%s %d", tag, i), float64(i) / 100}
		if name != "" {
			line = append([]any{name}, line...)
		}
		out = append(out, line)
	}
	return out
}

// holds compares a tab's cells with what they must be.
func (w *sheetsWorld) holds(title string, header []any, want ...[][]any) {
	w.t.Helper()
	all := slices.Concat(append([][][]any{{header}}, want...)...)
	got := w.book.Values(title)
	for i := range max(len(got), len(all)) {
		switch {
		case i >= len(got) || i >= len(all):
			w.t.Errorf("%q has %d rows, want %d", title, len(got), len(all))
			return
		case fmt.Sprintf("%#v", got[i]) != fmt.Sprintf("%#v", all[i]):
			w.t.Errorf("%q, row %d is %#v, want %#v", title, i, got[i], all[i])
			return
		}
	}
}

var sheetsHeader = []any{"id", "party", "amount"}
