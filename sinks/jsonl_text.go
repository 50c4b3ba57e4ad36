package sinks

import (
	"bytes"
	"unicode/utf8"
)

// jsonEscapes has, for each byte, what stands after the backslash in its place; 0 if it stands for itself, 'u' if it
// becomes \u00XX, and 'x' if what follows it decides.
var jsonEscapes = func() (t [256]byte) {
	for c := range 0x20 {
		t[c] = 'u'
	}
	t['"'], t['\\'], t['\n'], t['\r'], t['\t'], t['\b'], t['\f'] = '"', '\\', 'n', 'r', 't', 'b', 'f'
	t[0x7F] = 'u'
	for c := 0x80; c < 0x100; c++ {
		t[c] = 'x'
	}
	return t
}()

// plainJSON reports whether no byte of a column's texts needs to be escaped, or looked at more closely.
func plainJSON(data []byte) bool {
	for _, c := range data {
		if jsonEscapes[c] != 0 {
			return false
		}
	}
	return true
}

// appendJSONText appends a text as a JSON string. Line ends of all kinds are escaped, also U+0085, U+2028 and U+2029,
// at which some readers end a line: a row stays one line everywhere. Each byte that is not UTF-8, such as of a lone
// surrogate, becomes U+FFFD.
func appendJSONText(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		e := jsonEscapes[c]
		if e == 0 {
			i++
			continue
		}
		size := 1
		if e == 'x' {
			var r rune
			if r, size = utf8.DecodeRune(s[i:]); r != utf8.RuneError && r != 0x85 && r != 0x2028 && r != 0x2029 || size > 1 && r == utf8.RuneError {
				i += size
				continue
			}
			dst = append(dst, s[from:i]...)
			switch r {
			case 0x85:
				dst = append(dst, `\u0085`...)
			case 0x2028:
				dst = append(dst, `\u2028`...)
			case 0x2029:
				dst = append(dst, `\u2029`...)
			default:
				dst = utf8.AppendRune(dst, utf8.RuneError)
			}
		} else if dst = append(dst, s[from:i]...); e == 'u' {
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, '\\', e)
		}
		i += size
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendJSONNumber appends the plain decimal text of a number as JSON has it: without a plus sign or zeros in front,
// and with a digit before the point.
func appendJSONNumber(dst, text []byte, quoted bool) []byte {
	if quoted {
		dst = append(dst, '"')
	}
	digits, negative := bytes.CutPrefix(text, []byte("-"))
	if negative {
		dst = append(dst, '-')
	} else {
		digits = bytes.TrimPrefix(digits, []byte("+"))
	}
	for len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		digits = digits[1:]
	}
	if len(digits) > 0 && digits[0] == '.' {
		dst = append(dst, '0')
	}
	dst = append(dst, bytes.TrimSuffix(digits, []byte("."))...)
	if quoted {
		dst = append(dst, '"')
	}
	return dst
}
