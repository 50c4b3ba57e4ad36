package sheets

import "fanmill/pipeline/columnar"

// form is what the cells of a column are: the reader finds one of them in it.
type form uint8

const (
	formNumber form = iota
	formText
	formBool
	formMoment // a date, a time, or both: a number that shows as one
)

func formOf(k columnar.Kind) form {
	switch k {
	case columnar.Text, columnar.Binary, columnar.Mixed, columnar.Unknown:
		return formText
	case columnar.Bool:
		return formBool
	case columnar.Date, columnar.Time, columnar.Timestamp, columnar.Instant, columnar.TimeNano, columnar.TimestampNano, columnar.InstantNano:
		return formMoment
	default:
		return formNumber
	}
}

// A double holds every number of so many digits.
const (
	maxDigits  = 15
	pastDigits = 1_000_000_000_000_000
)

// exceeds reports whether a column of this type may hold numbers that a cell does not.
func exceeds(c columnar.Column) bool {
	switch c.Kind {
	case columnar.Int, columnar.Uint, columnar.Numeric, columnar.Unknown:
		return true
	case columnar.Decimal:
		return c.Precision > maxDigits
	default:
		return false
	}
}

// numberFormat is the format of a column's cells: type and pattern, "" for Google's own.
func numberFormat(c columnar.Column, f form) (kind, pattern string) {
	switch {
	case f == formText:
		return "TEXT", "@"
	case f == formBool:
		return "", ""
	}
	switch c.Kind {
	case columnar.Int, columnar.Uint:
		return "NUMBER", "0"
	case columnar.Decimal:
		if c.Scale <= 0 {
			return "NUMBER", "0"
		}
		return "NUMBER", "0." + "00000000000000000000000000000000000000"[:c.Scale]
	case columnar.Date:
		return "DATE", "yyyy-mm-dd"
	case columnar.Time, columnar.TimeNano:
		return "TIME", "hh:mm:ss"
	case columnar.Timestamp, columnar.Instant, columnar.TimestampNano, columnar.InstantNano:
		return "DATE_TIME", "yyyy-mm-dd hh:mm:ss"
	default:
		return "", ""
	}
}

// exactNumber reports whether a double has all the digits of a plain decimal number: at most 15 of them, not counting
// zeros before the first and after the point's last. Exponents, NaN and the like are not plain.
func exactNumber(s []byte) bool {
	if len(s) > 0 && s[0] == '-' {
		s = s[1:]
	}
	digits, significant, point := 0, 0, false
	if len(s) == 0 || s[0] == '.' || s[len(s)-1] == '.' || len(s) > 300 || len(s) > 1 && s[0] == '0' && s[1] != '.' {
		return false
	}
	for _, c := range s {
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			return false
		}
		if digits > 0 || c != '0' {
			digits++
		}
		if c != '0' || !point { // zeros at the end of a whole number count: identifiers end in them, too
			significant = digits
		}
	}
	return significant <= maxDigits
}
