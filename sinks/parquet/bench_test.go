package parquet_test

import (
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	pgo "github.com/parquet-go/parquet-go"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
	"fanmill/sinks/xlsx/sample"
)

// saleColumns are those of a branch's sales and two more: fifteen.
var saleColumns = append(slices.Clone(sample.Columns), columnar.Column{Name: "rate", Kind: columnar.Float}, columnar.Column{Name: "paid", Kind: columnar.Bool})

// sales makes batches of rows, with NULLs in one of ten rates.
func sales(b testing.TB, batches, rows int) []*columnar.Batch {
	out := make([]*columnar.Batch, batches)
	r := rand.New(rand.NewPCG(1, 2))
	for n := range out {
		batch, err := sample.Batch(uint64(n), int64(n*rows), rows)
		if err != nil {
			b.Fatal(err)
		}
		more := batchOf(b, rows, saleColumns[13:], func(_ int, b *columnar.Builder) {
			if r.IntN(10) == 0 {
				b.Column(0).Null()
			} else {
				b.Column(0).Float(r.Float64())
			}
			b.Column(1).Bool(r.IntN(2) == 0)
		})
		batch.Cols = append(batch.Cols, more.Cols...)
		out[n] = batch
	}
	return out
}

const benchBatches, benchBatchRows = 40, 5000

// BenchmarkWrite writes 200,000 rows of 15 columns, zstd, on one core; BenchmarkWritePeer has parquet-go do so.
func BenchmarkWrite(b *testing.B) {
	batches := sales(b, benchBatches, benchBatchRows)
	s := newSchema(b, plain(saleColumns)...)
	benchmark(b, func(w io.Writer) {
		f := newFeed(b, s, "c", count(len(saleColumns))...)
		pw, err := parquet.New(w, s, parquet.Options{})
		must(b, err)
		for _, batch := range batches {
			must(b, pw.Write(f, batch))
		}
		must(b, pw.Close(nil))
	})
}

func BenchmarkWritePeer(b *testing.B) {
	batches := sales(b, benchBatches, benchBatchRows)
	benchmark(b, func(w io.Writer) { must(b, writePeer(w, batches)) })
}

// benchmark reports rows a second and the size of a row.
func benchmark(b *testing.B, write func(io.Writer)) {
	var size counter
	b.ReportAllocs()
	for b.Loop() {
		size = 0
		write(&size)
	}
	const rows = benchBatches * benchBatchRows
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size)/rows, "B/row")
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// BenchmarkMerge joins 1,000 parts of 20 rows into one row group.
func BenchmarkMerge(b *testing.B) {
	s := newSchema(b, plain(saleColumns)...)
	parts := make([]parquet.Part, 1000)
	for i, batch := range sales(b, len(parts), 20) {
		parts[i] = part(written(b, s, parquet.Options{}, newFeed(b, s, "c", count(len(saleColumns))...), batch))
	}
	for b.Loop() {
		f := start(b, s)
		must(b, f.Append(io.Discard, parquet.Options{}, parts...))
		must(b, f.Finish(io.Discard, nil))
		if f.Groups() != 1 || f.Rows() != 20_000 {
			b.Fatalf("%d row groups, %d rows", f.Groups(), f.Rows())
		}
	}
}

// writePeer writes with parquet-go, column by column: nullable columns take boxed values only. Its columns stand in
// alphabetical order.
func writePeer(w io.Writer, batches []*columnar.Batch) error {
	group, order := pgo.Group{}, count(len(saleColumns))
	for _, c := range saleColumns {
		node := peerNode(c)
		if c.Kind != columnar.Bool {
			node = pgo.Encoded(node, &pgo.RLEDictionary)
		}
		group[c.Name] = pgo.Optional(pgo.Compressed(node, &pgo.Zstd))
	}
	slices.SortFunc(order, func(a, b int) int {
		if saleColumns[a].Name < saleColumns[b].Name {
			return -1
		}
		return 1
	})
	pw := pgo.NewGenericWriter[any](w, pgo.NewSchema("sales", group), pgo.DataPageVersion(1), pgo.DataPageStatistics(false))
	var values []pgo.Value
	for _, b := range batches {
		for to, from := range order {
			values = peerValues(values[:0], &b.Cols[from], b.Rows, to)
			if _, err := pw.ColumnWriters()[to].WriteRowValues(values); err != nil {
				return err
			}
		}
	}
	return pw.Close()
}

func peerNode(c columnar.Column) pgo.Node {
	switch c.Kind {
	case columnar.Bool:
		return pgo.Leaf(pgo.BooleanType)
	case columnar.Int:
		return pgo.Leaf(pgo.Int64Type)
	case columnar.Float:
		return pgo.Leaf(pgo.DoubleType)
	case columnar.Decimal:
		return pgo.Decimal(int(c.Scale), int(c.Precision), pgo.Int64Type)
	case columnar.Date:
		return pgo.Date()
	case columnar.Instant:
		return pgo.TimestampAdjusted(pgo.Microsecond, true)
	default:
		return pgo.String()
	}
}

func peerValues(out []pgo.Value, v *columnar.View, rows, column int) []pgo.Value {
	for i := range rows {
		var value pgo.Value
		level := 1
		switch {
		case v.Null(i):
			value, level = pgo.NullValue(), 0
		case v.Kind == columnar.Bool:
			value = pgo.BooleanValue(v.Bool(i))
		case v.Kind == columnar.Decimal:
			value = pgo.Int64Value(int64(v.Decimals[i].LowBits()))
		case v.Kind == columnar.Float:
			value = pgo.DoubleValue(math.Float64frombits(uint64(v.Longs[i])))
		case v.Kind == columnar.Date:
			value = pgo.Int32Value(v.Ints[i])
		case v.Kind == columnar.Text:
			value = pgo.ByteArrayValue(v.Bytes(i))
		default:
			value = pgo.Int64Value(v.Longs[i])
		}
		out = append(out, value.Level(0, level, column))
	}
	return out
}
