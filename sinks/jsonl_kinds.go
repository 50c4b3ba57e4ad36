package sinks

import (
	"fmt"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// A column that its database does not declare is, in each connection, what its first values are there. So it may be
// numbers in one connection and texts in the next, which nobody knows before the rows are there: that is named.

// jsonlKindOf is what a reader gets from a column of a type; "" if that is unknown.
func jsonlKindOf(declared string) string {
	name, _, _ := strings.Cut(declared, "(")
	switch name {
	case "", columnar.Unknown.String():
		return ""
	case columnar.Bool.String():
		return "booleans"
	case columnar.Int.String(), columnar.Uint.String(), columnar.Float.String(), columnar.Float32.String(), columnar.Decimal.String(), columnar.Numeric.String():
		return "numbers"
	default:
		return "texts"
	}
}

// jsonlKind is what a reader gets from a batch of a column that is not declared; "" if it has no value.
func jsonlKind(v *columnar.View, rows int) string {
	kind := v.Kind
	if kind == columnar.Mixed {
		kind = v.Of
	}
	switch {
	case v.Nulls == rows:
		return ""
	case kind.Number():
		return "numbers"
	default:
		return "texts"
	}
}

// firstKinds keeps, by field, what came first.
func firstKinds(kinds, more []string) []string {
	for i, kind := range more {
		switch {
		case kind == "":
		case kinds == nil:
			kinds = make([]string, len(more))
			fallthrough
		case kinds[i] == "":
			kinds[i] = kind
		}
	}
	return kinds
}

// kindNotes name the columns that are other values here than in the connections that are there already.
func (p *jsonRows) kindNotes() (notes []string) {
	more := 0
	for i, kind := range p.kinds {
		usual := p.keys[i].usual
		if usual == "" && p.lines.kinds != nil {
			usual = p.lines.kinds[i]
		}
		switch {
		case kind == "" || usual == "" || kind == usual:
		case len(notes) == mostStrays:
			more++
		default:
			notes = append(notes, fmt.Sprintf("%s: its values are %s here and %s elsewhere, and the database does not say what it is: a cast in the query does",
				pipeline.ShowName(p.fields.names[i]), kind, usual))
		}
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more columns have other values than elsewhere", more))
	}
	return notes
}
