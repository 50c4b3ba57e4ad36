package sheets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	api "google.golang.org/api/sheets/v4"

	"fanmill/internal/sheetsfake"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/sheets"
)

// sales is a batch of 2,000 rows of 15 columns.
func sales(t testing.TB) ([]columnar.Column, *columnar.Batch) {
	var cols []columnar.Column
	for i := range 5 {
		cols = append(cols, columnar.Column{Name: fmt.Sprint("t", i), Kind: columnar.Text}, columnar.Column{Name: fmt.Sprint("d", i), Kind: columnar.Decimal, Precision: 14, Scale: 2},
			columnar.Column{Name: fmt.Sprint("n", i), Kind: columnar.Int})
	}
	return cols, batch(t, cols, 2000, func(b *columnar.Builder, row int) {
		for i := 0; i < 15; i += 3 {
			b.Column(i).String("Customer 1234")
			b.Column(i + 1).Decimal(decimal128.FromI64(int64(row*100 + i)))
			b.Column(i + 2).Long(int64(row))
		}
	})
}

// Rows to the JSON of a batch, by this package.
func BenchmarkRows(b *testing.B) {
	w := newWorld(b, sheetsfake.Options{})
	cols, rows := sales(b)
	s, err := w.doc(config(1)).NewSurvey([]sheets.Table{{Columns: cols}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Add(0, rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows.Rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// The same by the structs of Google's client.
func BenchmarkRowsByClient(b *testing.B) {
	_, rows := sales(b)
	b.ReportAllocs()
	for b.Loop() {
		u := &api.UpdateCellsRequest{Fields: "userEnteredValue"}
		var text []byte
		for i := range rows.Rows {
			line := &api.RowData{}
			for k := range rows.Cols {
				v := &rows.Cols[k]
				cell := &api.CellData{UserEnteredValue: &api.ExtendedValue{}}
				if text = v.AppendText(text[:0], i, nil); v.Kind == columnar.Text {
					s := string(text)
					cell.UserEnteredValue.StringValue = &s
				} else {
					n, err := strconv.ParseFloat(string(text), 64)
					if err != nil {
						b.Fatal(err)
					}
					cell.UserEnteredValue.NumberValue = &n
				}
				line.Values = append(line.Values, cell)
			}
			u.Rows = append(u.Rows, line)
		}
		if _, err := json.Marshal(&api.Request{UpdateCells: u}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows.Rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// TestBytesOfRows holds what the quota makes of it: 55 requests of 2 MiB a minute.
func TestBytesOfRows(t *testing.T) {
	w := newWorld(t, sheetsfake.Options{})
	w.client.BatchBytes(2 << 20)
	cols, rows := sales(t)
	conn := of(0, cols, rows, rows)
	w.must(w.doc(config(1)), conn)
	bytes := 0
	for _, b := range w.sent() {
		bytes += len(b)
	}
	if perRow := bytes / 4000; perRow > 760 || len(w.sent()) > 2 {
		t.Errorf("%d bytes a row of 15 cells, in %d requests", perRow, len(w.sent()))
	}
	if _, err := w.doc(config(1)).Load(context.Background()); err != nil {
		t.Fatal(err)
	}
}
