package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"fanmill/pipeline/outfile"
)

// piece is a share of a name: what the user wrote of it, or what a token brings in.
type piece struct {
	text string
	cut  bool // it may be cut
}

const (
	// maxValue bounds what one token brings into a name, in bytes: paths stay short enough for other programs.
	maxValue = 120
	// minValue is what a token has at least, in bytes; a name that leaves less is refused.
	minValue = 20
	// cutMark stands between what is left of a value that was cut and a digest of all of it, which keeps such names
	// different.
	cutMark = "~"
)

// fit joins the pieces of one part of a path to a name that a folder can hold. last says that it is the artifact's:
// it leaves room for what the names of its companions add (outfile.Companions). Long values are cut, all to one
// length; what the user wrote is not.
func fit(pieces []piece, last bool) (string, error) {
	most, written, values := outfile.MaxName, 0, 0
	if last {
		most -= outfile.Companions
	}
	for _, p := range pieces {
		if p.cut {
			values++
		} else {
			written += len(p.text)
		}
	}
	length := func(each int) int {
		n := written
		for _, p := range pieces {
			if p.cut {
				n += min(len(p.text), each)
			}
		}
		return n
	}
	each := maxValue
	for each > minValue && length(each) > most {
		each--
	}
	if length(each) > most {
		return "", tooLong(pieces, written, most, values, last)
	}
	var b strings.Builder
	for _, p := range pieces {
		if p.cut {
			p.text = cutValue(p.text, each)
		}
		b.WriteString(p.text)
	}
	return b.String(), nil
}

// tooLong says why the name of a part of a path cannot be.
func tooLong(pieces []piece, written, most, values int, last bool) error {
	const shown = 40 // bytes, more or less
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
	}
	name := b.String()
	if len(name) > shown {
		name = name[:runeBefore(name, shown)] + "..."
	}
	what, room := "folder name", ""
	if last {
		what = "file name"
		room = fmt.Sprintf(" (a name has %d, of which the files beside it, such as .manifest.json, need %d)", outfile.MaxName, outfile.Companions)
	}
	if values > 0 {
		return fmt.Errorf("the %s %q has %d bytes beside its tokens, and each token needs room for %d; at most %d in all fit%s; write a shorter one", what, name, written, minValue, most, room)
	}
	return fmt.Errorf("the %s %q has %d bytes; at most %d fit%s; write a shorter one", what, name, written, most, room)
}

// cutValue shortens a value that is longer than most bytes to no more than that, between two characters. It ends in a
// digest of the whole then.
func cutValue(s string, most int) string {
	if len(s) <= most {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	mark := cutMark + hex.EncodeToString(sum[:4])
	return strings.TrimRight(s[:runeBefore(s, most-len(mark))], " .") + mark
}

// runeBefore is the last place in s, at n or before it, where a character begins: no byte of one is parted from the
// others, and no accent from its letter.
func runeBefore(s string, n int) int {
	for n > 0 {
		r, _ := utf8.DecodeRuneInString(s[n:])
		before, _ := utf8.DecodeLastRuneInString(s[:n])
		if utf8.RuneStart(s[n]) && !unicode.Is(unicode.M, r) && r != joiner && before != joiner {
			break
		}
		n--
	}
	return n
}

// joiner makes one sign of two, as in families of emoji and in Indic scripts.
const joiner = '\u200d'
