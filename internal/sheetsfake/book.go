package sheetsfake

import (
	"maps"
	"slices"
	"strings"
)

// What a user may do with a spreadsheet.
const (
	Reader = "reader"
	Writer = "writer"
)

// Book is a spreadsheet.
type Book struct {
	server  *Server
	id      string
	shared  map[string]string // email -> role
	state   *state
	batches []Batch // those that were applied
}

// Batch is an applied batchUpdate.
type Batch struct {
	Kinds []string // of its subrequests
	Bytes int
}

// state is all that a batchUpdate changes: it works on a copy, which takes the state's place when all went well.
type state struct {
	tabs  []*tab
	meta  map[int64]*metadata
	named map[string]*namedRange
}

type tab struct {
	id         int64
	title      string
	hidden     bool
	rows, cols int64
	frozenRows int64
	frozenCols int64
	cells      [][]cell // rows are replaced, never changed: copies share them
	protected  bool     // for everyone but its owner
}

// cell is what a cell holds: a value, or nothing, and a format.
type cell struct {
	kind   byte // 0 nothing, n number, s string, b boolean, f formula
	number float64
	text   string
	format format
}

type format struct {
	kind, pattern string // of the number format
	bold          bool
	color         string // background, by whoever looks after the tab
}

type namedRange struct {
	sheet                int64
	broken               bool // its tab is gone
	top, left, end, last int64
}

func (s *state) clone() *state {
	out := &state{meta: maps.Clone(s.meta), named: maps.Clone(s.named)}
	for _, t := range s.tabs {
		c := *t
		c.cells = slices.Clone(t.cells)
		out.tabs = append(out.tabs, &c)
	}
	return out
}

func (s *state) tab(id int64) *tab {
	for _, t := range s.tabs {
		if t.id == id {
			return t
		}
	}
	return nil
}

// titled finds a tab by its title. Google's compare without case.
func (s *state) titled(title string) *tab {
	for _, t := range s.tabs {
		if strings.EqualFold(t.title, title) {
			return t
		}
	}
	return nil
}

func (s *state) visible() (n int) {
	for _, t := range s.tabs {
		if !t.hidden {
			n++
		}
	}
	return n
}

// cellCount is what the limit of cells is about: all grids, empty and hidden cells too.
func (s *state) cellCount() (n int64) {
	for _, t := range s.tabs {
		n += t.rows * t.cols
	}
	return n
}

func (t *tab) at(row, col int64) cell {
	if row >= int64(len(t.cells)) || col >= int64(len(t.cells[row])) {
		return cell{}
	}
	return t.cells[row][col]
}

// set changes cells from..to of a row by f.
func (t *tab) set(row, from, to int64, f func(col int64, c cell) cell) {
	for int64(len(t.cells)) <= row {
		t.cells = append(t.cells, nil)
	}
	line := make([]cell, max(int64(len(t.cells[row])), to))
	copy(line, t.cells[row])
	for col := from; col < to; col++ {
		line[col] = f(col, line[col])
	}
	t.cells[row] = line
}

// resize cuts what is outside the grid.
func (t *tab) resize(rows, cols int64) {
	t.rows, t.cols = rows, cols
	if int64(len(t.cells)) > rows {
		t.cells = t.cells[:rows:rows]
	}
	for i, line := range t.cells {
		if int64(len(line)) > cols {
			t.cells[i] = line[:cols:cols]
		}
	}
}

// remove takes a tab out: its metadata goes, and what refers to it is broken for good.
func (s *state) remove(t *tab) {
	s.tabs = slices.DeleteFunc(s.tabs, func(x *tab) bool { return x == t })
	maps.DeleteFunc(s.meta, func(_ int64, m *metadata) bool { return m.Sheet == t.id && !m.Spreadsheet })
	for name, r := range s.named {
		if r.sheet == t.id {
			broken := *r
			broken.broken = true
			s.named[name] = &broken
		}
	}
	s.rewrite(reference(t.title), "#REF!")
}

// rename gives a tab another title: formulas follow it.
func (s *state) rename(t *tab, title string) {
	from := reference(t.title)
	t.title = title
	s.rewrite(from, reference(title))
}

// rewrite replaces references in formulas.
func (s *state) rewrite(from, to string) {
	for _, t := range s.tabs {
		for row, line := range t.cells {
			for col, c := range line {
				if c.kind == 'f' && strings.Contains(c.text, from) {
					t.set(int64(row), int64(col), int64(col)+1, func(_ int64, c cell) cell {
						c.text = strings.ReplaceAll(c.text, from, to)
						return c
					})
				}
			}
		}
	}
}

// reference is how formulas spell a tab: 'Branch 1'!
func reference(title string) string { return "'" + strings.ReplaceAll(title, "'", "''") + "'!" }
