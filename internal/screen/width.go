package screen

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"github.com/mattn/go-runewidth"
)

// cells counts as terminals do whose user has not said that ambiguous characters are wide. It does not depend on the environment.
var cells = runewidth.Condition{StrictEmojiNeutral: true}

const (
	zeroWidthNonJoiner = '\u200c' // in Indic and Persian names
	zeroWidthJoiner    = '\u200d' // the same, and in emoji
	emojiPresentation  = '\ufe0f' // draws the character before it as an emoji, two cells wide
)

// width is the number of cells that s takes. Where terminals disagree it is the larger number: in tmux and VTE the vowel signs of
// Indic scripts take a cell of their own, elsewhere a cluster takes one or two.
func width(s string) int {
	if printableASCII(s) {
		return len(s)
	}
	n := 0
	for g := graphemes.FromString(s); g.Next(); {
		n += clusterWidth(g.Value())
	}
	return n
}

// clusterWidth is the width of what a reader takes for one character.
func clusterWidth(cluster string) int {
	first, size := utf8.DecodeRuneInString(cluster)
	n := cells.RuneWidth(first)
	if n == 2 && size < len(cluster) { // emoji of several runes are drawn as one; Hangul syllables and accented kana too
		return 2
	}
	for _, r := range cluster[size:] {
		if r == emojiPresentation {
			return 2
		}
		n += cells.RuneWidth(r)
	}
	return n
}

func printableASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// cut shortens s to w cells; what is cut off is replaced by an ellipsis.
func cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if width(s) <= w {
		return s
	}
	return s[:fitting(s, w-1)] + "…"
}

// fitting is the number of bytes of s that fit into w cells, whole characters only.
func fitting(s string, w int) int {
	n := 0
	for g := graphemes.FromString(s); g.Next(); {
		if w -= clusterWidth(g.Value()); w < 0 {
			break
		}
		n += len(g.Value())
	}
	return n
}

// pad fills s up to w cells, on its left if right is set.
func pad(s string, w int, right bool) string {
	gap := strings.Repeat(" ", max(w-width(s), 0))
	if right {
		return gap + s
	}
	return s + gap
}

// wrap breaks s into lines of at most w cells: between words, inside a word only if it is longer than a line. There is at least one
// line; w 0 is without limit.
func wrap(s string, w int) []string {
	if w <= 0 || width(s) <= w {
		return []string{s}
	}
	var lines []string
	line := ""
	for word := range strings.SplitSeq(s, " ") {
		switch {
		case line == "":
			line = word
		case width(line)+1+width(word) <= w:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
		for width(line) > w {
			n := fitting(line, w)
			if n == 0 { // a character wider than a line
				_, n = utf8.DecodeRuneInString(line)
			}
			lines, line = append(lines, line[:n]), line[n:]
		}
	}
	return append(lines, line)
}

// clean spells out what would move the cursor, change colours or turn the direction of the text.
func clean(s string) string {
	if printableASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // a byte that is not UTF-8 is U+FFFD here
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) || (unicode.Is(unicode.Cf, r) && r != zeroWidthJoiner && r != zeroWidthNonJoiner) {
			b.WriteString(escape(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func escape(r rune) string {
	const digits = "0123456789abcdef"
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return `\x` + string([]byte{digits[r>>4&15], digits[r&15]})
	case r < 0x10000:
		return `\u` + string([]byte{digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15]})
	}
	return `\U` + string([]byte{'0', '0', digits[r>>20&15], digits[r>>16&15], digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15]})
}

// oneLine makes a message of several lines one line.
func oneLine(s string) string { return clean(strings.Join(strings.Fields(s), " ")) }
