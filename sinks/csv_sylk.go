package sinks

import (
	"bytes"
	"io"
	"slices"
)

// Excel takes a file whose first two bytes are the letters I and D, of this case, for SYLK, another format of
// spreadsheets, whatever the file's name is: it warns, and then shows errors or shifted columns [Microsoft, KB 323626
// and 215591]. LibreOffice does so where "ID;P" stands there. With a quote, or a byte order mark, in front they do not.
// So the first field of a file is quoted where the file would begin so. It is quoted after a byte order mark, too:
// programs that drop the mark and write the rest would be left with such a file.

var sylk = []byte("ID")

// sylkField is the length of the first field of lines, if it is to be quoted for that it begins a file; else 0. Nothing
// that begins so is in quotes already, so that the field ends at the first delimiter or line end. A field of no bytes,
// before a delimiter that is the letter I, is NULL and stays so.
func (f *csvFormat) sylkField(lines []byte) int {
	if !bytes.HasPrefix(lines, sylk) {
		return 0
	}
	end := bytes.IndexAny(lines, "\r\n")
	if end < 0 {
		end = len(lines)
	}
	if at := bytes.Index(lines[:end], []byte(f.delimiter)); at >= 0 {
		end = at
	}
	return end
}

// quoteSYLK quotes the first field of the line that dst has from a place on, if a file must not begin with it as it is.
func (f *csvFormat) quoteSYLK(dst []byte, from int) []byte {
	end := f.sylkField(dst[from:])
	if end == 0 {
		return dst
	}
	dst = slices.Insert(dst, from+end, '"')
	return slices.Insert(dst, from, '"')
}

// quotingWriter quotes the first bytes that pass through it.
type quotingWriter struct {
	to   io.Writer
	mark []byte // the quote as the file has it
	left int    // bytes still to be quoted
	in   bool
}

func (w *quotingWriter) Write(p []byte) (n int, err error) {
	if !w.in && w.left > 0 {
		w.in = true
		if _, err := w.to.Write(w.mark); err != nil {
			return 0, err
		}
	}
	if w.in && len(p) >= w.left {
		if n, err = w.to.Write(p[:w.left]); err != nil {
			return n, err
		}
		if _, err := w.to.Write(w.mark); err != nil {
			return n, err
		}
		w.left, w.in = 0, false
	}
	rest, err := w.to.Write(p[n:])
	if w.in {
		w.left -= rest
	}
	return n + rest, err
}
