package stages

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// sqliteCells appends SQLite's values, each of which has a type of its own, to one column. A value that fits the
// column's kind is appended as it; one that does not mixes the rest of the batch, where each value has its text and
// its class. So the text of a value never depends on its neighbours.
type sqliteCells struct {
	declared columnar.Column
	// kind is what the column's values are: what was declared. Of a column that nobody declared it is found: it is
	// Unknown while there are none, or only numbers, and the first batch that is not all NULL decides.
	kind    columnar.Kind
	decided bool // of a column that nobody declared
	to      *columnar.ColumnBuilder
	buf     []byte
	strays  int64 // in a column of booleans
	zoned   int64 // in a column of dates and times: those with a zone
	bare    int64 // and those without
}

// exactDigits is 10 to the number of digits up to which a decimal and the double nearest to it are one number to
// every reader.
const exactDigits = 1_000_000_000_000_000

func newSQLiteCells(c columnar.Column, to *columnar.ColumnBuilder) sqliteCells {
	return sqliteCells{declared: c, kind: c.Kind, to: to, buf: make([]byte, 0, 64)} // as long as numbers are
}

// found fixes the kind of a column that nobody declared, before its batch is sent: the first one that is not all NULL
// decides.
func (c *sqliteCells) found() {
	if c.declared.Kind != columnar.Unknown || c.decided || c.to.Filled() == 0 {
		return
	}
	if c.decided = true; c.kind == columnar.Unknown {
		c.kind = columnar.Int // and every other number
	}
	c.to.Found(columnar.Column{Kind: c.kind})
}

func (c *sqliteCells) integer(v int64) {
	small := v > -exactDigits && v < exactDigits
	switch c.to.Kind {
	case columnar.Int:
		c.to.Long(v)
		return
	case columnar.Float:
		if small {
			c.to.Float(float64(v))
			return
		}
	case columnar.Bool:
		if v == 0 || v == 1 {
			c.to.Bool(v == 1)
			return
		}
	case columnar.Decimal:
		if d, ok := decimalOfInt(v, c.declared.Precision, c.declared.Scale); ok {
			c.to.Decimal(d)
			return
		}
	case columnar.Numeric, columnar.Text:
		c.buf = strconv.AppendInt(c.buf[:0], v, 10)
		c.to.Bytes(c.buf)
		return
	}
	class := columnar.ClassNumber
	switch c.kind {
	case columnar.Int, columnar.Numeric, columnar.Unknown:
	case columnar.Float:
		if small {
			class = columnar.ClassFloat
		}
	case columnar.Bool:
		if class = columnar.ClassBool; v == 0 || v == 1 {
			c.mixed(class, strconv.AppendBool(c.buf[:0], v == 1))
			return
		}
		class = columnar.ClassStray
	case columnar.Decimal:
		if d, ok := decimalOfInt(v, c.declared.Precision, c.declared.Scale); ok {
			c.mixed(class, columnar.AppendDecimal(c.buf[:0], d, int(c.declared.Scale)))
			return
		}
	case columnar.Text:
		class = columnar.ClassText
	default:
		class = columnar.ClassStray
	}
	c.mixed(class, strconv.AppendInt(c.buf[:0], v, 10))
}

func (c *sqliteCells) real(v float64) {
	switch c.to.Kind {
	case columnar.Float:
		c.to.Float(v)
		return
	case columnar.Int:
		if c.declared.Kind == columnar.Unknown && c.to.Retype(columnar.Float) {
			c.to.Float(v)
			return
		}
	case columnar.Decimal:
		if d, ok := decimalOfFloat(v, c.declared.Precision, c.declared.Scale); ok {
			c.to.Decimal(d)
			return
		}
	case columnar.Numeric:
		if text, ok := c.shortNumber(v); ok {
			c.to.Bytes(text)
			return
		}
	case columnar.Text:
		c.buf = columnar.AppendFloat(c.buf[:0], v)
		c.to.Bytes(c.buf)
		return
	}
	class := columnar.ClassFloat
	switch c.kind {
	case columnar.Float, columnar.Unknown:
	case columnar.Int, columnar.Decimal, columnar.Numeric:
		if d, ok := decimalOfFloat(v, c.declared.Precision, c.declared.Scale); ok && c.kind == columnar.Decimal {
			c.mixed(columnar.ClassNumber, columnar.AppendDecimal(c.buf[:0], d, int(c.declared.Scale)))
			return
		}
		if text, ok := c.shortNumber(v); ok && c.declared.Kind != columnar.Unknown {
			c.mixed(columnar.ClassNumber, text)
			return
		}
	case columnar.Text:
		class = columnar.ClassText
	default:
		class = columnar.ClassStray
	}
	c.mixed(class, columnar.AppendFloat(c.buf[:0], v))
}

func (c *sqliteCells) text(v []byte) {
	if c.to.Kind == columnar.Text && utf8.Valid(v) {
		c.to.Bytes(v)
		return
	}
	if c.declared.Kind == columnar.Unknown && !c.decided && c.kind != columnar.Text { // any text makes it a column of texts
		c.kind = columnar.Text
		c.to.Retype(columnar.Text)
	}
	if !utf8.Valid(v) {
		c.hex(v) // SQLite does not look; what encoding it is would be a guess
		return
	}
	switch c.kind {
	case columnar.Text:
		if c.to.Kind == columnar.Text { // since a moment ago
			c.to.Bytes(v)
		} else {
			c.mixed(columnar.ClassText, v)
		}
		return
	case columnar.Date:
		if days, _, ok := parseISO(v, columnar.Date); ok {
			c.date(days)
			return
		}
	case columnar.Timestamp:
		if m, ok := parseMoment(v); ok {
			c.moment(&m)
			return
		}
	case columnar.Time, columnar.Instant:
		if micros, nanos, ok := parseISO(v, c.kind); ok {
			c.to.Moment(micros, nanos)
			return
		}
	case columnar.Decimal:
		if d, ok := parseDecimal(v, c.declared.Precision, c.declared.Scale); ok {
			if c.to.Kind == columnar.Decimal {
				c.to.Decimal(d)
			} else {
				c.mixed(columnar.ClassNumber, columnar.AppendDecimal(c.buf[:0], d, int(c.declared.Scale)))
			}
			return
		}
		if plainNumber(v) {
			c.mixed(columnar.ClassNumber, trimNumber(c.buf[:0], v))
			return
		}
	case columnar.Numeric:
		if plainNumber(v) {
			if c.buf = trimNumber(c.buf[:0], v); c.to.Kind == columnar.Numeric {
				c.to.Bytes(c.buf)
			} else {
				c.mixed(columnar.ClassNumber, c.buf)
			}
			return
		}
	}
	c.mixed(columnar.ClassStray, v)
}

func (c *sqliteCells) blob(v []byte) {
	if c.kind == columnar.Unknown {
		if c.kind = columnar.Text; c.to.Filled() == 0 {
			c.kind = columnar.Binary
		}
		c.to.Retype(c.kind)
	}
	if c.to.Kind == columnar.Binary {
		c.to.Bytes(v)
		return
	}
	c.hex(v)
}

// moment appends a date and time. One with a zone is an instant, in whatever column it stands: that is said by the
// value, and not by what stands beside it.
func (c *sqliteCells) moment(m *sqliteMoment) {
	if m.zoned {
		c.zoned++
		c.to.Zoned(m.utc(), m.nanos)
		return
	}
	c.bare++
	c.to.Moment(m.utc(), m.nanos)
}

// date appends a day.
func (c *sqliteCells) date(days int64) {
	if c.to.Kind == columnar.Date {
		c.to.Days(int32(days))
		return
	}
	c.mixed(columnar.ClassMoment, columnar.AppendDate(c.buf[:0], days))
}

// hex appends bytes as the text that a Binary column has: a stray unless that is the column's kind.
func (c *sqliteCells) hex(v []byte) {
	class := columnar.ClassStray
	if c.kind == columnar.Binary {
		class = columnar.ClassText
	}
	c.buf = appendHex(c.buf[:0], v)
	c.mixed(class, c.buf)
}

// shortNumber is the text of a real that has up to 15 digits: it is the decimal that people wrote down. One with more
// before the point may be anything.
func (c *sqliteCells) shortNumber(v float64) (text []byte, ok bool) {
	if math.Abs(v) >= exactDigits {
		return nil, false
	}
	c.buf = columnar.AppendFloat(c.buf[:0], v)
	return c.buf, plainNumber(c.buf) && significantDigits(string(c.buf)) <= sqliteExactDigits
}

// mixed appends a value that the batch has no room for, or that stands beside one, as its text and its class.
func (c *sqliteCells) mixed(class columnar.Class, text []byte) {
	c.to.Retype(columnar.Mixed)
	c.to.Mixed(class, text)
	if class == columnar.ClassStray && c.kind == columnar.Bool {
		c.strays++
	}
}

// trimNumber appends a plain number without a plus and without zeros before it.
func trimNumber(dst, v []byte) []byte {
	if v[0] == '-' {
		dst = append(dst, '-')
	}
	v = bytes.TrimLeft(v, "+-")
	for len(v) > 1 && v[0] == '0' && v[1] != '.' {
		v = v[1:]
	}
	return append(dst, v...)
}

// decimalOfInt is v * 10^scale, if it has at most precision digits.
func decimalOfInt(v int64, precision, scale int32) (decimal128.Num, bool) {
	u := uint64(v)
	if v < 0 {
		u = -u
	}
	if scale < int32(len(pow10)) {
		hi, lo := bits.Mul64(u, pow10[scale])
		return signed(hi, lo, v < 0, precision)
	}
	hi, lo, ok := mulAdd(0, u, pow10[19], 0)
	if ok {
		hi, lo, ok = mulAdd(hi, lo, pow10[scale-19], 0)
	}
	if !ok {
		return decimal128.Num{}, false
	}
	return signed(hi, lo, v < 0, precision)
}

// decimalOfFloat is the decimal that v stands for: the only one of up to 15 digits that reads back as v. A double
// with more, or with as many before the point, is no decimal that anybody wrote down.
func decimalOfFloat(v float64, precision, scale int32) (decimal128.Num, bool) {
	if scale <= 15 {
		// 10^scale and the rounded product are integers that a float64 holds exactly, so that their quotient is v or
		// another number, never almost v.
		unit := float64(pow10[scale])
		r := math.RoundToEven(v * unit)
		if math.Abs(r) < exactDigits && r/unit == v {
			return signed(0, uint64(math.Abs(r)), r < 0, precision)
		}
	}
	if !(math.Abs(v) < exactDigits) {
		return decimal128.Num{}, false
	}
	var buf [400]byte
	text := strconv.AppendFloat(buf[:0], v, 'f', -1, 64)
	if significantDigits(string(text)) > sqliteExactDigits {
		return decimal128.Num{}, false
	}
	return parseDecimal(text, precision, scale)
}
