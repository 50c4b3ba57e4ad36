package parquet

import "fmt"

// Loss counts values of a column that a file does not hold as they are.
type Loss struct {
	Column string
	What   string // "NULL: more digits than decimal(14,2)"
	Values int64
	First  int64 // row of the first, from 1
}

// reason is why a value is not in the file as it is.
type reason uint8

const (
	kept reason = iota
	notOfKind
	tooLarge
	roundedDecimals
	roundedFloat
	cutToMicros
	notUTF8
	reasons
)

// what spells a reason for a column.
func (t *target) what(r reason) string {
	typ := t.Kind.String()
	switch {
	case t.Form == UUID:
		typ = "uuid"
	case t.Form == JSON:
		typ = "json"
	case t.kind.Number() && t.Scale+t.Precision > 0:
		typ = fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	}
	switch r {
	case notOfKind:
		return "NULL: none of type " + typ
	case tooLarge:
		return "NULL: out of the range of " + typ
	case roundedDecimals:
		return fmt.Sprintf("rounded to %d decimals", t.Scale)
	case roundedFloat:
		return "rounded to a " + typ
	case cutToMicros:
		return "cut to microseconds"
	default:
		return "not UTF-8: U+FFFD instead of the bytes that are none"
	}
}

// count is how often something was lost, and where first.
type count struct{ values, first int64 }

// Feed is the rows of one connection on their way into a Writer: which columns of its batches go where, and what was
// lost of them. It is for one connection and one goroutine.
type Feed struct {
	schema     *Schema
	from       []int
	connection string
	rows       int64
	lost       [][reasons]count
}

// Feed prepares for the batches of a connection. from has, for each column of the schema, the number of the batch's
// column, or -1: such a column is NULL, or the connection's name if it is marked so.
func (s *Schema) Feed(connection string, from []int) (*Feed, error) {
	if len(from) != len(s.columns) {
		return nil, fmt.Errorf("feed of %s: %d columns for a schema of %d", connection, len(from), len(s.columns))
	}
	return &Feed{schema: s, from: from, connection: connection, lost: make([][reasons]count, len(s.columns))}, nil
}

// Rows counts the rows that were written.
func (f *Feed) Rows() int64 { return f.rows }

// Losses says what was lost so far, by column and reason.
func (f *Feed) Losses() (losses []Loss) {
	for i := range f.lost {
		for r, c := range f.lost[i] {
			if c.values > 0 {
				t := &f.schema.columns[i]
				losses = append(losses, Loss{Column: t.Name, What: t.what(reason(r)), Values: c.values, First: c.first})
			}
		}
	}
	return losses
}

// note counts a loss in a row of the batch at hand.
func (f *Feed) note(column, row int, r reason) {
	if r == kept {
		return
	}
	c := &f.lost[column][r]
	if c.values++; c.first == 0 {
		c.first = f.rows + int64(row) + 1
	}
}
