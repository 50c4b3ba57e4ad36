package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// condition is one part of a selection: a column has one of some values, or none of them. Case does not count.
type condition struct {
	column string
	not    bool
	values []string
}

var (
	inForm    = regexp.MustCompile(`(?is)^(.+?)\s+(not\s+)?in\s*\((.*)\)$`)
	equalForm = regexp.MustCompile(`(?s)^([^=!]+)(!=|==|=)(.*)$`)
)

// parseSelection reads a selection: conditions with commas between them, all of which must hold.
//
//	region=north   state!=KA   region in (north, east)   region not in (north, 'far east')
func parseSelection(s string) ([]condition, error) {
	var out []condition
	for _, term := range splitCommas(s) {
		term = strings.TrimSpace(term)
		if m := inForm.FindStringSubmatch(term); m != nil {
			c := condition{column: strings.TrimSpace(m[1]), not: m[2] != ""}
			for _, v := range splitCommas(m[3]) {
				c.values = append(c.values, unquoted(v))
			}
			out = append(out, c)
		} else if m := equalForm.FindStringSubmatch(term); m != nil {
			out = append(out, condition{strings.TrimSpace(m[1]), m[2] == "!=", []string{unquoted(m[3])}})
		} else {
			return nil, fmt.Errorf("%q is not a condition; write region=north, region!=north or region in (north, east), with commas between several", term)
		}
	}
	for _, c := range out {
		if c.column == "" {
			return nil, errors.New("a condition names no column; write region=north")
		}
	}
	return out, nil
}

// splitCommas splits at commas that are neither in quotes nor in brackets.
func splitCommas(s string) (out []string) {
	depth, quote, from := 0, byte(0), 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '\'' || c == '"') && startsValue(s[:i]):
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth <= 0:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

// startsValue reports whether a quote after s opens one: O'Hara's does not.
func startsValue(s string) bool {
	s = strings.TrimRight(s, " ")
	return s == "" || strings.IndexByte("=(,", s[len(s)-1]) >= 0
}

// unquoted is a value without the blanks around it and the quotes that kept its commas.
func unquoted(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

func (c condition) holds(cell string) bool {
	return c.not != slices.ContainsFunc(c.values, func(v string) bool { return strings.EqualFold(v, cell) })
}
