package xlsx

import (
	"bytes"
	"math"
	"strconv"

	"fanmill/pipeline/columnar"
)

// Cells of numbers with more digits than Excel keeps, of columns whose digits are kept as texts, and of batches in
// which a value is none of the column's kind. The others in such a batch are the cells that they are in any batch.

// formDigits is the form of a column of numbers that are written as texts, because the job asks for their digits.
const formDigits columnar.Kind = 255

// stray counts a text cell of column k and batch row i in a column of something else.
func (w *cellWriter) stray(k, i int) {
	t := &w.tally[k]
	if t.Strays++; t.First == 0 {
		t.First = w.firstRow + int64(i) + 1
		t.Of = w.cols[k].of
	}
}

// long counts one that is a whole number of more digits than Excel keeps.
func (w *cellWriter) long(k, i int) {
	w.stray(k, i)
	w.tally[k].Long++
}

// appendNumber writes a plain decimal number of any size.
func (w *cellWriter) appendNumber(buf []byte, c *cellColumn, k, i int, s []byte) ([]byte, error) {
	switch {
	case exactNumber(s):
		return append(append(append(buf, c.startOf(s)...), s...), numberEnd...), nil
	case !c.fraction && bytes.IndexByte(s, '.') < 0:
		w.long(k, i)
		return w.appendText(buf, s, k, i, exactStart, textKeep)
	}
	var digits [128]byte
	rounded, changed := appendRounded(digits[:0], s)
	if !holdsNumber(rounded) {
		w.stray(k, i)
		return w.appendText(buf, s, k, i, textStart, textKeep)
	}
	if changed {
		if err := w.lose(k, i, LossDigits, 0); err != nil {
			return buf, err
		}
	}
	return append(append(append(buf, c.startOf(rounded)...), rounded...), numberEnd...), nil
}

// startOf is how the cell of a number begins: in a column of whole numbers their format would not show a fraction.
func (c *cellColumn) startOf(s []byte) string {
	if c.start == intStart && bytes.IndexByte(s, '.') >= 0 {
		return generalStart
	}
	return c.start
}

// appendRounded appends a plain decimal number rounded to the digits that Excel keeps, half away from zero, and
// reports whether that is another number.
func appendRounded(dst, s []byte) (_ []byte, changed bool) {
	if len(s) > 0 && s[0] == '-' {
		dst, s = append(dst, '-'), s[1:]
	}
	from := len(dst)
	cut := cutDigits(s)
	if len(bytes.Trim(s[cut:], "0.")) == 0 {
		return append(dst, s...), false
	}
	up := s[cut] >= '5'
	if point := bytes.IndexByte(s, '.'); point >= 0 && point < cut {
		dst = append(dst, bytes.TrimSuffix(s[:cut], []byte("."))...)
	} else {
		if point < 0 {
			point = len(s)
		}
		dst = append(append(dst, s[:cut]...), bytes.Repeat([]byte("0"), point-cut)...)
	}
	for at := min(from+cut, len(dst)) - 1; up; at-- {
		switch {
		case at < from:
			dst = append(dst, 0)
			copy(dst[from+1:], dst[from:])
			dst[from] = '1'
			up = false
		case dst[at] == '.':
		case dst[at] == '9':
			dst[at] = '0'
		default:
			dst[at]++
			up = false
		}
	}
	return dst, true
}

// cutDigits is where the first digit of a number without a sign stands that Excel does not keep; the length of s if
// it keeps all.
func cutDigits(s []byte) int {
	kept := 0
	for i, c := range s {
		switch {
		case c == '.' || kept == 0 && c == '0':
		case kept == maxDigits:
			return i
		default:
			kept++
		}
	}
	return len(s)
}

// holdsNumber reports whether a cell holds a plain number: it is neither past the largest double nor too near to zero.
func holdsNumber(s []byte) bool {
	const sure = 300 // characters; less is within a double's reach
	if len(s) < sure {
		return true
	}
	f, err := strconv.ParseFloat(string(s), 64)
	return err == nil && keepsFloat(f) && (f != 0 || !bytes.ContainsAny(s, "123456789"))
}

// appendMixed writes row i of a batch in which some value is none of the column's kind.
func (w *cellWriter) appendMixed(buf []byte, c *cellColumn, k, i int) ([]byte, error) {
	s := c.view.Bytes(i)
	switch c.view.Classes[i] {
	case columnar.ClassNumber:
		return w.appendNumber(buf, c, k, i, s)
	case columnar.ClassFloat:
		if !keepsFloatText(s) {
			break
		}
		return append(append(append(buf, c.startOf(s)...), s...), numberEnd...), nil
	case columnar.ClassBool:
		if len(s) == len("true") {
			return append(buf, trueCell...), nil
		}
		return append(buf, falseCell...), nil
	case columnar.ClassMoment:
		return w.appendMoment(buf, c, k, i)
	case columnar.ClassText:
		return w.appendText(buf, s, k, i, textStart, textKeep)
	}
	w.stray(k, i)
	return w.appendText(buf, s, k, i, textStart, textKeep)
}

// keepsFloatText is keepsFloat of a double's text.
func keepsFloatText(s []byte) bool {
	if bytes.IndexByte(s, 'e') < 0 {
		return s[len(s)-1] <= '9' // neither NaN nor infinite, and not so small as to need an exponent
	}
	f, err := strconv.ParseFloat(string(s), 64)
	return err == nil && keepsFloat(f)
}

// appendDigits writes row i of a column of numbers as a text of all its digits.
func (w *cellWriter) appendDigits(buf []byte, c *cellColumn, k, i int) []byte {
	start := exactStart
	if c.odd(i) {
		w.stray(k, i)
		start = textStart
	}
	from := len(buf)
	buf = c.view.AppendText(append(buf, start...), i, nil)
	if start == textStart { // any text
		s := append([]byte(nil), buf[from+len(start):]...)
		buf, _ = w.appendText(buf[:from], s, k, i, textStart, textKeep)
		return buf
	}
	return append(buf, textEnd...)
}

// odd reports whether row i of a column of numbers is none.
func (c *cellColumn) odd(i int) bool {
	switch c.view.Kind {
	case columnar.Float:
		f := math.Float64frombits(uint64(c.view.Longs[i]))
		return f-f != 0
	case columnar.Float32:
		f := math.Float32frombits(uint32(c.view.Ints[i]))
		return f-f != 0
	case columnar.Mixed:
		s := c.view.Bytes(i)
		return c.view.Classes[i] == columnar.ClassStray || len(s) > 0 && s[len(s)-1] > '9'
	}
	return false
}
