package parquet

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// numberText appends the plain decimal digits of row i. ok is false if the value is no number, NaN and the infinities
// included.
func (c *converter) numberText(v *columnar.View, i int) (text []byte, ok bool) {
	float := math.NaN()
	switch {
	case v.Kind == columnar.Float:
		float = math.Float64frombits(uint64(v.Longs[i]))
	case v.Kind == columnar.Float32:
		// By way of its shortest digits: 0.1 is meant, not 0.10000000149011612.
		c.text = v.AppendText(c.text[:0], i, &c.clock)
		float, _ = strconv.ParseFloat(string(c.text), 64)
	case v.Kind == columnar.Mixed && v.Classes[i] == columnar.ClassFloat:
		float, _ = strconv.ParseFloat(string(v.Bytes(i)), 64)
	case v.Kind.Number(), v.Kind == columnar.Mixed && v.Classes[i] == columnar.ClassNumber:
		c.text = v.AppendText(c.text[:0], i, &c.clock)
		return c.text, true
	}
	if math.IsNaN(float) || math.IsInf(float, 0) {
		return nil, false
	}
	c.text = strconv.AppendFloat(c.text[:0], float, 'f', -1, 64)
	return c.text, true
}

// putExact appends to a column of integers or decimals.
func (c *converter) putExact(t *target, v *columnar.View, i int) (reason, bool) {
	text, ok := c.numberText(v, i)
	if !ok {
		return notOfKind, false
	}
	precision, scale := t.Precision, t.Scale
	if t.kind == columnar.Int {
		precision, scale = 19, 0
	}
	n, rounded, ok := parseDecimal(text, int(scale))
	switch {
	case !ok || !n.FitsInPrecision(precision):
		return tooLarge, false
	case t.kind == columnar.Decimal:
		if t.Kind == columnar.Uint && (n.Sign() < 0 || n.HighBits() != 0) {
			return tooLarge, false
		}
		c.out.view.Decimals = append(c.out.view.Decimals, n)
	default:
		long := int64(n.LowBits())
		if n.HighBits() != long>>63 {
			return tooLarge, false
		}
		c.out.view.Longs = append(c.out.view.Longs, long)
	}
	if rounded {
		return roundedDecimals, true
	}
	return kept, true
}

// parseDecimal reads plain decimal digits as a number of 10^-scale, rounded half away from zero. ok is false if it has
// more than 38 digits, or is none.
func parseDecimal(text []byte, scale int) (n decimal128.Num, rounded, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	var hi, lo uint64
	point, decimals, up := false, 0, false
	shift := func(digit uint64) bool {
		if hi >= 1<<59 { // ten times 2^123 is more than 38 digits
			return false
		}
		over, low := bits.Mul64(lo, 10)
		low, carry := bits.Add64(low, digit, 0)
		hi, lo = hi*10+over+carry, low
		return true
	}
	digits := false
	for _, d := range text {
		switch {
		case d == '.' && !point:
			point = true
		case d < '0' || d > '9':
			return n, false, false
		case point && decimals >= scale:
			digits = true
			if decimals == scale {
				up = d >= '5'
			}
			decimals++
			rounded = rounded || d != '0'
		default:
			digits = true
			if !shift(uint64(d - '0')) {
				return n, false, false
			}
			if point {
				decimals++
			}
		}
	}
	for ; decimals < scale; decimals++ {
		if !shift(0) {
			return n, false, false
		}
	}
	if up {
		var carry uint64
		lo, carry = bits.Add64(lo, 1, 0)
		hi += carry
	}
	n = decimal128.New(int64(hi), lo)
	if negative {
		n = n.Negate()
	}
	return n, rounded, digits && n.FitsInPrecision(38)
}

// putFloat appends to a column of doubles or of 32-bit floats.
func (c *converter) putFloat(t *target, v *columnar.View, i int) (reason, bool) {
	size := 64
	if t.kind == columnar.Float32 {
		size = 32
	}
	out := &c.out.view
	put := func(f float64) {
		if size == 32 {
			out.Ints = append(out.Ints, int32(math.Float32bits(float32(f))))
		} else {
			out.Longs = append(out.Longs, int64(math.Float64bits(f)))
		}
	}
	text, ok := c.numberText(v, i)
	if !ok {
		// NaN and the infinities are doubles, too.
		if v.Kind != columnar.Float && v.Kind != columnar.Float32 && (v.Kind != columnar.Mixed || v.Classes[i] != columnar.ClassFloat) {
			return notOfKind, false
		}
		f, err := strconv.ParseFloat(string(v.AppendText(nil, i, &c.clock)), 64)
		if err != nil {
			return notOfKind, false
		}
		put(f)
		return kept, true
	}
	f, err := strconv.ParseFloat(string(text), size)
	if err != nil {
		return tooLarge, false
	}
	put(f)
	var again [400]byte
	if !sameDigits(strconv.AppendFloat(again[:0], f, 'f', -1, size), text) {
		return roundedFloat, true
	}
	return kept, true
}

// sameDigits reports whether two plain decimal texts are one number.
func sameDigits(a, b []byte) bool { return string(trimNumber(a)) == string(trimNumber(b)) }

// trimNumber drops what adds nothing to a number: zeros at the end of its fraction, and the sign of a zero.
func trimNumber(s []byte) []byte {
	for i, c := range s {
		if c != '.' {
			continue
		}
		for s[len(s)-1] == '0' {
			s = s[:len(s)-1]
		}
		if len(s) == i+1 {
			s = s[:i]
		}
		break
	}
	if string(s) == "-0" {
		return s[1:]
	}
	return s
}
