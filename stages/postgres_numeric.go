package stages

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// The binary form of numeric (numeric.c, numeric_send): four 16-bit fields, then base-10000 digits, most significant
// first. The value is the sum of digit[i] * 10000^(weight-i); dscale is the number of decimals to show.
const (
	numericHeader   = 8
	numericNegative = 0x4000
	numericNaN      = 0xC000
	numericPlusInf  = 0xD000
	numericMinusInf = 0xF000
)

var pow10 = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// numericDecimal reads a numeric as an integer times 10^-scale. ok is false for what that cannot express exactly in
// precision digits: NaN, the infinities, too many digits.
func numericDecimal(b []byte, precision, scale int32) (_ decimal128.Num, ok bool) {
	if len(b) < numericHeader {
		return decimal128.Num{}, false
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	if sign&^numericNegative != 0 || len(b) != numericHeader+2*n {
		return decimal128.Num{}, false
	}
	b = b[numericHeader:]
	var hi, lo uint64
	low := int(scale) // decimal place of the unscaled value where the last digit read ends
	for i := range n {
		d := uint64(binary.BigEndian.Uint16(b[2*i:]))
		low = (weight-i)*4 + int(scale)
		factor := uint64(10000)
		if low < 0 {
			// The digit reaches below the last decimal: what is there must be zeros.
			if low <= -4 {
				factor, d = 1, d*10000
			} else {
				cut := pow10[-low]
				if d%cut != 0 {
					return decimal128.Num{}, false
				}
				factor, d = pow10[4+low], d/cut
			}
			if d >= 10000 {
				return decimal128.Num{}, false
			}
		}
		if hi, lo, ok = mulAdd(hi, lo, factor, d); !ok {
			return decimal128.Num{}, false
		}
	}
	for n > 0 && low > 0 && hi|lo != 0 {
		step := min(low, 19)
		if hi, lo, ok = mulAdd(hi, lo, pow10[step], 0); !ok {
			return decimal128.Num{}, false
		}
		low -= step
	}
	return signed(hi, lo, sign == numericNegative, precision)
}

// signed makes a decimal of a magnitude, if it has no more than precision digits.
func signed(hi, lo uint64, negative bool, precision int32) (_ decimal128.Num, ok bool) {
	if hi == 0 && precision < int32(len(pow10)) {
		if lo >= pow10[precision] {
			return decimal128.Num{}, false
		}
	} else if hi>>63 != 0 || !decimal128.New(int64(hi), lo).FitsInPrecision(precision) {
		return decimal128.Num{}, false
	}
	v := decimal128.New(int64(hi), lo)
	if negative {
		v = v.Negate()
	}
	return v, true
}

// mulAdd is x*factor + d in 128 bits; ok is false if that overflows.
func mulAdd(hi, lo, factor, d uint64) (_, _ uint64, ok bool) {
	carry, lo := bits.Mul64(lo, factor)
	over, hi := bits.Mul64(hi, factor)
	lo, c := bits.Add64(lo, d, 0)
	hi, c = bits.Add64(hi, carry, c)
	return hi, lo, over|c == 0
}

// appendNumeric appends the text that PostgreSQL prints for a numeric; ok is false for bytes that are not one.
func appendNumeric(dst, b []byte) (_ []byte, ok bool) {
	if len(b) < numericHeader {
		return dst, false
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	scale := int(binary.BigEndian.Uint16(b[6:]))
	if len(b) != numericHeader+2*n {
		return dst, false
	}
	switch sign {
	case numericNaN:
		return append(dst, "NaN"...), true
	case numericPlusInf:
		return append(dst, "Infinity"...), true
	case numericMinusInf:
		return append(dst, "-Infinity"...), true
	case numericNegative:
		dst = append(dst, '-')
	case 0:
	default:
		return dst, false
	}
	b = b[numericHeader:]
	digit := func(i int) uint16 { // digit of weight i
		if k := weight - i; k >= 0 && k < n {
			return binary.BigEndian.Uint16(b[2*k:])
		}
		return 0
	}
	start := len(dst)
	for i := weight; i >= 0; i-- {
		d := digit(i)
		for _, unit := range [...]uint16{1000, 100, 10, 1} {
			if c := byte('0' + d/unit%10); c != '0' || len(dst) > start {
				dst = append(dst, c)
			}
		}
	}
	if len(dst) == start {
		dst = append(dst, '0')
	}
	if scale == 0 {
		return dst, true
	}
	dst = append(dst, '.')
	for i, left := -1, scale; left > 0; i-- {
		d := digit(i)
		for _, unit := range [...]uint16{1000, 100, 10, 1} {
			if left == 0 {
				break
			}
			dst = append(dst, byte('0'+d/unit%10))
			left--
		}
	}
	return dst, true
}
