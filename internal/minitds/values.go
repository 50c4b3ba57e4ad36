package minitds

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// Values are given as Go's bool, int, int64, float64, []byte and string. A string does for every type: numbers, dates and uuids as SQL
// Server prints them, such as "-12.30", "2024-02-29 13:45:06.1234567+05:30", "6F9619FF-8B86-D011-B42D-00C04FC964FF". nil is NULL.
// The value of a sql_variant is a VariantValue.

// VariantValue is a value with the type that it has within a sql_variant.
type VariantValue struct {
	Type  Type
	Value any
}

var dayOne = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)

// appendRow appends ROW [MS-TDS] 2.2.7.19, or NBCROW [MS-TDS] 2.2.7.13 if compact is set and a value is NULL.
func appendRow(b []byte, columns []Column, values []any, compact bool) ([]byte, error) {
	if len(values) != len(columns) {
		return nil, fmt.Errorf("minitds: %d values for %d columns", len(values), len(columns))
	}
	null := false
	for _, v := range values {
		null = null || v == nil
	}
	compact = compact && null
	if !compact {
		b = append(b, tokenRow)
	} else {
		b = append(b, tokenNullRow)
		bits := len(b)
		b = append(b, make([]byte, (len(values)+7)/8)...)
		for i, v := range values {
			if v == nil {
				b[bits+i/8] |= 1 << (i % 8)
			}
		}
	}
	for i, v := range values {
		var err error
		switch {
		case v != nil:
			b, err = columns[i].appendValue(b, v)
		case !compact:
			b, err = columns[i].appendNull(b)
		}
		if err != nil {
			return nil, fmt.Errorf("minitds: column %q: %w", columns[i].Name, err)
		}
	}
	return b, nil
}

func (c *Column) appendNull(b []byte) ([]byte, error) {
	if c.NotNull {
		return nil, fmt.Errorf("NULL in a column that is not nullable")
	}
	switch t := &c.Type; {
	case t.chunked():
		return binary.LittleEndian.AppendUint64(b, math.MaxUint64), nil
	case t.token == tokenVariant:
		return append(b, 0, 0, 0, 0), nil
	case t.counted():
		return append(b, 0xFF, 0xFF), nil
	default:
		return append(b, 0), nil
	}
}

// chunked tells that values come in chunks, PLP [MS-TDS] 2.2.5.2.3.
func (t *Type) chunked() bool { return t.size == maxSize || t.token == tokenUDT }

// counted tells that two bytes say a value's length.
func (t *Type) counted() bool {
	switch t.token {
	case tokenChar, tokenVarChar, tokenNChar, tokenNVarChar, tokenBinary, tokenVarBinary:
		return true
	}
	return false
}

func (c *Column) appendValue(b []byte, v any) ([]byte, error) {
	t := &c.Type
	if t.token == tokenVariant {
		return appendVariant(b, v)
	}
	raw, err := t.encode(v)
	if err != nil {
		return nil, err
	}
	switch {
	case t.chunked():
		const chunk = 8000
		b = binary.LittleEndian.AppendUint64(b, uint64(len(raw)))
		for len(raw) > 0 {
			n := min(len(raw), chunk)
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
			b = append(b, raw[:n]...)
			raw = raw[n:]
		}
		return append(b, 0, 0, 0, 0), nil
	case t.counted():
		b = binary.LittleEndian.AppendUint16(b, uint16(len(raw)))
	case t.token == tokenText, t.token == tokenNText, t.token == tokenImage: // a text pointer and a time stamp go before
		b = append(b, 16)
		b = append(b, "dummy textptr\x00\x00\x00dummyTS\x00"...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(raw)))
	case c.token() == t.token:
		b = append(b, byte(len(raw)))
	}
	return append(b, raw...), nil
}

// appendVariant appends a sql_variant [MS-TDS] 2.2.5.5.4: its size, the type's fixed form, the type's properties, the value.
func appendVariant(b []byte, v any) ([]byte, error) {
	x, ok := v.(VariantValue)
	if !ok {
		return nil, fmt.Errorf("a sql_variant takes a VariantValue, not %T", v)
	}
	raw, err := x.Type.encode(x.Value)
	if err != nil {
		return nil, err
	}
	var properties []byte
	token := x.Type.token
	if x.Type.fixed != 0 {
		token = x.Type.fixed
	}
	switch token {
	case tokenTime, tokenDateTime2, tokenDateTimeOffset:
		properties = []byte{x.Type.scale}
	case tokenDecimalN, tokenNumericN:
		properties = []byte{x.Type.precision, x.Type.scale}
	case tokenChar, tokenVarChar, tokenNChar, tokenNVarChar:
		properties = binary.LittleEndian.AppendUint16(append([]byte{}, x.Type.collation[:]...), uint16(x.Type.size))
	case tokenBinary, tokenVarBinary:
		properties = binary.LittleEndian.AppendUint16(nil, uint16(x.Type.size))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(2+len(properties)+len(raw)))
	b = append(b, token, byte(len(properties)))
	return append(append(b, properties...), raw...), nil
}

// encode makes the bytes of a value [MS-TDS] 2.2.5.5.
func (t *Type) encode(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok && t.token != tokenGUID {
		return b, nil
	}
	switch t.token {
	case tokenBitN, tokenIntN:
		n, ok := number(v)
		if !ok {
			return nil, fmt.Errorf("%v is no %s", v, t.name)
		}
		return binary.LittleEndian.AppendUint64(nil, uint64(n))[:t.size], nil
	case tokenFloatN:
		f, ok := v.(float64)
		if !ok {
			if _, err := fmt.Sscan(fmt.Sprint(v), &f); err != nil {
				return nil, err
			}
		}
		if t.size == 4 {
			return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(f))), nil
		}
		return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)), nil
	case tokenDecimalN, tokenNumericN:
		n, err := unscaled(fmt.Sprint(v), int(t.scale))
		if err != nil {
			return nil, err
		}
		return t.encodeDecimal(n), nil
	case tokenMoneyN:
		n, err := unscaled(fmt.Sprint(v), 4)
		if err != nil {
			return nil, err
		}
		u := uint64(n.Int64())
		if t.size == 4 {
			return binary.LittleEndian.AppendUint32(nil, uint32(u)), nil
		}
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(u>>32)), uint32(u)), nil
	case tokenGUID:
		return encodeGUID(v)
	case tokenNChar, tokenNVarChar, tokenNText, tokenXML:
		return toUTF16(fmt.Sprint(v)), nil
	case tokenChar, tokenVarChar, tokenText:
		return latin(fmt.Sprint(v))
	case tokenBinary, tokenVarBinary, tokenImage, tokenUDT:
		return hex.DecodeString(strings.TrimPrefix(fmt.Sprint(v), "0x"))
	default:
		return t.encodeMoment(fmt.Sprint(v))
	}
}

func number(v any) (int64, bool) {
	switch n := v.(type) {
	case bool:
		if n {
			return 1, true
		}
		return 0, true
	case int:
		return int64(n), true
	case int64:
		return n, true
	case string:
		var i int64
		_, err := fmt.Sscan(n, &i)
		return i, err == nil
	}
	return 0, false
}

// unscaled is a number's text times 10^scale.
func unscaled(text string, scale int) (*big.Int, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) > scale {
		return nil, fmt.Errorf("%s has more than %d decimals", text, scale)
	}
	n, ok := new(big.Int).SetString(whole+fraction+strings.Repeat("0", scale-len(fraction)), 10)
	if !ok {
		return nil, fmt.Errorf("%s is no number", text)
	}
	return n, nil
}

// encodeDecimal: a byte for the sign, then as many bytes as the precision asks for.
func (t *Type) encodeDecimal(n *big.Int) []byte {
	size := 16
	switch p := t.precision; {
	case p <= 9:
		size = 4
	case p <= 19:
		size = 8
	case p <= 28:
		size = 12
	}
	b := make([]byte, 1+size)
	if n.Sign() >= 0 {
		b[0] = 1
	}
	digits := n.Bytes()
	for i, d := range digits {
		b[len(digits)-i] = d
	}
	return b
}

// encodeGUID: the first three groups have their bytes reversed.
func encodeGUID(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = hex.DecodeString(strings.ReplaceAll(fmt.Sprint(v), "-", "")); err != nil {
			return nil, err
		}
	}
	if len(b) != 16 {
		return nil, fmt.Errorf("%v is no uniqueidentifier", v)
	}
	return append([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}, b[8:]...), nil
}

// latin is a text in Latin-1, which code page 1252 agrees with but for 0x80 to 0x9F.
func latin(s string) ([]byte, error) {
	var b []byte
	for _, r := range s {
		if r > 0xFF || r >= 0x80 && r < 0xA0 {
			return nil, fmt.Errorf("%q is not in the code page; give its bytes", r)
		}
		b = append(b, byte(r))
	}
	return b, nil
}

// encodeMoment makes the bytes of a date or time.
func (t *Type) encodeMoment(text string) ([]byte, error) {
	at, err := parseMoment(text)
	if err != nil {
		return nil, err
	}
	_, east := at.Zone()
	if t.token == tokenDateTimeOffset {
		at = at.UTC()
	}
	midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, at.Location())
	ofDay := at.Sub(midnight)
	switch days := daysSince(1900, at); t.token {
	case tokenDateTimeN:
		if t.size == 4 {
			return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(days)), uint16(ofDay/time.Minute)), nil
		}
		ticks := (ofDay.Milliseconds()*3 + 5) / 10 // of 1/300 second; the milliseconds are .000, .003 or .007
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(int32(days))), uint32(ticks)), nil
	}
	var b []byte
	if t.token != tokenDate {
		unit := int64(math.Pow10(9 - int(t.scale)))
		b = binary.LittleEndian.AppendUint64(nil, uint64(ofDay.Nanoseconds()/unit))[:timeSize(int(t.scale))]
	}
	if t.token != tokenTime {
		days := daysSince(1, at)
		b = append(b, byte(days), byte(days>>8), byte(days>>16))
	}
	if t.token == tokenDateTimeOffset {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(east/60)))
	}
	return b, nil
}

func parseMoment(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02", "15:04:05.999999999", "15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date or time", text)
}

// daysSince counts days from the first of January of a year to at's calendar date.
func daysSince(year int, at time.Time) int64 {
	from := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
	date := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	return (date.Unix() - from.Unix()) / 86400
}

// dayNumber reads the three bytes of a date, days since 0001-01-01.
func dayNumber(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
