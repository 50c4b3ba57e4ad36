package xlsx

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SheetNames turns names as people write them into names of sheets: at most 31 UTF-16 units, without the characters that
// Excel forbids, unique ignoring case among themselves and the reserved ones. A name depends on those before it
// only, so that names added later change none.
func SheetNames(reserved, bases []string) []string {
	taken := NewNames(reserved)
	out := make([]string, len(bases))
	for i, base := range bases {
		clean := cleanName(base)
		name := clean
		for n := 2; taken[foldName(name)]; n++ {
			name = withSuffix(clean, "_"+strconv.Itoa(n))
		}
		taken[foldName(name)] = true
		out[i] = name
	}
	return out
}

// Names is a set of sheets' names, which Excel tells apart ignoring case.
type Names map[string]bool

// NewNames is a set of names.
func NewNames(names []string) Names {
	set := make(Names, len(names))
	for _, n := range names {
		set[foldName(n)] = true
	}
	return set
}

// Has reports whether the set has the name that SheetNames would make of base if it were free.
func (n Names) Has(base string) bool { return n[foldName(cleanName(base))] }

// WithSuffix is a sheet's name as SheetNames makes it of base, and the suffix, which stays whole.
func WithSuffix(base, suffix string) string { return withSuffix(cleanName(base), suffix) }

// RollOver is the name of the sheet that takes the rows of sheet names[i] when ordinal sheets before it are full: "Name
// (2)" for ordinal 1, shortened to fit; names[i] itself for ordinal 0. It follows from the reserved names alone, so
// that neither the order in which sheets finish nor a restart changes it, and it is none of them.
func RollOver(names []string, i, ordinal int) string {
	if ordinal == 0 {
		return names[i]
	}
	taken := NewNames(names)
	number := strconv.Itoa(ordinal + 1)
	var name string
	for _, base := range names[:i+1] { // names shortened alike are told apart in their order
		name = withSuffix(base, " ("+number+")")
		for n := 2; taken[foldName(name)]; n++ {
			name = withSuffix(base, " ("+number+"-"+strconv.Itoa(n)+")")
		}
		taken[foldName(name)] = true
	}
	return name
}

// withSuffix appends the suffix, shortening the name if both do not fit.
func withSuffix(name, suffix string) string {
	cut := string(cutUnits([]byte(name), MaxNameUnits-len(suffix)))
	return strings.TrimRight(cut, " '") + suffix
}

// cleanName makes a name that Excel accepts.
func cleanName(base string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`[]:*?/\`, r), unicode.IsControl(r), r == 0xFFFE, r == 0xFFFF, r == utf8.RuneError:
			return '_'
		}
		return r
	}, base)
	for i := 0; i < len(name); i++ { // what Excel would read as an escaped character
		if looksEscaped([]byte(name[i:])) {
			name = name[:i] + "-" + name[i+1:]
		}
	}
	const edges = " '\u00a0"
	name = strings.Trim(name, edges)
	name = strings.TrimRight(string(cutUnits([]byte(name), MaxNameUnits)), edges)
	switch {
	case name == "":
		return "Sheet"
	case foldName(name) == foldName("History"): // reserved for the change log of shared workbooks
		return name + "_"
	}
	return name
}

// checkName says why Excel would refuse a name.
func checkName(name string) error {
	switch {
	case name == "" || !utf8.ValidString(name):
		return fmt.Errorf("%q cannot name a sheet", name)
	case units([]byte(name)) > MaxNameUnits:
		return fmt.Errorf("sheet name %q is longer than %d characters", name, MaxNameUnits)
	case strings.ContainsAny(name, `[]:*?/\`) || name[0] == '\'' || name[len(name)-1] == '\'' || foldName(name) == "HISTORY":
		return fmt.Errorf("sheet name %q is one that Excel does not accept", name)
	}
	return nil
}

// foldName spells names that differ in case only alike.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}

// quoteName spells a name as it stands in a reference.
func quoteName(name string) []byte {
	return []byte("'" + strings.ReplaceAll(name, "'", "''") + "'")
}
