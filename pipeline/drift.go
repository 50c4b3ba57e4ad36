package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline/columnar"
)

// Described is what a connection's query returns.
type Described struct {
	Connection string // id
	Columns    []OpeningColumn
}

// Union brings the columns of several connections together: in the order of first appearance, by name (see
// Schema.Place), each with the widest of its types. Drift says how each connection differs from the result.
func Union(all []Described) Schema {
	var s Schema
	for grown := true; grown; { // a name that came to be there twice, in two cases, leaves those in a third one without a place
		grown = false
		for _, d := range all {
			at, times := s.Place(d.Columns), counts(namesOf(d.Columns))
			for i, c := range d.Columns {
				if at[i] < 0 {
					if c.Times = 0; times[i] > 1 {
						c.Times = times[i]
					}
					s.Columns, grown = append(s.Columns, c), true
				}
			}
		}
	}
	seen := make([]bool, len(s.Columns))
	for _, d := range all {
		for i, k := range s.Place(d.Columns) {
			if c := &s.Columns[k]; !seen[k] {
				c.Type, seen[k] = d.Columns[i].Type, true
			} else {
				c.Type = Widest(c.Type, d.Columns[i].Type)
			}
		}
	}
	s.drifts(all)
	return s
}

// drifts notes how connections differ from the schema.
func (s *Schema) drifts(all []Described) {
	for _, d := range all {
		if differs := s.Differs(d.Columns); differs != "" {
			if s.Drift == nil {
				s.Drift = map[string]string{}
			}
			s.Drift[d.Connection] = differs
		}
	}
}

// Common is the schema that most connections have, the first of them in order if several are as many, and how the
// others differ from it. A column whose type is unknown somewhere has the type that most of those say which fit.
func Common(all []Described) Schema {
	shapes := shapesOf(all)
	if len(shapes) == 0 {
		return Schema{}
	}
	best, most := 0, 0
	for i := range shapes {
		n := 0
		for k := range shapes {
			if shapes[i].fits(&shapes[k]) {
				n += len(shapes[k].of)
			}
		}
		if n > most {
			best, most = i, n
		}
	}
	s := Schema{Columns: slices.Clone(all[shapes[best].of[0]].Columns)}
	for i, n := range counts(namesOf(s.Columns)) {
		if n > 1 {
			s.Columns[i].Times = n
		}
	}
	for c := range s.Columns {
		if s.Columns[c].Type != unknownType {
			continue
		}
		votes := map[string]int{}
		for k := range shapes {
			columns := all[shapes[k].of[0]].Columns
			at := slices.Index(s.Place(columns), c)
			if at < 0 || columns[at].Type == unknownType || !shapes[best].fits(&shapes[k]) {
				continue
			}
			typ := columns[at].Type
			votes[typ] += len(shapes[k].of)
			if won := s.Columns[c].Type; won == unknownType || votes[typ] > votes[won] {
				s.Columns[c].Type = typ
			}
		}
	}
	s.drifts(all)
	return s
}

// unknownType is that of a column whose database does not say: it is at odds with none.
var unknownType = columnar.Unknown.String()

// SameType reports whether two types are not at odds.
func SameType(a, b string) bool { return a == b || a == unknownType || b == unknownType }

// shape is the columns of some connections, in whatever order and case.
type shape struct {
	names []string // in lower case, sorted
	types []string
	of    []int
}

// shapesOf are the different ones, in order of first appearance.
func shapesOf(all []Described) []shape {
	var out []shape
	at := map[string]int{}
	for i, d := range all {
		columns := slices.Clone(d.Columns)
		for c := range columns {
			columns[c].Name = strings.ToLower(columns[c].Name)
		}
		slices.SortFunc(columns, func(a, b OpeningColumn) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type)) })
		var s shape
		for _, c := range columns {
			s.names, s.types = append(s.names, c.Name), append(s.types, c.Type)
		}
		key := strings.Join(s.names, "\x00") + "\x01" + strings.Join(s.types, "\x00")
		k, known := at[key]
		if !known {
			k = len(out)
			at[key] = k
			out = append(out, s)
		}
		out[k].of = append(out[k].of, i)
	}
	return out
}

// fits reports whether two shapes differ in nothing but what is unknown.
func (s *shape) fits(o *shape) bool {
	return slices.Equal(s.names, o.names) && slices.EqualFunc(s.types, o.types, SameType)
}

// Place finds the place of each column in the schema, as MatchNames does; -1 if it has none. Columns that stand more
// than once in a connection are those of the connections that have them as often, so that a schema may have a name more
// often than any connection.
func (s *Schema) Place(columns []OpeningColumn) []int {
	times := make([]int, len(s.Columns))
	for k, c := range s.Columns {
		times[k] = max(c.Times, 1)
	}
	return matchNames(namesOf(columns), times, namesOf(s.Columns))
}

func namesOf(columns []OpeningColumn) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}

// Difference is how a connection's columns differ from a schema.
type Difference struct {
	Missing, Extra []string
	Retyped        []Retyped
	// Unclear says of which columns it cannot be told whether they are the missing ones: their names look alike, or
	// stand more often on one side.
	Unclear []string
}

// Retyped is a column of another type than usual.
type Retyped struct {
	Column, Type, Usual string
	At                  int // which of the connection's columns it is
}

// Compare finds how columns differ from the schema.
func (s *Schema) Compare(columns []OpeningColumn) (d Difference) {
	at := s.Place(columns)
	have := make([]bool, len(s.Columns))
	for i, c := range columns {
		k := at[i]
		if k < 0 {
			d.Extra = append(d.Extra, c.Name)
			continue
		}
		have[k] = true
		if !SameType(s.Columns[k].Type, c.Type) {
			d.Retyped = append(d.Retyped, Retyped{s.Columns[k].Name, c.Type, s.Columns[k].Type, i})
		}
	}
	for k, ok := range have {
		if !ok {
			d.Missing = append(d.Missing, s.Columns[k].Name)
		}
	}
	names := namesOf(columns)
	for i, name := range names {
		if slices.Contains(d.Missing, name) && !slices.Contains(names[:i], name) {
			d.Unclear = append(d.Unclear, fmt.Sprintf("%s stands %s here, and not as often elsewhere: which is which cannot be told", ShowName(name), timesOf(name, names)))
		}
	}
	d.Unclear = append(d.Unclear, Alike(names, d.Missing)...)
	return d
}

// timesOf is how often a name stands in a list, in words.
func timesOf(name string, names []string) string {
	n := 0
	for _, other := range names {
		if other == name {
			n++
		}
	}
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// Differs says how columns differ from the schema: "lacks discount; has also note; amount is text, not
// decimal(14,2)". It is "" if they do not.
func (s *Schema) Differs(columns []OpeningColumn) string {
	d := s.Compare(columns)
	var parts []string
	if len(d.Missing) > 0 {
		parts = append(parts, "lacks "+ShowNames(d.Missing, d.Extra...))
	}
	if len(d.Extra) > 0 {
		parts = append(parts, "has also "+ShowNames(d.Extra, d.Missing...))
	}
	for _, r := range d.Retyped {
		parts = append(parts, fmt.Sprintf("%s is %s, not %s", ShowName(r.Column), r.Type, r.Usual))
	}
	parts = append(parts, d.Unclear...)
	return strings.Join(parts, "; ")
}

// Widest is the narrowest type that holds the values of both exactly; text holds every value as it is written. What
// is unknown is taken for the other.
func Widest(a, b string) string {
	switch {
	case a == b || b == unknownType:
		return a
	case a == unknownType:
		return b
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
	case x.Kind.Number() && y.Kind.Number():
		if x.Kind == columnar.Float32 && y.Kind == columnar.Float || x.Kind == columnar.Float && y.Kind == columnar.Float32 {
			return columnar.Float.String()
		}
		return columnar.Numeric.String()
	case x.Kind == columnar.Date && y.Kind == columnar.Timestamp, y.Kind == columnar.Date && x.Kind == columnar.Timestamp:
		return columnar.Timestamp.String()
	}
	return columnar.Text.String()
}

// digits orders the exact numbers by what they hold.
func digits(c columnar.Column) int32 {
	if c.Kind == columnar.Decimal {
		return c.Precision
	}
	return 0
}
