package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fanmill/checkpoint"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// excelWorld is a run's one Excel destination and what its commit record would hold.
type excelWorld struct {
	t        testing.TB
	dir      string
	manifest pipeline.Manifest
	dest     pipeline.ManifestDestination
	sink     pipeline.Sink
	state    json.RawMessage
	parts    []pipeline.PartState
	cols     []columnar.Column
	written  map[pipeline.Part]*pipeline.PartState // where, and how many rows
	record   checkpoint.CommitRecord               // Settled and Failed
	errors   map[string]string                     // by connection id
	bare     bool                                  // without a Summary
}

func newExcelWorld(t testing.TB, options string, names ...string) *excelWorld {
	w := &excelWorld{t: t, dir: t.TempDir(), cols: []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "party", Kind: columnar.Text}},
		written: map[pipeline.Part]*pipeline.PartState{}, record: checkpoint.CommitRecord{Settled: map[int]pipeline.Settlement{}, Failed: map[int]pipeline.Refusal{}}, errors: map[string]string{}}
	w.manifest = pipeline.Manifest{Run: "run1", JobID: "job", JobName: "Sales", TimeZone: "Asia/Kolkata", Created: time.Date(2026, 11, 23, 18, 45, 0, 0, time.UTC)}
	w.dest = pipeline.ManifestDestination{ID: "excel", Type: "excel", Path: w.public(), Options: json.RawMessage(options)}
	w.add(names...)
	t.Cleanup(func() {
		if w.sink != nil {
			_ = w.sink.Close()
		}
	})
	return w
}

// add adds connections, as a resume may.
func (w *excelWorld) add(names ...string) {
	for _, n := range names {
		w.manifest.Connections = append(w.manifest.Connections, pipeline.ManifestConnection{ID: "id of " + n, Name: n, Queries: make([]pipeline.ManifestQuery, 1)})
	}
}

func (w *excelWorld) public() string { return filepath.Join(w.dir, "sales.xlsx") }

// claim starts the destination from what is recorded, as after a crash: the sink before is simply forgotten.
func (w *excelWorld) claim() {
	w.t.Helper()
	if w.sink != nil {
		_ = w.sink.Close()
	}
	var err error
	if w.sink, err = sinks.Kinds()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"}); err != nil {
		w.t.Fatal(err)
	}
	found, err := w.sink.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, w.state, w.parts)
	if w.state = found.State; err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.sink.Release(context.Background(), nil, nil, false); err != nil {
		w.t.Fatal(err)
	}
}

func (w *excelWorld) opening(conn int) *pipeline.Opening {
	n := len(w.manifest.Connections[conn].Queries)
	cols := make([][]columnar.Column, n)
	for i := range cols {
		cols[i] = w.cols
	}
	o := pipeline.NewOpening(make([]pipeline.Query, n), cols)
	return &o
}

func (w *excelWorld) open(conn int) pipeline.Part {
	w.t.Helper()
	p, err := w.sink.Open(context.Background(), pipeline.PartID{Connection: conn, Attempt: 1}, w.opening(conn), nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.written[p] = &pipeline.PartState{PartID: pipeline.PartID{Connection: conn}, Rows: make([]int64, len(w.manifest.Connections[conn].Queries))}
	return p
}

// batch is rows from first on of a connection; party names both.
func (w *excelWorld) batch(conn, first, rows int) *columnar.Batch {
	w.t.Helper()
	b := columnar.NewBuilder(w.cols)
	for i := first; i < first+rows; i++ {
		b.Column(0).Long(int64(i))
		b.Column(1).String(party(conn, i))
		b.EndRow()
	}
	return decoded(w.t, b)
}

func party(conn, row int) string { return fmt.Sprintf("party %d of branch %d", row, conn) }

func decoded(t testing.TB, b *columnar.Builder) *columnar.Batch {
	t.Helper()
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(bytes.Clone(body))
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func (w *excelWorld) write(p pipeline.Part, query, firstRow int, b *columnar.Batch) {
	w.t.Helper()
	c, err := p.Encode(query, int64(firstRow), b)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.Append(context.Background(), query, c); err != nil {
		w.t.Fatal(err)
	}
	if s := w.written[p]; s != nil {
		s.Rows[query] += int64(b.Rows)
	}
}

// reopen continues a recorded part.
func (w *excelWorld) reopen(s pipeline.PartState) pipeline.Part {
	w.t.Helper()
	p, err := w.sink.Open(context.Background(), s.PartID, &s.Open, &s, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s.Rows = slices.Clone(s.Rows)
	w.written[p] = &s
	return p
}

// whole is a finished part of a connection: rows for each of its queries.
func (w *excelWorld) whole(conn, rows int) pipeline.Part {
	w.t.Helper()
	p := w.open(conn)
	for q := range w.manifest.Connections[conn].Queries {
		w.write(p, q, 0, w.batch(conn, 0, rows))
	}
	w.finishPart(p)
	return p
}

// full is a finished part of a connection whose rows fill one sheet and are two more.
func (w *excelWorld) full(conn int) pipeline.Part {
	w.t.Helper()
	const limit = 1_048_575 // data rows of a sheet
	b := columnar.NewBuilder(w.cols)
	for range limit {
		b.Column(0).Null()
		b.Column(1).Null()
		b.EndRow()
	}
	p := w.open(conn)
	w.write(p, 0, 0, decoded(w.t, b))
	w.write(p, 0, limit, w.batch(conn, 0, 2))
	w.finishPart(p)
	return p
}

func (w *excelWorld) finishPart(p pipeline.Part) {
	w.t.Helper()
	if _, err := p.Finish(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// stage appends parts without recording it.
func (w *excelWorld) stage(parts ...pipeline.Part) json.RawMessage {
	w.t.Helper()
	staged, err := w.sink.Stage(context.Background(), parts, 1, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range parts {
		s, said := w.written[p], sinks.SummaryOf(p)
		w.record.Settled[s.Connection] = pipeline.Settlement{Rows: s.Rows, Attempt: 1, Attempts: 1, Millis: 90_400, Losses: said.Losses, Notes: said.Notes}
	}
	return staged.State
}

// report is what the loop would say.
func (w *excelWorld) report(state pipeline.RecordState) *pipeline.Report {
	w.record.State = state
	return checkpoint.NewReport(&w.manifest, &w.dest, w.record, w.errors)
}

// commit appends parts, records and publishes.
func (w *excelWorld) commit(parts ...pipeline.Part) {
	w.t.Helper()
	w.state = w.stage(parts...)
	w.publish()
}

func (w *excelWorld) publish() {
	w.t.Helper()
	if _, err := w.sink.Release(context.Background(), nil, w.report(pipeline.RecordOpen), false); err != nil {
		w.t.Fatal(err)
	}
}

func (w *excelWorld) finish() {
	w.t.Helper()
	staged, err := w.sink.Stage(context.Background(), nil, 1, w.report(pipeline.RecordFinishing))
	if err != nil {
		w.t.Fatal(err)
	}
	w.state = staged.State
}

func (w *excelWorld) publishFinal() {
	w.t.Helper()
	if _, err := w.sink.Release(context.Background(), nil, w.report(pipeline.RecordFinished), true); err != nil {
		w.t.Fatal(err)
	}
}

func (w *excelWorld) clean() {
	w.t.Helper()
	cleanUp(w.t, w.sink, false)
}

// wantSheet is a sheet of the public workbook.
type wantSheet struct {
	name       string
	conn, rows int
}

// check opens the public workbook, whose tabs are those and the Summary.
func (w *excelWorld) check(want ...wantSheet) []byte {
	w.t.Helper()
	content, err := os.ReadFile(w.public())
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := excelize.OpenReader(bytes.NewReader(content))
	if err != nil {
		w.t.Fatalf("the public workbook does not open: %v", err)
	}
	defer f.Close()
	var names []string
	for _, s := range want {
		names = append(names, s.name)
	}
	if !w.bare {
		names = append(names, "Summary")
	}
	if got := f.GetSheetList(); !slices.Equal(got, names) {
		w.t.Fatalf("tabs are %q, want %q", got, names)
	}
	for _, s := range want {
		rows, err := f.GetRows(s.name)
		if err != nil || len(rows) != s.rows+1 || !slices.Equal(rows[0], []string{"id", "party"}) {
			w.t.Fatalf("sheet %s has %d rows, want a header and %d (%v)", s.name, len(rows), s.rows, err)
		}
		for i, row := range rows[1:] {
			if !slices.Equal(row, []string{fmt.Sprint(i), party(s.conn, i)}) {
				w.t.Fatalf("sheet %s row %d is %q", s.name, i, row)
			}
		}
	}
	return content
}
