package dedupe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline/columnar"
)

// FormVersion is the version of the normal form. It goes up when two rows that were the same no longer are, or the
// other way round: keys that were saved in another version cannot be compared.
const FormVersion = 1

// Query is one query as all connections share it: the columns that any of them has, with the types that hold what all
// of them have.
type Query struct {
	Columns []columnar.Column
	Keys    []int // columns that make a row's key, by their place in Columns; none: the whole row
}

// Form brings rows of one query to their normal form: two rows have the same bytes if they are equal, and only then.
// Each value is a tag and what follows from it, so that no value runs into the next:
//
//	numbers      by value, whatever kind they are: sign, digits without zeros at either end, exponent. -0 is 0;
//	             a double or a float32 is the number that its shortest digits say
//	texts        byte by byte: case, blanks at the end, forms of Unicode count. NaN and the infinities are texts,
//	             and so is what a column has no room for
//	times        days; seconds and nanoseconds; the wall clock and the instant are different
//	booleans, bytes
//	NULL         equals NULL, and a column that a connection lacks
//
// In a column of texts every value is its text in a CSV, as it is in the destination: 1.00 is not 1 there. In a column
// of timestamps a date is its midnight. NULLs at the end of a row are left out: a column that a later round adds
// changes no key.
//
// A Form is for one goroutine.
type Form struct {
	query   Query
	columns []formColumn
	keys    bool
	clock   columnar.Clock
	zone    string
	text    []byte
}

// formColumn is a column that counts.
type formColumn struct {
	at int // place in Query.Columns
	as formKind
}

// formKind is what the type of all connections makes of a value.
type formKind uint8

const (
	asItself formKind = iota
	asText
	asTimestamp
)

var formKindNames = [...]string{"value", "text", "timestamp"}

// NewForm makes the normal form of a query's rows. A key that the query lacks is an error.
func NewForm(q Query, zone *time.Location) (*Form, error) {
	f := &Form{query: q, keys: len(q.Keys) > 0, clock: columnar.NewClock(zone), zone: time.UTC.String()}
	if zone != nil {
		f.zone = zone.String()
	}
	places := q.Keys
	if !f.keys {
		for i := range q.Columns {
			places = append(places, i)
		}
	}
	for _, at := range places {
		if at < 0 || at >= len(q.Columns) {
			return nil, fmt.Errorf("column %d is to be a key, and there are %d columns", at, len(q.Columns))
		}
		c := formColumn{at: at}
		switch q.Columns[at].Kind {
		case columnar.Text:
			c.as = asText
		case columnar.Timestamp, columnar.TimestampNano:
			c.as = asTimestamp
		}
		f.columns = append(f.columns, c)
	}
	return f, nil
}

// Key appends the normal form of a row. places has for each column of the query its place in the batch, -1 for one that
// the connection lacks; nil: the batch has them in order. distinct reports a row that equals no other: one with a NULL
// in a key column; what was appended then means nothing.
func (f *Form) Key(dst []byte, b *columnar.Batch, places []int, row int) (key []byte, distinct bool) {
	end := len(dst)
	for i := range f.columns {
		c := &f.columns[i]
		at := c.at
		if places != nil {
			at = places[at]
		}
		if at < 0 || b.Cols[at].Null(row) {
			if f.keys {
				return dst, true
			}
			dst = append(dst, tagNull)
			continue
		}
		if v := &b.Cols[at]; c.as == asText {
			dst = f.appendAsText(dst, v, row)
		} else {
			dst = appendValue(dst, v, row, c.as)
		}
		end = len(dst)
	}
	return dst[:end], false
}

// appendQuery appends the number of a query, so that rows of two of them are never the same.
func appendQuery(dst []byte, query int) []byte { return binary.AppendUvarint(dst, uint64(query)) }

// The tags. Their numbers are part of the normal form.
const (
	tagNull        = 0
	tagFalse       = 1
	tagTrue        = 2
	tagZero        = 3
	tagPositive    = 4 // coefficient, exponent
	tagNegative    = 5
	tagBigPositive = 6 // exponent, digits: coefficients past 64 bits
	tagBigNegative = 7
	tagDate        = 8 // days
	tagTime        = 9 // seconds, nanoseconds
	tagTimestamp   = 10
	tagInstant     = 11
	tagText        = 12 // length, bytes
	tagBinary      = 13
)

// appendAsText appends the text that a value has in a column of texts.
func (f *Form) appendAsText(dst []byte, v *columnar.View, row int) []byte {
	if v.Kind == columnar.Text {
		return appendBytes(dst, tagText, v.Bytes(row))
	}
	if v.Kind == columnar.Mixed && v.Classes[row] == columnar.ClassMoment {
		if micros, nanos, ok := columnar.ParseMoment(v.Bytes(row), columnar.Instant); ok {
			f.text = columnar.AppendMoment(f.text[:0], columnar.Instant, micros, nanos, f.clock.Offset(micros))
			return appendBytes(dst, tagText, f.text)
		}
	}
	f.text = v.AppendText(f.text[:0], row, &f.clock)
	return appendBytes(dst, tagText, f.text)
}

// appendValue appends a value that is not NULL.
func appendValue(dst []byte, v *columnar.View, row int, as formKind) []byte {
	switch v.Kind {
	case columnar.Bool:
		return appendBool(dst, v.Bool(row))
	case columnar.Int, columnar.Uint, columnar.Float32, columnar.Float, columnar.Decimal, columnar.Numeric:
		return appendNumber(dst, v, row)
	case columnar.Date:
		return appendDate(dst, int64(v.Ints[row]), as)
	case columnar.Time, columnar.Timestamp, columnar.Instant:
		sec, micros := floorDiv(v.Longs[row], 1_000_000)
		return appendMoment(dst, v.Kind, sec, micros*1000)
	case columnar.TimeNano:
		return appendNanos(dst, columnar.Time, v.Longs[row])
	case columnar.TimestampNano:
		return appendNanos(dst, columnar.Timestamp, v.Longs[row])
	case columnar.InstantNano:
		return appendNanos(dst, columnar.Instant, v.Longs[row])
	case columnar.Binary:
		return appendBytes(dst, tagBinary, v.Bytes(row))
	case columnar.Mixed:
		return appendMixed(dst, v, row, as)
	default:
		return appendBytes(dst, tagText, v.Bytes(row))
	}
}

// appendMixed appends a value of a batch in which each has a class of its own: the same bytes as in a plain one.
func appendMixed(dst []byte, v *columnar.View, row int, as formKind) []byte {
	text := v.Bytes(row)
	switch v.Classes[row] {
	case columnar.ClassNumber, columnar.ClassFloat:
		return appendDigits(dst, text)
	case columnar.ClassBool:
		return appendBool(dst, string(text) == "true")
	case columnar.ClassMoment:
		return appendMixedMoment(dst, v.Of, text, as)
	case columnar.ClassText:
		if v.Of == columnar.Binary {
			return appendHex(dst, text)
		}
	}
	return appendBytes(dst, tagText, text)
}

// appendMixedMoment reads a time. A column of timestamps may have instants among them, whose text names the zone.
func appendMixedMoment(dst []byte, of columnar.Kind, text []byte, as formKind) []byte {
	for _, kind := range [...]columnar.Kind{of, columnar.Instant, columnar.Timestamp, columnar.Date, columnar.Time} {
		if kind != columnar.Date && kind != columnar.Time && kind != columnar.Timestamp && kind != columnar.Instant {
			continue
		}
		if kind == columnar.Date {
			if days, ok := parseDate(text); ok {
				return appendDate(dst, days, as)
			}
			continue
		}
		micros, nanos, ok := columnar.ParseMoment(text, kind)
		if !ok {
			continue
		}
		sec, rest := floorDiv(micros, 1_000_000)
		return appendMoment(dst, kind, sec, rest*1000+nanos)
	}
	return appendBytes(dst, tagText, text)
}

// parseDate reads a date as AppendDate writes it. ParseMoment counts in microseconds, which end before the last dates
// do.
func parseDate(text []byte) (days int64, ok bool) {
	s, negative := strings.CutPrefix(string(text), "-")
	year, rest, _ := strings.Cut(s, "-")
	month, day, _ := strings.Cut(rest, "-")
	y, err1 := strconv.Atoi(year)
	m, err2 := strconv.Atoi(month)
	d, err3 := strconv.Atoi(day)
	if err1 != nil || err2 != nil || err3 != nil || y > 1e8 || m < 1 || m > 12 || d < 1 || d > 31 {
		return 0, false
	}
	if negative {
		y = -y
	}
	days = columnar.Days(int64(y), m, d)
	var again [32]byte
	return days, bytes.Equal(columnar.AppendDate(again[:0], days), text)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, tagTrue)
	}
	return append(dst, tagFalse)
}

func appendBytes(dst []byte, tag byte, v []byte) []byte {
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(v))), v...)
}

// appendHex appends bytes that are written as 0x and digits.
func appendHex(dst, text []byte) []byte {
	if len(text) < 2 || len(text)%2 != 0 || text[0] != '0' || text[1] != 'x' {
		return appendBytes(dst, tagText, text)
	}
	at := len(dst)
	dst = binary.AppendUvarint(append(dst, tagBinary), uint64(len(text)/2-1))
	dst, err := hex.AppendDecode(dst, text[2:])
	if err != nil {
		return appendBytes(dst[:at], tagText, text)
	}
	return dst
}

func appendDate(dst []byte, days int64, as formKind) []byte {
	if as == asTimestamp {
		const secondsPerDay = 86400
		return appendMoment(dst, columnar.Timestamp, days*secondsPerDay, 0)
	}
	return binary.AppendVarint(append(dst, tagDate), days)
}

func appendNanos(dst []byte, kind columnar.Kind, v int64) []byte {
	sec, nanos := floorDiv(v, 1_000_000_000)
	return appendMoment(dst, kind, sec, nanos)
}

func appendMoment(dst []byte, kind columnar.Kind, sec, nanos int64) []byte {
	tag := byte(tagTime)
	switch kind {
	case columnar.Timestamp:
		tag = tagTimestamp
	case columnar.Instant:
		tag = tagInstant
	}
	return binary.AppendUvarint(binary.AppendVarint(append(dst, tag), sec), uint64(nanos))
}

// floorDiv divides, rounding down, so that the rest is not negative.
func floorDiv(a, b int64) (quotient, rest int64) {
	quotient, rest = a/b, a%b
	if rest < 0 {
		return quotient - 1, rest + b
	}
	return quotient, rest
}
