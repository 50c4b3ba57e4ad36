package verify

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"time"
)

// A value that is not what its column promises keeps its text behind one of these marks, so that it equals nothing that
// is right: a number in a column of text has lost what made it text.
const (
	asNumber = "\x00number "
	asText   = "\x00text "
)

// canonical appends the canonical text of a value that is written as text, in a CSV field or by a database.
func (c *Column) canonical(dst, text []byte) []byte {
	switch c.Kind {
	case Integer:
		return appendDecimal(dst, text, 0)
	case Decimal:
		start := len(dst)
		if dst = appendDecimal(dst, text, c.Scale); c.Rounded {
			return c.round(dst[:start], dst[start:])
		}
		return dst
	case Float:
		if f, err := strconv.ParseFloat(string(text), 64); err == nil {
			return appendFloat(dst, f)
		}
	case Timestamp, Instant:
		return appendTimestampText(dst, text)
	}
	return append(dst, text...)
}

// round appends a decimal rounded to 15 significant digits. What is no number stays as it is.
func (c *Column) round(dst, text []byte) []byte {
	exact, ok := new(big.Rat).SetString(string(text))
	if _, significant := digitCount(text); !ok || significant <= 15 {
		return append(dst, text...)
	}
	unit := big.NewRat(1, 1) // of the last digit kept
	ten := big.NewRat(10, 1)
	limit := big.NewRat(1_000_000_000_000_000, 1)
	size := new(big.Rat).Abs(exact)
	for new(big.Rat).Quo(size, unit).Cmp(limit) >= 0 {
		unit.Mul(unit, ten)
	}
	for new(big.Rat).Mul(new(big.Rat).Quo(size, unit), ten).Cmp(limit) < 0 {
		unit.Quo(unit, ten)
	}
	units := new(big.Rat).Quo(size, unit)
	half := new(big.Int).Add(new(big.Int).Mul(units.Num(), big.NewInt(2)), units.Denom())
	whole := half.Quo(half, new(big.Int).Mul(units.Denom(), big.NewInt(2)))
	rounded := new(big.Rat).Mul(new(big.Rat).SetInt(whole), unit)
	if exact.Sign() < 0 {
		rounded.Neg(rounded)
	}
	places, _ := rounded.FloatPrec()
	return appendDecimal(dst, []byte(rounded.FloatString(places)), c.Scale)
}

// appendFloat writes the shortest text that reads back as the same double.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 0):
		return append(append(dst, "-"[:b2i(f < 0)]...), "Infinity"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// appendDecimal writes a number with this many digits after the point: 1, 1.0 and 1E0 are 1.00 at scale 2. A number
// with more digits keeps them all, and text that is no number stays as it is.
func appendDecimal(dst, text []byte, scale int) []byte {
	s, start := text, len(dst)
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			dst = append(dst, '-')
		}
		s = s[1:]
	}
	whole, frac, _ := bytes.Cut(s, []byte{'.'})
	if len(whole)+len(frac) == 0 || !digits(whole) || !digits(frac) {
		return appendOddNumber(dst[:start], text, scale)
	}
	for len(whole) > 0 && whole[0] == '0' {
		whole = whole[1:]
	}
	for len(frac) > 0 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(whole)+len(frac) == 0 {
		dst = dst[:start] // there is no -0
	}
	if len(whole) == 0 {
		dst = append(dst, '0')
	}
	dst = append(dst, whole...)
	if n := max(scale, len(frac)); n > 0 {
		dst = append(append(dst, '.'), frac...)
		for range n - len(frac) {
			dst = append(dst, '0')
		}
	}
	return dst
}

func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendOddNumber takes numbers with an exponent.
func appendOddNumber(dst, text []byte, scale int) []byte {
	if len(text) > 64 || bytes.ContainsAny(text, "/_xXbBoO") {
		return append(dst, text...)
	}
	if i := bytes.IndexAny(text, "eE"); i >= 0 {
		if n, err := strconv.Atoi(string(text[i+1:])); err != nil || n > 400 || n < -400 {
			return append(dst, text...)
		}
	}
	r, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return append(dst, text...)
	}
	exact, _ := r.FloatPrec()
	return appendDecimal(dst, []byte(r.FloatString(exact)), scale)
}

// digitCount counts the digits of a number without leading zeros: all of them, and those that count, which leaves out
// the zeros at its end.
func digitCount(text []byte) (all, significant int) {
	zeros := 0
	for _, c := range text {
		switch {
		case c == 'e' || c == 'E':
			return all, all - zeros
		case c < '0' || c > '9':
			continue
		case c != '0':
			zeros = 0
		case all == 0:
			continue
		default:
			zeros++
		}
		all++
	}
	return all, all - zeros
}

// appendTimestampText writes a timestamp as 2006-01-02 15:04:05.999999 without trailing zeros: T becomes a space, and
// the zone, if one is named, goes; what is left is the wall clock.
func appendTimestampText(dst, text []byte) []byte {
	const head = len("2006-01-02 15:04:05")
	if len(text) < head || text[10] != ' ' && text[10] != 'T' || text[13] != ':' || text[16] != ':' {
		return append(dst, text...)
	}
	dst = append(append(append(dst, text[:10]...), ' '), text[11:head]...)
	rest := text[head:]
	if len(rest) == 0 || rest[0] != '.' {
		return dst
	}
	end := 1
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	if frac := bytes.TrimRight(rest[1:end], "0"); len(frac) > 0 {
		dst = append(append(dst, '.'), frac...)
	}
	return dst
}

// appendTime writes a time by a column's kind.
func (c *Column) appendTime(dst []byte, t time.Time) []byte {
	switch c.Kind {
	case Date:
		return t.AppendFormat(dst, time.DateOnly)
	case Instant:
		if c.Location == nil {
			t = t.UTC()
		} else {
			t = t.In(c.Location)
		}
	}
	return t.AppendFormat(dst, "2006-01-02 15:04:05.999999")
}

// serialEpoch is day 0 of Excel's calendar as it counts after its invented 29 February 1900 [ECMA-376] 18.17.4.1.
var serialEpoch = time.Date(1899, time.December, 30, 0, 0, 0, 0, time.UTC)

// firstSerial is 1 March 1900; lastSerial is 31 December 9999. Other days have no trustworthy number.
const (
	firstSerial = 61
	lastSerial  = 2_958_465
)

// coarseDay is the day from which doubles are more than a microsecond apart, serial 65536.
const coarseDay = "2079-06-06"

// appendSerial turns a serial number, days and a fraction of one, into a date or a wall clock to the microsecond. The
// number is taken as the double that a spreadsheet program makes of its text: its digits alone may be half a
// microsecond further off.
func (c *Column) appendSerial(dst, text []byte) []byte {
	whole, frac, _ := bytes.Cut(text, []byte{'.'})
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !digits(whole) || !digits(frac) || f < firstSerial || f >= lastSerial+1 {
		return append(append(dst, asNumber...), text...)
	}
	days, part := math.Modf(f)
	micros := math.Round(part * 24 * 3600 * 1e6)
	if c.Kind == Date && micros != 0 {
		return append(append(dst, asNumber...), text...)
	}
	t := serialEpoch.AddDate(0, 0, int(days)).Add(time.Duration(micros) * time.Microsecond)
	if c.Kind == Date {
		return t.AppendFormat(dst, time.DateOnly)
	}
	return t.AppendFormat(dst, "2006-01-02 15:04:05.999999")
}
