package stages

import (
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// sqliteCells appends SQLite's values, each of which has a type of its own, to one column. A value that fits the declared
// type is appended as it; one that does not widens the column for the rest of the batch, and what fits is then appended as
// the text it would have had. So the text of a value never depends on its neighbours.
type sqliteCells struct {
	declared columnar.Column
	number   bool // declared as a type of numbers, in words: not an expression
	to       *columnar.ColumnBuilder
	buf      []byte
	one      [1]int64
}

// exactFloat is the largest magnitude up to which every integer is a float64.
const exactFloat = 1 << 53

func (c *sqliteCells) integer(v int64) {
	switch c.to.Kind {
	case columnar.Int:
		c.to.Long(v)
		return
	case columnar.Float:
		if v >= -exactFloat && v <= exactFloat {
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
	}
	switch c.declared.Kind {
	case columnar.Bool:
		c.widen(columnar.Text)
		if v == 0 || v == 1 {
			c.to.Bytes(strconv.AppendBool(c.buf[:0], v == 1))
			return
		}
	case columnar.Decimal:
		c.widen(columnar.Numeric)
		if d, ok := decimalOfInt(v, c.declared.Precision, c.declared.Scale); ok {
			c.decimalText(d)
			return
		}
	default:
		c.widenNumber()
	}
	c.buf = strconv.AppendInt(c.buf[:0], v, 10)
	c.to.Bytes(c.buf)
}

func (c *sqliteCells) real(v float64) {
	switch c.to.Kind {
	case columnar.Float:
		c.to.Float(v)
		return
	case columnar.Int:
		if c.to.Retype(columnar.Float) {
			c.to.Float(v)
			return
		}
	case columnar.Decimal:
		if d, ok := c.decimalOfFloat(v); ok {
			c.to.Decimal(d)
			return
		}
	}
	if c.declared.Kind == columnar.Decimal {
		c.widen(columnar.Numeric)
		if d, ok := c.decimalOfFloat(v); ok {
			c.decimalText(d)
			return
		}
	}
	c.widenNumber()
	c.floatText(v)
}

func (c *sqliteCells) text(v []byte) {
	switch c.declared.Kind {
	case columnar.Text:
	case columnar.Date:
		if days, _, ok := parseISO(v, columnar.Date); ok {
			c.date(days)
			return
		}
	case columnar.Time, columnar.Timestamp, columnar.Instant:
		if micros, nanos, ok := parseISO(v, c.declared.Kind); ok {
			c.to.Moment(micros, nanos)
			return
		}
	case columnar.Decimal:
		if d, ok := parseDecimal(v, c.declared.Precision, c.declared.Scale); ok {
			if c.to.Kind == columnar.Decimal {
				c.to.Decimal(d)
			} else {
				c.decimalText(d)
			}
			return
		}
		if plainNumber(v) {
			c.widen(columnar.Numeric)
			c.to.Bytes(v)
			return
		}
	case columnar.Numeric:
		if plainNumber(v) {
			c.to.Bytes(v)
			return
		}
	}
	if c.number && utf8.Valid(v) {
		c.widen(columnar.Numeric) // one "n/a" leaves its neighbours numbers
	} else {
		c.widen(columnar.Text)
	}
	if !utf8.Valid(v) {
		c.hex(v) // SQLite does not look; what encoding it is would be a guess
		return
	}
	c.to.Bytes(v)
}

func (c *sqliteCells) blob(v []byte) {
	if c.to.Kind == columnar.Binary {
		c.to.Bytes(v)
		return
	}
	c.widen(columnar.Text)
	c.hex(v)
}

// date appends a day.
func (c *sqliteCells) date(days int64) {
	if c.to.Kind == columnar.Date {
		c.to.Days(int32(days))
		return
	}
	c.buf = columnar.AppendDate(c.buf[:0], days)
	c.to.Bytes(c.buf)
}

// floatText appends a real as the text that a Float column has.
func (c *sqliteCells) floatText(v float64) {
	c.one[0] = int64(math.Float64bits(v))
	view := columnar.View{Column: columnar.Column{Kind: columnar.Float}, Longs: c.one[:]}
	c.buf = view.AppendText(c.buf[:0], 0, nil)
	c.to.Bytes(c.buf)
}

func (c *sqliteCells) decimalText(d decimal128.Num) {
	c.buf = columnar.AppendDecimal(c.buf[:0], d, int(c.declared.Scale))
	c.to.Bytes(c.buf)
}

// hex appends bytes as the text that a Binary column has.
func (c *sqliteCells) hex(v []byte) {
	c.buf = appendHex(c.buf[:0], v)
	c.to.Bytes(c.buf)
}

// widenNumber makes room for a number of any size.
func (c *sqliteCells) widenNumber() { c.widen(columnar.Numeric) }

// widen makes room for a kind of value; text has room for everything.
func (c *sqliteCells) widen(to columnar.Kind) {
	if c.to.Kind != columnar.Text && !c.to.Retype(to) {
		c.to.Retype(columnar.Text)
	}
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

// decimalOfFloat is the decimal that v stands for: the shortest text that reads back as v, if it has no more digits than the
// column declares.
func (c *sqliteCells) decimalOfFloat(v float64) (decimal128.Num, bool) {
	// With up to 15 digits there is one decimal that reads back as v, and it is found by rounding: 10^scale and the rounded
	// product are integers that a float64 holds exactly, so that their quotient is v or another number, never almost v.
	if s := c.declared.Scale; s <= 15 {
		unit := float64(pow10[s])
		if r := math.RoundToEven(v * unit); math.Abs(r) < 1e15 && r/unit == v {
			u := uint64(math.Abs(r))
			return signed(0, u, r < 0, c.declared.Precision)
		}
	}
	if math.IsInf(v, 0) || math.Abs(v) >= 1e38 {
		return decimal128.Num{}, false
	}
	c.buf = strconv.AppendFloat(c.buf[:0], v, 'f', -1, 64)
	return parseDecimal(c.buf, c.declared.Precision, c.declared.Scale)
}
