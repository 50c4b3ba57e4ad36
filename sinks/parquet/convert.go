package parquet

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// converter makes columns of batches into columns of a file. Its memory is used again for the next batch.
type converter struct {
	out   cells
	text  []byte
	clock columnar.Clock // UTC: the text of an instant has its offset
}

// cells is a column that is made value by value.
type cells struct {
	view columnar.View
	n    int
}

func (c *cells) reset(kind columnar.Kind) {
	v := &c.view
	*v = columnar.View{Column: columnar.Column{Kind: kind}, Valid: v.Valid[:0], Bits: v.Bits[:0], Longs: v.Longs[:0], Ints: v.Ints[:0],
		Decimals: v.Decimals[:0], Offsets: append(v.Offsets[:0], 0), Data: v.Data[:0]}
	c.n = 0
}

// end closes a value, for which bytes may have been appended to Data.
func (c *cells) end(valid bool) {
	v := &c.view
	if c.n&7 == 0 {
		v.Valid = append(v.Valid, 0)
	}
	if valid {
		v.Valid[c.n>>3] |= 1 << uint(c.n&7)
	} else {
		v.Nulls++
	}
	v.Offsets = append(v.Offsets, int32(len(v.Data)))
	c.n++
}

// null appends a NULL.
func (c *cells) null() {
	switch v := &c.view; v.Kind {
	case columnar.Bool:
		if c.n&7 == 0 {
			v.Bits = append(v.Bits, 0)
		}
	case columnar.Date, columnar.Float32:
		v.Ints = append(v.Ints, 0)
	case columnar.Decimal:
		v.Decimals = append(v.Decimals, decimal128.Num{})
	case columnar.Text, columnar.Binary:
	default:
		v.Longs = append(v.Longs, 0)
	}
	c.end(false)
}

// fits reports whether the column of a batch can be written as it is.
func (t *target) fits(v *columnar.View, rows int) bool {
	if v.Kind != t.kind || t.Form != Plain {
		return t.kind == columnar.Text && t.Form == Plain && v.Kind == columnar.Numeric
	}
	switch v.Kind {
	case columnar.Decimal:
		if v.Scale != t.Scale {
			return false
		}
		if v.Precision > t.Precision {
			for i, d := range v.Decimals[:rows] {
				if !d.FitsInPrecision(t.Precision) && !v.Null(i) {
					return false
				}
			}
		}
	case columnar.Time:
		for i, n := range v.Longs[:rows] {
			if uint64(n) >= columnar.MicrosPerDay && !v.Null(i) {
				return false
			}
		}
	case columnar.Text:
		return validTexts(v, rows)
	}
	return true
}

// validTexts reports whether each value is UTF-8: all of them together are, and none begins within a character.
func validTexts(v *columnar.View, rows int) bool {
	if !utf8.Valid(v.Data[v.Offsets[0]:v.Offsets[rows]]) {
		return false
	}
	for i, at := range v.Offsets[:rows] {
		if at < v.Offsets[i+1] && !utf8.RuneStart(v.Data[at]) {
			return false
		}
	}
	return true
}

// convert makes the column of a batch one that can be written, valid until the next call. What is lost is counted in f.
func (c *converter) convert(t *target, v *columnar.View, rows int, f *Feed, column int) *columnar.View {
	if t.fits(v, rows) {
		return v
	}
	c.out.reset(t.kind)
	for i := range rows {
		if v.Null(i) {
			c.out.null()
			continue
		}
		f.note(column, i, c.put(t, v, i))
	}
	return &c.out.view
}

// put appends row i of v, or NULL where the column has no room for it.
func (c *converter) put(t *target, v *columnar.View, i int) (r reason) {
	ok := false
	switch t.kind {
	case columnar.Bool:
		r = c.putBool(v, i)
		ok = r == kept
	case columnar.Int, columnar.Decimal:
		r, ok = c.putExact(t, v, i)
	case columnar.Float, columnar.Float32:
		r, ok = c.putFloat(t, v, i)
	case columnar.Date, columnar.Time, columnar.Timestamp, columnar.Instant:
		r, ok = c.putMoment(t, v, i)
	case columnar.Binary:
		r = c.putBinary(v, i)
		ok = r == kept
	default:
		r, ok = c.putText(t, v, i)
	}
	if !ok {
		c.out.null()
		return r
	}
	c.out.end(true)
	return r
}

func (c *converter) putBool(v *columnar.View, i int) reason {
	out := &c.out
	var yes bool
	switch {
	case v.Kind == columnar.Bool:
		yes = v.Bool(i)
	case v.Kind == columnar.Mixed && v.Classes[i] == columnar.ClassBool:
		yes = string(v.Bytes(i)) == "true"
	default:
		return notOfKind
	}
	if out.n&7 == 0 {
		out.view.Bits = append(out.view.Bits, 0)
	}
	if yes {
		out.view.Bits[out.n>>3] |= 1 << uint(out.n&7)
	}
	return kept
}

func (c *converter) putBinary(v *columnar.View, i int) reason {
	switch {
	case v.Kind == columnar.Binary:
		c.out.view.Data = append(c.out.view.Data, v.Bytes(i)...)
		return kept
	case v.Kind == columnar.Mixed && v.Classes[i] == columnar.ClassText:
		if data, ok := appendHex(c.out.view.Data, bytes.TrimPrefix(v.Bytes(i), []byte("0x"))); ok {
			c.out.view.Data = data
			return kept
		}
	}
	return notOfKind
}

// appendHex appends the bytes of pairs of hexadecimal digits. It returns dst as it was if s has anything else.
func appendHex(dst, s []byte) ([]byte, bool) {
	out := dst
	for ; len(s) >= 2; s = s[2:] {
		high, low := hexDigit(s[0]), hexDigit(s[1])
		if high > 15 || low > 15 {
			return dst, false
		}
		out = append(out, high<<4|low)
	}
	return out, len(s) == 0
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	default:
		return 16
	}
}

func (c *converter) putText(t *target, v *columnar.View, i int) (reason, bool) {
	data := v.AppendText(c.text[:0], i, &c.clock)
	c.text = data
	r := kept
	if !utf8.Valid(data) {
		data, r = bytes.ToValidUTF8(data, []byte("\uFFFD")), notUTF8
	}
	out := &c.out.view
	switch t.Form {
	case UUID:
		id, ok := appendUUID(out.Data, data)
		if !ok {
			return notOfKind, false
		}
		out.Data = id
	case JSON:
		if !json.Valid(data) {
			return notOfKind, false
		}
		out.Data = append(out.Data, data...)
	default:
		out.Data = append(out.Data, data...)
	}
	return r, true
}

// appendUUID appends the bytes of a UUID in the order in which it is printed. [RFC 9562] section 4
func appendUUID(dst, s []byte) ([]byte, bool) {
	if len(s) == 38 && s[0] == '{' && s[37] == '}' {
		s = s[1:37]
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return dst, false
	}
	out, ok := dst, true
	for _, group := range [...][]byte{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		if out, ok = appendHex(out, group); !ok {
			return dst, false
		}
	}
	return out, true
}
