package sinks

import (
	"fmt"

	"fanmill/pipeline/columnar"
)

// mostStrays bounds the columns that are named of one connection: what is said of it stands in the commit record.
const mostStrays = 10

// addTallies counts what a chunk has, column by column.
func addTallies(sum, more []columnar.Tally) []columnar.Tally {
	if sum == nil {
		sum = make([]columnar.Tally, len(more))
	}
	for i := range more {
		sum[i].Add(&more[i])
	}
	return sum
}

// strayNotes names the columns that hold values which are none of their kind. words says what these are in the file.
func strayNotes(prefix string, tallies []columnar.Tally, name func(int) string, words func(*columnar.Tally) string) (notes []string) {
	more := 0
	for i := range tallies {
		switch t := &tallies[i]; {
		case t.Strays == 0:
		case len(notes) == mostStrays:
			more++
		default:
			notes = append(notes, fmt.Sprintf("%s%s: %d of %d %s; the first in row %d", prefix, name(i), t.Strays, t.Filled, words(t), t.First))
		}
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%s%d more columns have such values", prefix, more))
	}
	return notes
}

// strayCells is what a workbook has in a column.
func strayCells(t *columnar.Tally) string {
	switch {
	case t.Of == columnar.Text:
		return "cells are bytes, not texts"
	case t.Of == columnar.Binary:
		return "cells are texts, not bytes"
	case t.Long == 0:
		return "cells are texts"
	case t.Long == t.Strays:
		return "cells are texts: whole numbers of more than 15 digits"
	default:
		return fmt.Sprintf("cells are texts, %d of them whole numbers of more than 15 digits", t.Long)
	}
}

// strayValues is what a CSV has in a column.
func strayValues(t *columnar.Tally) string {
	switch t.Of {
	case columnar.Bool:
		return "values are not booleans"
	case columnar.Date, columnar.Timestamp, columnar.Instant:
		return "values are not dates"
	case columnar.Time:
		return "values are not times"
	case columnar.Text:
		return "values are bytes, not texts"
	case columnar.Binary:
		return "values are not bytes"
	default:
		return "values are not numbers"
	}
}
