package screen

import (
	"io"
	"time"
)

// Manual is a Progress that is drawn when a test says so, at the time that now says.
func Manual(out io.Writer, scope Scope, color bool, now func() time.Time) *Progress {
	return newProgress(out, scope, look{color: color}, now, nil, func() {})
}

// Refresh draws a frame.
func (p *Progress) Refresh() { p.refresh() }

// What tests look at.
var (
	Width = width
	Cut   = cut
	Wrap  = wrap

	Hanging = hanging
	Clean   = clean
	Clock   = clock
)
