package sheetsfake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What a test does to a spreadsheet as its user.

// Create makes a spreadsheet with one tab, Sheet1 of 1,000 rows and 26 columns, that these accounts may write.
func (s *Server) Create(id string, writers ...string) *Book {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &Book{server: s, id: id, shared: map[string]string{}, state: &state{meta: map[int64]*metadata{}, named: map[string]*namedRange{}}}
	for _, w := range writers {
		b.shared[w] = Writer
	}
	b.state.tabs = []*tab{{title: "Sheet1", rows: 1000, cols: 26}}
	s.books[id] = b
	return b
}

// Share gives an account a role; "" takes it away.
func (b *Book) Share(email, role string) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.shared[email] = role
}

// edit changes the spreadsheet in one step.
func (b *Book) edit(f func(s *state)) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	s := b.state.clone()
	f(s)
	b.state = s
}

func (s *state) must(title string) *tab {
	t := s.titled(title)
	if t == nil {
		panic(fmt.Sprintf("no tab %q", title))
	}
	return t
}

// AddTab adds a tab and returns its id.
func (b *Book) AddTab(title string, rows, cols int64) (id int64) {
	b.edit(func(s *state) {
		for id = 1; s.tab(id) != nil; id++ {
		}
		s.tabs = append(s.tabs, &tab{id: id, title: title, rows: rows, cols: cols})
	})
	return id
}

// DeleteTab removes a tab.
func (b *Book) DeleteTab(title string) { b.edit(func(s *state) { s.remove(s.must(title)) }) }

// Rename gives a tab another title.
func (b *Book) Rename(title, to string) { b.edit(func(s *state) { s.rename(s.must(title), to) }) }

// Protect has everyone else refused to edit a tab.
func (b *Book) Protect(title string) { b.edit(func(s *state) { s.must(title).protected = true }) }

// Put writes a text, a number or a boolean; a text that begins with = is a formula, as if it was typed.
func (b *Book) Put(title string, row, col int64, value any) {
	b.edit(func(s *state) {
		s.must(title).set(row, col, col+1, func(_ int64, c cell) cell {
			switch v := value.(type) {
			case float64:
				c.kind, c.number = 'n', v
			case bool:
				c.kind, c.text = 'b', fmt.Sprint(v)
			case string:
				c.kind, c.text = 's', v
				if len(v) > 1 && v[0] == '=' {
					c.kind = 'f'
				}
			}
			return c
		})
	})
}

// Paint gives a cell a background.
func (b *Book) Paint(title string, row, col int64, color string) {
	b.edit(func(s *state) {
		s.must(title).set(row, col, col+1, func(_ int64, c cell) cell { c.format.color = color; return c })
	})
}

// Color is a cell's background.
func (b *Book) Color(title string, row, col int64) string {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.state.must(title).at(row, col).format.color
}

// Name makes a named range of rows top..end and columns left..last, ends not included.
func (b *Book) Name(name, title string, top, left, end, last int64) {
	b.edit(func(s *state) {
		s.named[name] = &namedRange{sheet: s.must(title).id, top: top, left: left, end: end, last: last}
	})
}

// Named is what a named range holds; ok is false if its tab is gone.
func (b *Book) Named(name string) (values [][]any, ok bool) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	r := b.state.named[name]
	if r == nil || r.broken {
		return nil, false
	}
	return b.state.values(b.state.tab(r.sheet), r.top, r.left, r.end, r.last), true
}

// Copy makes a copy of the spreadsheet, metadata and all, as a user's "Make a copy" does.
func (b *Book) Copy(id string) *Book {
	c := b.server.Create(id)
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	c.state = b.state.clone()
	for email, role := range b.shared {
		c.shared[email] = role
	}
	return c
}

// Keep is all that the spreadsheet holds, as a text that differs if anything of it does, and puts it back, also into a
// spreadsheet of another server.
func (b *Book) Keep() (has string, back func(to *Book)) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	kept := b.state.clone()
	var text strings.Builder
	for _, t := range kept.tabs {
		fmt.Fprintf(&text, "%+v\n", *t)
	}
	for _, id := range slices.Sorted(maps.Keys(kept.meta)) {
		fmt.Fprintf(&text, "%d %+v\n", id, *kept.meta[id])
	}
	for _, name := range slices.Sorted(maps.Keys(kept.named)) {
		fmt.Fprintf(&text, "%q %+v\n", name, *kept.named[name])
	}
	return text.String(), func(to *Book) {
		to.server.mu.Lock()
		defer to.server.mu.Unlock()
		to.state = kept.clone()
	}
}

// Tab is what a tab looks like from outside.
type Tab struct {
	ID         int64
	Title      string
	Hidden     bool
	Rows, Cols int64
}

// Tabs are the spreadsheet's tabs in order, hidden ones too.
func (b *Book) Tabs() (tabs []Tab) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	for _, t := range b.state.tabs {
		tabs = append(tabs, Tab{t.id, t.title, t.hidden, t.rows, t.cols})
	}
	return tabs
}

// Values are a tab's values without empty rows and cells at the ends; nil if there is no such tab. Formulas are
// computed.
func (b *Book) Values(title string) [][]any {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	t := b.state.titled(title)
	if t == nil {
		return nil
	}
	return b.state.values(t, 0, 0, t.rows, t.cols)
}

// Format is the type and pattern of a cell's number format.
func (b *Book) Format(title string, row, col int64) (kind, pattern string) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	f := b.state.must(title).at(row, col).format
	return f.kind, f.pattern
}

// Metadata counts the spreadsheet's own developer metadata, and their characters.
func (b *Book) Metadata() (entries, characters int) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	for _, m := range b.state.meta {
		if m.Spreadsheet {
			entries, characters = entries+1, characters+len(m.Key)+len(m.Value)
		}
	}
	return entries, characters
}

// Batches are the batchUpdates that were applied.
func (b *Book) Batches() []Batch {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return append([]Batch(nil), b.batches...)
}
