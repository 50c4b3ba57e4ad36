// Package screen is what people see of fanmill: the progress of a run on a terminal, its log lines, and the tables that commands
// print. It knows the nouns of pipeline and neither the store nor the job file: commands fill its views and show them.
//
// A view is shown as text for people or as JSON for programs. The names in its JSON are stable: a name may be added, none is
// renamed or removed, lists are never null, times are RFC 3339 and fields that end in Ms are milliseconds.
//
// Widths are counted in cells of a terminal, as Unicode has them, so that names in any script stand in columns. What comes from
// jobs and databases is shown with its control characters spelled out: no name moves the cursor.
package screen

import (
	"bytes"
	"encoding/json"
	"io"
	"time"
)

// View is what a command has to say.
type View interface {
	text(s *sheet)
	data() any // what JSON is made from
}

// Page says what text is laid out for. The zero Page is for a file: wide, without colours.
type Page struct {
	Width   int            // in cells; 0 is without limit: nothing is cut or wrapped
	Color   bool           // with ANSI colours
	Verbose bool           // all lines of long tables
	Zone    *time.Location // in which times are shown; nil is the computer's
}

// PageFor is the page for what w is: as wide as a terminal, without limit for anything else, coloured as Colors says.
func PageFor(w io.Writer) Page {
	p := Page{Color: Colors(w)}
	if t, ok := terminalOf(w); ok {
		if columns, _, err := t.Size(); err == nil && columns > 0 {
			p.Width = columns
		}
	}
	return p
}

// Text writes a view for people, in one Write.
func Text(w io.Writer, v View, p Page) error {
	s := &sheet{Page: p}
	v.text(s)
	_, err := w.Write(s.buf.Bytes())
	return err
}

// JSON writes a view for programs, indented, in one Write.
func JSON(w io.Writer, v View) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // paths and messages stay legible
	enc.SetIndent("", "  ")
	if err := enc.Encode(v.data()); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// longTable is the number of connections up to which a table lists all of them without being asked.
const longTable = 60

// list makes a nil list an empty one, which JSON has as [] and not as null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
