package xlsx_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
	"fanmill/sinks/xlsx/sample"
)

// totalOf sums a column through the encoder, batch by batch, and passes the sum through its stored form after each.
func totalOf(t testing.TB, declared columnar.Column, batches ...*columnar.Batch) columnar.Total {
	t.Helper()
	e := newEncoder(t, []columnar.Column{declared}, xlsx.Options{Totals: true})
	totals := e.NewTotals()
	row := int64(0)
	for _, b := range batches {
		c, err := e.Encode(row, b)
		if err != nil {
			t.Fatal(err)
		}
		totals[0].Add(&c.Totals[0])
		row += int64(b.Rows)
		text, err := json.Marshal(totals[0])
		if err != nil {
			t.Fatal(err)
		}
		var back columnar.Total
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if back.Text() != totals[0].Text() || back.Others() != totals[0].Others() || back.Approximate() != totals[0].Approximate() {
			t.Fatalf("%s reads back as %s", text, back.Text())
		}
		totals[0] = back
	}
	return totals[0]
}

// TestTotalsAreExact compares sums with those of math/big over random values of each kind, NULLs among them, however
// they are cut into batches.
func TestTotalsAreExact(t *testing.T) {
	kinds := []columnar.Column{{Kind: columnar.Int}, {Kind: columnar.Uint}, {Kind: columnar.Decimal, Precision: 38, Scale: 6}, {Kind: columnar.Numeric}, {Kind: columnar.Float}, {Kind: columnar.Float32}}
	numerics := rapid.OneOf(rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,18})?`), rapid.StringMatching(`-?[0-9]{30,50}(\.[0-9]{1,45})?`),
		rapid.StringMatching(`-?[0-9](\.[0-9]{1,3})?[eE][+-]?[0-9]{1,2}`), rapid.SampledFrom([]string{"NaN", "Infinity", "n/a", "", "-", ".5", "5.", "+1", "1e999", "-0", "1..2"}))
	rapid.Check(t, func(rt *rapid.T) {
		col := rapid.SampledFrom(kinds).Draw(rt, "kind")
		want, others := new(big.Rat), int64(0)
		var batches []*columnar.Batch
		for range rapid.IntRange(0, 4).Draw(rt, "batches") {
			rows := rapid.IntRange(1, 20).Draw(rt, "rows")
			batches = append(batches, batchOf(t, []columnar.Column{col}, func(b *columnar.Builder) {
				c := b.Column(0)
				for range rows {
					b.EndRow()
					if rapid.IntRange(0, 4).Draw(rt, "null") == 0 {
						c.Null()
						continue
					}
					switch col.Kind {
					case columnar.Int:
						v := rapid.Int64().Draw(rt, "v")
						c.Long(v)
						want.Add(want, new(big.Rat).SetInt64(v))
					case columnar.Uint:
						v := rapid.Uint64().Draw(rt, "v")
						c.Uint(v)
						want.Add(want, new(big.Rat).SetUint64(v))
					case columnar.Decimal:
						s := rapid.StringMatching(`-?[0-9]{1,32}\.[0-9]{6}`).Draw(rt, "v")
						v, err := decimal128.FromString(s, 38, 6)
						if err != nil {
							rt.Fatal(err)
						}
						c.Decimal(v)
						want.Add(want, new(big.Rat).SetFrac(v.BigInt(), big.NewInt(1_000_000)))
					case columnar.Numeric:
						s := numerics.Draw(rt, "v")
						c.String(s)
						if v, ok := new(big.Rat).SetString(s); ok && s[0] != '+' && s[0] != '.' && s[len(s)-1] != '.' && s != "1e999" {
							want.Add(want, v)
						} else {
							others++
						}
					case columnar.Float:
						v := math.Float64frombits(rapid.Uint64().Draw(rt, "bits"))
						c.Float(v)
						if v-v != 0 {
							others++
						} else {
							want.Add(want, new(big.Rat).SetFloat64(v))
						}
					case columnar.Float32:
						v := math.Float32frombits(rapid.Uint32().Draw(rt, "bits"))
						c.Float32(v)
						if v-v != 0 {
							others++
						} else { // as its cell shows it
							cell, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
							want.Add(want, new(big.Rat).SetFloat64(cell))
						}
					}
				}
			}))
		}
		got := totalOf(t, col, batches...)
		if got.Others() != others {
			rt.Fatalf("%d values are not numbers, want %d", got.Others(), others)
		}
		if got.Approximate() {
			near, _ := want.Float64()
			if f, err := strconv.ParseFloat(got.Text(), 64); err != nil && !math.IsInf(near, 0) || f != near {
				rt.Fatalf("the sum is %s, want %v", got.Text(), near)
			}
		} else if v, ok := new(big.Rat).SetString(got.Text()); !ok || v.Cmp(want) != 0 {
			rt.Fatalf("the sum is %s, want %s", got.Text(), want.FloatString(50))
		}
	})
}

// TestTotalOfWidenedColumn: a batch of another type than the declared one adds to the same total.
func TestTotalOfWidenedColumn(t *testing.T) {
	declared := columnar.Column{Name: "amount", Kind: columnar.Decimal, Precision: 14, Scale: 2}
	amounts := batchOf(t, []columnar.Column{declared}, func(b *columnar.Builder) {
		b.Column(0).Decimal(decimal("10.50", 2))
		b.EndRow()
	})
	odd := batchOf(t, []columnar.Column{declared}, func(b *columnar.Builder) {
		b.Column(0).Retype(columnar.Mixed)
		for _, v := range []struct {
			class columnar.Class
			text  string
		}{{columnar.ClassStray, "n/a"}, {columnar.ClassNumber, "1.125"}, {columnar.ClassStray, "42"}, {columnar.ClassNumber, "2"}} {
			b.Column(0).Mixed(v.class, []byte(v.text))
			b.EndRow()
		}
		b.Column(0).Null()
		b.EndRow()
	})
	if got := totalOf(t, declared, amounts, odd, amounts); got.Text() != "24.125" || got.Others() != 2 || got.Approximate() {
		t.Errorf("the total is %s, %d values are not numbers", got.Text(), got.Others())
	}
	texts := batchOf(t, []columnar.Column{{Name: "amount", Kind: columnar.Text}}, func(b *columnar.Builder) {
		b.Column(0).String("00042") // of a column that nobody declared
		b.EndRow()
	})
	if got := totalOf(t, columnar.Column{Name: "code", Kind: columnar.Unknown}, texts, texts); got.Text() != "0" || got.Others() != 2 {
		t.Errorf("the total of texts is %s, %d values are not numbers", got.Text(), got.Others())
	}
	doubles := batchOf(t, []columnar.Column{declared}, func(b *columnar.Builder) {
		b.Column(0).Decimal(decimal("0.10", 2))
		b.EndRow()
		b.Column(0).Retype(columnar.Mixed)
		for _, s := range []string{"0.30000000000000004", "NaN", "-Infinity", "1e-320"} {
			b.Column(0).Mixed(columnar.ClassFloat, []byte(s))
			b.EndRow()
		}
	})
	if got := totalOf(t, declared, doubles); got.Text() != "0.4" || got.Others() != 2 || !got.Approximate() {
		t.Errorf("the total with doubles is %s, %d values are not numbers", got.Text(), got.Others())
	}
	if got := totalOf(t, declared); got.Text() != "0.00" {
		t.Errorf("the total of no rows is %s", got.Text())
	}
	floats := batchOf(t, []columnar.Column{{Name: "n", Kind: columnar.Float}}, func(b *columnar.Builder) {
		b.Column(0).Float(0.5)
		b.EndRow()
	})
	if got := totalOf(t, columnar.Column{Name: "n", Kind: columnar.Int}, floats); got.Text() != "0.5" || !got.Approximate() {
		t.Errorf("integers widened to doubles have the total %s", got.Text())
	}
}

// TestTotalsWithoutNulls: NULL counts for nothing, whatever stands in its place.
func TestTotalsWithoutNulls(t *testing.T) {
	num := decimal128.FromI64
	for _, v := range []columnar.View{
		{Column: columnar.Column{Kind: columnar.Int}, Longs: []int64{99, -5, 99}},
		{Column: columnar.Column{Kind: columnar.Decimal, Precision: 9}, Decimals: []decimal128.Num{num(99), num(-5), num(-99)}},
		{Column: columnar.Column{Kind: columnar.Float}, Longs: []int64{int64(math.Float64bits(99)), int64(math.Float64bits(-5)), int64(math.Float64bits(math.NaN()))}},
		{Column: columnar.Column{Kind: columnar.Float32}, Ints: []int32{7, int32(math.Float32bits(-5)), 7}},
		{Column: columnar.Column{Kind: columnar.Numeric}, Offsets: []int32{0, 2, 4, 6}, Data: []byte("99-5xx")},
	} {
		v.Valid = []byte{0b010}
		if got := totalOf(t, v.Column, &columnar.Batch{Rows: 3, Cols: []columnar.View{v}}); got.Text() != "-5" || got.Others() != 0 {
			t.Errorf("%s: the total is %s, %d values are not numbers", v.Type(), got.Text(), got.Others())
		}
	}
}

// TestTotalColumns: columns of numbers are summed in the order of the sheet, but for hidden ones.
func TestTotalColumns(t *testing.T) {
	cols := []columnar.Column{{Name: "a", Kind: columnar.Int}, {Name: "b", Kind: columnar.Text}, {Name: "c", Kind: columnar.Numeric}, {Name: "d", Kind: columnar.Float}, {Name: "e", Kind: columnar.Date}}
	e := newEncoder(t, cols, xlsx.Options{Totals: true, Layout: []xlsx.Layout{{Column: 3, Header: "D"}, {Column: 1}, {Column: 0}, {Column: 2, Hidden: true}, {Column: 4}}})
	var got []string
	for _, at := range e.TotalColumns() {
		c, l := e.Column(at)
		got = append(got, fmt.Sprint(at, c.Name, l.Header))
	}
	if fmt.Sprint(got) != "[0dD 2aa]" {
		t.Errorf("columns with totals are %q", got)
	}
	if e := newEncoder(t, cols, xlsx.Options{}); e.TotalColumns() != nil {
		t.Error("totals that nobody asked for")
	}
}

// BenchmarkTotals sums a batch's columns of numbers, without encoding them: what totals add to an encoder.
func BenchmarkTotals(b *testing.B) {
	batch := sales(1, benchBatchRows, 1)[0]
	e, err := xlsx.NewEncoder(sample.Columns, xlsx.Options{Totals: true})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e.Sum(batch)
	}
	b.ReportMetric(float64(benchBatchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
