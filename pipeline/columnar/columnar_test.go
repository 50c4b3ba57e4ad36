package columnar_test

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
)

// put appends a value of any kind; nil is NULL.
func put(c *columnar.ColumnBuilder, v any) {
	switch v := v.(type) {
	case nil:
		c.Null()
	case bool:
		c.Bool(v)
	case int64:
		c.Long(v)
	case uint64:
		c.Uint(v)
	case int32:
		c.Days(v)
	case float32:
		c.Float32(v)
	case float64:
		c.Float(v)
	case decimal128.Num:
		c.Decimal(v)
	case string:
		c.String(v)
	default:
		panic(fmt.Sprintf("%T", v))
	}
}

var allColumns = []columnar.Column{
	{Name: "b", Kind: columnar.Bool}, {Name: "i", Kind: columnar.Int}, {Name: "u", Kind: columnar.Uint},
	{Name: "f4", Kind: columnar.Float32}, {Name: "f8", Kind: columnar.Float}, {Name: "dec", Kind: columnar.Decimal, Precision: 38, Scale: 4},
	{Name: "num", Kind: columnar.Numeric}, {Name: "d", Kind: columnar.Date}, {Name: "t", Kind: columnar.Time},
	{Name: "ts", Kind: columnar.Timestamp}, {Name: "tz", Kind: columnar.Instant}, {Name: "s", Kind: columnar.Text}, {Name: "x", Kind: columnar.Binary},
	{Name: "t9", Kind: columnar.TimeNano}, {Name: "ts9", Kind: columnar.TimestampNano}, {Name: "tz9", Kind: columnar.InstantNano},
}

func drawValue(t *rapid.T, k columnar.Kind, label string) any {
	if rapid.IntRange(0, 4).Draw(t, label+" null") == 0 {
		return nil
	}
	switch k {
	case columnar.Bool:
		return rapid.Bool().Draw(t, label)
	case columnar.Uint:
		return rapid.Uint64().Draw(t, label)
	case columnar.Float32:
		return rapid.Float32().Draw(t, label)
	case columnar.Float:
		return rapid.Float64().Draw(t, label)
	case columnar.Decimal:
		return decimal128.New(rapid.Int64().Draw(t, label), rapid.Uint64().Draw(t, label+" low"))
	case columnar.Date:
		return rapid.Int32().Draw(t, label)
	case columnar.Time:
		return rapid.Int64Range(0, columnar.MicrosPerDay-1).Draw(t, label)
	case columnar.Numeric, columnar.Text, columnar.Binary:
		return rapid.String().Draw(t, label)
	default:
		return rapid.Int64Range(-1<<55, 1<<55).Draw(t, label)
	}
}

// Every value comes out of a decoded batch as it went in, NULLs and batch reuse included.
func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := columnar.NewBuilder(allColumns)
		for batch := range 2 {
			rows := rapid.IntRange(1, 30).Draw(t, "rows")
			want := make([][]any, rows)
			for r := range want {
				for c, col := range allColumns {
					v := drawValue(t, col.Kind, fmt.Sprintf("%d/%d/%s", batch, r, col.Name))
					want[r] = append(want[r], v)
					put(b.Column(c), v)
				}
				b.EndRow()
			}
			body, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, err := columnar.Decode(append([]byte(nil), body...))
			if err != nil {
				t.Fatal(err)
			}
			b.Reset()
			if got.Rows != rows || len(got.Cols) != len(allColumns) {
				t.Fatalf("got %d rows of %d columns", got.Rows, len(got.Cols))
			}
			for c := range allColumns {
				v := &got.Cols[c]
				if v.Column != allColumns[c] {
					t.Fatalf("column %d came out as %+v", c, v.Column)
				}
				for r := range want {
					if v.Null(r) != (want[r][c] == nil) {
						t.Fatalf("%s row %d: null %v", v.Name, r, v.Null(r))
					}
					if want[r][c] != nil && !same(v, r, want[r][c]) {
						t.Fatalf("%s row %d: not %v", v.Name, r, want[r][c])
					}
				}
			}
		}
	})
}

func same(v *columnar.View, r int, want any) bool {
	switch w := want.(type) {
	case bool:
		return v.Bool(r) == w
	case int64:
		return v.Longs[r] == w
	case uint64:
		return uint64(v.Longs[r]) == w
	case int32:
		return v.Ints[r] == w
	case float32:
		return uint32(v.Ints[r]) == math.Float32bits(w)
	case float64:
		return uint64(v.Longs[r]) == math.Float64bits(w)
	case decimal128.Num:
		return v.Decimals[r] == w
	case string:
		return string(v.Bytes(r)) == w
	}
	return false
}

// A batch without rows is one, too: it has its columns, of whatever kind.
func TestBatchWithoutRows(t *testing.T) {
	var columns []columnar.Column
	for kind := columnar.Bool; kind <= columnar.Binary; kind++ {
		columns = append(columns, columnar.Column{Name: kind.String(), Kind: kind, Precision: 10, Scale: 2})
	}
	body, err := columnar.NewBuilder(columns).Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if batch.Rows != 0 || len(batch.Cols) != len(columns) {
		t.Errorf("%d rows, %d columns", batch.Rows, len(batch.Cols))
	}
	for i := range batch.Cols {
		if c := &batch.Cols[i]; c.Name != columns[i].Name || c.Kind != columns[i].Kind || c.Nulls != 0 {
			t.Errorf("column %d is %+v", i, c.Column)
		}
	}
}

// The text of a decimal has all its digits (invariant 9): compared with big.Int.
func TestDecimalText(t *testing.T) {
	check := func(t rapid.TB, n decimal128.Num, scale int) {
		t.Helper()
		got := string(columnar.AppendDecimal(nil, n, scale))
		whole := new(big.Int).Abs(n.BigInt()).String()
		if pad := scale + 1 - len(whole); pad > 0 {
			whole = strings.Repeat("0", pad) + whole
		}
		want := whole[:len(whole)-scale]
		if scale > 0 {
			want += "." + whole[len(whole)-scale:]
		}
		if n.Sign() < 0 {
			want = "-" + want
		}
		if got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	lowest, highest := decimal128.New(math.MinInt64, 0), decimal128.New(math.MaxInt64, math.MaxUint64)
	for _, n := range []decimal128.Num{lowest, highest, decimal128.FromI64(0), decimal128.FromI64(-1), decimal128.New(1, 0), decimal128.New(-1, 0)} {
		for scale := range 39 {
			check(t, n, scale)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, decimal128.New(rapid.Int64().Draw(t, "high"), rapid.Uint64().Draw(t, "low")), rapid.IntRange(0, 38).Draw(t, "scale"))
	})
}

// Dates and timestamps agree with the time package over all years that it prints.
func TestTimeText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Int64Range(-62135596800*1_000_000, 253402300799*1_000_000).Draw(t, "micros")
		when := time.UnixMicro(micros).UTC()
		if got, want := string(columnar.AppendTimestamp(nil, micros)), when.Format("2006-01-02 15:04:05.999999"); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		days := when.Truncate(24*time.Hour).Unix() / 86400
		y, m, d := columnar.Civil(days)
		if columnar.Days(y, m, d) != days {
			t.Fatalf("day %d is %d-%d-%d and back %d", days, y, m, d, columnar.Days(y, m, d))
		}
	})
}

// Each day is the one after the day before, from 10,000 BC to the year 20,000, and around the end of what is split by
// multiplications.
func TestCivil(t *testing.T) {
	const edge = 1<<30 - 719468
	for _, span := range [][2]int64{{-4_400_000, 6_600_000}, {edge - 1000, edge + 1000}} {
		y, m, d := columnar.Civil(span[0])
		for day := span[0] + 1; day < span[1]; day++ {
			last := 31
			switch {
			case m == 4 || m == 6 || m == 9 || m == 11:
				last = 30
			case m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0):
				last = 29
			case m == 2:
				last = 28
			}
			if d++; d > last {
				m, d = m+1, 1
			}
			if m > 12 {
				y, m = y+1, 1
			}
			if year, month, dayOfMonth := columnar.Civil(day); year != y || month != m || dayOfMonth != d {
				t.Fatalf("day %d is %d-%d-%d, want %d-%d-%d", day, year, month, dayOfMonth, y, m, d)
			}
		}
	}
	if y, m, d := columnar.Civil(0); y != 1970 || m != 1 || d != 1 {
		t.Fatalf("day 0 is %d-%d-%d", y, m, d)
	}
}

// An instant is shown in the job's zone with its offset, on both sides of a change of clocks.
func TestInstantText(t *testing.T) {
	for zone, cases := range map[string]map[string]string{
		"UTC":              {"2024-01-31T10:00:00Z": "2024-01-31 10:00:00+00:00"},
		"Asia/Kolkata":     {"2024-01-31T20:00:00.5Z": "2024-02-01 01:30:00.5+05:30"},
		"Europe/Berlin":    {"2024-03-31T00:59:59Z": "2024-03-31 01:59:59+01:00", "2024-03-31T01:00:00Z": "2024-03-31 03:00:00+02:00"},
		"America/St_Johns": {"1900-01-01T00:00:00Z": "1899-12-31 20:29:08-03:30:52"},
	} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		clock := columnar.NewClock(loc)
		for in, want := range cases {
			when, err := time.Parse(time.RFC3339Nano, in)
			if err != nil {
				t.Fatal(err)
			}
			v := columnar.View{Column: columnar.Column{Kind: columnar.Instant}, Longs: []int64{when.UnixMicro()}}
			if got := string(v.AppendText(nil, 0, &clock)); got != want {
				t.Errorf("%s in %s: got %s, want %s", in, zone, got, want)
			}
		}
	}
}

// A value's text does not depend on how it is carried.
func TestTextOfKinds(t *testing.T) {
	for _, c := range []struct {
		col  columnar.Column
		v    any
		want string
	}{
		{columnar.Column{Kind: columnar.Bool}, true, "true"},
		{columnar.Column{Kind: columnar.Int}, int64(math.MinInt64), "-9223372036854775808"},
		{columnar.Column{Kind: columnar.Uint}, uint64(math.MaxUint64), "18446744073709551615"},
		{columnar.Column{Kind: columnar.Float}, 5.0, "5"},
		{columnar.Column{Kind: columnar.Float}, 0.1, "0.1"},
		{columnar.Column{Kind: columnar.Float}, 1e300, "1e+300"},
		{columnar.Column{Kind: columnar.Float}, math.Inf(-1), "-Infinity"},
		{columnar.Column{Kind: columnar.Float}, math.NaN(), "NaN"},
		{columnar.Column{Kind: columnar.Float32}, float32(0.1), "0.1"},
		{columnar.Column{Kind: columnar.Decimal, Precision: 14, Scale: 2}, decimal128.FromI64(-5), "-0.05"},
		{columnar.Column{Kind: columnar.Date}, int32(-719529), "-0001-12-31"},
		{columnar.Column{Kind: columnar.Time}, int64(86399999999), "23:59:59.999999"},
		{columnar.Column{Kind: columnar.Time}, int64(-838*3600-59*60-59) * 1_000_000, "-838:59:59"},
		{columnar.Column{Kind: columnar.TimeNano}, int64(86399999999900), "23:59:59.9999999"},
		{columnar.Column{Kind: columnar.TimeNano}, int64(-5400) * 1_000_000_000, "-01:30:00"},
		{columnar.Column{Kind: columnar.TimestampNano}, int64(-100), "1969-12-31 23:59:59.9999999"},
		{columnar.Column{Kind: columnar.TimestampNano}, int64(math.MinInt64), "1677-09-21 00:12:43.145224192"},
		{columnar.Column{Kind: columnar.InstantNano}, int64(math.MaxInt64), "2262-04-11 23:47:16.854775807+00:00"},
		{columnar.Column{Kind: columnar.Binary}, "\x00\xff", "0x00ff"},
		{columnar.Column{Kind: columnar.Text}, "", ""},
	} {
		b := columnar.NewBuilder([]columnar.Column{c.col})
		put(b.Column(0), c.v)
		b.EndRow()
		body, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		batch, err := columnar.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		var clock columnar.Clock
		if got := string(batch.Cols[0].AppendText(nil, 0, &clock)); got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.col.Type(), c.v, got, c.want)
		}
	}
}

// Widening a column in the middle of a batch keeps the text of what was in it, and the next batch has the declared
// type again.
func TestRetype(t *testing.T) {
	dec := columnar.Column{Name: "amount", Kind: columnar.Decimal, Precision: 14, Scale: 2}
	b := columnar.NewBuilder([]columnar.Column{dec, {Name: "n", Kind: columnar.Int}})
	row := func(v any, n int64) {
		put(b.Column(0), v)
		put(b.Column(1), n)
		b.EndRow()
	}
	row(decimal128.FromI64(12345), 1)
	row(nil, 2)
	if !b.Column(0).Retype(columnar.Mixed) || !b.Column(1).Retype(columnar.Float) {
		t.Fatal("not widened")
	}
	b.Column(0).Mixed(columnar.ClassStray, []byte("n/a"))
	put(b.Column(1), 0.5)
	b.EndRow()
	body, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	batch, err := columnar.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	var clock columnar.Clock
	var got []string
	for r := range 3 {
		for c := range 2 {
			if v := &batch.Cols[c]; v.Null(r) {
				got = append(got, "NULL")
			} else {
				got = append(got, string(v.AppendText(nil, r, &clock)))
			}
		}
	}
	if want := "123.45 1 NULL 2 n/a 0.5"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	b.Reset()
	if b.Column(0).Column != dec {
		t.Errorf("after Reset the column is %s", b.Column(0).Type())
	}
	row(decimal128.FromI64(1), 1_000_000_000_000_000)
	if b.Column(1).Retype(columnar.Float) {
		t.Error("an integer of 16 digits became a float")
	}
	if b.Column(0).Retype(columnar.Int) {
		t.Error("a decimal became an int")
	}
}

// A stage that forgets a column is found out before its batch is data.
func TestCheckFindsMissingValue(t *testing.T) {
	b := columnar.NewBuilder(allColumns[:2])
	b.Column(0).Bool(true)
	b.EndRow()
	if _, err := b.Encode(); err == nil || !strings.Contains(err.Error(), `"i"`) {
		t.Errorf("got %v, want an error that names column i", err)
	}
}

func TestTypeSpelling(t *testing.T) {
	for _, c := range allColumns {
		got, err := columnar.ParseType(c.Name, c.Type())
		if err != nil || got != c {
			t.Errorf("%s: got %+v, %v", c.Type(), got, err)
		}
	}
	if c, err := columnar.ParseType("x", "unknown"); err != nil || c.Kind != columnar.Unknown {
		t.Errorf("unknown is %+v, %v", c, err)
	}
	for _, bad := range []string{"", "money", "decimal", "decimal(x)"} {
		if _, err := columnar.ParseType("c", bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// Building and encoding allocate per batch, not per row.
func TestNoAllocationPerRow(t *testing.T) {
	b := columnar.NewBuilder(allColumns[:12])
	fill := func(rows int) float64 {
		return testing.AllocsPerRun(5, func() {
			for range rows {
				for c, col := range allColumns[:12] {
					switch col.Kind {
					case columnar.Bool:
						b.Column(c).Bool(true)
					case columnar.Float32, columnar.Date:
						b.Column(c).Days(7)
					case columnar.Decimal:
						b.Column(c).Decimal(decimal128.FromI64(99))
					case columnar.Text, columnar.Numeric:
						b.Column(c).String("12")
					default:
						b.Column(c).Long(7)
					}
				}
				b.EndRow()
			}
			if _, err := b.Encode(); err != nil {
				t.Fatal(err)
			}
			b.Reset()
		})
	}
	few, many := fill(1000), fill(20000)
	if many > few+1000 { // 19,000 rows more
		t.Errorf("1,000 rows: %.0f allocations, 20,000 rows: %.0f", few, many)
	}
}

func benchBatch(b *testing.B) (*columnar.Builder, func()) {
	cols := []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "inv", Kind: columnar.Text}, {Name: "d", Kind: columnar.Date},
		{Name: "gstin", Kind: columnar.Text}, {Name: "a", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "c", Kind: columnar.Decimal, Precision: 14, Scale: 2},
		{Name: "at", Kind: columnar.Instant}}
	bb := columnar.NewBuilder(cols)
	n := int64(0)
	return bb, func() {
		n++
		bb.Column(0).Long(n)
		bb.Column(1).String("INV-00012345")
		bb.Column(2).Days(int32(n % 20000))
		bb.Column(3).String("27ABCDE1234F1Z5")
		bb.Column(4).Decimal(decimal128.FromI64(n * 37))
		bb.Column(5).Decimal(decimal128.FromI64(n * 3))
		bb.Column(6).Long(n * 1_000_003)
		bb.EndRow()
	}
}

func BenchmarkBuildEncode(b *testing.B) {
	bb, row := benchBatch(b)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		for range 5000 {
			row()
		}
		if _, err := bb.Encode(); err != nil {
			b.Fatal(err)
		}
		bb.Reset()
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkDecode(b *testing.B) {
	bb, row := benchBatch(b)
	for range 5000 {
		row()
	}
	body, err := bb.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := columnar.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "rows/s")
}
