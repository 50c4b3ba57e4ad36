package screen

import (
	"slices"
	"strings"
)

// column is how one column of a table behaves where the page is narrow.
type column struct {
	head  string
	below string // beneath the head: a type
	right bool   // numbers
	min   int    // may be cut down to so many cells; 0: is never cut
	wraps bool   // of the last column: its text goes on in further lines
	spare int    // may be left out, the highest first; 0: never
}

// cell is one field. Text is clean.
type cell struct {
	text  string
	style style
}

// row is a line of a table and what is said of it beneath.
type row struct {
	cells []cell
	notes []cell
}

// table is laid out when all its rows are known.
type table struct {
	columns []column
	rows    []row
}

const (
	gap       = 2 // between columns
	noteShift = 2 // of notes beneath their row
)

func (t *table) add(cells ...cell) *row {
	t.rows = append(t.rows, row{cells: cells})
	return &t.rows[len(t.rows)-1]
}

// note says something beneath the row.
func (r *row) note(st style, text string) { r.notes = append(r.notes, cell{text, st}) }

// table writes t; no line is wider than the page.
func (s *sheet) table(t *table, indent int) {
	shown, widths := t.layout(s.room(indent))
	margin := strings.Repeat(" ", indent)
	heads, below, rules := make([]cell, len(t.columns)), make([]cell, len(t.columns)), make([]cell, len(t.columns))
	second := false
	for i, c := range t.columns {
		heads[i], below[i], rules[i] = cell{c.head, bold}, cell{c.below, dim}, cell{strings.Repeat("─", widths[i]), dim}
		second = second || c.below != ""
	}
	s.row(margin, t, shown, widths, heads)
	if second {
		s.row(margin, t, shown, widths, below)
	}
	s.row(margin, t, shown, widths, rules)
	for _, r := range t.rows {
		s.row(margin, t, shown, widths, r.cells)
		for _, n := range r.notes {
			s.line(indent+noteShift, n.style, n.text)
		}
	}
}

// row writes one row, over more than one line if its last cell wraps.
func (s *sheet) row(margin string, t *table, shown, widths []int, cells []cell) {
	last := shown[len(shown)-1]
	lines := []string{cut(cells[last].text, widths[last])}
	if t.columns[last].wraps && widths[last] > 0 {
		lines = wrap(cells[last].text, widths[last])
	}
	for n, tail := range lines {
		var b strings.Builder
		b.WriteString(margin)
		for _, i := range shown {
			text := ""
			switch {
			case i == last:
				text = tail
			case n == 0:
				text = cut(cells[i].text, widths[i])
			}
			padded := pad(text, widths[i], t.columns[i].right)
			b.WriteString(strings.Replace(padded, text, cells[i].style.in(text, s.Color), 1))
			if i != last {
				b.WriteString(strings.Repeat(" ", gap))
			}
		}
		s.buf.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
}

// layout chooses the columns that are shown and the width of each, for a page with room for so many cells; 0 is without limit.
func (t *table) layout(room int) (shown, widths []int) {
	natural := make([]int, len(t.columns))
	for i, c := range t.columns {
		shown = append(shown, i)
		natural[i] = max(width(c.head), width(c.below))
		for _, r := range t.rows {
			natural[i] = max(natural[i], width(r.cells[i].text))
		}
	}
	if room == 0 {
		return shown, natural
	}
	for {
		widths = slices.Clone(natural)
		excess := gap*(len(shown)-1) - room
		for _, i := range shown {
			excess += widths[i]
		}
		if excess -= t.shrink(shown, widths, excess); excess <= 0 {
			return shown, widths
		}
		n := t.sparest(shown)
		if n < 0 { // too narrow for anything better: the columns on the right lose
			squeeze(shown, widths, room)
			return shown, widths
		}
		shown = slices.Delete(slices.Clone(shown), n, n+1)
	}
}

// shrink takes up to excess cells from the columns that may be cut, always from the widest, and returns how many it took.
func (t *table) shrink(shown, widths []int, excess int) (taken int) {
	for ; taken < excess; taken++ {
		widest := -1
		for _, i := range shown {
			if c := t.columns[i]; c.min > 0 && widths[i] > c.min && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return taken
}

// sparest is the place in shown of the column that is missed least; -1 if all are needed.
func (t *table) sparest(shown []int) int {
	at, most := -1, 0
	for n, i := range shown {
		if t.columns[i].spare > most {
			at, most = n, t.columns[i].spare
		}
	}
	return at
}

// squeeze gives each column what the ones left of it leave.
func squeeze(shown, widths []int, room int) {
	for _, i := range shown {
		widths[i] = max(min(widths[i], room), 0)
		room -= widths[i] + gap
	}
}
