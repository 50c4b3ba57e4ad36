package pipeline

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Names of columns and connections come from many databases and files. Two of them may look alike and not be the same:
// by a blank, a blank that does not break, a character without width, or the way an accent is written [Unicode,
// "Normalization Forms"]. Nothing is matched by how it looks. But whoever reads a message that compares names has to
// see the difference.

// look is the same for names that look alike.
func look(name string) string {
	var b strings.Builder
	for _, r := range norm.NFC.String(name) {
		if !unicode.IsSpace(r) && !unicode.In(r, unicode.Cf, unicode.Cc, unicode.Variation_Selector) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// alike reports whether two names look alike and differ by more than case.
func alike(a, b string) bool { return look(a) == look(b) && !strings.EqualFold(a, b) }

// hidden reports whether a name has what cannot be seen, or is easily overlooked: a blank at an end, two side by side.
func hidden(name string) bool {
	return name != strings.TrimSpace(name) || name == "" || strings.Contains(name, "  ") || strings.ContainsFunc(name, func(r rune) bool {
		const joins, keepsApart = '\u200d', '\u200c' // parts of words in Indian scripts
		return r != ' ' && unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zs, unicode.Variation_Selector) && r != joins && r != keepsApart && r != ' '
	})
}

// ShowName is a name as a message shows it beside others: as it is; between quotes where it has what cannot be seen, or
// looks like one of the others; with all letters beyond ASCII spelled out where these are the difference.
func ShowName(name string, others ...string) string {
	show := name
	if hidden(name) {
		show = strconv.Quote(name)
	}
	for _, other := range others {
		if !alike(name, other) {
			continue
		}
		if show = strconv.Quote(name); strings.EqualFold(norm.NFC.String(name), norm.NFC.String(other)) {
			return strconv.QuoteToASCII(name)
		}
	}
	return show
}

// ShowNames is a list of names as a message shows it beside others.
func ShowNames(names []string, others ...string) string {
	all := slices.Concat(names, others)
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = ShowName(name, all...)
	}
	return strings.Join(out, ", ")
}

// Alike says which of some names look like one of the others and are not the same; nil if none does.
func Alike(names, others []string) (out []string) {
	for _, name := range names {
		for _, other := range others {
			if alike(name, other) {
				out = append(out, ShowName(name, other)+" and "+ShowName(other, name)+" look alike and are not the same")
			}
		}
	}
	return out
}

// Twins says which names of one list a reader may take for one: those that stand in it more than once, those that
// differ by case alone, and those that look alike. nil if there are none.
func Twins(names []string) (out []string) {
	groups := map[string][]string{}
	var order []string
	for _, name := range names {
		key := look(name)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], name)
	}
	for _, key := range order {
		group := groups[key]
		if len(group) < 2 {
			continue
		}
		different := group[:0:0]
		for _, name := range group {
			if !slices.Contains(different, name) {
				different = append(different, name)
			}
		}
		for _, name := range different {
			if n := len(group) - len(slices.DeleteFunc(slices.Clone(group), func(s string) bool { return s == name })); n > 1 {
				out = append(out, ShowName(name, different...)+" stands "+strconv.Itoa(n)+" times")
			}
		}
		if len(different) < 2 {
			continue
		}
		what := " look alike and are not the same"
		if !slices.ContainsFunc(different, func(name string) bool { return !strings.EqualFold(name, different[0]) }) {
			what = " differ by case alone"
		}
		last := len(different) - 1
		shown := make([]string, len(different))
		for i, name := range different {
			shown[i] = ShowName(name, different...)
		}
		out = append(out, strings.Join(shown[:last], ", ")+" and "+shown[last]+what)
	}
	return out
}

// Namesakes finds for each name the places of all that a reader may take for one, itself among them; nil where it is
// alone.
func Namesakes(names []string) [][]int {
	groups := map[string][]int{}
	for i, name := range names {
		groups[look(name)] = append(groups[look(name)], i)
	}
	out := make([][]int, len(names))
	for _, group := range groups {
		if len(group) > 1 {
			for _, i := range group {
				out[i] = group
			}
		}
	}
	return out
}
