package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// salesColumns is the table of DESIGN's figures: 15 columns of ids, text, dates, decimal(14,2) and timestamptz.
var salesColumns = []columnar.Column{
	{Name: "id", Kind: columnar.Int}, {Name: "invoice_no", Kind: columnar.Text}, {Name: "gstin", Kind: columnar.Text},
	{Name: "customer", Kind: columnar.Text}, {Name: "hsn", Kind: columnar.Text}, {Name: "quantity", Kind: columnar.Int},
	{Name: "invoice_date", Kind: columnar.Date}, {Name: "due_date", Kind: columnar.Date},
	{Name: "taxable", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "cgst", Kind: columnar.Decimal, Precision: 14, Scale: 2},
	{Name: "sgst", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "igst", Kind: columnar.Decimal, Precision: 14, Scale: 2},
	{Name: "total", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "created", Kind: columnar.Instant}, {Name: "updated", Kind: columnar.Instant},
}

// salesBatch builds rows from first on. With commas, one name in sixteen needs quotes.
func salesBatch(tb testing.TB, first, rows int, commas bool) *columnar.Batch {
	tb.Helper()
	b := columnar.NewBuilder(salesColumns)
	for i := first; i < first+rows; i++ {
		b.Column(0).Long(int64(i))
		b.Column(1).String(fmt.Sprintf("INV-2026-%07d", i))
		b.Column(2).String("29ABCDE1234F1Z5")
		if commas && i%16 == 0 {
			b.Column(3).String("Sharma, Sons & Co.")
		} else {
			b.Column(3).String("Sharma Sons & Co.")
		}
		b.Column(4).String("84713010")
		b.Column(5).Long(int64(i % 97))
		b.Column(6).Days(int32(20000 + i%365))
		b.Column(7).Days(int32(20030 + i%365))
		for c := 8; c <= 12; c++ {
			b.Column(c).Decimal(decimal128.FromI64(int64(i)*7919%100_000_000 + int64(c)))
		}
		b.Column(13).Long(1_767_225_600_000_000 + int64(i)*1_234_567)
		if i%8 == 0 {
			b.Column(14).Null()
		} else {
			b.Column(14).Long(1_767_225_600_000_000 + int64(i)*2_234_567)
		}
		b.EndRow()
	}
	body, err := b.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	batch, err := columnar.Decode(body)
	if err != nil {
		tb.Fatal(err)
	}
	return batch
}

func BenchmarkJSONLEncode(b *testing.B) {
	s := jsonlWith(b, b.TempDir(), `{"connectionColumn":true}`, func(m *pipeline.Manifest, _ *pipeline.ManifestDestination) { m.TimeZone = "Asia/Kolkata" })
	b.Cleanup(func() { _ = s.Close() })
	benchmarkLines(b, s, salesBatch(b, 0, 4000, true))
}

func BenchmarkCSVEncode(b *testing.B) {
	for _, c := range []struct {
		name, options string
		commas        bool
	}{{"plain", "", false}, {"commas", "", true}, {"guarded", `{"formulaGuard":true,"nullText":"NULL","connectionColumn":true}`, true}, {"quoted", `{"quoting":"all"}`, true}} {
		b.Run(c.name, func(b *testing.B) {
			benchmarkLines(b, openCSV(b, b.TempDir(), "Asia/Kolkata", json.RawMessage(c.options)), salesBatch(b, 0, 4000, c.commas))
		})
	}
}

// benchmarkLines encodes a batch over and over.
func benchmarkLines(b *testing.B, s pipeline.Sink, batch *columnar.Batch) {
	o := opening(salesColumns)
	part, err := s.Open(context.Background(), pipeline.PartID{}, &o, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var bytes int64
	for b.Loop() {
		c, err := part.Encode(0, 0, batch)
		if err != nil {
			b.Fatal(err)
		}
		bytes += int64(sinks.Recycle(c))
	}
	rows := float64(batch.Rows)
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(bytes)/float64(b.N)/rows, "bytes/row")
}

// Rows compressed against plain ones: what a batch costs, and how large it is.
func BenchmarkCSVCompressed(b *testing.B) {
	for _, ending := range []string{"", ".gz", ".zst"} {
		b.Run("csv"+ending, func(b *testing.B) {
			s := csvWith(b, b.TempDir(), `{}`, ends(ending))
			b.Cleanup(func() { _ = s.Close() })
			benchmarkLines(b, s, salesBatch(b, 0, 4000, true))
		})
	}
}

// The end of a run makes one member of those of its batches.
func BenchmarkCompressedJoin(b *testing.B) {
	text := bytes.Repeat([]byte("17,INV-2026-0000017,29ABCDE1234F1Z5,Sharma Sons & Co.,84713010,2026-04-01,1234.50\r\n"), 6000)
	for i := range text {
		if text[i] == '7' {
			text[i] = '0' + byte(i*2654435761>>16%10)
		}
	}
	for _, ending := range endings {
		codec := sinks.Codecs[ending]
		var members []byte
		for range 100 {
			members = codec.Pack(members, text)
		}
		b.Run(ending, func(b *testing.B) {
			b.SetBytes(int64(100 * len(text))) // of text
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Join(io.Discard, bytes.NewReader(members), 0, int64(len(members))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
