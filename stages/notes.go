package stages

import "fmt"

// mostNotes bounds what is said of the columns of one query: it stands in commit records.
const mostNotes = 4

// oddBool is a column of booleans, and how many of its values are none.
type oddBool struct {
	column string
	values int64
}

// oddBools says which columns of booleans hold something else, and what helps.
func oddBools(columns []oddBool, remedy func(column string) string) (notes []string) {
	more := 0
	for _, c := range columns {
		switch {
		case c.values == 0:
		case len(notes) == mostNotes:
			more++
		default:
			notes = append(notes, fmt.Sprintf("%s is declared as a boolean, and %d of its values are neither 0 nor 1: %s", c.column, c.values, remedy(c.column)))
		}
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more columns of booleans hold something else", more))
	}
	return notes
}
