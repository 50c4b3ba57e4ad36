package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// excelWorld is a run's one Excel destination and what its commit record would hold.
type excelWorld struct {
	t        *testing.T
	dir      string
	manifest pipeline.Manifest
	dest     pipeline.ManifestDestination
	sink     pipeline.Sink
	state    json.RawMessage
	parts    []pipeline.PartState
	cols     []columnar.Column
}

func newExcelWorld(t *testing.T, options string, names ...string) *excelWorld {
	w := &excelWorld{t: t, dir: t.TempDir(), cols: []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "party", Kind: columnar.Text}}}
	w.manifest = pipeline.Manifest{Run: "run1", JobID: "job", JobName: "Sales", TimeZone: "Asia/Kolkata"}
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
	if w.sink, err = sinks.Types()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"}); err != nil {
		w.t.Fatal(err)
	}
	if w.state, err = w.sink.Claim(context.Background(), pipeline.NewToken(), w.state, w.parts); err != nil {
		w.t.Fatal(err)
	}
	if err := w.sink.Adopted(context.Background()); err != nil {
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
	p, err := w.sink.Open(pipeline.PartID{Connection: conn, Attempt: 1}, w.opening(conn))
	if err != nil {
		w.t.Fatal(err)
	}
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

func decoded(t *testing.T, b *columnar.Builder) *columnar.Batch {
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
	if err := p.Append(query, c); err != nil {
		w.t.Fatal(err)
	}
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

func (w *excelWorld) finishPart(p pipeline.Part) {
	w.t.Helper()
	if err := p.Finish(); err != nil {
		w.t.Fatal(err)
	}
}

// splice appends parts without recording it.
func (w *excelWorld) splice(parts ...pipeline.Part) json.RawMessage {
	w.t.Helper()
	state, err := w.sink.Splice(context.Background(), parts)
	if err != nil {
		w.t.Fatal(err)
	}
	return state
}

// commit appends parts, records and publishes.
func (w *excelWorld) commit(parts ...pipeline.Part) {
	w.t.Helper()
	w.state = w.splice(parts...)
	w.publish()
}

func (w *excelWorld) publish() {
	w.t.Helper()
	if err := w.sink.Publish(context.Background(), &pipeline.Report{Run: "run1", State: pipeline.RecordOpen}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *excelWorld) finish() {
	w.t.Helper()
	state, err := w.sink.Finish(context.Background(), &pipeline.Report{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.state = state
}

func (w *excelWorld) publishFinal() {
	w.t.Helper()
	if err := w.sink.PublishFinal(context.Background(), &pipeline.Report{State: pipeline.RecordFinished}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *excelWorld) clean() {
	w.t.Helper()
	if err := w.sink.Clean(context.Background(), false); err != nil {
		w.t.Fatal(err)
	}
}

// wantSheet is a sheet of the public workbook.
type wantSheet struct {
	name       string
	conn, rows int
}

// check opens the public workbook.
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

// TestExcelGrowsAndFinishes: a sheet per connection and query in the job's order, whatever order they finish in; whole
// at every publication (invariants 1 and 2); at the end an ordinary file and nothing private beside it.
func TestExcelGrowsAndFinishes(t *testing.T) {
	w := newExcelWorld(t, "", "Pune", "Delhi/NCR", "pune")
	w.manifest.Connections[1].Queries = []pipeline.ManifestQuery{{Name: "sale"}, {}}
	w.claim()
	half := w.open(0)
	w.write(half, 0, 0, w.batch(0, 0, 5))
	w.commit(w.whole(2, 3))
	w.check(wantSheet{"pune_2", 2, 3})
	w.commit(w.whole(1, 4))
	w.check(wantSheet{"Delhi_NCR sale", 1, 4}, wantSheet{"Delhi_NCR 2", 1, 4}, wantSheet{"pune_2", 2, 3})
	w.write(half, 0, 5, w.batch(0, 5, 2))
	w.finishPart(half)
	w.commit(half)
	all := []wantSheet{{"Pune", 0, 7}, {"Delhi_NCR sale", 1, 4}, {"Delhi_NCR 2", 1, 4}, {"pune_2", 2, 3}}
	grown := w.check(all...)
	w.finish()
	w.publishFinal()
	if final := w.check(all...); len(final) >= len(grown) {
		t.Errorf("the final workbook has %d bytes, the grown one %d", len(final), len(grown))
	}
	w.clean()
	w.check(all...)
	if left, err := os.ReadDir(w.dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestExcelCrashes holds invariants 2 and 3: given up at any step and claimed again, the public workbook is whole, and
// the final one is byte for byte that of an undisturbed run.
func TestExcelCrashes(t *testing.T) {
	run := func(t *testing.T, crashAt int) (final []byte, steps int) {
		w := newExcelWorld(t, "", "A", "B", "C")
		step := 0
		crash := func() bool {
			step++
			if step != crashAt {
				return false
			}
			w.claim()
			return true
		}
		w.claim()
		// Connection 1 is cut in its middle: 6 rows are recorded, what follows is written again if it was lost.
		first := w.open(1)
		w.write(first, 0, 0, w.batch(1, 0, 6))
		saved, err := first.Sync()
		if err != nil {
			t.Fatal(err)
		}
		w.parts = []pipeline.PartState{{PartID: pipeline.PartID{Connection: 1, Attempt: 1}, Rows: []int64{6}, State: saved, Open: *w.opening(1)}}
		reopen := func() {
			if first, err = w.sink.Reopen(w.parts[0]); err != nil {
				t.Fatal(err)
			}
		}
		if crash() {
			reopen()
		}
		w.write(first, 0, 6, w.batch(1, 6, 4))
		if crash() { // the 4 rows were not recorded
			reopen()
			w.write(first, 0, 6, w.batch(1, 6, 4))
		}
		other := w.whole(0, 3)
		if crash() {
			reopen()
			w.write(first, 0, 6, w.batch(1, 6, 4))
			other = w.whole(0, 3)
		}
		state := w.splice(other)
		if crash() { // after the splice, before the record
			reopen()
			w.write(first, 0, 6, w.batch(1, 6, 4))
			state = w.splice(w.whole(0, 3))
		}
		w.state = state
		if crash() { // after the record, before the publication
			reopen()
			w.write(first, 0, 6, w.batch(1, 6, 4))
			w.check(wantSheet{"A", 0, 3})
		}
		w.publish()
		w.check(wantSheet{"A", 0, 3})
		w.finishPart(first)
		w.parts = nil
		w.commit(first)
		crash()
		w.check(wantSheet{"A", 0, 3}, wantSheet{"B", 1, 10})
		w.commit(w.whole(2, 1))
		all := []wantSheet{{"A", 0, 3}, {"B", 1, 10}, {"C", 2, 1}}
		before := w.state
		w.finish()
		recorded := w.state
		w.state = before
		if crash() { // after Finish, before the record
			w.check(all...)
			w.finish()
			recorded = w.state
		}
		w.state = recorded
		if crash() {
			w.finish()
		}
		w.publishFinal()
		w.check(all...)
		if crash() {
			w.check(all...)
			w.finish()
			w.publishFinal()
		}
		w.clean()
		crashed := crash() // the private files are gone
		if crashed {
			w.finish()
			w.publishFinal()
			w.clean()
		}
		return w.check(all...), step
	}
	want, steps := run(t, 0)
	for at := 1; at <= steps; at++ {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			if got, _ := run(t, at); !bytes.Equal(got, want) {
				t.Error("the final workbook differs from that of an undisturbed run")
			}
		})
	}
}

// TestExcelResumedAfterEnd: a run that ended without a branch gets it by a resume, also one that the job has gained, and no
// name changes.
func TestExcelResumedAfterEnd(t *testing.T) {
	w := newExcelWorld(t, "", "Pune", "Delhi")
	w.claim()
	w.commit(w.whole(0, 2))
	w.finish()
	w.publishFinal()
	w.clean()
	w.add("PUNE", "Agra")
	w.claim()
	w.commit(w.whole(3, 1), w.whole(2, 3), w.whole(1, 4))
	w.finish()
	w.publishFinal()
	w.clean()
	w.check(wantSheet{"Pune", 0, 2}, wantSheet{"Delhi", 1, 4}, wantSheet{"PUNE_2", 2, 3}, wantSheet{"Agra", 3, 1})
	w.manifest.Connections = w.manifest.Connections[:1]
	s, err := sinks.Types()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Claim(context.Background(), pipeline.NewToken(), w.state, nil); !pipeline.IsPermanent(err) {
		t.Errorf("a job that lost connections: %v", err)
	}
}

// TestExcelShortPart holds rule R3: a part file shorter than recorded stops loudly.
func TestExcelShortPart(t *testing.T) {
	w := newExcelWorld(t, "", "A")
	w.claim()
	p := w.open(0)
	w.write(p, 0, 0, w.batch(0, 0, 100))
	saved, err := p.Sync()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, ".fanmill", "sales.xlsx", "*", "0-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("part files: %q (%v)", files, err)
	}
	if err := os.Truncate(files[0], 10); err != nil {
		t.Fatal(err)
	}
	_ = w.sink.Close()
	s, err := sinks.Types()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	part := pipeline.PartState{PartID: pipeline.PartID{Connection: 0, Attempt: 1}, State: saved, Open: *w.opening(0)}
	if _, err := s.Claim(context.Background(), pipeline.NewToken(), w.state, []pipeline.PartState{part}); !errors.Is(err, pipeline.ErrLost) {
		t.Errorf("claim with a short part: %v", err)
	}
	part.State = bytes.Replace(saved, []byte(`"rawLength"`), []byte(`"length":1,"rawLength"`), 1)
	if _, err := s.Claim(context.Background(), pipeline.NewToken(), w.state, []pipeline.PartState{part}); !pipeline.IsPermanent(err) {
		t.Errorf("claim with sheets that do not fill their file: %v", err)
	}
}

// TestExcelLosses holds invariant 9: what a cell cannot hold is counted and named, across a cut, or turns the connection
// away.
func TestExcelLosses(t *testing.T) {
	long := func(w *excelWorld) *columnar.Batch {
		b := columnar.NewBuilder(w.cols)
		for range 2 {
			b.Column(0).Long(1)
			b.Column(1).String(strings.Repeat("x", 40_000))
			b.EndRow()
		}
		return decoded(t, b)
	}
	w := newExcelWorld(t, "", "A")
	w.claim()
	p := w.open(0)
	w.write(p, 0, 0, long(w))
	saved, err := p.Sync()
	if err != nil {
		t.Fatal(err)
	}
	w.parts = []pipeline.PartState{{PartID: pipeline.PartID{Connection: 0, Attempt: 1}, Rows: []int64{2}, State: saved, Open: *w.opening(0)}}
	w.claim()
	if p, err = w.sink.Reopen(w.parts[0]); err != nil {
		t.Fatal(err)
	}
	w.write(p, 0, 2, long(w))
	w.finishPart(p)
	losses := p.(interface{ Losses() []pipeline.Loss }).Losses()
	if want := []pipeline.Loss{{Column: "party", What: "cut to 32767 characters", Cells: 4}}; !slices.Equal(losses, want) {
		t.Errorf("losses are %v, want %v", losses, want)
	}

	strict := newExcelWorld(t, `{"onLoss":"fail"}`, "A")
	strict.claim()
	_, err = strict.open(0).Encode(0, 7, long(strict))
	var rejected *pipeline.RejectError
	if !errors.As(err, &rejected) || !strings.Contains(rejected.Reason, `column "party", row 8`) {
		t.Errorf("with onLoss fail: %v", err)
	}
	wide := pipeline.NewOpening(make([]pipeline.Query, 1), [][]columnar.Column{make([]columnar.Column, 16_385)})
	for i := range wide.Queries[0].Columns {
		wide.Queries[0].Columns[i] = pipeline.OpeningColumn{Name: fmt.Sprint(i), Type: "int"}
	}
	if _, err := strict.sink.Open(pipeline.PartID{Connection: 0, Attempt: 2}, &wide); !errors.As(err, &rejected) {
		t.Errorf("16,385 columns: %v", err)
	}
}

// TestExcelRollOver: more rows than a sheet holds go on in a second one, named after the first.
func TestExcelRollOver(t *testing.T) {
	w := newExcelWorld(t, "", "Big", "Big (2)")
	w.claim()
	p := w.open(0)
	const limit = 1_048_575 // data rows of a sheet
	b := columnar.NewBuilder(w.cols)
	for range limit {
		b.Column(0).Null()
		b.Column(1).Null()
		b.EndRow()
	}
	w.write(p, 0, 0, decoded(t, b))
	w.write(p, 0, limit, w.batch(0, 0, 2))
	w.finishPart(p)
	w.commit(w.whole(1, 1), p)
	f, err := excelize.OpenFile(w.public())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := f.GetSheetList(), []string{"Big", "Big (2-2)", "Big (2)"}; !slices.Equal(got, want) {
		t.Errorf("tabs are %q, want %q", got, want)
	}
	if rows, err := f.GetRows("Big (2-2)"); err != nil || len(rows) != 3 || rows[2][1] != party(0, 1) {
		t.Errorf("the second sheet has %q (%v)", rows, err)
	}
}

// TestExcelOneQuery: a destination may take one query of several.
func TestExcelOneQuery(t *testing.T) {
	w := newExcelWorld(t, "", "A", "B")
	for i := range w.manifest.Connections {
		w.manifest.Connections[i].Queries = make([]pipeline.ManifestQuery, 3)
	}
	one := 1
	w.dest.Query = &one
	w.claim()
	w.commit(w.whole(1, 2))
	w.commit(w.whole(0, 1))
	w.check(wantSheet{"A", 0, 1}, wantSheet{"B", 1, 2})
}

// TestExcelWithoutRows: a run in which no connection got through ends with a workbook that opens.
func TestExcelWithoutRows(t *testing.T) {
	w := newExcelWorld(t, "", "A")
	w.claim()
	w.finish()
	w.publishFinal()
	f, err := excelize.OpenFile(w.public())
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	w.clean()
	w.claim()
	w.commit(w.whole(0, 2))
	w.finish()
	w.publishFinal()
	w.check(wantSheet{"A", 0, 2})
}

// TestExcelRecordStaysSmall holds rule R8 for a thousand connections.
func TestExcelRecordStaysSmall(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("Branch %04d of the northern region", i))
	}
	w := newExcelWorld(t, "", names...)
	w.claim()
	if len(w.state) > 64<<10 {
		t.Errorf("the state of 1,000 connections has %d bytes", len(w.state))
	}
}

// TestExcelCheck: problems of the configuration are told before a run, with what to write instead.
func TestExcelCheck(t *testing.T) {
	check := sinks.Types()["excel"].Check
	if err := check(&pipeline.Destination{FilePath: "D:/Reports/{jobName}.XLSX", Mode: "replace", Options: json.RawMessage(`{"onLoss":"fail"}`)}); err != nil {
		t.Error(err)
	}
	err := check(&pipeline.Destination{FilePath: "sales.xls", Mode: "append", Options: json.RawMessage(`{"onLoss":"cry"}`)})
	for _, want := range []string{".xlsx", `"append"`, `"cry"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
	if err := check(&pipeline.Destination{}); err == nil || !strings.Contains(err.Error(), "filePath is missing") {
		t.Errorf("without a path: %v", err)
	}
}
