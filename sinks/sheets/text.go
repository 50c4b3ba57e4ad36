package sheets

import "unicode/utf8"

// MaxCellUnits is the most that a cell holds, in UTF-16 code units. Google says characters; units are the smaller of
// what that can mean.
const MaxCellUnits = 50_000

const hexDigits = "0123456789abcdef"

// appendString appends a text as a JSON string of at most MaxCellUnits. clean is false if bytes were not UTF-8: each
// run of them that is a lone surrogate, and each other byte, becomes U+FFFD.
func appendString(dst, s []byte) (_ []byte, cut, clean bool) {
	dst = append(dst, '"')
	clean = true
	units, from := 0, 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if units++; units > MaxCellUnits {
				return append(append(dst, s[from:i]...), '"'), true, clean
			}
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			if c < ' ' {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			} else {
				dst = append(dst, '\\', c)
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		width := 1
		if r > 0xFFFF {
			width = 2
		}
		if units += width; units > MaxCellUnits {
			return append(append(dst, s[from:i]...), '"'), true, clean
		}
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, s[from:i]...), "\uFFFD"...)
			if i+2 < len(s) && c == 0xED && s[i+1]&0xE0 == 0xA0 && s[i+2]&0xC0 == 0x80 { // UTF-8 of a surrogate
				size = 3
			}
			clean = false
			i += size
			from = i
			continue
		}
		i += size
	}
	return append(append(dst, s[from:]...), '"'), false, clean
}
