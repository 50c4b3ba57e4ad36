package screen

import (
	"bytes"
	"strings"
	"time"
)

// sheet collects the lines of a view.
type sheet struct {
	Page
	buf bytes.Buffer
}

// line writes text, wrapped at the page's width; every line of it is indented.
func (s *sheet) line(indent int, st style, text string) {
	margin := strings.Repeat(" ", indent)
	for _, l := range wrap(text, s.room(indent)) {
		s.buf.WriteString(strings.TrimRight(margin+st.in(l, s.Color), " ") + "\n")
	}
}

// room is the width that is left beside an indent; 0 is without limit.
func (s *sheet) room(indent int) int {
	if s.Width == 0 {
		return 0
	}
	return max(s.Width-indent, 1)
}

// blank separates what comes next from what was written.
func (s *sheet) blank() {
	if s.buf.Len() > 0 {
		s.buf.WriteByte('\n')
	}
}

// heading begins a section.
func (s *sheet) heading(text string) {
	s.blank()
	s.line(0, bold, text)
}

// fact writes a named text; nothing if there is none.
func (s *sheet) fact(name, text string, st style) {
	const label = 14
	if text == "" {
		return
	}
	if s.Width > 0 && s.Width < 2*label { // no room beside the name
		s.line(0, plain, name)
		s.line(noteShift, st, text)
		return
	}
	for _, l := range wrap(text, s.room(label)) {
		s.buf.WriteString(pad(name, label, false) + st.in(l, s.Color) + "\n")
		name = ""
	}
}

// when is a time as people read it; "" for none.
func (s *sheet) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	zone := s.Zone
	if zone == nil {
		zone = time.Local
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// raw writes a command: it is never broken over lines, so that it can be copied.
func (s *sheet) raw(indent int, st style, text string) {
	s.buf.WriteString(strings.Repeat(" ", indent) + st.in(clean(text), s.Color) + "\n")
}
