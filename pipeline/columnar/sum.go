package columnar

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"unsafe"
)

// The loops that add a batch's column to a Total. They run over every row of every column of numbers, so they allocate
// nothing per row and do not branch on NULL.

func (w wide) negate() wide {
	var carry uint64 = 1
	for i := range w {
		w[i], carry = bits.Add64(^w[i], 0, carry)
	}
	return w
}

// add adds an integer of 128 bits in two's complement.
func (w *wide) add(lo, hi uint64) {
	var carry uint64
	w[0], carry = bits.Add64(w[0], lo, 0)
	w[1], carry = bits.Add64(w[1], hi, carry)
	w[2] += uint64(int64(hi)>>63) + carry
}

// kept is all ones if value i counts, zero if it is NULL.
func kept(valid []byte, i int) uint64 {
	return -uint64(valid[i>>3] >> uint(i&7) & 1)
}

// sumLongs adds 64-bit integers: signed ones with sign -1, unsigned ones with 0.
func sumLongs(v *View, rows int, sign int64) (w wide) {
	var lo, hi, carry uint64
	longs := v.Longs[:rows]
	if v.Valid == nil {
		for _, x := range longs {
			lo, carry = bits.Add64(lo, uint64(x), 0)
			hi += uint64(x>>63&sign) + carry
		}
	} else {
		for i, x := range longs {
			x &= int64(kept(v.Valid, i))
			lo, carry = bits.Add64(lo, uint64(x), 0)
			hi += uint64(x>>63&sign) + carry
		}
	}
	return wide{lo, hi, uint64(int64(hi) >> 63 & sign)}
}

func sumDecimals(v *View, rows int) (w wide) {
	decimals := v.Decimals[:rows]
	if v.Valid == nil {
		for i := range decimals {
			w.add(decimals[i].LowBits(), uint64(decimals[i].HighBits()))
		}
		return w
	}
	for i := range decimals {
		m := kept(v.Valid, i)
		w.add(decimals[i].LowBits()&m, uint64(decimals[i].HighBits())&m)
	}
	return w
}

// bins is a sum of doubles: bin i counts in units of 2^(32i-1074). A double adds less than 2^32 to each of three
// bins, so that a batch of 2^31 rows does not overflow one.
type bins [68]int64

func (t *Total) addFloats(v *View, rows int) {
	t.float = true
	var b bins
	var text [32]byte
	for i := range rows {
		if v.Null(i) {
			continue
		}
		var f float64
		if v.Kind == Float {
			f = math.Float64frombits(uint64(v.Longs[i]))
		} else { // the cell holds the double nearest to the shortest decimal, and totals are of what cells hold
			f = float64(math.Float32frombits(uint32(v.Ints[i])))
			if f-f == 0 {
				s := strconv.AppendFloat(text[:0], f, 'e', -1, 32)
				f, _ = strconv.ParseFloat(unsafe.String(&s[0], len(s)), 64)
			}
		}
		if f-f != 0 { // NaN or an infinity
			t.others++
			continue
		}
		b.add(f)
	}
	t.binary.Add(&t.binary, b.sum())
}

// add adds a finite double.
func (b *bins) add(f float64) {
	u := math.Float64bits(f)
	mantissa, exponent := u&(1<<52-1), int(u>>52&0x7FF)
	if exponent == 0 {
		exponent = 1
	} else {
		mantissa |= 1 << 52
	}
	at, shift := (exponent-1)>>5, uint((exponent-1)&31)
	low, high := mantissa<<shift, mantissa>>(64-shift)
	sign := int64(u) >> 63 // -1 or 0: (x^sign)-sign is -x or x
	b[at] += (int64(low&math.MaxUint32) ^ sign) - sign
	b[at+1] += (int64(low>>32) ^ sign) - sign
	b[at+2] += (int64(high) ^ sign) - sign
}

func (b *bins) sum() *big.Int {
	sum, bin := new(big.Int), new(big.Int)
	for i := len(b) - 1; i >= 0; i-- {
		if sum.Sign() != 0 {
			sum.Lsh(sum, 32)
		}
		if b[i] != 0 {
			sum.Add(sum, bin.SetInt64(b[i]))
		}
	}
	return sum
}

// fastDigits is how many digits a text may have to be summed without a big.Int.
const fastDigits = 38

func (t *Total) addTexts(v *View, rows int) {
	var sums [fastDigits + 1]wide // by scale
	var used [fastDigits + 1]bool
	for i := range rows {
		if v.Null(i) {
			continue
		}
		s := v.Bytes(i)
		if lo, hi, scale, ok := parseDecimal(s); ok {
			sums[scale].add(lo, hi)
			used[scale] = true
		} else if !t.addLong(s) {
			t.others++
		}
	}
	for scale := range sums {
		if used[scale] {
			t.addWide(sums[scale], scale)
		}
	}
}

// addMixed adds the numbers of a batch that has other values, too.
func (t *Total) addMixed(v *View, rows int) {
	var b bins
	for i, class := range v.Classes[:rows] {
		s := v.Bytes(i)
		switch class {
		case ClassNull:
		case ClassNumber:
			if !t.addLong(s) {
				t.others++
			}
		case ClassFloat:
			t.float = true
			if f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), 64); err != nil || f-f != 0 {
				t.others++
			} else {
				b.add(f)
			}
		default:
			t.others++
		}
	}
	t.binary.Add(&t.binary, b.sum())
}

// parseDecimal reads a plain decimal number of at most fastDigits digits: its unscaled value in 128 bits, two's
// complement.
func parseDecimal(s []byte) (lo, hi uint64, scale int, ok bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	var words [2]uint64 // the first 19 digits, and those after them
	n, point := 0, -1
	for i, c := range s {
		if c == '.' && point < 0 && i > 0 {
			point = n
			continue
		}
		if c < '0' || c > '9' || n == fastDigits {
			return 0, 0, 0, false
		}
		words[n/19] = words[n/19]*10 + uint64(c-'0')
		n++
	}
	if n == 0 || point == n {
		return 0, 0, 0, false
	}
	if point >= 0 {
		scale = n - point
	}
	lo = words[0]
	if n > 19 {
		var carry uint64
		hi, lo = bits.Mul64(words[0], powers10[n-19])
		lo, carry = bits.Add64(lo, words[1], 0)
		hi += carry
	}
	if negative {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return lo, hi, scale, true
}

var powers10 = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// mostExponent bounds the numbers that are summed: more than any double has, and little enough to be kept.
const mostExponent = 400

// addLong adds a decimal number of any length, also one with an exponent. It reports whether it is one.
func (t *Total) addLong(s []byte) bool {
	mantissa, exponent := s, 0
	if e := bytes.IndexAny(s, "eE"); e >= 0 {
		var err error
		if exponent, err = strconv.Atoi(string(s[e+1:])); err != nil || exponent > mostExponent || exponent < -mostExponent {
			return false
		}
		mantissa = s[:e]
	}
	whole, fraction, point := bytes.Cut(mantissa, []byte("."))
	digits := bytes.TrimPrefix(whole, []byte("-"))
	if len(digits) == 0 || point && len(fraction) == 0 || !OnlyDigits(digits) || !OnlyDigits(fraction) || len(s) > 1<<16 {
		return false
	}
	v, ok := new(big.Int).SetString(string(whole)+string(fraction), 10)
	if !ok {
		return false
	}
	scale := len(fraction) - exponent
	if scale < 0 {
		v.Mul(v, power10(-scale))
		scale = 0
	}
	t.addExact(v, scale)
	return true
}

// OnlyDigits reports whether a text has nothing but digits in it.
func OnlyDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
