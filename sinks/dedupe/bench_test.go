package dedupe_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/dedupe"
)

// BenchmarkDedupe compares whole rows of six columns, of which half are repetitions of a row anywhere before, from 20
// connections. FANMILL_DEDUPE_ROWS is how many rows; 200,000 unless it says otherwise.
func BenchmarkDedupe(b *testing.B) {
	rows := 200_000
	if n, err := strconv.Atoi(os.Getenv("FANMILL_DEDUPE_ROWS")); err == nil {
		rows = n
	}
	for range b.N {
		spec := dedupe.Spec{Dir: filepath.Join(b.TempDir(), "dedupe"), Queries: []dedupe.Query{{Columns: invoiceColumns}}}
		stop := peakHeap(b)
		start := time.Now()
		r, err := dedupe.Run(b.Context(), spec, invoices(rows))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(rows)/time.Since(start).Seconds(), "rows/s")
		stop()
		if got := r.Total().Duplicates; got != int64(rows/2) {
			b.Fatalf("%d rows are duplicates, want %d", got, rows/2)
		}
		b.ReportMetric(float64(r.PeakDisk()), "disk-bytes")
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkForm is the normal form alone.
func BenchmarkForm(b *testing.B) {
	form, err := dedupe.NewForm(dedupe.Query{Columns: invoiceColumns}, nil)
	if err != nil {
		b.Fatal(err)
	}
	batch := newInvoiceBatch()
	batch.fill(0, 1<<40)
	var key []byte
	bytes := 0
	b.ReportAllocs()
	for i := range b.N {
		key, _ = form.Key(key[:0], &batch.Batch, nil, i%invoiceRows)
		bytes += len(key)
	}
	b.ReportMetric(float64(bytes)/float64(b.N), "key-bytes")
}

// peakHeap watches what the heap has from the system, until stop reports the most of it.
func peakHeap(b *testing.B) (stop func()) {
	var most atomic.Uint64
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(done)
		<-gone
		b.ReportMetric(float64(most.Load()), "peak-heap-bytes")
	}
}

const invoiceRows = 2048

var invoiceColumns = []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "invoice_no", Kind: columnar.Text},
	{Name: "amount", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "booked", Kind: columnar.Timestamp},
	{Name: "rate", Kind: columnar.Float}, {Name: "due", Kind: columnar.Date}}

// invoiceBatch is a batch whose memory is used again.
type invoiceBatch struct{ columnar.Batch }

func newInvoiceBatch() *invoiceBatch {
	b := &invoiceBatch{columnar.Batch{Rows: invoiceRows, Cols: make([]columnar.View, len(invoiceColumns))}}
	for i, c := range invoiceColumns {
		v := &b.Cols[i]
		v.Column = c
		switch c.Kind {
		case columnar.Decimal:
			v.Decimals = make([]decimal128.Num, invoiceRows)
		case columnar.Date:
			v.Ints = make([]int32, invoiceRows)
		case columnar.Text:
			v.Offsets, v.Data = make([]int32, 1, invoiceRows+1), make([]byte, 0, invoiceRows*12)
		default:
			v.Longs = make([]int64, invoiceRows)
		}
	}
	return b
}

// fill makes the rows from this one on; the second half of all repeats the first in another order.
func (b *invoiceBatch) fill(first, all int64) {
	text := &b.Cols[1]
	text.Offsets, text.Data = text.Offsets[:1], text.Data[:0]
	for i := range b.Rows {
		n := first + int64(i)
		if half := all / 2; n >= half {
			n = (n - half) * 7_919_999 % half
		}
		b.Cols[0].Longs[i] = n
		text.Data = strconv.AppendInt(append(text.Data, "RE-"...), 100_000_000+n, 10)
		text.Offsets = append(text.Offsets, int32(len(text.Data)))
		b.Cols[2].Decimals[i] = decimal128.FromI64(n * 37 % 1_000_000)
		b.Cols[3].Longs[i] = 1_700_000_000_000_000 + n*1_000_000
		b.Cols[4].Longs[i] = int64(0x3FB999999999999A + n%16*4096) // about 0.1
		b.Cols[5].Ints[i] = int32(19_000 + n%365)
	}
}

// invoices are that many rows in 20 connections.
func invoices(rows int) dedupe.Rows {
	return func(yield func(dedupe.Share) error) error {
		b := newInvoiceBatch()
		const connections = 20
		done := int64(0)
		for c := range connections {
			share := int64(rows) * int64(c+1) / connections
			for first := done; done < share; {
				b.Rows = int(min(invoiceRows, share-done))
				b.fill(done, int64(rows))
				if err := yield(dedupe.Share{Connection: c, First: done - first, Batch: &b.Batch}); err != nil {
					return err
				}
				done += int64(b.Rows)
			}
		}
		return nil
	}
}
