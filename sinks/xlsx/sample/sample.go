// Package sample makes the rows that benchmarks of workbooks write: what a branch's sales look like.
package sample

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// Columns are thirteen: ids, texts, a date, decimals, an instant.
var Columns = []columnar.Column{
	{Name: "id", Kind: columnar.Int}, {Name: "invoice_no", Kind: columnar.Text}, {Name: "invoice_date", Kind: columnar.Date},
	{Name: "gstin", Kind: columnar.Text}, {Name: "customer", Kind: columnar.Text}, {Name: "hsn", Kind: columnar.Text},
	{Name: "quantity", Kind: columnar.Decimal, Precision: 12, Scale: 3}, {Name: "taxable_value", Kind: columnar.Decimal, Precision: 14, Scale: 2},
	{Name: "cgst", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "sgst", Kind: columnar.Decimal, Precision: 14, Scale: 2},
	{Name: "igst", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "remarks", Kind: columnar.Text},
	{Name: "created_at", Kind: columnar.Instant},
}

var customers = []string{"Shree Ganesh Traders", "Patel & Sons", "रामलाल एंड कंपनी", "Mehta Textiles Pvt Ltd", "முருகன் ஸ்டோர்ஸ்", "Kothari Steel", "A.K. Enterprises"}

// Batch makes rows with the ids from first on: the same ones for the same arguments, in every process.
func Batch(seed uint64, first int64, rows int) (*columnar.Batch, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	b := columnar.NewBuilder(Columns)
	letter := func() byte { return byte('A' + r.IntN(26)) }
	for i := range rows {
		id, value := first+int64(i), r.Int64N(50_000_000)
		b.Column(0).Long(id)
		b.Column(1).String(fmt.Sprintf("INV/2025-26/%07d", id))
		b.Column(2).Days(int32(20_180 + r.IntN(365)))
		b.Column(3).String(fmt.Sprintf("%02dAAB%c%c%04d%c1Z%d", 1+r.IntN(37), letter(), letter(), r.IntN(10_000), letter(), r.IntN(10)))
		b.Column(4).String(customers[r.IntN(len(customers))])
		b.Column(5).String(fmt.Sprintf("%08d", 1_000_000+r.IntN(300)*1000))
		b.Column(6).Decimal(decimal128.FromI64(r.Int64N(500_000)))
		b.Column(7).Decimal(decimal128.FromI64(value))
		if r.IntN(3) > 0 { // within the state, or between two
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
		b.Column(12).Long(1_760_000_000_000_000 + id*37_000_000 + r.Int64N(1000)*1000)
		b.EndRow()
	}
	body, err := b.Encode()
	if err != nil {
		return nil, err
	}
	return columnar.Decode(bytes.Clone(body))
}

// Boxed are the rows as excelize takes them: nil is an empty cell.
func Boxed(b *columnar.Batch) [][]any {
	rows := make([][]any, b.Rows)
	for i := range rows {
		rows[i] = make([]any, len(b.Cols))
		for k := range b.Cols {
			v := &b.Cols[k]
			if v.Null(i) {
				continue
			}
			switch v.Kind {
			case columnar.Int:
				rows[i][k] = v.Longs[i]
			case columnar.Decimal:
				// The nearest double; decimal128's own conversion is off by one in the last digit here and there.
				rows[i][k], _ = strconv.ParseFloat(string(v.AppendText(nil, i, nil)), 64)
			case columnar.Date:
				rows[i][k] = time.Unix(int64(v.Ints[i])*86_400, 0).UTC()
			case columnar.Instant:
				rows[i][k] = time.UnixMicro(v.Longs[i]).UTC()
			default:
				rows[i][k] = string(v.Bytes(i))
			}
		}
	}
	return rows
}
