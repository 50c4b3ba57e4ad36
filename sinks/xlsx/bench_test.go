package xlsx_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
	"fanmill/sinks/xlsx/sample"
)

// sales makes batches of rows that look like a branch's sales.
func sales(batches, rows int, seed uint64) []*columnar.Batch {
	out := make([]*columnar.Batch, batches)
	for n := range out {
		var err error
		if out[n], err = sample.Batch(seed<<32+uint64(n), int64(100_000+n*rows), rows); err != nil {
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
	enc, err := xlsx.NewEncoder(sample.Columns, xlsx.Options{Location: kolkata, Totals: true})
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
		rows = append(rows, sample.Boxed(batch)...)
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
	e := newEncoder(b, sample.Columns, xlsx.Options{})
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
