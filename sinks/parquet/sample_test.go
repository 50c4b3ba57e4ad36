package parquet_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	pq "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	pgo "github.com/parquet-go/parquet-go"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

// batchOf makes a batch whose column i has values(row, builder) appended for each row.
func batchOf(t testing.TB, rows int, cols []columnar.Column, row func(r int, b *columnar.Builder)) *columnar.Batch {
	t.Helper()
	b := columnar.NewBuilder(cols)
	for r := range rows {
		row(r, b)
		b.EndRow()
	}
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// plain makes the columns of a file of those of a batch.
func plain(cols []columnar.Column) []parquet.Column {
	out := make([]parquet.Column, len(cols))
	for i, c := range cols {
		out[i] = parquet.Column{Name: c.Name, Kind: c.Kind, Precision: c.Precision, Scale: c.Scale}
	}
	return out
}

func count(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func newSchema(t testing.TB, cols ...parquet.Column) *parquet.Schema {
	t.Helper()
	s, err := parquet.NewSchema(cols)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newFeed(t testing.TB, s *parquet.Schema, connection string, from ...int) *parquet.Feed {
	t.Helper()
	f, err := s.Feed(connection, from)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// written makes a file of batches.
func written(t testing.TB, s *parquet.Schema, o parquet.Options, f *parquet.Feed, batches ...*columnar.Batch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := parquet.New(&out, s, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(f, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(map[string]string{"fanmill.run": "r1"}); err != nil {
		t.Fatal(err)
	}
	if w.Size() != int64(out.Len()) {
		t.Fatalf("Size says %d of %d bytes", w.Size(), out.Len())
	}
	return out.Bytes()
}

func part(data []byte) parquet.Part {
	return parquet.Part{R: bytes.NewReader(data), Size: int64(len(data))}
}

// table is what a reader finds: the values of each column, nil for NULL; bytes and texts as string.
type table struct {
	names  []string
	cols   [][]any
	groups []int64
}

// read reads a file with both libraries and fails where they differ.
func read(t testing.TB, data []byte) table {
	t.Helper()
	ours, theirs := readArrow(t, data), readPeer(t, data)
	if fmt.Sprint(ours.names, ours.groups) != fmt.Sprint(theirs.names, theirs.groups) {
		t.Fatalf("arrow-go finds %v %v, parquet-go %v %v", ours.names, ours.groups, theirs.names, theirs.groups)
	}
	for i := range ours.cols {
		if len(ours.cols[i]) != len(theirs.cols[i]) {
			t.Fatalf("%s: arrow-go finds %d values, parquet-go %d", ours.names[i], len(ours.cols[i]), len(theirs.cols[i]))
		}
		for r := range ours.cols[i] {
			a, b := ours.cols[i][r], theirs.cols[i][r]
			if a != b && fmt.Sprint(a) != fmt.Sprint(b) { // NaN is not NaN
				t.Fatalf("%s, row %d: arrow-go finds %v, parquet-go %v", ours.names[i], r, a, b)
			}
		}
	}
	return ours
}

func readArrow(t testing.TB, data []byte) (out table) {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	schema := r.MetaData().Schema
	out.cols = make([][]any, schema.NumColumns())
	for i := range out.cols {
		out.names = append(out.names, schema.Column(i).Name())
	}
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		out.groups = append(out.groups, group.NumRows())
		for i := range out.cols {
			chunk, err := group.Column(i)
			if err != nil {
				t.Fatal(err)
			}
			out.cols[i] = append(out.cols[i], chunkValues(t, chunk, group.NumRows())...)
		}
	}
	return out
}

type batchReader[T any] interface {
	ReadBatch(int64, []T, []int16, []int16) (int64, int, error)
}

func chunkValues(t testing.TB, chunk file.ColumnChunkReader, rows int64) []any {
	switch c := chunk.(type) {
	case *file.BooleanColumnChunkReader:
		return values[bool](t, c, rows, func(v bool) any { return v })
	case *file.Int32ColumnChunkReader:
		return values[int32](t, c, rows, func(v int32) any { return v })
	case *file.Int64ColumnChunkReader:
		return values[int64](t, c, rows, func(v int64) any { return v })
	case *file.Float32ColumnChunkReader:
		return values[float32](t, c, rows, func(v float32) any { return v })
	case *file.Float64ColumnChunkReader:
		return values[float64](t, c, rows, func(v float64) any { return v })
	case *file.FixedLenByteArrayColumnChunkReader:
		return values[pq.FixedLenByteArray](t, c, rows, func(v pq.FixedLenByteArray) any { return string(v) })
	default:
		return values[pq.ByteArray](t, chunk.(*file.ByteArrayColumnChunkReader), rows, func(v pq.ByteArray) any { return string(v) })
	}
}

func values[T any](t testing.TB, r batchReader[T], rows int64, value func(T) any) (out []any) {
	vals, levels := make([]T, 1000), make([]int16, 1000)
	for rows > 0 {
		n, _, err := r.ReadBatch(min(rows, 1000), vals, levels, nil)
		if err != nil || n == 0 {
			t.Fatalf("%d rows are missing: %v", rows, err)
		}
		k := 0
		for _, level := range levels[:n] {
			if level == 0 {
				out = append(out, nil)
				continue
			}
			out = append(out, value(vals[k]))
			k++
		}
		rows -= n
	}
	return out
}

func readPeer(t testing.TB, data []byte) (out table) {
	t.Helper()
	f, err := pgo.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Root().Columns() {
		out.names = append(out.names, c.Name())
	}
	out.cols = make([][]any, len(out.names))
	for _, group := range f.RowGroups() {
		out.groups = append(out.groups, group.NumRows())
		for i, chunk := range group.ColumnChunks() {
			pages := chunk.Pages()
			for {
				page, err := pages.ReadPage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				out.cols[i] = append(out.cols[i], pageValues(t, page)...)
				pgo.Release(page)
			}
			pages.Close()
		}
	}
	return out
}

func pageValues(t testing.TB, page pgo.Page) (out []any) {
	vals := make([]pgo.Value, page.NumValues())
	if n, err := page.Values().ReadValues(vals); int64(n) != page.NumValues() || err != nil && err != io.EOF {
		t.Fatalf("%d of %d values: %v", n, page.NumValues(), err)
	}
	for _, v := range vals {
		switch {
		case v.IsNull():
			out = append(out, nil)
		case v.Kind() == pgo.Boolean:
			out = append(out, v.Boolean())
		case v.Kind() == pgo.Int32:
			out = append(out, v.Int32())
		case v.Kind() == pgo.Int64:
			out = append(out, v.Int64())
		case v.Kind() == pgo.Float:
			out = append(out, v.Float())
		case v.Kind() == pgo.Double:
			out = append(out, v.Double())
		default:
			out = append(out, string(v.ByteArray()))
		}
	}
	return out
}

func decimal(n int64) decimal128.Num { return decimal128.FromI64(n) }
