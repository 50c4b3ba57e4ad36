package verify

import "fmt"

// Cells sums up a sheet whose cells another library has read as raw text: numbers as they are stored, no types, no
// difference between NULL and the empty text.
type Cells struct{ t *tally }

// NewCells begins a sheet with these columns.
func NewCells(header []string, truth []Column) *Cells { return &Cells{newTally(header, truth)} }

// Row adds a row; empty cells at its end may be left out.
func (c *Cells) Row(cells []string) error {
	if len(cells) > len(c.t.cols) {
		return fmt.Errorf("row %d: %d cells, the header has %d", c.t.count+2, len(cells), len(c.t.cols))
	}
	for i := range c.t.cols {
		if i >= len(cells) || cells[i] == "" {
			c.t.null(i)
			continue
		}
		col, raw := &c.t.cols[i], []byte(cells[i])
		switch {
		case col.Kind == Date || col.Kind == Timestamp || col.Kind == Instant:
			if len(raw) >= 10 && raw[4] == '-' {
				c.t.cells[i] = col.canonical(c.t.set(i), raw)
			} else {
				c.t.cells[i] = col.appendSerial(c.t.set(i), raw)
			}
		case col.Kind == Bool && (cells[i] == "1" || cells[i] == "TRUE"):
			c.t.cells[i] = append(c.t.set(i), "true"...)
		case col.Kind == Bool && (cells[i] == "0" || cells[i] == "FALSE"):
			c.t.cells[i] = append(c.t.set(i), "false"...)
		default:
			c.t.cells[i] = col.canonical(c.t.set(i), raw)
		}
	}
	c.t.endRow()
	return nil
}

// Table is the sum of the rows so far.
func (c *Cells) Table() Table { return c.t.table() }
