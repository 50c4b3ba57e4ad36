package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/xuri/excelize/v2"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

var updateSummary = flag.Bool("update-summary", false, "write the golden files of the Summary")

// saleColumns are a branch's sales: an identifier, a text, amounts, a double.
var saleColumns = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "party", Kind: columnar.Text},
	{Name: "taxable_value", Kind: columnar.Decimal, Precision: 18, Scale: 2}, {Name: "weight", Kind: columnar.Float}, {Name: "Rate", Kind: columnar.Numeric}}

// sales are rows of saleColumns.
func (w *excelWorld) sales(conn, first, rows int) *columnar.Batch {
	w.t.Helper()
	b := columnar.NewBuilder(w.cols)
	for i := first; i < first+rows; i++ {
		b.Column(0).Long(int64(i))
		b.Column(1).String(party(conn, i))
		b.Column(2).Decimal(decimal128.FromI64(int64(1_234_567*(conn+1) + i)))
		b.Column(3).Float(0.1)
		switch rate := b.Column(4); {
		case i%7 == 6:
			rate.Retype(columnar.Mixed)
			rate.Mixed(columnar.ClassStray, []byte("NaN"))
		case rate.Kind == columnar.Mixed:
			rate.Mixed(columnar.ClassNumber, []byte("1.50"))
		default:
			rate.String("1.50")
		}
		b.EndRow()
	}
	return decoded(w.t, b)
}

// sold is a finished part of sales, cut into batches.
func (w *excelWorld) sold(conn int, batches ...int) pipeline.Part {
	w.t.Helper()
	p := w.open(conn)
	for q := range w.manifest.Connections[conn].Queries {
		first := 0
		for _, rows := range batches {
			w.write(p, q, first, w.sales(conn, first, rows))
			first += rows
		}
	}
	w.finishPart(p)
	return p
}

// fail notes that a connection is given up.
func (w *excelWorld) fail(conn int, rejected bool, reason string) {
	w.record.Failed[conn] = pipeline.Refusal{Attempt: 3, Attempts: 3, Millis: 4_100, Rejected: rejected}
	w.errors[w.manifest.Connections[conn].ID] = reason
}

// public opens the public workbook.
func (w *excelWorld) openPublic() *excelize.File {
	w.t.Helper()
	f, err := excelize.OpenFile(w.public())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = f.Close() })
	return f
}

// summary is the public workbook's Summary as stored, and whether it is the tab in front.
func (w *excelWorld) summary() (rows [][]string, front bool) {
	w.t.Helper()
	f := w.openPublic()
	rows, err := f.GetRows("Summary", excelize.Options{RawCellValue: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows, f.GetSheetName(f.GetActiveSheetIndex()) == "Summary"
}

// TestSummaryGolden shows the Summary of a run that lacks branches, cell by cell and as XML.
func TestSummaryGolden(t *testing.T) {
	w := newExcelWorld(t, `{"columns":{"TAXABLE_VALUE":{"format":"\"₹ \"#,##0.00","rename":"Taxable value (INR)"}}}`, "Pune", "Delhi & <NCR>", "Agra", "Surat", "Goa")
	w.cols = saleColumns
	w.claim()
	w.commit(w.sold(1, 10, 20))
	w.fail(2, false, "query Agra: dial tcp 10.1.2.3:1433: i/o timeout\n(tried 3 times)")
	w.fail(3, true, `column "party", row 8: a text of 40000 characters does not fit a cell`)
	w.commit(w.sold(0, 5))
	running, front := w.summary()
	if !front || running[2][0] != "unfinished: 2 of 5 connections are here so far" || running[9][1] != "pending" {
		t.Errorf("while it runs: in front %v, %q", front, running)
	}
	w.fail(4, false, "no such table: sale")
	w.finish()
	w.publishFinal()
	rows, front := w.summary()
	if !front {
		t.Error("a branch is missing, and the Summary is not in front")
	}
	var text strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&text, strings.Join(r, " | "))
	}
	golden(t, "summary.txt", text.String())
	f := w.openPublic()
	xml, ok := f.Pkg.Load("xl/worksheets/sheet3.xml")
	if !ok {
		t.Fatal("the Summary is not the third sheet")
	}
	golden(t, "summary.xml", strings.ReplaceAll(string(xml.([]byte)), "><", ">\n<")+"\n")
	if link, target, err := f.GetCellHyperLink("Summary", "A7"); err != nil || !link || target != "'Delhi & <NCR>'!A1" {
		t.Errorf("the link of Delhi leads to %q (%v)", target, err)
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateSummary {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s differs (go test ./sinks -run %s -update-summary writes it anew):\n%s", path, t.Name(), got)
	}
}

// TestSummaryComplete: with every branch there the first sheet is in front and the Summary is the last one.
func TestSummaryComplete(t *testing.T) {
	w := newExcelWorld(t, "", "Summary", "B")
	w.cols = saleColumns
	w.claim()
	w.commit(w.sold(0, 3), w.sold(1, 4))
	for range 2 {
		rows, front := w.summary()
		if front || rows[2][0] != "complete: all 2 connections are here" {
			t.Errorf("in front %v: %q", front, rows)
		}
		if tabs := w.openPublic().GetSheetList(); !slices.Equal(tabs, []string{"Summary_2", "B", "Summary"}) {
			t.Errorf("tabs are %q", tabs)
		}
		w.finish()
		w.publishFinal()
	}
}

// TestSummaryQueries: connections with several queries have a line for each, and a total for each.
func TestSummaryQueries(t *testing.T) {
	w := newExcelWorld(t, "", "A", "B")
	w.cols = saleColumns
	for i := range w.manifest.Connections {
		w.manifest.Connections[i].Queries = []pipeline.ManifestQuery{{Name: "sale"}, {Name: "purchase"}}
	}
	w.claim()
	w.commit(w.sold(1, 3))
	rows, _ := w.summary()
	var got []string
	for _, r := range rows[5:] {
		got = append(got, strings.Join(r[:min(4, len(r))], " "))
	}
	want := []string{"A sale pending", "A purchase pending", "B sale delivered 3", "B purchase delivered 3", "Total sale 1 delivered 3", "Total purchase 1 delivered 3"}
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines are %q, want %q", got, want)
	}
}

// TestSummaryOff: "summary": false leaves it out, frees the name, and keeps nothing for it in the workbook.
func TestSummaryOff(t *testing.T) {
	w := newExcelWorld(t, `{"summary":false}`, "Summary")
	w.bare = true
	w.claim()
	w.commit(w.whole(0, 3))
	content := w.check(wantSheet{"Summary", 0, 3})
	if bytes.Contains(content, []byte("customXml")) {
		t.Error("the workbook holds facts that nobody reads")
	}
	w.finish()
	w.publishFinal()
	w.check(wantSheet{"Summary", 0, 3})
}

// TestControlTotals holds invariant 3 for the Summary: totals are the exact sums of all rows, whatever the batches,
// across a cut, a crash and a resume.
func TestControlTotals(t *testing.T) {
	totals := func(w *excelWorld) (out [][]string) {
		rows, _ := w.summary()
		for _, r := range rows[5:] {
			out = append(out, append([]string{r[0]}, r[min(len(r), 7):]...))
		}
		return out
	}
	w := newExcelWorld(t, "", "A", "B")
	w.cols = saleColumns
	w.claim()
	p := w.open(0)
	w.write(p, 0, 0, w.sales(0, 0, 1000))
	saved, err := p.Save(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.parts = []pipeline.PartState{{PartID: pipeline.PartID{Connection: 0, Attempt: 1}, Rows: []int64{1000}, State: saved, Open: *w.opening(0)}}
	w.write(p, 0, 1000, w.sales(0, 1000, 50)) // lost with the process
	w.claim()
	p = w.reopen(w.parts[0])
	w.write(p, 0, 1000, w.sales(0, 1000, 500))
	w.finishPart(p)
	w.parts = nil
	w.commit(p)
	w.claim() // the totals of A come from the workbook now
	w.commit(w.sold(1, 10))
	w.finish()
	w.publishFinal()
	// Sum of ids 0..1499 and 0..9; amounts 12345.67 and 24691.34 plus a paisa per row and id; 1510 times the double
	// that stands for 0.1; 1.5 for six of seven rows.
	want := [][]string{{"A", "1124250", "18529747.50", "150", "1929.00"}, {"B", "45", "246913.85", "1", "13.50"},
		{"Total", "1124295", "18776661.35", "151", "1942.50"}}
	if got := totals(w); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("totals are\n%q, want\n%q", got, want)
	}
	rows, _ := w.summary()
	if note := rows[5][6]; note != "Rate: 214 of 1500 cells are texts; the first in row 7; Rate: 214 values are not numbers and not in its total" {
		t.Errorf("the note on A is %q", note)
	}
}

// TestExcelThousandConnections holds rule R8 with a thousand connections of a hundred columns of numbers: what the
// record keeps does not grow with totals.
func TestExcelThousandConnections(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 200 // the same bound holds all the more
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("Branch %04d", i))
	}
	w := newExcelWorld(t, "", names...)
	w.cols = nil
	for i := range 100 {
		w.cols = append(w.cols, columnar.Column{Name: fmt.Sprintf("amount_%d", i), Kind: columnar.Decimal, Precision: 38, Scale: 2})
	}
	w.claim()
	b := columnar.NewBuilder(w.cols)
	for i := range w.cols {
		b.Column(i).Decimal(decimal128.FromI64(int64(i)))
	}
	b.EndRow()
	batch := decoded(t, b)
	var parts []pipeline.Part
	for i := range names {
		p := w.open(i)
		w.write(p, 0, 0, batch)
		w.finishPart(p)
		parts = append(parts, p)
	}
	w.commit(parts...)
	w.finish()
	w.publishFinal()
	if len(w.state) > 64<<10 {
		t.Errorf("the state has %d bytes", len(w.state))
	}
	rows, err := json.Marshal(w.record)
	if err != nil || len(w.state)+len(rows) > 256<<10 {
		t.Errorf("the record has %d bytes (%v)", len(w.state)+len(rows), err)
	}
	summary, _ := w.summary()
	if last := summary[len(summary)-1]; len(summary) != n+6 || last[107-1] != fmt.Sprintf("%d.00", 99*n/100) {
		t.Errorf("%d lines, the last is %q", len(summary), last)
	}
}

// TestSummaryOfManyColumns: totals end at a width that people read, and the Summary says so.
func TestSummaryOfManyColumns(t *testing.T) {
	w := newExcelWorld(t, "", "A", "B")
	w.cols = nil
	for i := range 201 {
		w.cols = append(w.cols, columnar.Column{Name: fmt.Sprint("n", i), Kind: columnar.Int})
	}
	w.claim()
	b := columnar.NewBuilder(w.cols)
	for i := range w.cols {
		b.Column(i).Long(int64(i))
	}
	b.EndRow()
	p := w.open(1)
	w.write(p, 0, 0, decoded(t, b))
	w.finishPart(p)
	w.commit(p)
	rows, _ := w.summary()
	if len(rows[4]) != 207 || rows[4][206] != "n199" || rows[6][206] != "199" || rows[3][0] != "only the first 200 columns of numbers have their totals here" {
		t.Errorf("%d columns, %q", len(rows[4]), rows[3])
	}
}
