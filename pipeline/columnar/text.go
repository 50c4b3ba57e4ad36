package columnar

import (
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// The length of a day in the unit of Time, Timestamp and Instant, and in that of TimeNano, TimestampNano and InstantNano.
const (
	MicrosPerDay = 86_400_000_000
	NanosPerDay  = 1000 * MicrosPerDay
)

// Clock shows instants in one time zone. The zero Clock shows UTC. It remembers the offset of the period it was last
// asked about, so it is for one goroutine; a copy is another clock.
type Clock struct {
	loc        *time.Location
	start, end int64 // seconds between which offset holds
	offset     int64 // seconds east of UTC
}

// NewClock makes a clock for loc; nil is UTC.
func NewClock(loc *time.Location) Clock { return Clock{loc: loc} }

// Offset is the zone's offset at an instant given in microseconds, in seconds east of UTC.
func (c *Clock) Offset(micros int64) int64 { return c.offsetAt(floorDiv(micros, 1_000_000)) }

// OffsetNano is Offset of an instant given in nanoseconds.
func (c *Clock) OffsetNano(nanos int64) int64 { return c.offsetAt(floorDiv(nanos, 1_000_000_000)) }

func (c *Clock) offsetAt(sec int64) int64 {
	if c.loc == nil {
		return 0
	}
	if sec >= c.start && sec < c.end {
		return c.offset
	}
	t := time.Unix(sec, 0).In(c.loc)
	_, off := t.Zone()
	from, to := t.ZoneBounds()
	c.offset, c.start, c.end = int64(off), math.MinInt64, math.MaxInt64
	if !from.IsZero() {
		c.start = from.Unix()
	}
	if !to.IsZero() {
		c.end = to.Unix()
	}
	return c.offset
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// AppendText appends the text of row i, which is not NULL. This text is the value's CSV field and does not depend on
// the database that it came from: numbers in full with a point, true and false, ISO 8601 dates, "2006-01-02
// 15:04:05.999999" (no trailing zeros, up to nine digits where the kind has nanoseconds) for timestamps, the same with the
// zone's offset for instants, 0x and hexadecimal digits for bytes.
func (v *View) AppendText(dst []byte, i int, clock *Clock) []byte {
	switch v.Kind {
	case Bool:
		return strconv.AppendBool(dst, v.Bool(i))
	case Int:
		return strconv.AppendInt(dst, v.Longs[i], 10)
	case Uint:
		return strconv.AppendUint(dst, uint64(v.Longs[i]), 10)
	case Float32:
		return appendFloat(dst, float64(math.Float32frombits(uint32(v.Ints[i]))), 32)
	case Float:
		return appendFloat(dst, math.Float64frombits(uint64(v.Longs[i])), 64)
	case Decimal:
		return AppendDecimal(dst, v.Decimals[i], int(v.Scale))
	case Date:
		return AppendDate(dst, int64(v.Ints[i]))
	case Time:
		return AppendTime(dst, v.Longs[i])
	case Timestamp:
		return AppendTimestamp(dst, v.Longs[i])
	case Instant:
		off := clock.Offset(v.Longs[i])
		return appendOffset(AppendTimestamp(dst, v.Longs[i]+off*1_000_000), off)
	case TimeNano:
		return AppendTimeNano(dst, v.Longs[i])
	case TimestampNano:
		return AppendTimestampNano(dst, v.Longs[i])
	case InstantNano:
		// In two parts: the wall clock may be past what nanoseconds reach where the moment is not.
		n := v.Longs[i]
		off := clock.OffsetNano(n)
		sec := floorDiv(n, 1_000_000_000)
		return appendOffset(appendMoment(dst, sec+off, n-sec*1_000_000_000, 9), off)
	case Binary:
		const digits = "0123456789abcdef"
		dst = append(dst, '0', 'x')
		for _, b := range v.Bytes(i) {
			dst = append(dst, digits[b>>4], digits[b&15])
		}
		return dst
	default:
		return append(dst, v.Bytes(i)...)
	}
}

// appendFloat writes the shortest digits that read back as the same value; an exponent only far from 1.
func appendFloat(dst []byte, f float64, size int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, size)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, size)
}

// AppendDecimal appends v / 10^scale with all its digits.
func AppendDecimal(dst []byte, v decimal128.Num, scale int) []byte {
	var buf [48]byte
	neg := v.Sign() < 0
	hi, lo := uint64(v.HighBits()), v.LowBits()
	if neg { // the magnitude, unsigned: that of the lowest value has no positive counterpart
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	pos := len(buf)
	if hi == 0 {
		pos = putDigits(buf[:pos], lo)
	} else {
		const group = 10_000_000_000_000_000_000 // 10^19: above hi, which is at most 2^63, so that both results fit
		high, low := bits.Div64(hi, lo, group)
		pos = putDigits(buf[:pos], low)
		for len(buf)-pos < 19 {
			pos--
			buf[pos] = '0'
		}
		pos = putDigits(buf[:pos], high)
	}
	for len(buf)-pos <= scale {
		pos--
		buf[pos] = '0'
	}
	if neg {
		dst = append(dst, '-')
	}
	dst = append(dst, buf[pos:len(buf)-scale]...)
	if scale > 0 {
		dst = append(append(dst, '.'), buf[len(buf)-scale:]...)
	}
	return dst
}

const pairs = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"

// putDigits writes u at the end of buf and returns where it begins; nothing for zero.
func putDigits(buf []byte, u uint64) int {
	pos := len(buf)
	for u >= 100 {
		r := u % 100 * 2
		u /= 100
		pos -= 2
		buf[pos], buf[pos+1] = pairs[r], pairs[r+1]
	}
	if u >= 10 {
		pos -= 2
		buf[pos], buf[pos+1] = pairs[u*2], pairs[u*2+1]
	} else if u > 0 {
		pos--
		buf[pos] = byte('0' + u)
	}
	return pos
}

// Civil is the calendar date of a day counted from 1970-01-01, proleptic Gregorian; year 0 is 1 BC.
//
// Days from the year 0 on are split by multiplications: C. Neri and L. Schneider, "Euclidean affine functions and their application to
// calendar algorithms" (2022).
func Civil(days int64) (year int64, month, day int) {
	z := days + daysTo1970
	if z >= 0 && z < 1<<30 {
		n := 4*uint32(z) + 3
		century := n / 146097
		n = n%146097 | 3
		product := 2939745 * uint64(n)
		ofYear := uint32(product) / 2939745 / 4
		n = 2141*ofYear + 197913
		year, month, day = int64(100*century)+int64(product>>32), int(n>>16), int(n&0xffff/2141)+1
		if ofYear >= 306 {
			return year + 1, month - 12, day
		}
		return year, month, day
	}
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

// daysTo1970 is from 0000-03-01 on.
const daysTo1970 = 719468

// Days is the inverse of Civil.
func Days(year int64, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := int64((153*(month-3)+2)/5 + day - 1)
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - daysTo1970
}

// AppendDate appends a day as 2006-01-02; years before 1 as ISO 8601 has them (-0043 is 44 BC).
func AppendDate(dst []byte, days int64) []byte {
	y, m, d := Civil(days)
	if y < 0 || y >= 10000 {
		if y < 0 {
			dst, y = append(dst, '-'), -y
		}
		for least := int64(1000); least > y; least /= 10 {
			dst = append(dst, '0')
		}
		return append(strconv.AppendInt(dst, y, 10), '-', pairs[m*2], pairs[m*2+1], '-', pairs[d*2], pairs[d*2+1])
	}
	c, y := y/100*2, y%100*2
	return append(dst, pairs[c], pairs[c+1], pairs[y], pairs[y+1], '-', pairs[m*2], pairs[m*2+1], '-', pairs[d*2], pairs[d*2+1])
}

// AppendTime appends microseconds since midnight as 15:04:05 with up to six digits of a second. A negative or longer time, a duration
// then, is written the same way.
func AppendTime(dst []byte, micros int64) []byte {
	if micros < 0 {
		dst, micros = append(dst, '-'), -micros
	}
	return appendClock(dst, micros/1_000_000, micros%1_000_000, 6)
}

// AppendTimeNano is AppendTime for nanoseconds, with up to nine digits of a second.
func AppendTimeNano(dst []byte, nanos int64) []byte {
	if nanos < 0 {
		dst, nanos = append(dst, '-'), -nanos
	}
	return appendClock(dst, nanos/1_000_000_000, nanos%1_000_000_000, 9)
}

// AppendTimestamp appends microseconds since 1970-01-01 as date, space and time.
func AppendTimestamp(dst []byte, micros int64) []byte {
	sec := floorDiv(micros, 1_000_000)
	return appendMoment(dst, sec, micros-sec*1_000_000, 6)
}

// AppendTimestampNano is AppendTimestamp for nanoseconds.
func AppendTimestampNano(dst []byte, nanos int64) []byte {
	sec := floorDiv(nanos, 1_000_000_000)
	return appendMoment(dst, sec, nanos-sec*1_000_000_000, 9)
}

// appendMoment appends seconds since 1970-01-01 and a fraction as date, space and time.
func appendMoment(dst []byte, sec, frac int64, decimals int) []byte {
	const secondsPerDay = 86400
	days := floorDiv(sec, secondsPerDay)
	return appendClock(append(AppendDate(dst, days), ' '), sec-days*secondsPerDay, frac, decimals)
}

// appendClock appends seconds as 15:04:05, and frac, which has this many decimals, without the zeros at its end.
func appendClock(dst []byte, sec, frac int64, decimals int) []byte {
	h, m, s := sec/3600, sec/60%60, sec%60
	if h < 100 {
		dst = append(dst, pairs[h*2], pairs[h*2+1])
	} else {
		dst = strconv.AppendInt(dst, h, 10)
	}
	dst = append(dst, ':', pairs[m*2], pairs[m*2+1], ':', pairs[s*2], pairs[s*2+1])
	if frac == 0 {
		return dst
	}
	for frac%10 == 0 {
		frac /= 10
		decimals--
	}
	var digits [9]byte
	for i := decimals - 1; i >= 0; i-- {
		digits[i] = byte('0' + frac%10)
		frac /= 10
	}
	return append(append(dst, '.'), digits[:decimals]...)
}

func appendOffset(dst []byte, seconds int64) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	h, m, s := seconds/3600, seconds/60%60, seconds%60
	dst = append(dst, sign, pairs[h*2], pairs[h*2+1], ':', pairs[m*2], pairs[m*2+1])
	if s != 0 { // local mean times before standard zones
		dst = append(dst, ':', pairs[s*2], pairs[s*2+1])
	}
	return dst
}

// AppendMoment appends the text of a value of a column that is declared as Date, Time, Timestamp or Instant: micros as the kind counts
// them, and 0 to 999 nanoseconds, whatever 64 bits of nanoseconds reach. An instant is shown offset seconds east of UTC.
func AppendMoment(dst []byte, kind Kind, micros, nanos, offset int64) []byte {
	sec := floorDiv(micros, 1_000_000)
	frac := (micros-sec*1_000_000)*1000 + nanos
	switch kind {
	case Date:
		return AppendDate(dst, floorDiv(micros, MicrosPerDay))
	case Time:
		if micros < 0 { // sec is rounded down: -1.5 s is -2 s and a half
			if dst = append(dst, '-'); frac > 0 {
				sec, frac = sec+1, 1_000_000_000-frac
			}
			sec = -sec
		}
		return appendClock(dst, sec, frac, 9)
	case Instant:
		return appendOffset(appendMoment(dst, sec+offset, frac, 9), offset)
	default:
		return appendMoment(dst, sec, frac, 9)
	}
}
