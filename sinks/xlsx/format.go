package xlsx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fanmill/pipeline/columnar"
)

// Limits of custom number formats.
const (
	maxFormats     = 150 // Excel takes 200 to 250 of them in a workbook, depending on its language; some are ours
	maxFormatRunes = 255
)

// CheckFormat says why Excel would take a workbook with this number format code for damaged, or show something else than
// meant [ECMA-376 18.8.31]. It knows the grammar, not every meaning: what passes opens.
func CheckFormat(code string) error {
	switch {
	case strings.TrimSpace(code) == "":
		return errors.New("the number format is empty; leave it out, or write one such as \"#,##0.00\"")
	case !utf8.ValidString(code) || strings.ContainsFunc(code, unicode.IsControl):
		return fmt.Errorf("number format %q has characters that Excel does not accept", code)
	case utf8.RuneCountInString(code) > maxFormatRunes:
		return fmt.Errorf("number format %.20q... is longer than %d characters", code, maxFormatRunes)
	}
	sections := 1
	for rest := code; rest != ""; {
		n, err := formatToken(rest)
		if err != nil {
			return fmt.Errorf("number format %q: %w", code, err)
		}
		if rest[:n] == ";" {
			sections++
		}
		rest = rest[n:]
	}
	if sections > 4 {
		return fmt.Errorf("number format %q has %d sections; at most four are positive;negative;zero;text", code, sections)
	}
	return nil
}

// formatToken is the length of the token that s begins with.
func formatToken(s string) (int, error) {
	switch c := s[0]; c {
	case '"':
		end := strings.IndexByte(s[1:], '"')
		if end < 0 {
			return 0, errors.New("a quote is not closed")
		}
		return end + 2, nil
	case '[':
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return 0, errors.New("a [ is not closed")
		}
		return end + 1, checkBracket(s[1:end])
	case ']':
		return 0, errors.New("a ] was not opened")
	case '\\', '_', '*':
		if len(s) == 1 {
			return 0, fmt.Errorf("nothing follows the last %c", c)
		}
		_, size := utf8.DecodeRuneInString(s[1:])
		return 1 + size, nil
	}
	for _, word := range []string{"General", "AM/PM", "A/P"} {
		if len(s) >= len(word) && strings.EqualFold(s[:len(word)], word) {
			return len(word), nil
		}
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == 'E' || r == 'e':
		if len(s) > 1 && (s[1] == '+' || s[1] == '-') {
			return 2, nil
		}
		if r == 'e' {
			return 1, nil // a year of an era
		}
		return 0, errors.New("a sign follows the E of an exponent: 0.00E+00")
	case unicode.IsLetter(r) && r < utf8.RuneSelf && !strings.ContainsRune("yYmMdDhHsSgGbBaA", r):
		return 0, fmt.Errorf("put text in quotes: \"%c\" is no part of a format", r)
	}
	return size, nil
}

var formatColours = []string{"black", "blue", "cyan", "green", "magenta", "red", "white", "yellow"}

// checkBracket looks at what stands between brackets: a colour, a condition, elapsed time, a currency or language.
func checkBracket(s string) error {
	lower := strings.ToLower(s)
	switch {
	case slices.Contains(formatColours, lower):
		return nil
	case strings.HasPrefix(lower, "color"):
		if n := strings.TrimSpace(lower[len("color"):]); n != "" && len(n) <= 2 && columnar.OnlyDigits([]byte(n)) {
			return nil
		}
	case strings.HasPrefix(s, "$") || strings.HasPrefix(lower, "dbnum") || strings.HasPrefix(lower, "natnum"):
		return nil
	case s != "" && strings.ContainsRune("<>=", rune(s[0])):
		if value := strings.TrimPrefix(strings.TrimLeft(s, "<>="), "-"); value != "" && strings.Trim(value, "0123456789.") == "" {
			return nil
		}
	case s != "" && strings.Contains("hhh mmm sss", lower) && strings.Count(lower, lower[:1]) == len(lower):
		return nil
	}
	return fmt.Errorf("[%s] is neither a colour, a condition, elapsed time such as [h], nor a currency such as [$₹-4009]", s)
}

// literals counts the characters that the first section of a format adds to a number's digits.
func literals(code string) (n int) {
	for rest := code; rest != "" && rest[0] != ';'; {
		size, err := formatToken(rest)
		if err != nil {
			return n
		}
		switch token := rest[:size]; {
		case strings.ContainsAny(token[:1], "0#?.,@"):
		case token[0] == '"':
			n += textWidth([]byte(token)) - 2
		case token[0] == '[':
			if strings.HasPrefix(token, "[$") {
				currency, _, _ := strings.Cut(token[2:size-1], "-")
				n += textWidth([]byte(currency))
			}
		default:
			n++
		}
		rest = rest[size:]
	}
	return n
}
