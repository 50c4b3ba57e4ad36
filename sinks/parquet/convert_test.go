package parquet_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

// one makes a batch of one column with these values, one a row.
func one(t testing.TB, c columnar.Column, puts ...func(*columnar.ColumnBuilder)) *columnar.Batch {
	return batchOf(t, len(puts), []columnar.Column{c}, func(r int, b *columnar.Builder) { puts[r](b.Column(0)) })
}

func long(v int64) func(*columnar.ColumnBuilder) {
	return func(c *columnar.ColumnBuilder) { c.Long(v) }
}
func text(v string) func(*columnar.ColumnBuilder) {
	return func(c *columnar.ColumnBuilder) { c.String(v) }
}
func float(v float64) func(*columnar.ColumnBuilder) {
	return func(c *columnar.ColumnBuilder) { c.Float(v) }
}
func null(c *columnar.ColumnBuilder) { c.Null() }
func dec(v int64) func(*columnar.ColumnBuilder) {
	return func(c *columnar.ColumnBuilder) { c.Decimal(decimal128.FromI64(v)) }
}

// mixed appends to a column that is, or becomes, Mixed.
func mixed(class columnar.Class, v string) func(*columnar.ColumnBuilder) {
	return func(c *columnar.ColumnBuilder) {
		c.Retype(columnar.Mixed)
		c.Mixed(class, []byte(v))
	}
}

func moment(micros, nanos int64) func(*columnar.ColumnBuilder) {
	return func(c *columnar.ColumnBuilder) { c.Moment(micros, nanos) }
}

// TestConvert writes a batch's column into a column of another type, or values that the type has no room for: what is
// in the file, and what is counted as lost.
func TestConvert(t *testing.T) {
	money := parquet.Column{Name: "c", Kind: columnar.Decimal, Precision: 9, Scale: 2}
	col := func(k columnar.Kind) parquet.Column { return parquet.Column{Name: "c", Kind: k} }
	as := func(k columnar.Kind) columnar.Column { return columnar.Column{Name: "c", Kind: k} }
	decimalOf := func(p, s int32) columnar.Column {
		return columnar.Column{Name: "c", Kind: columnar.Decimal, Precision: p, Scale: s}
	}
	const number, stray, clock = columnar.ClassNumber, columnar.ClassStray, columnar.ClassMoment
	for name, test := range map[string]struct {
		column parquet.Column
		from   columnar.Column
		puts   []func(*columnar.ColumnBuilder)
		want   string // values, then losses
	}{
		"decimal of fewer decimals": {money, decimalOf(9, 1), []func(*columnar.ColumnBuilder){dec(-15), null, dec(15)}, "-150 <nil> 150"},
		"decimal of more decimals": {money, decimalOf(9, 4), []func(*columnar.ColumnBuilder){dec(1500), dec(1450), dec(-1450), dec(49)},
			"15 15 -15 0 | rounded to 2 decimals 3 2"},
		"decimal of more digits": {money, decimalOf(20, 2), []func(*columnar.ColumnBuilder){dec(999_999_999), dec(-1_000_000_000), dec(1)},
			"999999999 <nil> 1 | NULL: out of the range of decimal(9,2) 1 2"},
		"numeric to decimal": {money, as(columnar.Numeric), []func(*columnar.ColumnBuilder){text("0.1"), text("-12345678901234567890123456789012345678901234567890"),
			text("1.005"), text("0.000000000000000000000000000000000000000000001"), text(".5")},
			"10 <nil> 101 0 50 | NULL: out of the range of decimal(9,2) 1 2 | rounded to 2 decimals 2 3"},
		"decimals with strays": {money, decimalOf(9, 2), []func(*columnar.ColumnBuilder){dec(150), mixed(stray, "n/a"), mixed(number, "2.5"),
			mixed(columnar.ClassFloat, "0.30000000000000004"), null, mixed(columnar.ClassFloat, "NaN")},
			"150 <nil> 250 30 <nil> <nil> | NULL: none of type decimal(9,2) 2 2 | rounded to 2 decimals 1 4"},
		"whole numbers of decimals": {col(columnar.Int), decimalOf(38, 1), []func(*columnar.ColumnBuilder){dec(math.MinInt64), dec(20), dec(25),
			func(c *columnar.ColumnBuilder) { c.Decimal(decimal128.New(1<<60, 0)) }},
			"-922337203685477581 2 3 <nil> | NULL: out of the range of int 1 4 | rounded to 0 decimals 2 1"},
		"whole numbers with strays": {col(columnar.Int), as(columnar.Int), []func(*columnar.ColumnBuilder){long(math.MinInt64), mixed(stray, "12"),
			mixed(number, "9223372036854775807"), mixed(number, "9223372036854775808"), mixed(number, "-9223372036854775809")},
			"-9223372036854775808 <nil> 9223372036854775807 <nil> <nil> | NULL: none of type int 1 2 | NULL: out of the range of int 2 4"},
		"unsigned to signed": {col(columnar.Int), as(columnar.Uint), []func(*columnar.ColumnBuilder){long(7), long(-1)}, "7 <nil> | NULL: out of the range of int 1 2"},
		"signed to unsigned": {col(columnar.Uint), as(columnar.Int), []func(*columnar.ColumnBuilder){long(7), long(-1)},
			"\x00\x00\x00\x00\x00\x00\x00\x00\x07 <nil> | NULL: out of the range of decimal(20,0) 1 2"},
		"doubles of numbers": {col(columnar.Float), as(columnar.Numeric), []func(*columnar.ColumnBuilder){text("0.10"), text("12345678901234567890"), text("9007199254740993"), text("-0")},
			"0.1 1.2345678901234567e+19 9.007199254740992e+15 -0 | rounded to a float 2 2"},
		"doubles of integers": {col(columnar.Float), as(columnar.Int), []func(*columnar.ColumnBuilder){long(1 << 53), long(-3)}, "9.007199254740992e+15 -3"},
		"doubles with strays": {col(columnar.Float), as(columnar.Float), []func(*columnar.ColumnBuilder){float(math.Inf(-1)), mixed(stray, "n/a"), mixed(columnar.ClassFloat, "NaN"), mixed(number, "3")},
			"-Inf <nil> NaN 3 | NULL: none of type float 1 2"},
		"floats of doubles": {col(columnar.Float32), as(columnar.Float), []func(*columnar.ColumnBuilder){float(0.5), float(0.30000000000000004), float(1e300), float(math.Inf(1))},
			"0.5 0.3 <nil> +Inf | NULL: out of the range of float32 1 3 | rounded to a float32 1 2"},
		"doubles of floats": {col(columnar.Float), as(columnar.Float32), []func(*columnar.ColumnBuilder){func(c *columnar.ColumnBuilder) { c.Float32(0.1) }}, "0.1"},
		"nanoseconds": {col(columnar.Timestamp), as(columnar.Timestamp), []func(*columnar.ColumnBuilder){moment(-1, 0), moment(-2, 900), moment(5, 0)},
			"-1 -2 5 | cut to microseconds 1 2"},
		"moments with strays": {col(columnar.Instant), as(columnar.Instant), []func(*columnar.ColumnBuilder){moment(-1, 0), mixed(stray, "infinity"), mixed(clock, "9999-12-31 23:59:59.9999999+00:00")},
			"-1 <nil> 253402300799999999 | NULL: none of type timestamptz 1 2 | cut to microseconds 1 3"},
		"dates as timestamps": {col(columnar.Timestamp), as(columnar.Date), []func(*columnar.ColumnBuilder){func(c *columnar.ColumnBuilder) { c.Days(-1) }}, "-86400000000"},
		"wall clocks as instants": {col(columnar.Instant), as(columnar.Timestamp), []func(*columnar.ColumnBuilder){moment(7, 0)},
			"<nil> | NULL: none of type timestamptz 1 1"},
		"times": {col(columnar.Time), as(columnar.Time), []func(*columnar.ColumnBuilder){long(0), long(86_399_999_999), long(86_400_000_000), long(-1), null},
			"0 86399999999 <nil> <nil> <nil> | NULL: out of the range of time 2 3"},
		"booleans": {col(columnar.Bool), as(columnar.Bool), []func(*columnar.ColumnBuilder){func(c *columnar.ColumnBuilder) { c.Bool(true) }, mixed(stray, "2"), mixed(columnar.ClassBool, "false")},
			"true <nil> false | NULL: none of type bool 1 2"},
		"numbers as booleans": {col(columnar.Bool), as(columnar.Int), []func(*columnar.ColumnBuilder){long(1)}, "<nil> | NULL: none of type bool 1 1"},
		"bytes with texts": {col(columnar.Binary), as(columnar.Binary), []func(*columnar.ColumnBuilder){func(c *columnar.ColumnBuilder) { c.Bytes([]byte("ab")) }, mixed(stray, "plain")},
			"ab <nil> | NULL: none of type binary 1 2"},
		"texts of anything":  {col(columnar.Text), as(columnar.Instant), []func(*columnar.ColumnBuilder){moment(0, 0), null}, "1970-01-01 00:00:00+00:00 <nil>"},
		"texts that are not": {col(columnar.Text), as(columnar.Text), []func(*columnar.ColumnBuilder){text("ok"), text("a\xffb"), null}, "ok a\uFFFDb <nil> | not UTF-8: U+FFFD instead of the bytes that are none 1 2"},
		"texts cut apart":    {col(columnar.Text), as(columnar.Text), []func(*columnar.ColumnBuilder){text("\xc3"), text("\xa9")}, "\uFFFD \uFFFD | not UTF-8: U+FFFD instead of the bytes that are none 2 1"},
		"uuids": {parquet.Column{Name: "c", Kind: columnar.Text, Form: parquet.UUID}, as(columnar.Text),
			[]func(*columnar.ColumnBuilder){text("41424344-4546-4748-494A-4b4c4d4e4f50"), text("{41424344-4546-4748-494A-4b4c4d4e4f50}"), null, text("41424344454647"), text("4142434g-4546-4748-494A-4b4c4d4e4f50")},
			"ABCDEFGHIJKLMNOP ABCDEFGHIJKLMNOP <nil> <nil> <nil> | NULL: none of type uuid 2 4"},
		"json": {parquet.Column{Name: "c", Kind: columnar.Text, Form: parquet.JSON}, as(columnar.Text), []func(*columnar.ColumnBuilder){text(`{"a":1}`), text("{"), text("")},
			`{"a":1} <nil> <nil> | NULL: none of type json 2 2`},
		"nobody knows": {col(columnar.Unknown), as(columnar.Int), []func(*columnar.ColumnBuilder){long(-7)}, "-7"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSchema(t, test.column)
			f := newFeed(t, s, "c", 0)
			got := read(t, written(t, s, parquet.Options{}, f, one(t, test.from, test.puts...)))
			said := strings.TrimSuffix(fmt.Sprintln(got.cols[0]...), "\n")
			for _, l := range f.Losses() {
				said += fmt.Sprintf(" | %s %d %d", l.What, l.Values, l.First)
			}
			if said != test.want {
				t.Fatalf("\n%q\nwant\n%q", said, test.want)
			}
		})
	}
}

// TestFeeds has two connections in one file: one has no column b, and its losses and rows are its own.
func TestFeeds(t *testing.T) {
	s := newSchema(t, parquet.Column{Name: "a", Kind: columnar.Int}, parquet.Column{Name: "b", Kind: columnar.Date}, parquet.Column{Name: "branch", Kind: columnar.Text, Connection: true})
	ints := one(t, columnar.Column{Name: "a", Kind: columnar.Int}, long(1), mixed(columnar.ClassStray, "x"))
	first, second := newFeed(t, s, "B/1", 0, -1, -1), newFeed(t, s, "बी", -1, -1, -1)
	var out strings.Builder
	w, err := parquet.New(&out, s, parquet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*parquet.Feed{first, second, first} {
		if err := w.Write(f, ints); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
	got := read(t, []byte(out.String()))
	if fmt.Sprint(got.cols) != "[[1 <nil> <nil> <nil> 1 <nil>] [<nil> <nil> <nil> <nil> <nil> <nil>] [B/1 B/1 बी बी B/1 B/1]]" || len(got.groups) != 1 {
		t.Fatalf("%v in groups %v", got.cols, got.groups)
	}
	if said := fmt.Sprint(first.Losses(), first.Rows(), second.Losses(), second.Rows()); said != "[{a NULL: none of type int 2 2}] 4 [] 2" {
		t.Fatal(said)
	}
}
