package stages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"fanmill/pipeline/columnar"
)

// PostgreSQL counts from 2000-01-01 [PostgreSQL, "Date/Time Types"].
const (
	pgEpochDays   = 10957
	pgEpochMicros = pgEpochDays * columnar.MicrosPerDay
	// pgLastMicros is what 64 bits of microseconds reach, less a day: the wall clocks of zones are ahead of UTC.
	pgLastMicros = math.MaxInt64 - pgEpochMicros - columnar.MicrosPerDay
)

// rowReader puts data rows into the columns of a batch.
type rowReader struct {
	cols []rowColumn
}

type rowColumn struct {
	coding    pgCoding
	declared  columnar.Kind
	precision int32
	scale     int32
	to        *columnar.ColumnBuilder
}

var errRowShape = errors.New("a row breaks the protocol")

// row appends one DataRow message [PostgreSQL, "Message Formats"]: the number of values, then for each its length, -1
// for NULL, and its bytes.
func (r *rowReader) row(body []byte) error {
	if len(body) < 2 || int(binary.BigEndian.Uint16(body)) != len(r.cols) {
		return errRowShape
	}
	body = body[2:]
	for i := range r.cols {
		c := &r.cols[i]
		if len(body) < 4 {
			return errRowShape
		}
		n := int(int32(binary.BigEndian.Uint32(body)))
		body = body[4:]
		if n < 0 {
			c.to.Null()
			continue
		}
		if n > len(body) {
			return errRowShape
		}
		if !c.value(body[:n:n]) {
			return fmt.Errorf("column %q: a value of %d bytes breaks the protocol", c.to.Name, n)
		}
		body = body[n:]
	}
	return nil
}

// value appends v; false means that v is not a value of the column's type.
func (c *rowColumn) value(v []byte) bool {
	if c.to.Kind != c.declared {
		return c.widened(v)
	}
	switch c.coding {
	case pgText, pgBytea:
		c.to.Bytes(v)
	case pgInt4:
		if len(v) != 4 {
			return false
		}
		c.to.Long(int64(int32(binary.BigEndian.Uint32(v))))
	case pgInt8:
		if len(v) != 8 {
			return false
		}
		c.to.Long(int64(binary.BigEndian.Uint64(v)))
	case pgDecimal:
		d, ok := numericDecimal(v, c.precision, c.scale)
		if !ok {
			return c.widen(v)
		}
		c.to.Decimal(d)
	case pgDate:
		if len(v) != 4 {
			return false
		}
		days := int32(binary.BigEndian.Uint32(v))
		if days == math.MaxInt32 || days == math.MinInt32 {
			return c.widen(v)
		}
		c.to.Days(days + pgEpochDays)
	case pgTimestamp, pgInstant:
		if len(v) != 8 {
			return false
		}
		micros := int64(binary.BigEndian.Uint64(v))
		if micros > pgLastMicros || micros == math.MinInt64 {
			return c.widen(v) // infinite, or in the last 29 years of what PostgreSQL knows
		}
		c.to.Long(micros + pgEpochMicros)
	case pgBool:
		if len(v) != 1 {
			return false
		}
		c.to.Bool(v[0] != 0)
	case pgInt2:
		if len(v) != 2 {
			return false
		}
		c.to.Long(int64(int16(binary.BigEndian.Uint16(v))))
	case pgOID:
		if len(v) != 4 {
			return false
		}
		c.to.Long(int64(binary.BigEndian.Uint32(v)))
	case pgFloat4:
		if len(v) != 4 {
			return false
		}
		c.to.Float32(math.Float32frombits(binary.BigEndian.Uint32(v)))
	case pgFloat8:
		if len(v) != 8 {
			return false
		}
		c.to.Float(math.Float64frombits(binary.BigEndian.Uint64(v)))
	case pgTime:
		if len(v) != 8 {
			return false
		}
		c.to.Long(int64(binary.BigEndian.Uint64(v)))
	case pgUUID:
		if len(v) != 16 {
			return false
		}
		var text [36]byte
		c.to.Bytes(appendUUID(text[:0], v))
	case pgNumeric:
		return c.number(v)
	case pgRaw:
		if !utf8.Valid(v) {
			return c.widen(v)
		}
		c.to.Bytes(v)
	default:
		return false
	}
	return true
}

// number appends a numeric as its text. NaN and the infinities are no numbers to anybody else.
func (c *rowColumn) number(v []byte) bool {
	var small [64]byte
	text, ok := appendNumeric(small[:0], v) // leaves the stack for the rare longer number only
	switch {
	case !ok:
	case text[len(text)-1] > '9':
		c.to.Retype(columnar.Mixed)
		c.to.Mixed(columnar.ClassStray, text)
	case c.to.Kind == columnar.Mixed:
		c.to.Mixed(columnar.ClassNumber, text)
	default:
		c.to.Bytes(text)
	}
	return ok
}

// widen makes room for a value that the declared type cannot hold, for the rest of this batch.
func (c *rowColumn) widen(v []byte) bool { return c.to.Retype(columnar.Mixed) && c.widened(v) }

// widened appends a value to a mixed column.
func (c *rowColumn) widened(v []byte) bool {
	switch c.coding {
	case pgDecimal, pgNumeric:
		return c.number(v)
	case pgDate:
		if len(v) != 4 {
			return false
		}
		days := int32(binary.BigEndian.Uint32(v))
		if !c.infinite(days == math.MaxInt32, days == math.MinInt32) {
			var text [24]byte
			c.to.Mixed(columnar.ClassMoment, columnar.AppendDate(text[:0], int64(days)+pgEpochDays))
		}
	case pgTimestamp, pgInstant:
		if len(v) != 8 {
			return false
		}
		micros := int64(binary.BigEndian.Uint64(v))
		if !c.infinite(micros == math.MaxInt64, micros == math.MinInt64) {
			days, rest := micros/columnar.MicrosPerDay, micros%columnar.MicrosPerDay
			if rest < 0 {
				days, rest = days-1, rest+columnar.MicrosPerDay
			}
			var buf [48]byte
			text := append(columnar.AppendDate(buf[:0], days+pgEpochDays), ' ')
			text = columnar.AppendTime(text, rest)
			if c.declared == columnar.Instant {
				text = append(text, "+00:00"...)
			}
			c.to.Mixed(columnar.ClassMoment, text)
		}
	case pgRaw:
		if utf8.Valid(v) {
			c.to.Mixed(columnar.ClassText, v)
		} else {
			c.to.Mixed(columnar.ClassStray, appendHex(nil, v))
		}
	default:
		return false
	}
	return true
}

// infinite appends one of the two infinities that dates and timestamps know.
func (c *rowColumn) infinite(plus, minus bool) bool {
	switch {
	case plus:
		c.to.Mixed(columnar.ClassStray, []byte("infinity"))
	case minus:
		c.to.Mixed(columnar.ClassStray, []byte("-infinity"))
	}
	return plus || minus
}

// appendUUID appends 16 bytes in the form of [RFC 9562] section 4.
func appendUUID(dst, v []byte) []byte {
	const digits = "0123456789abcdef"
	for i, b := range v {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}
