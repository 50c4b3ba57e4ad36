package sinks_test

import (
	"bytes"
	"context"
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

// TestExcelResumedAfterEnd: a run that ended without a branch gets it by a resume, also one that the job has gained,
// and no name changes.
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
	s, err := sinks.Kinds()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, w.state, nil); !pipeline.IsPermanent(err) {
		t.Errorf("a job that lost connections: %v", err)
	}
}

// TestExcelShortPart holds rule R3: a part file shorter than recorded stops loudly.
func TestExcelShortPart(t *testing.T) {
	w := newExcelWorld(t, "", "A")
	w.claim()
	p := w.open(0)
	w.write(p, 0, 0, w.batch(0, 0, 100))
	saved, err := p.Save(context.Background())
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
	s, err := sinks.Kinds()["excel"].New(pipeline.SinkSpec{Manifest: &w.manifest, Destination: &w.dest, StoreID: "store"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	part := pipeline.PartState{PartID: pipeline.PartID{Connection: 0, Attempt: 1}, State: saved, Open: *w.opening(0)}
	if _, err := s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, w.state, []pipeline.PartState{part}); !errors.Is(err, pipeline.ErrLost) {
		t.Errorf("claim with a short part: %v", err)
	}
	part.State = bytes.Replace(saved, []byte(`"rawLength"`), []byte(`"length":1,"rawLength"`), 1)
	if _, err := s.Recover(context.Background(), pipeline.Fence{Token: pipeline.NewToken()}, w.state, []pipeline.PartState{part}); !errors.Is(err, pipeline.ErrLost) {
		t.Errorf("claim with sheets that do not fill their file: %v", err)
	}
}

// TestExcelLosses holds invariant 9: what a cell cannot hold is counted and named, across a cut, or turns the
// connection away.
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
	saved, err := p.Save(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.parts = []pipeline.PartState{{PartID: pipeline.PartID{Connection: 0, Attempt: 1}, Rows: []int64{2}, State: saved, Open: *w.opening(0)}}
	w.claim()
	p = w.reopen(w.parts[0])
	w.write(p, 0, 2, long(w))
	w.finishPart(p)
	losses := sinks.SummaryOf(p).Losses
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
	if _, err := strict.sink.Open(context.Background(), pipeline.PartID{Connection: 0, Attempt: 2}, &wide, nil, nil); !errors.As(err, &rejected) {
		t.Errorf("16,385 columns: %v", err)
	}
}

// TestExcelRollOver: more rows than a sheet holds go on in a second one, named after the first.
func TestExcelRollOver(t *testing.T) {
	w := newExcelWorld(t, "", "Big", "Big (2)")
	w.claim()
	p := w.full(0)
	w.commit(w.whole(1, 1), p)
	f, err := excelize.OpenFile(w.public())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := f.GetSheetList(), []string{"Big", "Big (2-2)", "Big (2)", "Summary"}; !slices.Equal(got, want) {
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
