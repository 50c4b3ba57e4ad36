package stages

import (
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// parseDecimal reads [+-]digits[.digits] as an integer times 10^-scale, exactly; ok is false for anything else.
func parseDecimal(b []byte, precision, scale int32) (_ decimal128.Num, ok bool) {
	if !plainNumber(b) {
		return decimal128.Num{}, false
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	var hi, lo uint64
	left := scale  // decimals still missing
	after := false // behind the point
	for _, c := range b {
		if c == '.' {
			after = true
			continue
		}
		if after {
			if left == 0 {
				if c != '0' {
					return decimal128.Num{}, false
				}
				continue
			}
			left--
		}
		if hi, lo, ok = mulAdd(hi, lo, 10, uint64(c-'0')); !ok {
			return decimal128.Num{}, false
		}
	}
	for ; left > 0; left-- {
		if hi, lo, ok = mulAdd(hi, lo, 10, 0); !ok {
			return decimal128.Num{}, false
		}
	}
	return signed(hi, lo, negative, precision)
}

// plainNumber reports whether b is [+-]digits[.digits].
func plainNumber(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	digits, points := 0, 0
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && i > 0 && i < len(b)-1:
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}
