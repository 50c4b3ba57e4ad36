package xlsx_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

var properties = xlsx.Properties{Title: "Sales <all>", Creator: "fanmill", Application: "fanmill"}

// batchOf makes a batch; fill appends the rows.
func batchOf(t testing.TB, cols []columnar.Column, fill func(b *columnar.Builder)) *columnar.Batch {
	t.Helper()
	b := columnar.NewBuilder(cols)
	fill(b)
	return decoded(t, b)
}

// decoded is the builder's rows as a sink gets them.
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

// texts makes a batch of one text column.
func texts(t testing.TB, values ...string) *columnar.Batch {
	t.Helper()
	return batchOf(t, textColumn, func(b *columnar.Builder) {
		for _, v := range values {
			b.Column(0).String(v)
			b.EndRow()
		}
	})
}

var textColumn = []columnar.Column{{Name: "text", Kind: columnar.Text}}

func decimal(s string, scale int32) decimal128.Num {
	d, err := decimal128.FromString(s, 38, scale)
	if err != nil {
		panic(err)
	}
	return d
}

// query is what a query's part holds.
type query struct {
	columns  int
	segments xlsx.Segments
	data     []byte
	losses   []xlsx.Loss
}

// encode writes a query's batches the way a part does.
func encode(t testing.TB, e *xlsx.Encoder, batches ...*columnar.Batch) *query {
	t.Helper()
	q := &query{columns: e.Columns()}
	add := func(c *xlsx.Chunk) {
		for _, p := range c.Pieces {
			if err := q.segments.Add(p); err != nil {
				t.Fatal(err)
			}
			q.data = append(q.data, p.Data...)
		}
		q.losses = append(q.losses, c.Losses...)
		c.Release()
	}
	rows := int64(0)
	for _, b := range batches {
		c, err := e.Encode(rows, b)
		if err != nil {
			t.Fatal(err)
		}
		add(c)
		rows += int64(b.Rows)
	}
	add(e.Tail(rows))
	return q
}

func newEncoder(t testing.TB, cols []columnar.Column, o xlsx.Options) *xlsx.Encoder {
	t.Helper()
	e, err := xlsx.NewEncoder(cols, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sheets are the query's sheets as connection conn's.
func (q *query) sheets(conn int, name string) []xlsx.NewSheet {
	var out []xlsx.NewSheet
	at := int64(0)
	for i, s := range q.segments {
		data := q.data[at : at+s.Length]
		at += s.Length
		out = append(out, xlsx.NewSheet{Order: [3]int{conn, 0, i}, Name: xlsx.RollOver([]string{name}, 0, i), Columns: q.columns, Segment: s,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }})
	}
	return out
}

// workbookOf is a workbook of the sheets, appended at once.
func workbookOf(t testing.TB, sheets ...xlsx.NewSheet) []byte {
	t.Helper()
	var file bytes.Buffer
	wb, err := xlsx.New(properties).Append(&file, sheets)
	if err != nil {
		t.Fatal(err)
	}
	if wb.Length() != int64(file.Len()) {
		t.Fatalf("Length is %d, the file has %d bytes", wb.Length(), file.Len())
	}
	return file.Bytes()
}

// open reads a workbook with excelize.
func open(t testing.TB, file []byte) *excelize.File {
	t.Helper()
	f, err := excelize.OpenReader(bytes.NewReader(file))
	if err != nil {
		t.Fatalf("excelize does not open it: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// raw is a cell's value as stored, not as formatted.
func raw(t testing.TB, f *excelize.File, sheet, cell string) string {
	t.Helper()
	v, err := f.GetCellValue(sheet, cell, excelize.Options{RawCellValue: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "book.xlsx")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
