package columnar

import (
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// MicrosPerDay is the length of a day in the unit of Time, Timestamp and Instant.
const MicrosPerDay = 86_400_000_000

// Clock shows instants in one time zone. The zero Clock shows UTC. It remembers the offset of the period it was last
// asked about, so it is for one goroutine; a copy is another clock.
type Clock struct {
	loc        *time.Location
	start, end int64 // seconds between which offset holds
	offset     int64 // seconds east of UTC
}

// NewClock makes a clock for loc; nil is UTC.
func NewClock(loc *time.Location) Clock { return Clock{loc: loc} }

// Offset is the zone's offset at an instant, in seconds east of UTC.
func (c *Clock) Offset(micros int64) int64 {
	if c.loc == nil {
		return 0
	}
	sec := floorDiv(micros, 1_000_000)
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
// 15:04:05.999999" (no trailing zeros) for timestamps, the same with the zone's offset for instants, 0x and hexadecimal
// digits for bytes.
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
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, bits)
}

// AppendDecimal appends v / 10^scale with all its digits.
func AppendDecimal(dst []byte, v decimal128.Num, scale int) []byte {
	var buf [48]byte
	neg := v.Sign() < 0
	if neg {
		v = v.Negate()
	}
	pos := len(buf)
	if hi := v.HighBits(); hi == 0 {
		pos = putDigits(buf[:pos], v.LowBits())
	} else {
		// 10^18 divides in two steps; 38 digits are three groups at most.
		for !v.FitsInPrecision(18) {
			q, r := v.Div(decimal128.FromU64(1_000_000_000_000_000_000))
			end := pos
			pos = putDigits(buf[:pos], r.LowBits())
			for end-pos < 18 {
				pos--
				buf[pos] = '0'
			}
			v = q
		}
		if v.Sign() != 0 {
			pos = putDigits(buf[:pos], v.LowBits())
		}
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
func Civil(days int64) (year int64, month, day int) {
	z := days + 719468
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
	return era*146097 + doe - 719468
}

// AppendDate appends a day as 2006-01-02; years before 1 as ISO 8601 has them (-0043 is 44 BC).
func AppendDate(dst []byte, days int64) []byte {
	y, m, d := Civil(days)
	if y < 0 {
		dst, y = append(dst, '-'), -y
	}
	if y >= 10000 {
		dst = strconv.AppendInt(dst, y, 10)
	} else {
		dst = append(dst, pairs[y/100*2:y/100*2+2]...)
		dst = append(dst, pairs[y%100*2:y%100*2+2]...)
	}
	return append(dst, '-', pairs[m*2], pairs[m*2+1], '-', pairs[d*2], pairs[d*2+1])
}

// AppendTime appends microseconds since midnight as 15:04:05 with up to six digits of a second. A negative or longer time, a duration
// then, is written the same way.
func AppendTime(dst []byte, micros int64) []byte {
	if micros < 0 {
		dst, micros = append(dst, '-'), -micros
	}
	sec, frac := micros/1_000_000, micros%1_000_000
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
	dst = append(dst, '.')
	for unit := int64(100_000); frac > 0; unit /= 10 {
		dst = append(dst, byte('0'+frac/unit))
		frac %= unit
	}
	return dst
}

// AppendTimestamp appends microseconds since 1970-01-01 as date, space and time.
func AppendTimestamp(dst []byte, micros int64) []byte {
	days := floorDiv(micros, MicrosPerDay)
	return AppendTime(append(AppendDate(dst, days), ' '), micros-days*MicrosPerDay)
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
