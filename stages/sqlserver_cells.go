package stages

import (
	"database/sql/driver"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// sqlserverCells appends the driver's values to one column.
type sqlserverCells struct {
	coding sqlserverCoding
	wire   columnar.Column // what the result says the column is
	exact  bool            // as it was described; else the values go into a wider column
	to     *columnar.ColumnBuilder
	buf    []byte
	marked int64 // texts with a replacement character
}

// append appends one value. A value that the driver made of another type than the column's is a mistake of a server
// or the driver; it is an error, never a guess.
func (c *sqlserverCells) append(v driver.Value) error {
	if v == nil {
		c.to.Null()
		return nil
	}
	if !c.exact {
		return c.widened(v)
	}
	switch v := v.(type) {
	case int64:
		if c.coding == sqlserverInt {
			c.to.Long(v)
			return nil
		}
	case string:
		if c.coding == sqlserverText {
			c.text(v)
			return nil
		}
	case []byte:
		switch c.coding {
		case sqlserverDecimal:
			d, ok := parseDecimal(v, c.wire.Precision, c.wire.Scale)
			if !ok {
				return c.strange(v)
			}
			c.to.Decimal(d)
			return nil
		case sqlserverBytes:
			c.to.Bytes(v)
			return nil
		case sqlserverUUID:
			if len(v) != 16 {
				return c.strange(v)
			}
			c.buf = appendSQLServerUUID(c.buf[:0], v)
			c.to.Bytes(c.buf)
			return nil
		}
	case bool:
		if c.coding == sqlserverBool {
			c.to.Bool(v)
			return nil
		}
	case float64:
		switch c.coding {
		case sqlserverFloat:
			c.to.Float(v)
			return nil
		case sqlserverReal:
			c.to.Float32(float32(v))
			return nil
		}
	case time.Time:
		return c.moment(v)
	}
	return c.strange(v)
}

// text appends a text to a column of texts. One that is not UTF-8 comes from a collation without a code page; it is
// shown as the bytes that it consists of, which are strays.
func (c *sqlserverCells) text(v string) {
	if valid := utf8.ValidString(v); valid && c.to.Kind == columnar.Text {
		c.mark(v)
		c.to.String(v)
		return
	} else if c.buf = c.textOf(c.buf[:0], v); valid {
		c.to.Mixed(columnar.ClassText, c.buf)
	} else {
		c.to.Retype(columnar.Mixed)
		c.to.Mixed(columnar.ClassStray, c.buf)
	}
}

// textOf appends a text, or the bytes of one that is not UTF-8.
func (c *sqlserverCells) textOf(b []byte, v string) []byte {
	c.mark(v)
	if utf8.ValidString(v) {
		return append(b, v...)
	}
	return appendHex(b, []byte(v))
}

// mark counts texts with a replacement character: the driver puts one for half a surrogate pair and for a byte that
// its code page does not have, without a word.
func (c *sqlserverCells) mark(v string) {
	if strings.Contains(v, "\ufffd") {
		c.marked++
	}
}

// sqlserverDayOne is 0001-01-01 in Unix seconds: the day that the driver puts a time of day on.
const sqlserverDayOne = -62135596800

// moment appends a date or time. SQL Server's types have up to seven digits of a second; the seventh widens the batch.
func (c *sqlserverCells) moment(t time.Time) error {
	sec, nanos := t.Unix(), int64(t.Nanosecond())
	switch c.coding {
	case sqlserverDate:
		const day = 86400
		c.to.Days(int32(sec / day)) // midnight, so that nothing is cut
		return nil
	case sqlserverTime:
		sec -= sqlserverDayOne
	case sqlserverMoment, sqlserverInstant:
	default:
		return c.strange(t)
	}
	c.to.Moment(sec*1_000_000+nanos/1000, nanos%1000)
	return nil
}

// widened appends a value of another type than the described one as its text: one of the column's kind if both are
// numbers, else a stray.
func (c *sqlserverCells) widened(v driver.Value) error {
	class := columnar.ClassStray
	if c.wire.Kind.Number() && c.to.Declared().Kind.Number() {
		class = columnar.ClassNumber
	}
	b := c.buf[:0]
	switch v := v.(type) {
	case int64:
		b = strconv.AppendInt(b, v, 10)
	case string:
		b = c.textOf(b, v)
	case bool:
		b = strconv.AppendBool(b, v)
	case float64:
		if b = c.float(b, v); class == columnar.ClassNumber {
			class = columnar.ClassFloat
		}
	case []byte:
		switch {
		case c.coding == sqlserverDecimal:
			b = append(b, v...)
		case c.coding == sqlserverUUID && len(v) == 16:
			b = appendSQLServerUUID(b, v)
		default:
			b = appendHex(b, v)
		}
	case time.Time:
		switch c.coding {
		case sqlserverDate:
			b = v.AppendFormat(b, time.DateOnly)
		case sqlserverTime:
			b = v.AppendFormat(b, "15:04:05.999999999")
		case sqlserverInstant:
			b = append(v.UTC().AppendFormat(b, "2006-01-02 15:04:05.999999999"), "+00:00"...)
		default:
			b = v.AppendFormat(b, "2006-01-02 15:04:05.999999999")
		}
	default:
		return c.strange(v)
	}
	if c.buf = b; c.to.Kind == columnar.Text {
		c.to.Bytes(b)
		return nil
	}
	c.to.Retype(columnar.Mixed)
	c.to.Mixed(class, b)
	return nil
}

// float appends a number as the text that its column would have had.
func (c *sqlserverCells) float(b []byte, v float64) []byte {
	view := columnar.View{Column: columnar.Column{Kind: columnar.Float}, Longs: []int64{int64(math.Float64bits(v))}}
	if c.coding == sqlserverReal {
		view = columnar.View{Column: columnar.Column{Kind: columnar.Float32}, Ints: []int32{int32(math.Float32bits(float32(v)))}}
	}
	var utc columnar.Clock
	return view.AppendText(b, 0, &utc)
}

func (c *sqlserverCells) strange(v driver.Value) error {
	return pipeline.Permanent(fmt.Errorf("column %q: a value came as %T, which is not how a %s comes", c.wire.Name, v, c.wire.Kind))
}

// appendSQLServerUUID appends a uniqueidentifier, whose first three groups the wire has in reverse [MS-DTYP] 2.3.4.2,
// in the form of [RFC 9562] section 4, in lower case like every database's.
func appendSQLServerUUID(dst, v []byte) []byte {
	return appendUUID(dst, []byte{v[3], v[2], v[1], v[0], v[5], v[4], v[7], v[6], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15]})
}
