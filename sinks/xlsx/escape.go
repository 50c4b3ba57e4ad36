package xlsx

import (
	"regexp"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789ABCDEF"

// Classes of bytes for the escaper: runs of plainByte are copied as they are.
const (
	plainByte   = iota
	specialByte // markup, carriage return, characters XML cannot hold, '_'
	wideByte    // of a rune past ASCII
	lastPlane   // 0xEF: may begin U+FFFE or U+FFFF, which XML cannot hold
)

// byteClass classifies bytes of unknown text, validClass those of text known to be valid UTF-8.
var byteClass, validClass = func() (any, valid [256]uint8) {
	for c := range 256 {
		switch {
		case c >= utf8.RuneSelf:
			any[c] = wideByte
			if c == 0xEF {
				valid[c] = lastPlane
			}
		case c < 0x20 && c != '\t' && c != '\n', c == '<', c == '>', c == '&', c == '"', c == '_':
			any[c], valid[c] = specialByte, specialByte
		}
	}
	return any, valid
}()

// appendEscaped appends s as the content of an element or of an attribute in double quotes. What XML cannot hold
// becomes _xHHHH_ [ECMA-376 22.9.2.19, ST_Xstring], and a text that already looks like that is protected by _x005F_, so
// that Excel shows the original. A carriage return is a character reference, because parsers would make a line feed of
// a plain one. Bytes that are not UTF-8 become U+FFFD each, and ok is false.
func appendEscaped(dst, s []byte) (_ []byte, ok bool) {
	ok = true
	class := &byteClass
	start := 0 // of the run not yet copied
	for i := 0; i < len(s); {
		c := s[i]
		switch class[c] {
		case plainByte:
			i++
			continue
		case wideByte:
			if class == &byteClass && utf8.Valid(s[i:]) {
				class = &validClass
				continue
			}
			r, n := utf8.DecodeRune(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				ok = false
				start = i + 1
			case r == 0xFFFE || r == 0xFFFF:
				dst = appendHexed(append(dst, s[start:i]...), uint16(r))
				start = i + n
			}
			i += n
			continue
		case lastPlane:
			if r := uint16(s[i+2]); s[i+1] == 0xBF && r >= 0xBE {
				dst = appendHexed(append(dst, s[start:i]...), 0xFF40|r)
				start = i + 3
			}
			i += 3
			continue
		}
		if c == '_' && !looksEscaped(s[i:]) {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '<':
			dst = append(dst, "&lt;"...)
		case '>':
			dst = append(dst, "&gt;"...)
		case '&':
			dst = append(dst, "&amp;"...)
		case '"':
			dst = append(dst, "&quot;"...)
		case '\r':
			dst = append(dst, "&#13;"...)
		default:
			dst = appendHexed(dst, uint16(c))
		}
		i++
		start = i
	}
	return append(dst, s[start:]...), ok
}

// appendHexed appends the unit as _xHHHH_.
func appendHexed(dst []byte, u uint16) []byte {
	return append(dst, '_', 'x', hexDigits[u>>12], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15], '_')
}

var escapedUnit = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// unescaped is a text that appendEscaped wrote and an XML parser has read.
func unescaped(s string) string {
	return escapedUnit.ReplaceAllStringFunc(s, func(escaped string) string {
		u, _ := strconv.ParseUint(escaped[2:6], 16, 16) // matched as such
		return string(rune(u))
	})
}

// looksEscaped reports whether s, whose first byte is '_', begins with what a reader would take for an escaped
// character, be it that the closing '_' is that of a character that appendEscaped will spell so.
func looksEscaped(s []byte) bool {
	if len(s) < 7 || s[0] != '_' || s[1] != 'x' || s[6] != '_' && s[6] >= 0x20 && s[6] != 0xEF {
		return false
	}
	for _, c := range s[2:6] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// cutUnits returns the longest prefix of s, whole runes, of at most limit UTF-16 code units. A byte that is not UTF-8 counts
// as one unit, which is what it is written as.
func cutUnits(s []byte, limit int) []byte {
	if len(s) <= limit { // a rune takes at least as many bytes as units
		return s
	}
	units := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRune(s[i:])
		units++
		if r > 0xFFFF {
			units++
		}
		if units > limit {
			return s[:i]
		}
		i += n
	}
	return s
}

// units counts the UTF-16 code units of s.
func units(s []byte) (n int) {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRune(s[i:])
		n++
		if r > 0xFFFF {
			n++
		}
		i += size
	}
	return n
}

// edgeSpace reports whether s begins or ends with white space that XML readers drop unless told otherwise.
func edgeSpace(s []byte) bool {
	return len(s) > 0 && (xmlSpace(s[0]) || xmlSpace(s[len(s)-1]))
}

func xmlSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
