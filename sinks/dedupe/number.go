package dedupe

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	"fanmill/pipeline/columnar"
)

// appendNumber appends the normal form of a value of a column of numbers.
func appendNumber(dst []byte, v *columnar.View, row int) []byte {
	var digits [64]byte
	switch v.Kind {
	case columnar.Int:
		n := v.Longs[row]
		return appendDecimal(dst, n < 0, magnitude(n), 0)
	case columnar.Uint:
		return appendDecimal(dst, false, uint64(v.Longs[row]), 0)
	case columnar.Float32:
		f := float64(math.Float32frombits(uint32(v.Ints[row])))
		const exact = 1 << 24 // below it a whole number's shortest digits are all that it has
		if n := int64(f); f > -exact && f < exact && float64(n) == f {
			return appendDecimal(dst, n < 0, magnitude(n), 0)
		}
		return appendFloat(dst, f, 32)
	case columnar.Float:
		f := math.Float64frombits(uint64(v.Longs[row]))
		const exact = 1 << 53
		if n := int64(f); f > -exact && f < exact && float64(n) == f {
			return appendDecimal(dst, n < 0, magnitude(n), 0)
		}
		return appendFloat(dst, f, 64)
	case columnar.Decimal:
		n := v.Decimals[row]
		hi, lo := uint64(n.HighBits()), n.LowBits()
		negative := n.Sign() < 0
		if negative {
			var borrow uint64
			lo, borrow = bits.Sub64(0, lo, 0)
			hi, _ = bits.Sub64(0, hi, borrow)
		}
		if hi == 0 {
			return appendDecimal(dst, negative, lo, -int64(v.Scale))
		}
		return appendDigits(dst, columnar.AppendDecimal(digits[:0], n, int(v.Scale)))
	default:
		return appendDigits(dst, v.Bytes(row))
	}
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// appendFloat appends what is no whole number, or a large one.
func appendFloat(dst []byte, f float64, size int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendBytes(dst, tagText, columnar.AppendFloat(make([]byte, 0, 16), f))
	}
	var digits [32]byte
	return appendDigits(dst, strconv.AppendFloat(digits[:0], f, 'e', -1, size))
}

// appendDecimal appends coefficient * 10^exponent.
func appendDecimal(dst []byte, negative bool, coefficient uint64, exponent int64) []byte {
	if coefficient == 0 {
		return append(dst, tagZero)
	}
	for coefficient%100_000_000 == 0 {
		coefficient, exponent = coefficient/100_000_000, exponent+8
	}
	for coefficient%10 == 0 {
		coefficient, exponent = coefficient/10, exponent+1
	}
	tag := byte(tagPositive)
	if negative {
		tag = tagNegative
	}
	return binary.AppendVarint(binary.AppendUvarint(append(dst, tag), coefficient), exponent)
}

// appendDigits appends the number that a text says: [-]digits[.digits][e[+-]digits]. What is none is a text: NaN.
func appendDigits(dst, text []byte) []byte {
	n, ok := scan(text)
	switch {
	case !ok:
		return appendBytes(dst, tagText, text)
	case n.small:
		return appendDecimal(dst, n.negative, n.coefficient, n.exponent)
	}
	tag := byte(tagBigPositive)
	if n.negative {
		tag = tagBigNegative
	}
	dst = binary.AppendVarint(append(dst, tag), n.exponent)
	dst = binary.AppendUvarint(dst, uint64(n.count))
	for _, c := range n.digits {
		if c != '.' {
			dst = append(dst, c)
		}
	}
	return dst
}

// scanned is a number as its text says it.
type scanned struct {
	negative    bool
	small       bool   // the coefficient fits 64 bits
	coefficient uint64 // if it does
	digits      []byte // from the first to the last that is not 0, perhaps with a point between them
	count       int    // how many
	exponent    int64  // of the last of them
}

// scan reads a number.
func scan(text []byte) (n scanned, ok bool) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		n.negative, text = text[0] == '-', text[1:]
	}
	first, last := -1, -1 // digits that are not 0
	point, end, seen := -1, len(text), false
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			seen = true
			if c != '0' {
				if last = i; first < 0 {
					first = i
				}
			}
			continue
		case c == '.' && point < 0:
			point = i
			continue
		case c != 'e' && c != 'E':
			return n, false
		}
		var err error
		if n.exponent, err = strconv.ParseInt(string(text[i+1:]), 10, 32); err != nil {
			return n, false
		}
		end = i
		break
	}
	if !seen {
		return n, false
	}
	if first < 0 {
		n.small = true
		return n, true // zero
	}
	n.digits = text[first : last+1]
	n.count = len(n.digits)
	switch {
	case point < 0:
		n.exponent += int64(end - last - 1)
	case point > last:
		n.exponent += int64(point - last - 1)
	default:
		n.exponent -= int64(last - point)
		if point > first {
			n.count--
		}
	}
	n.coefficient, n.small = n.whole()
	return n, true
}

// whole is the coefficient if it fits 64 bits.
func (n *scanned) whole() (u uint64, ok bool) {
	if n.count > 20 {
		return 0, false
	}
	for _, c := range n.digits {
		if c == '.' {
			continue
		}
		hi, lo := bits.Mul64(u, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi != 0 || carry != 0 {
			return 0, false
		}
		u = sum
	}
	return u, true
}
