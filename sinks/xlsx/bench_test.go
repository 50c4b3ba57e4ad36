package xlsx_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// saleColumns are the thirteen columns that the benchmarks write: ids, text, dates, decimals, instants.
var saleColumns = []columnar.Column{
	{Name: "id", Kind: columnar.Int}, {Name: "invoice_no", Kind: columnar.Text}, {Name: "invoice_date", Kind: columnar.Date},
	{Name: "gstin", Kind: columnar.Text}, {Name: "party", Kind: columnar.Text}, {Name: "hsn_code", Kind: columnar.Text},
	{Name: "qty", Kind: columnar.Decimal, Precision: 12, Scale: 3}, {Name: "taxable_value", Kind: columnar.Decimal, Precision: 14, Scale: 2},
	{Name: "cgst", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "sgst", Kind: columnar.Decimal, Precision: 14, Scale: 2},
	{Name: "igst", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "remarks", Kind: columnar.Text},
	{Name: "created_at", Kind: columnar.Instant},
}

var parties = []string{"Shree Ganesh Traders", "Patel & Sons", "रामलाल एंड कंपनी", "Mehta Textiles Pvt Ltd", "முருகன் ஸ்டோர்ஸ்", "Kothari Steel", "A.K. Enterprises", "Rossi S.p.A."}

// sales makes batches of rows that look like a branch's sales.
func sales(batches, rows int, seed uint64) []*columnar.Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]*columnar.Batch, batches)
	id := int64(100_000)
	for n := range out {
		b := columnar.NewBuilder(saleColumns)
		for range rows {
			id++
			value := r.Int64N(50_000_000)
			b.Column(0).Long(id)
			b.Column(1).String(fmt.Sprintf("INV/2025-26/%07d", id))
			b.Column(2).Days(int32(20_180 + r.IntN(365)))
			b.Column(3).String(fmt.Sprintf("%02dAAB%c%c%04d%c1Z%d", 1+r.IntN(37), 'A'+rune(r.IntN(26)), 'A'+rune(r.IntN(26)), r.IntN(10_000), 'A'+rune(r.IntN(26)), r.IntN(10)))
			b.Column(4).String(parties[r.IntN(len(parties))])
			b.Column(5).String(fmt.Sprintf("%08d", 1_000_000+r.IntN(300)*1000))
			b.Column(6).Decimal(decimal128.FromI64(r.Int64N(500_000)))
			b.Column(7).Decimal(decimal128.FromI64(value))
			if r.IntN(3) > 0 {
				b.Column(8).Decimal(decimal128.FromI64(value * 9 / 100))
				b.Column(9).Decimal(decimal128.FromI64(value * 9 / 100))
				b.Column(10).Null()
			} else {
				b.Column(8).Null()
				b.Column(9).Null()
				b.Column(10).Decimal(decimal128.FromI64(value * 18 / 100))
			}
			if r.IntN(4) == 0 {
				b.Column(11).String("delivered to <site> by road")
			} else {
				b.Column(11).Null()
			}
			b.Column(12).Long(1_760_000_000_000_000 + id*1_000_000*37 + r.Int64N(1000)*1000)
			b.EndRow()
		}
		body, err := b.Encode()
		if err != nil {
			panic(err)
		}
		if out[n], err = columnar.Decode(append([]byte(nil), body...)); err != nil {
			panic(err)
		}
	}
	return out
}

const benchBatches, benchBatchRows = 20, 5000

// BenchmarkEncode encodes the batches of one sheet on all cores.
func BenchmarkEncode(b *testing.B) { benchmarkEncode(b, runtime.GOMAXPROCS(0)) }

// BenchmarkEncodeOneCore does so on one.
func BenchmarkEncodeOneCore(b *testing.B) { benchmarkEncode(b, 1) }

func benchmarkEncode(b *testing.B, cores int) {
	batches := sales(benchBatches, benchBatchRows, 1)
	kolkata := time.FixedZone("IST", 5*3600+1800)
	enc, err := xlsx.NewEncoder(saleColumns, xlsx.Options{Location: kolkata})
	if err != nil {
		b.Fatal(err)
	}
	var raw, size int64
	b.ReportAllocs()
	for b.Loop() {
		raw, size = 0, 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for core := range cores {
			wg.Go(func() {
				for i := core; i < len(batches); i += cores {
					c, err := enc.Encode(int64(i*benchBatchRows), batches[i])
					if err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					for _, p := range c.Pieces {
						raw += p.RawLength
						size += int64(len(p.Data))
					}
					mu.Unlock()
					c.Release()
				}
			})
		}
		wg.Wait()
	}
	b.SetBytes(raw)
	b.ReportMetric(float64(benchBatches*benchBatchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size), "file-bytes")
}

// BenchmarkExcelizeStreamWriter writes the same rows with excelize: text, numbers, dates with a style.
func BenchmarkExcelizeStreamWriter(b *testing.B) {
	rows := make([][]any, 0, benchBatches*benchBatchRows)
	for _, batch := range sales(benchBatches, benchBatchRows, 1) {
		for i := range batch.Rows {
			row := make([]any, len(batch.Cols))
			for k := range batch.Cols {
				v := &batch.Cols[k]
				if v.Null(i) {
					continue
				}
				switch v.Kind {
				case columnar.Int:
					row[k] = v.Longs[i]
				case columnar.Text:
					row[k] = string(v.Bytes(i))
				case columnar.Decimal:
					row[k] = v.Decimals[i].ToFloat64(v.Scale)
				case columnar.Date:
					row[k] = time.Unix(int64(v.Ints[i])*86400, 0).UTC()
				case columnar.Instant:
					row[k] = time.UnixMicro(v.Longs[i]).UTC()
				}
			}
			rows = append(rows, row)
		}
	}
	var size int64
	b.ReportAllocs()
	for b.Loop() {
		f := excelize.NewFile()
		sw, err := f.NewStreamWriter("Sheet1")
		if err != nil {
			b.Fatal(err)
		}
		for i, row := range rows {
			cell, _ := excelize.CoordinatesToCellName(1, i+2)
			if err := sw.SetRow(cell, row); err != nil {
				b.Fatal(err)
			}
		}
		if err := sw.Flush(); err != nil {
			b.Fatal(err)
		}
		n, err := f.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		size = n
		_ = f.Close()
	}
	b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(size), "file-bytes")
}

// BenchmarkAppendSheet1 appends the first sheet to a workbook, BenchmarkAppendSheet40 the fortieth: they cost the same.
func BenchmarkAppendSheet1(b *testing.B)  { benchmarkAppend(b, 1) }
func BenchmarkAppendSheet40(b *testing.B) { benchmarkAppend(b, 40) }

func benchmarkAppend(b *testing.B, number int) {
	e := newEncoder(b, saleColumns, xlsx.Options{})
	q := encode(b, e, sales(6, 5000, 1)...)
	f, err := os.Create(filepath.Join(b.TempDir(), "book.xlsx"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	wb := xlsx.New(properties)
	for i := 1; i < number; i++ {
		if wb, err = wb.Append(f, q.sheets(i, fmt.Sprint("Branch ", i))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Seek(wb.Length(), io.SeekStart); err != nil {
			b.Fatal(err)
		}
		next, err := wb.Append(f, q.sheets(number, "The next"))
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(next.Length() - wb.Length())
	}
}
