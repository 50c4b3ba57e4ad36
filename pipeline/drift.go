package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fanmill/pipeline/columnar"
)

// Described is what a connection's query returns.
type Described struct {
	Connection string // id
	Columns    []OpeningColumn
}

// Union brings the columns of several connections together: in the order of first appearance, by name (see MatchNames), each with the widest
// of its types. Drift says how each connection differs from the result.
func Union(all []Described) Schema {
	var s Schema
	for _, d := range all {
		at := s.match(d.Columns)
		for i, c := range d.Columns {
			if k := at[i]; k < 0 {
				s.Columns = append(s.Columns, c)
			} else {
				s.Columns[k].Type = Widest(s.Columns[k].Type, c.Type)
			}
		}
	}
	for _, d := range all {
		if differs := s.Differs(d.Columns); differs != "" {
			if s.Drift == nil {
				s.Drift = map[string]string{}
			}
			s.Drift[d.Connection] = differs
		}
	}
	return s
}

// Common is the schema that most connections have, the first of them in order if several are as many, and how the others differ from it.
func Common(all []Described) Schema {
	groups := map[string][]int{}
	for i, d := range all {
		key := shapeOf(d.Columns)
		groups[key] = append(groups[key], i)
	}
	if len(groups) == 0 {
		return Schema{}
	}
	best := slices.MinFunc(slices.Collect(maps.Values(groups)), func(a, b []int) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a[0], b[0]))
	})
	s := Schema{Columns: all[best[0]].Columns}
	for _, d := range all {
		if differs := s.Differs(d.Columns); differs != "" {
			if s.Drift == nil {
				s.Drift = map[string]string{}
			}
			s.Drift[d.Connection] = differs
		}
	}
	return s
}

// shapeOf is the same for the same columns in whatever order and case.
func shapeOf(columns []OpeningColumn) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = strings.ToLower(c.Name) + "\x00" + c.Type
	}
	slices.Sort(names)
	return strings.Join(names, "\x01")
}

// match finds the place of each column in the schema; -1 if it has none.
func (s *Schema) match(columns []OpeningColumn) []int {
	return MatchNames(namesOf(columns), namesOf(s.Columns))
}

func namesOf(columns []OpeningColumn) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// MatchNames finds for each name its place among others; -1 if it has none. Equal names are matched by their order. What is left then is matched
// by names that differ in case alone, where there is one on each side: databases spell id, ID and Id.
func MatchNames(names, others []string) []int {
	at := make([]int, len(names))
	free := make(map[string][]int, len(others))
	for k, name := range others {
		free[name] = append(free[name], k)
	}
	rest := 0
	for i, name := range names {
		if places := free[name]; len(places) > 0 {
			at[i], free[name] = places[0], places[1:]
		} else {
			at[i] = -1
			rest++
		}
	}
	if rest == 0 {
		return at
	}
	folded := map[string][]int{}
	for name, places := range free {
		key := strings.ToLower(name)
		folded[key] = append(folded[key], places...)
	}
	alone := map[string]int{}
	for i, name := range names {
		if at[i] < 0 {
			alone[strings.ToLower(name)]++
		}
	}
	for i, name := range names {
		key := strings.ToLower(name)
		if at[i] < 0 && alone[key] == 1 && len(folded[key]) == 1 {
			at[i] = folded[key][0]
		}
	}
	return at
}

// Difference is how a connection's columns differ from a schema.
type Difference struct {
	Missing, Extra []string
	Retyped        []Retyped
}

// Retyped is a column of another type than usual.
type Retyped struct{ Column, Type, Usual string }

// Compare finds how columns differ from the schema.
func (s *Schema) Compare(columns []OpeningColumn) (d Difference) {
	at := s.match(columns)
	have := make([]bool, len(s.Columns))
	for i, c := range columns {
		k := at[i]
		if k < 0 {
			d.Extra = append(d.Extra, c.Name)
			continue
		}
		have[k] = true
		if s.Columns[k].Type != c.Type {
			d.Retyped = append(d.Retyped, Retyped{s.Columns[k].Name, c.Type, s.Columns[k].Type})
		}
	}
	for k, ok := range have {
		if !ok {
			d.Missing = append(d.Missing, s.Columns[k].Name)
		}
	}
	return d
}

// TypeOf is the type of the first column of this name; "" if there is none.
func (s *Schema) TypeOf(name string) string {
	if k := MatchNames([]string{name}, namesOf(s.Columns))[0]; k >= 0 {
		return s.Columns[k].Type
	}
	return ""
}

// Differs says how columns differ from the schema: "lacks discount; has also note; amount is text, not decimal(14,2)". It is "" if they
// do not.
func (s *Schema) Differs(columns []OpeningColumn) string {
	d := s.Compare(columns)
	var parts []string
	if len(d.Missing) > 0 {
		parts = append(parts, "lacks "+strings.Join(d.Missing, ", "))
	}
	if len(d.Extra) > 0 {
		parts = append(parts, "has also "+strings.Join(d.Extra, ", "))
	}
	for _, r := range d.Retyped {
		parts = append(parts, fmt.Sprintf("%s is %s, not %s", r.Column, r.Type, r.Usual))
	}
	return strings.Join(parts, "; ")
}

// Widest is the narrowest type that holds the values of both exactly; text holds every value as it is written.
func Widest(a, b string) string {
	if a == b {
		return a
	}
	x, errX := columnar.ParseType("", a)
	y, errY := columnar.ParseType("", b)
	if errX != nil || errY != nil {
		return columnar.Text.String()
	}
	if digits(x) > digits(y) || x.Kind > y.Kind && digits(x) == digits(y) {
		x, y = y, x
	}
	whole := func(c columnar.Column) int32 {
		switch c.Kind {
		case columnar.Int:
			return 19
		case columnar.Uint:
			return 20
		case columnar.Decimal:
			return c.Precision - c.Scale
		}
		return -1
	}
	switch wx, wy := whole(x), whole(y); {
	case wx >= 0 && wy >= 0:
		scale := max(x.Scale, y.Scale)
		if p := max(wx, wy) + scale; p <= 38 {
			return columnar.Column{Kind: columnar.Decimal, Precision: p, Scale: scale}.Type()
		}
		return columnar.Numeric.String()
	case number(x) && number(y):
		if x.Kind == columnar.Float32 && y.Kind == columnar.Float || x.Kind == columnar.Float && y.Kind == columnar.Float32 {
			return columnar.Float.String()
		}
		return columnar.Numeric.String()
	case x.Kind == columnar.Date && y.Kind == columnar.Timestamp, y.Kind == columnar.Date && x.Kind == columnar.Timestamp:
		return columnar.Timestamp.String()
	}
	return columnar.Text.String()
}

func number(c columnar.Column) bool { return c.Kind >= columnar.Int && c.Kind <= columnar.Numeric }

// digits orders the exact numbers by what they hold.
func digits(c columnar.Column) int32 {
	if c.Kind == columnar.Decimal {
		return c.Precision
	}
	return 0
}
