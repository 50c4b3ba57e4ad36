package screen

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
)

// Terminal is what Progress draws on: it understands ANSI sequences.
type Terminal interface {
	io.Writer
	// Size is the window's at this moment, in cells.
	Size() (columns, rows int, err error)
}

// Colors reports whether w shows colours: a terminal whose user has not set NO_COLOR (https://no-color.org).
func Colors(w io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if o, ok := w.(*Outlet); ok {
		return Colors(o.to)
	}
	if f, ok := w.(*os.File); ok && isatty.IsCygwinTerminal(f.Fd()) { // a pipe to a terminal, of unknown size
		return true
	}
	_, ok := terminalOf(w)
	return ok
}

// terminalOf returns w as a terminal, if it is one that can be drawn on.
func terminalOf(w io.Writer) (Terminal, bool) {
	switch t := w.(type) {
	case *Outlet:
		inner, ok := terminalOf(t.to)
		return outletTerminal{t, inner}, ok
	case Terminal:
		return t, true
	case *os.File:
		if isatty.IsTerminal(t.Fd()) && os.Getenv("TERM") != "dumb" && understandsANSI(t) {
			return fileTerminal{t}, true
		}
	}
	return nil, false
}

// fileTerminal is a terminal that is open as a file.
type fileTerminal struct{ *os.File }
