package xlsx_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// rowsOf is the XML of a batch's rows, and what was said of its only column.
func rowsOf(t *testing.T, e *xlsx.Encoder, b *columnar.Builder) (xml string, losses []xlsx.Loss, tally columnar.Tally) {
	t.Helper()
	chunk, err := e.Encode(0, decoded(t, b))
	if err != nil {
		t.Fatal(err)
	}
	defer chunk.Release()
	_, xml, _ = strings.Cut(inflate(t, chunk.Pieces[0].Data), "<sheetData>") // columns may be wider
	return xml, chunk.Losses, chunk.Tally[0]
}

// One value that is none of its column's kind makes only itself a text: its neighbours are the cells that they are
// without it, with the column's format.
func TestStrayAmongAnything(t *testing.T) {
	kinds := []columnar.Column{{Kind: columnar.Bool}, {Kind: columnar.Int}, {Kind: columnar.Uint}, {Kind: columnar.Float}, {Kind: columnar.Float32},
		{Kind: columnar.Decimal, Precision: 38, Scale: 2}, {Kind: columnar.Decimal, Precision: 38}, {Kind: columnar.Numeric}, {Kind: columnar.Text},
		{Kind: columnar.Binary}, {Kind: columnar.Unknown}}
	rapid.Check(t, func(rt *rapid.T) {
		col := rapid.SampledFrom(kinds).Draw(rt, "kind")
		col.Name = "v"
		layout := xlsx.Layout{Digits: rapid.Bool().Draw(rt, "digits")}
		o := xlsx.Options{Layout: []xlsx.Layout{layout}}
		if rapid.Bool().Draw(rt, "format") {
			o.Formats, o.Layout[0].Format = []string{"0.000"}, "0.000"
		}
		e := newEncoder(t, []columnar.Column{col}, o)
		b := columnar.NewBuilder([]columnar.Column{col})
		c := b.Column(0)
		rows := rapid.IntRange(1, 6).Draw(rt, "rows")
		for range rows {
			switch kind := c.Kind; {
			case rapid.IntRange(0, 4).Draw(rt, "null") == 0:
				c.Null()
			case kind == columnar.Bool:
				c.Bool(rapid.Bool().Draw(rt, "v"))
			case kind == columnar.Int || kind == columnar.Uint:
				c.Long(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-9, 9)).Draw(rt, "v"))
			case kind == columnar.Float:
				c.Float(math.Float64frombits(rapid.Uint64().Draw(rt, "v")))
			case kind == columnar.Float32:
				c.Float32(math.Float32frombits(rapid.Uint32().Draw(rt, "v")))
			case kind == columnar.Decimal:
				c.Decimal(decimal128.New(rapid.Int64Range(-1<<60, 1<<60).Draw(rt, "v")>>rapid.IntRange(0, 63).Draw(rt, "shift"), rapid.Uint64().Draw(rt, "low")))
			case kind == columnar.Numeric:
				c.String(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?`).Draw(rt, "v"))
			default:
				c.String(rapid.String().Draw(rt, "v"))
			}
			b.EndRow()
		}
		want, lost, tally := rowsOf(t, e, b)
		c.Retype(columnar.Mixed)
		c.Mixed(columnar.ClassStray, []byte("42"))
		b.EndRow()
		got, lostThen, tallyThen := rowsOf(t, e, b)
		odd, ok := strings.CutPrefix(got, want)
		if !ok || !strings.Contains(odd, `s="2" t="inlineStr"><is><t>42<`) || !slices.Equal(lost, lostThen) {
			rt.Fatalf("the cells were\n%s %v, are\n%s %v", want, lost, got, lostThen)
		}
		if tallyThen.Filled != tally.Filled+1 || tallyThen.Strays != tally.Strays+1 || tallyThen.Long != tally.Long || tally.First == 0 && tallyThen.First != int64(rows+1) {
			rt.Fatalf("the tally was %+v, is %+v", tally, tallyThen)
		}
	})
}

// A double is a number cell, and a number with a fraction is one of 15 digits, whatever else is in the column; whole
// numbers of more digits and what is no number are texts, and each is counted.
func TestColumnOfAmounts(t *testing.T) {
	col := columnar.Column{Name: "amount", Kind: columnar.Decimal, Precision: 38, Scale: 2}
	fill := func(c *columnar.ColumnBuilder, end func()) {
		for _, v := range []string{"0.10", "12345678901234.56", "1234567890123456.70", "1234567890123450.00"} {
			c.Decimal(decimal(v, 2))
			end()
		}
		c.Retype(columnar.Mixed)
		for _, v := range []struct {
			class columnar.Class
			text  string
		}{{columnar.ClassFloat, "0.30000000000000004"}, {columnar.ClassFloat, "1e+22"}, {columnar.ClassFloat, "1e-320"}, {columnar.ClassNumber, "12345678901234567890"},
			{columnar.ClassStray, "n/a"}, {columnar.ClassStray, "42"}} {
			c.Mixed(v.class, []byte(v.text))
			end()
		}
		c.Null()
		end()
	}
	const s, x = `" s="13"><v>`, `" s="3" t="inlineStr"><is><t>`
	text := func(s string) string { return `" s="2" t="inlineStr"><is><t>` + s + "</t></is></c>" }
	exact := func(s string) string { return x + s + "</t></is></c>" }
	number := func(v string) string { return s + v + "</v></c>" }
	for digits, want := range map[bool]struct {
		cells []string
		loss  string
		tally columnar.Tally
	}{
		false: {[]string{number("0.10"), number("12345678901234.6"), number("1234567890123460"), number("1234567890123450.00"), number("0.30000000000000004"), number("1e+22"),
			text("1e-320"), number("12345678901234600000"), text("n/a"), text("42")}, "[{amount rounded to 15 digits 3}]", columnar.Tally{Filled: 10, Strays: 3, First: 7, Of: columnar.Decimal}},
		true: {[]string{exact("0.10"), exact("12345678901234.56"), exact("1234567890123456.70"), exact("1234567890123450.00"), exact("0.30000000000000004"), exact("1e+22"),
			exact("1e-320"), exact("12345678901234567890"), text("n/a"), text("42")}, "[]", columnar.Tally{Filled: 10, Strays: 2, First: 9, Of: columnar.Decimal}},
	} {
		o := xlsx.Options{Layout: []xlsx.Layout{{Digits: digits}}}
		b := columnar.NewBuilder([]columnar.Column{col})
		fill(b.Column(0), b.EndRow)
		xml, losses, tally := rowsOf(t, newEncoder(t, []columnar.Column{col}, o), b)
		for i, cell := range want.cells {
			if !strings.Contains(xml, fmt.Sprintf(`<c r="A%d%s`, i+2, cell)) {
				t.Errorf("digits %v: row %d is not %s in\n%s", digits, i+1, cell, xml)
			}
		}
		if tally != want.tally || fmt.Sprint(losses) != want.loss {
			t.Errorf("digits %v: %+v %v", digits, tally, losses)
		}
		o.FailOnLoss = true
		_, err := newEncoder(t, []columnar.Column{col}, o).Encode(0, decoded(t, b))
		if loss := (*xlsx.LossError)(nil); digits && err != nil || !digits && (!errors.As(err, &loss) || loss.Row != 2 || loss.What != xlsx.LossDigits) {
			t.Errorf("digits %v: with FailOnLoss the error is %v", digits, err)
		}
	}
}

// Columns of identifiers are left unmarked; a number in a text cell of a column of amounts is marked.
func TestMarkedStrays(t *testing.T) {
	cols := []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "t", Kind: columnar.Text}, {Name: "a", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "d", Kind: columnar.Date},
		{Name: "n", Kind: columnar.Numeric}}
	for want, columns := range map[string][]columnar.Column{`sqref="A1:B4 E1:E4"`: cols, `sqref="A1:A4"`: cols[1:3], "": cols[2:4]} {
		chunk := newEncoder(t, columns, xlsx.Options{}).Tail(3)
		_, tail, _ := strings.Cut(inflate(t, chunk.Pieces[0].Data), "</sheetData>")
		if strings.Contains(tail, "ignoredError") != (want != "") || !strings.Contains(tail, want) {
			t.Errorf("want %q in %s", want, tail)
		}
		chunk.Release()
	}
}
