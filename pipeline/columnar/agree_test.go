package columnar_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// Sums of exact numbers agree exactly or not at all; where doubles took part in one they may be so far apart as was
// said, and no further.
func TestTotalsAgree(t *testing.T) {
	exact := func(s string) *columnar.Total {
		var v columnar.Total
		if err := json.Unmarshal([]byte(`{"sum":"`+s+`"}`), &v); err != nil {
			t.Fatal(err)
		}
		return &v
	}
	double := func(f float64) *columnar.Total {
		v := columnar.NewTotal(columnar.Column{Kind: columnar.Float})
		v.AddColumn(&columnar.View{Column: columnar.Column{Kind: columnar.Float}, Longs: []int64{int64(math.Float64bits(f))}}, 1)
		return &v
	}
	for _, c := range []struct {
		a, b   *columnar.Total
		within float64
		agree  bool
	}{
		{exact("0.10"), exact("0.1"), 0, true},
		{exact("99999999999999999999.01"), exact("99999999999999999999.02"), 1e9, false},
		{exact("0.1"), double(0.1), 0, false}, // 0.1 is no double
		{exact("0.1"), double(0.1), 1e-12, true},
		{double(1e9), double(1e9 + 0.5), 1, true},
		{double(1e9), double(1e9 + 2), 1, false},
		{double(1), double(2), math.Inf(1), true},
	} {
		if c.a.Agrees(c.b, c.within) != c.agree || c.b.Agrees(c.a, c.within) != c.agree {
			t.Errorf("%s and %s agree within %v: want %t", c.a.Text(), c.b.Text(), c.within, c.agree)
		}
	}
	high, low := exact("-3"), exact("4294967295")
	high.Shift(32)
	if high.Add(low); high.Text() != "-8589934593" {
		t.Errorf("-3 x 2^32 + 4294967295 is %s", high.Text())
	}
}

// The magnitude of a column is the sum of its numbers without signs, whatever kind they have.
func TestMagnitude(t *testing.T) {
	for _, v := range []columnar.View{
		{Column: columnar.Column{Kind: columnar.Int}, Longs: []int64{-3, 99, 5}},
		{Column: columnar.Column{Kind: columnar.Float}, Longs: []int64{int64(math.Float64bits(-3)), int64(math.Float64bits(math.NaN())), int64(math.Float64bits(5))}},
		{Column: columnar.Column{Kind: columnar.Float32}, Ints: []int32{int32(math.Float32bits(-3)), 0, int32(math.Float32bits(5))}},
		{Column: columnar.Column{Kind: columnar.Decimal, Scale: 2}, Decimals: []decimal128.Num{decimal128.FromI64(-300), decimal128.FromI64(9), decimal128.FromI64(500)}},
		{Column: columnar.Column{Kind: columnar.Numeric}, Offsets: []int32{0, 2, 2, 3}, Data: []byte("-35")},
	} {
		v.Valid = []byte{0b101}
		if got := v.Magnitude(3); math.Abs(got-8) > 1e-9 {
			t.Errorf("%s: %v", v.Type(), got)
		}
	}
}
