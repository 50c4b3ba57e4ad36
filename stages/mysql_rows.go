package stages

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// mysqlRows puts rows of the binary protocol into the columns of a batch.
type mysqlRows struct {
	cols []mysqlCell
}

type mysqlCell struct {
	coding mysqlCoding
	size   int           // of a value; 0 if it comes with its length
	kind   columnar.Kind // that the coding's values fit
	width  int           // of a bit column
	zone   int64         // microseconds east of UTC in which instants come
	to     *columnar.ColumnBuilder
	buf    []byte
	strays int64 // in a column of booleans

	// The last day that was counted: rows often repeat it.
	day  uint32
	days int64
}

func newMySQLRows(fields []mysqlField, t *mysqlTarget, b *columnar.Builder) *mysqlRows {
	r := &mysqlRows{cols: make([]mysqlCell, len(fields))}
	for i := range fields {
		c, coding := mysqlColumn(&fields[i], t.tinyBools)
		to := b.Column(i)
		if to.Declared().Kind == columnar.Unknown && c.Kind != columnar.Unknown { // what the rows have is known by now
			to.Found(c)
		}
		r.cols[i] = mysqlCell{coding: coding, size: int(mysqlSizes[coding]), kind: c.Kind, width: int(fields[i].length), zone: t.zone.Microseconds(), to: to, buf: make([]byte, 0, 64)}
	}
	return r
}

// notes names the columns of booleans that hold something else, and what makes numbers of them.
func (r *mysqlRows) notes(columns []columnar.Column) []string {
	var odd []oddBool
	for i := range r.cols {
		odd = append(odd, oddBool{columns[i].Name, r.cols[i].strays})
	}
	return oddBools(odd, func(string) string { return "to have numbers, take tinyInt1isBit=true out of the DSN" })
}

// row appends one row [MySQL Internals, "Binary Protocol Resultset Row"]: a zero byte, a bit for each NULL, from the
// third bit on, and the values of the others. It reports whether the row is as it should be.
func (r *mysqlRows) row(body []byte) bool {
	at := 1 + (len(r.cols)+9)/8
	if len(body) < at {
		return false
	}
	nulls := body[1:at]
	for i := range r.cols {
		c := &r.cols[i]
		if nulls[(i+2)>>3]&(1<<uint((i+2)&7)) != 0 {
			c.to.Null()
			continue
		}
		n := c.size
		if n == 0 {
			if at >= len(body) {
				return false
			}
			n = int(body[at])
			at++
			if n > 250 {
				width := 0
				switch n {
				case 0xfc:
					width = 2
				case 0xfd:
					width = 3
				case 0xfe:
					width = 8
				}
				if width == 0 || at+width > len(body) {
					return false
				}
				var long [8]byte
				copy(long[:], body[at:at+width])
				size := binary.LittleEndian.Uint64(long[:])
				if at += width; size > wireLimit {
					return false
				}
				n = int(size)
			}
		}
		if n > len(body)-at {
			return false
		}
		if !c.value(body[at : at+n : at+n]) {
			return false
		}
		at += n
	}
	return at == len(body)
}

// value appends v, which has the coding's size if that is fixed; false means that v is not a value of the column's
// type.
func (c *mysqlCell) value(v []byte) bool {
	if c.to.Kind != c.kind {
		return c.widened(v)
	}
	switch c.coding {
	case myText, myBinary:
		c.to.Bytes(v)
	case myDecimal:
		d, ok := mysqlParseDecimal(v, c.to.Precision, c.to.Scale)
		if !ok {
			return c.widened(v)
		}
		c.to.Decimal(d)
	case myInt1, myInt1U, myInt2, myInt2U, myInt4, myInt4U, myInt8, myInt8U:
		c.to.Long(c.integer(v))
	case myBool:
		if v[0] > 1 {
			return c.widened(v)
		}
		c.to.Bool(v[0] == 1)
	case myFloat4:
		c.to.Float32(math.Float32frombits(binary.LittleEndian.Uint32(v)))
	case myFloat8:
		c.to.Float(math.Float64frombits(binary.LittleEndian.Uint64(v)))
	case myDate, myDateTime, myInstant:
		days, micros, real, ok := c.moment(v)
		switch {
		case !ok:
			return false
		case !real:
			return c.widened(v)
		case c.coding == myDate:
			c.to.Days(int32(days))
		case c.coding == myInstant:
			c.to.Long(days*columnar.MicrosPerDay + micros - c.zone)
		default:
			c.to.Long(days*columnar.MicrosPerDay + micros)
		}
	case myTime:
		micros, ok := mysqlClock(v)
		if !ok {
			return false
		}
		if micros < 0 || micros >= columnar.MicrosPerDay {
			return c.widened(v)
		}
		c.to.Long(micros)
	case myFlag:
		flag, ok := mysqlFlag(v)
		if !ok {
			return false
		}
		c.to.Bool(flag)
	default:
		text, ok := c.text(c.buf[:0], v)
		if c.buf = text; ok {
			c.to.Bytes(text)
		}
		return ok
	}
	return true
}

// integer reads a number of the coding's size.
func (c *mysqlCell) integer(v []byte) int64 {
	switch c.coding {
	case myInt1:
		return int64(int8(v[0]))
	case myInt1U:
		return int64(v[0])
	case myInt2:
		return int64(int16(binary.LittleEndian.Uint16(v)))
	case myInt2U:
		return int64(binary.LittleEndian.Uint16(v))
	case myInt4:
		return int64(int32(binary.LittleEndian.Uint32(v)))
	case myInt4U:
		return int64(binary.LittleEndian.Uint32(v))
	default:
		return int64(binary.LittleEndian.Uint64(v))
	}
}

// moment reads a date and time: nothing at all (all zeros), a date, with a time, with microseconds. real is false for
// what no calendar has: 0000-00-00, 2024-00-00, 2024-02-31, all of which MySQL can store.
func (c *mysqlCell) moment(v []byte) (days, micros int64, real, ok bool) {
	switch len(v) {
	case 0:
		return 0, 0, false, true
	case 11:
		micros = int64(binary.LittleEndian.Uint32(v[7:]))
		fallthrough
	case 7:
		micros += (int64(v[4])*3600 + int64(v[5])*60 + int64(v[6])) * 1_000_000
		fallthrough
	case 4:
	default:
		return 0, 0, false, false
	}
	if day := binary.LittleEndian.Uint32(v); day != c.day || day == 0 {
		month, dayOfMonth := int(v[2]), int(v[3])
		if month < 1 || month > 12 || dayOfMonth < 1 {
			return 0, micros, false, true
		}
		days = columnar.Days(int64(binary.LittleEndian.Uint16(v)), month, dayOfMonth)
		if dayOfMonth > 28 {
			if _, m, d := columnar.Civil(days); m != month || d != dayOfMonth {
				return 0, micros, false, true
			}
		}
		c.day, c.days = day, days
	}
	return c.days, micros, true, true
}

// mysqlFlag reads a bit(1): the bit, or of one that the query calculates its digit.
func mysqlFlag(v []byte) (flag, ok bool) {
	if len(v) != 1 {
		return false, false
	}
	return v[0] == 1 || v[0] == '1', v[0] <= 1 || v[0] == '0' || v[0] == '1'
}

// mysqlClock reads a TIME, which may be negative or longer than a day, in microseconds.
func mysqlClock(v []byte) (micros int64, ok bool) {
	switch len(v) {
	case 0:
		return 0, true
	case 12:
		micros = int64(binary.LittleEndian.Uint32(v[8:]))
	case 8:
	default:
		return 0, false
	}
	days := int64(binary.LittleEndian.Uint32(v[1:]))
	micros += days*columnar.MicrosPerDay + (int64(v[5])*3600+int64(v[6])*60+int64(v[7]))*1_000_000
	if v[0] != 0 {
		micros = -micros
	}
	return micros, true
}

// mysqlParseDecimal reads the text of a decimal that has exactly scale decimals and up to 18 digits, as nearly all
// have; the others are left to parseDecimal.
func mysqlParseDecimal(v []byte, precision, scale int32) (decimal128.Num, bool) {
	digits := v
	if len(v) > 0 && v[0] == '-' {
		digits = v[1:]
	}
	if len(digits) > 19 || scale > 0 && (len(digits) <= int(scale)+1 || digits[len(digits)-int(scale)-1] != '.') {
		return parseDecimal(v, precision, scale)
	}
	var n int64
	point := len(digits) - int(scale) - 1
	for i, d := range digits {
		if d -= '0'; d > 9 {
			if i == point && scale > 0 {
				continue
			}
			return parseDecimal(v, precision, scale)
		}
		n = n*10 + int64(d)
	}
	count := int32(len(digits))
	if scale > 0 {
		count--
	}
	if count > min(precision, 18) {
		return parseDecimal(v, precision, scale)
	}
	if len(digits) < len(v) {
		n = -n
	}
	return decimal128.FromI64(n), len(digits) > 0
}
