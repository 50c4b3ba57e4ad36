package xlsx

import (
	"bytes"
	"fmt"
	"io"
)

// Addition is an append that is ready to be written, to any number of copies of the file. All its writings are the same bytes.
type Addition struct {
	next    *Workbook
	pieces  []addedSheet
	between bytes.Buffer // what stands before, between and after the sheets
}

// addedSheet is a sheet whose bytes come after so many of between.
type addedSheet struct {
	sheet *NewSheet
	after int
}

// sheet says that the bytes of n come next.
func (a *Addition) sheet(n *NewSheet) {
	a.pieces = append(a.pieces, addedSheet{n, a.between.Len()})
}

// Workbook is the state after the append.
func (a *Addition) Workbook() *Workbook { return a.next }

// Write writes at w, which stands at the Length of the workbook that was added to. It fails if a segment's bytes are not as many as
// its Length says.
func (a *Addition) Write(w io.Writer) error {
	text, at := a.between.Bytes(), 0
	for _, s := range a.pieces {
		if _, err := w.Write(text[at:s.after]); err != nil {
			return fmt.Errorf("append to workbook: %w", err)
		}
		at = s.after
		if _, err := copyExactly(w, s.sheet.Open, s.sheet.Length); err != nil {
			return fmt.Errorf("append sheet %q: %w", s.sheet.Name, err)
		}
	}
	if _, err := w.Write(text[at:]); err != nil {
		return fmt.Errorf("append to workbook: %w", err)
	}
	return nil
}
