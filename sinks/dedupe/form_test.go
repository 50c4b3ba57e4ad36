package dedupe_test

import (
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/dedupe"
)

var update = flag.Bool("update", false, "write the golden files")

// value is a value as a connection has it.
type value struct {
	name string
	col  columnar.Column
	put  func(c *columnar.ColumnBuilder)
}

func of(kind columnar.Kind, name string, put func(c *columnar.ColumnBuilder)) value {
	return value{kind.String() + " " + name, columnar.Column{Kind: kind}, put}
}

func text(kind columnar.Kind, v string) value {
	return of(kind, fmt.Sprintf("%q", v), func(c *columnar.ColumnBuilder) { c.String(v) })
}

func long(kind columnar.Kind, v int64) value {
	return of(kind, fmt.Sprint(v), func(c *columnar.ColumnBuilder) { c.Long(v) })
}

func float(v float64) value {
	return of(columnar.Float, fmt.Sprint(v), func(c *columnar.ColumnBuilder) { c.Float(v) })
}

func float32s(v float32) value {
	return of(columnar.Float32, fmt.Sprint(v), func(c *columnar.ColumnBuilder) { c.Float32(v) })
}

// decimal is v / 10^scale.
func decimal(v string, scale int32) value {
	n, ok := new(big.Int).SetString(v, 10)
	if !ok {
		panic(v)
	}
	return value{fmt.Sprintf("decimal %se-%d", v, scale), columnar.Column{Kind: columnar.Decimal, Precision: 38, Scale: scale},
		func(c *columnar.ColumnBuilder) { c.Decimal(decimal128.FromBigInt(n)) }}
}

func stray(kind columnar.Kind, v string) value {
	return of(kind, fmt.Sprintf("stray %q", v), func(c *columnar.ColumnBuilder) {
		c.Retype(columnar.Mixed)
		c.Mixed(columnar.ClassStray, []byte(v))
	})
}

func null(kind columnar.Kind) value {
	return of(kind, "NULL", func(c *columnar.ColumnBuilder) { c.Null() })
}

// values has every kind, in every form that equals one of another kind, and those next to it that do not.
func values() []value {
	const noon = 1_709_208_000_000_000 // 2024-02-29 12:00 in microseconds
	const day = 19782
	out := []value{
		long(columnar.Int, 0), long(columnar.Int, 1), long(columnar.Int, -1), long(columnar.Int, 100), long(columnar.Int, math.MaxInt64),
		long(columnar.Int, math.MinInt64), long(columnar.Uint, 1), of(columnar.Uint, "2^64-1", func(c *columnar.ColumnBuilder) { c.Uint(math.MaxUint64) }),
		float(0), float(math.Copysign(0, -1)), float(1), float(-1), float(0.1), float(100), float(1e20), float(1e300), float(math.MinInt64),
		float(math.NaN()), float(-math.NaN()), float(math.Inf(1)), float(math.Inf(-1)), float32s(1), float32s(0.1), float32s(123456789),
		of(columnar.Float32, "NaN", func(c *columnar.ColumnBuilder) { c.Float32(float32(math.NaN())) }),
		decimal("0", 2), decimal("100", 2), decimal("1", 0), decimal("-100", 2), decimal("10000", 2), decimal("10", 2), decimal("1", 38),
		decimal("100000000000000000000", 0), decimal("18446744073709551615", 0), decimal("12345678901234567890123456789012345678", 0),
		decimal("-12345678901234567890123456789012345678", 10), decimal("-9223372036854775808", 0),
		text(columnar.Numeric, "1"), text(columnar.Numeric, "1.000"), text(columnar.Numeric, "-0.00"), text(columnar.Numeric, "0.1"),
		text(columnar.Numeric, "123456790"), text(columnar.Numeric, "12345678901234567890123456789012345678.0"),
		text(columnar.Numeric, "1"+strings.Repeat("0", 300)), text(columnar.Numeric, "18446744073709551616"),
		of(columnar.Bool, "true", func(c *columnar.ColumnBuilder) { c.Bool(true) }), of(columnar.Bool, "false", func(c *columnar.ColumnBuilder) { c.Bool(false) }),
		text(columnar.Text, ""), text(columnar.Text, "1"), text(columnar.Text, "1.00"), text(columnar.Text, "true"), text(columnar.Text, "NaN"),
		text(columnar.Text, "ab"), text(columnar.Text, "ab   "), text(columnar.Text, "AB"), text(columnar.Text, "\u00e9"), text(columnar.Text, "e\u0301"),
		text(columnar.Text, "2024-02-29"), text(columnar.Text, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), text(columnar.Text, "0x6162"),
		text(columnar.Binary, ""), text(columnar.Binary, "ab"), text(columnar.Binary, "\x00"),
		of(columnar.Date, "2024-02-29", func(c *columnar.ColumnBuilder) { c.Days(day) }), of(columnar.Date, "largest", func(c *columnar.ColumnBuilder) { c.Days(math.MaxInt32) }),
		long(columnar.Time, 1_500_000), long(columnar.Time, -1_500_000), long(columnar.TimeNano, 1_500_000_000), long(columnar.TimeNano, 1_500_000_001),
		long(columnar.Timestamp, noon), long(columnar.TimestampNano, noon*1000), long(columnar.TimestampNano, noon*1000+1),
		long(columnar.Timestamp, day*columnar.MicrosPerDay), long(columnar.Instant, noon), long(columnar.InstantNano, noon*1000),
		of(columnar.Timestamp, "an instant among others", func(c *columnar.ColumnBuilder) { c.Retype(columnar.Mixed); c.Zoned(noon, 0) }),
		stray(columnar.Int, "n/a"), stray(columnar.Int, "1"), stray(columnar.Decimal, "NaN"), stray(columnar.Date, "infinity"), stray(columnar.Date, "2024-02-29"),
		null(columnar.Int), null(columnar.Text), null(columnar.Binary),
	}
	for _, kind := range []columnar.Kind{columnar.Int, columnar.Float, columnar.Text} {
		kind := kind
		out = append(out, of(kind, "NULL beside a stray", func(c *columnar.ColumnBuilder) { c.Retype(columnar.Mixed); c.Null() }))
	}
	return out
}

// batchOf is a batch with this value as its only row; mixed: as it stands beside a stray.
func batchOf(t tester, v value, mixed bool) *columnar.Batch {
	b := columnar.NewBuilder([]columnar.Column{v.col})
	v.put(b.Column(0))
	if mixed && !b.Column(0).Retype(columnar.Mixed) {
		t.Fatalf("%s does not mix", v.name)
	}
	b.EndRow()
	if mixed {
		b.Column(0).Mixed(columnar.ClassStray, []byte("?"))
		b.EndRow()
	}
	return decoded(t, b)
}

// What equals what, of all kinds, in a column of each sort: a line has what is one value. A value beside a stray is
// what it is alone.
func TestEquality(t *testing.T) {
	var out strings.Builder
	kolkata := time.FixedZone("Asia/Kolkata", 19800)
	for _, schema := range []columnar.Kind{columnar.Decimal, columnar.Timestamp, columnar.Text} {
		form, err := dedupe.NewForm(dedupe.Query{Columns: []columnar.Column{{Kind: schema}}}, kolkata)
		if err != nil {
			t.Fatal(err)
		}
		lines := map[string]int{}
		var equal [][]string
		add := func(key []byte, name string) {
			at, there := lines[string(key)]
			if !there {
				at = len(equal)
				lines[string(key)] = at
				equal = append(equal, nil)
			}
			equal[at] = append(equal[at], name)
		}
		for _, v := range values() {
			key, distinct := form.Key(nil, batchOf(t, v, false), nil, 0)
			mixed, _ := form.Key(nil, batchOf(t, v, true), nil, 0)
			if string(key) != string(mixed) || distinct {
				t.Fatalf("%s in a column of %s is %x, and %x beside a stray", v.name, schema, key, mixed)
			}
			add(key, v.name)
		}
		absent, _ := form.Key(nil, &columnar.Batch{Rows: 1}, []int{-1}, 0)
		add(absent, "a column that the connection lacks")
		fmt.Fprintf(&out, "In a column of type %s\n", schema)
		for _, names := range equal {
			fmt.Fprintf(&out, "    %s\n", strings.Join(names, " = "))
		}
	}
	golden(t, "equal.txt", out.String())
}

func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(want), "\r\n", "\n") != got {
		t.Fatalf("%s differs; -update writes\n%s", path, got)
	}
}

// Two numbers have one form if they are the same number, whatever their texts.
func TestNumbers(t *testing.T) {
	form, err := dedupe.NewForm(dedupe.Query{Columns: []columnar.Column{{Kind: columnar.Numeric}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	draw := rapid.Custom(func(t *rapid.T) string {
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		whole := rapid.StringMatching(`0{0,3}[0-9]{1,22}0{0,3}`).Draw(t, "whole")
		return sign + whole + rapid.StringMatching(`(\.[0-9]{1,22}0{0,3})?`).Draw(t, "fraction")
	})
	rapid.Check(t, func(t *rapid.T) {
		a := draw.Draw(t, "a")
		b := rapid.OneOf(draw, rapid.Just("-"+strings.TrimPrefix(a, "-")), rapid.Just(strings.TrimRight(a, "0")+"0"),
			rapid.Just(strings.TrimLeft(a, "0")+".0")).Draw(t, "b")
		x, ok1 := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		if !ok1 || !ok2 {
			return // as 1.5.0 is none
		}
		keyA, _ := form.Key(nil, batchOf(t, text(columnar.Numeric, a), false), nil, 0)
		keyB, _ := form.Key(nil, batchOf(t, text(columnar.Numeric, b), false), nil, 0)
		if (x.Cmp(y) == 0) != (string(keyA) == string(keyB)) {
			t.Fatalf("%s is %x, %s is %x", a, keyA, b, keyB)
		}
	})
}

// Values do not run into each other, keys with a NULL are nobody's, and a column that comes later changes nothing.
func TestRows(t *testing.T) {
	two := dedupe.Query{Columns: []columnar.Column{{Name: "a", Kind: columnar.Text}, {Name: "b", Kind: columnar.Text}}}
	row := func(cells ...string) *columnar.Batch {
		cols := make([]columnar.Column, len(cells))
		for i := range cols {
			cols[i].Kind = columnar.Text
		}
		b := columnar.NewBuilder(cols)
		for i, c := range cells {
			if c == "NULL" {
				b.Column(i).Null()
			} else {
				b.Column(i).String(c)
			}
		}
		b.EndRow()
		return decoded(t, b)
	}
	key := func(q dedupe.Query, b *columnar.Batch, places []int) (string, bool) {
		form, err := dedupe.NewForm(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		k, distinct := form.Key(nil, b, places, 0)
		return string(k), distinct
	}
	seen := map[string]string{}
	for _, cells := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"abc", "NULL"}, {"NULL", "abc"}, {"NULL", "NULL"}, {"", ""}} {
		k, _ := key(two, row(cells...), nil)
		if other, there := seen[k]; there {
			t.Fatalf("%q is %s", cells, other)
		}
		seen[k] = fmt.Sprintf("%q", cells)
	}
	one := dedupe.Query{Columns: two.Columns[:1]}
	narrow, _ := key(one, row("a"), nil)
	wide, _ := key(two, row("a", "NULL"), nil)
	lacking, _ := key(two, row("a"), []int{0, -1})
	turned, _ := key(two, row("NULL", "a"), []int{1, 0})
	if narrow != wide || narrow != lacking || narrow != turned {
		t.Fatalf("%x, %x, %x, %x", narrow, wide, lacking, turned)
	}
	keyed := dedupe.Query{Columns: two.Columns, Keys: []int{1}}
	if k, distinct := key(keyed, row("other", "x"), nil); distinct || k == "" {
		t.Fatal("a key without NULL is somebody's")
	}
	if _, distinct := key(keyed, row("x", "NULL"), nil); !distinct {
		t.Fatal("a NULL in a key equals nothing")
	}
	if _, distinct := key(keyed, row("x"), []int{0, -1}); !distinct {
		t.Fatal("a key column that the connection lacks equals nothing")
	}
}

// A row costs no allocation.
func TestKeyAllocatesNothing(t *testing.T) {
	form, err := dedupe.NewForm(dedupe.Query{Columns: invoiceColumns}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := newInvoiceBatch()
	b.fill(0, 1<<40)
	key := make([]byte, 0, 1<<10)
	i := 0
	if n := testing.AllocsPerRun(1000, func() { key, _ = form.Key(key[:0], &b.Batch, nil, i); i++ }); n != 0 {
		t.Fatalf("%v allocations a row", n)
	}
}
