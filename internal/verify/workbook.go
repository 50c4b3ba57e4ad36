package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// Workbook reads every sheet of a workbook but those skipped (such as a summary): the first row has the columns, the
// others are the rows. Values are read by what the truth's columns are, and a value of another type equals nothing:
// text must be stored as text, decimals and dates as numbers, except where a number could not hold them (whole
// numbers past 15 digits, dates outside the calendar). A decimal of more digits is a number, see Column.Rounded. No
// cell is NULL, a cell of empty text the empty text. A workbook of one sheet without any cell, which stands for no
// sheets since a workbook cannot be without, gives no tables. Sheets are read on all cores.
func Workbook(file string, truth []Column, skip ...string) (out Dataset, err error) {
	p, err := openPackage(file)
	if err != nil {
		return nil, fmt.Errorf("read workbook %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, p.zip.Close()) }()
	out = Dataset{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, s := range p.sheets {
		if slices.Contains(skip, s.name) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t, err := p.sheet(s, truth)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, errNoHeader) && len(p.sheets) == 1 {
				return
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("read workbook %s: sheet %q: %w", file, s.name, err))
				return
			}
			out[s.name] = t
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

func (p *workbookPackage) sheet(s sheetPart, truth []Column) (t Table, err error) {
	r, err := s.file.Open()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	reader := &sheetReader{x: newXMLScanner(r), shared: p.shared, truth: truth}
	if err := reader.read(); err != nil {
		return t, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // the checksum is known at the end
		return t, err
	}
	if reader.tally == nil {
		return t, errNoHeader
	}
	return reader.tally.table(), nil
}

var errNoHeader = errors.New("the sheet has no header row")

// sheetReader reads the cells of one worksheet [ECMA-376] 18.3.1.
type sheetReader struct {
	x      *xmlScanner
	shared []string
	truth  []Column
	tally  *tally
	header []string

	row, column int // the last ones, from 1; 0 is none
	seen        []bool
	typ, text   []byte
	hasText     bool
}

func (r *sheetReader) read() error {
	for {
		ev, err := r.x.next()
		if err != nil {
			return err
		}
		switch {
		case ev == xmlEOF:
			return nil
		case ev == xmlStart && string(r.x.name) == "row":
			if err := r.readRow(); err != nil {
				return fmt.Errorf("row %d: %w", r.row, err)
			}
		}
	}
}

// readRow reads from a row's start tag to its end tag.
func (r *sheetReader) readRow() error {
	if at := r.x.attr("r"); at != nil {
		n, err := strconv.Atoi(string(at))
		if err != nil || n <= r.row {
			return fmt.Errorf("its number is %q", at)
		}
		if n != r.row+1 {
			return fmt.Errorf("the rows before row %d are missing", n)
		}
	}
	r.row++
	r.column = 0
	clear(r.seen)
	for {
		ev, err := r.x.next()
		if err != nil {
			return err
		}
		switch {
		case ev == xmlEnd && string(r.x.name) == "row":
			return r.endRow()
		case ev == xmlEnd, ev == xmlText && len(bytes.TrimSpace(r.x.text)) == 0:
		case ev == xmlStart && string(r.x.name) == "c":
			if err := r.readCell(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("it has <%s> beside its cells", r.x.name)
		}
	}
}

func (r *sheetReader) endRow() error {
	if r.row == 1 {
		r.tally = newTally(r.header, r.truth)
		r.seen = make([]bool, len(r.header))
		return nil
	}
	for i, seen := range r.seen {
		if !seen {
			r.tally.null(i)
		}
	}
	r.tally.endRow()
	return nil
}

// readCell reads from a cell's start tag to its end tag.
func (r *sheetReader) readCell() error {
	ref := r.x.attr("r")
	if ref == nil {
		return errors.New("a cell has no reference; some programs refuse such sheets")
	}
	column, row := cellRef(ref)
	if row != r.row || column <= r.column {
		return fmt.Errorf("a cell %s after column %d", ref, r.column)
	}
	r.column = column
	r.typ = append(r.typ[:0], r.x.attr("t")...)
	r.text, r.hasText = r.text[:0], string(r.typ) == "inlineStr"
	preserve, depth := false, 0
	for {
		ev, err := r.x.next()
		if err != nil {
			return err
		}
		switch name := string(r.x.name); {
		case ev == xmlStart && (name == "v" || name == "t"):
			depth, r.hasText = 1, true
			preserve = string(r.x.attr("xml:space")) == "preserve"
		case ev == xmlText && depth == 1:
			text := r.x.text
			if !preserve {
				text = bytes.Trim(text, " \t\r\n") // as Excel does
			}
			r.text = append(r.text, text...)
		case ev == xmlEnd && (name == "v" || name == "t"):
			depth = 0
		case ev == xmlEnd && name == "c":
			return r.endCell()
		}
	}
}

func (r *sheetReader) endCell() error {
	if !r.hasText { // a cell with a style and no value
		return nil
	}
	isText := false
	switch string(r.typ) {
	case "", "n", "b":
	case "inlineStr", "str":
		isText = true
		r.text = unescapeCell(r.text)
	case "s":
		isText = true
		n, err := strconv.Atoi(string(r.text))
		if err != nil || n < 0 || n >= len(r.shared) {
			return fmt.Errorf("column %d: there is no shared string %q", r.column, r.text)
		}
		r.text = unescapeCell(append(r.text[:0], r.shared[n]...))
	default:
		return fmt.Errorf("column %d: a cell of type %q", r.column, r.typ)
	}
	if utf16Length(r.text) > 32767 {
		return fmt.Errorf("column %d: a text of more than 32,767 characters; Excel calls such a workbook damaged", r.column)
	}
	if r.row == 1 {
		if r.column != len(r.header)+1 {
			return fmt.Errorf("the header has nothing in column %d", len(r.header)+1)
		}
		r.header = append(r.header, string(r.text))
		return nil
	}
	i := r.column - 1
	if i >= len(r.header) {
		return fmt.Errorf("column %d has a value but no header", r.column)
	}
	r.seen[i] = true
	r.tally.cells[i] = r.tally.cols[i].excel(r.tally.set(i), r.text, isText, string(r.typ) == "b")
	return nil
}

// excel appends the canonical text of a cell's value.
func (c *Column) excel(dst, text []byte, isText, isBool bool) []byte {
	if isBool {
		if c.Kind != Bool {
			dst = append(dst, asNumber...)
		}
		return strconv.AppendBool(dst, len(text) == 1 && text[0] == '1')
	}
	switch c.Kind {
	case Text, Blob, Bool:
		if !isText {
			dst = append(dst, asNumber...)
		}
		return append(dst, text...)
	case Date, Timestamp, Instant:
		if !isText {
			return c.appendSerial(dst, text)
		}
		if !textIsRight(string(text)) {
			dst = append(dst, asText...)
		}
		return c.canonical(dst, text)
	case Float:
		_, err := strconv.ParseFloat(string(text), 64)
		if isText && err == nil && len(text) > 0 && text[len(text)-1] <= '9' {
			dst = append(dst, asText...) // only NaN and the infinities are text
		}
		return c.canonical(dst, text)
	default:
		if whole, exact := digitCount(text); isText && whole > 0 && (whole <= 15 || c.Kind == Decimal && c.Scale > 0) {
			dst = append(dst, asText...)
		} else if !isText && exact > 15 {
			dst = append(dst, asNumber...) // a double, and so Excel, does not keep it
		}
		return c.canonical(dst, text)
	}
}

// textIsRight reports whether a date or a time may be stored as text: outside Excel's calendar, or with a fraction of a
// second that a number so large does not hold.
func textIsRight(iso string) bool {
	if len(iso) < 10 || iso[4] != '-' || iso < "1900-03-01" || iso >= "9999-12-32" {
		return true // not a date of this calendar; its text tells
	}
	return iso >= coarseDay && len(iso) > len("2006-01-02 15:04:05")
}

// cellRef reads a reference such as AB12; zeros if it is none.
func cellRef(ref []byte) (column, row int) {
	i := 0
	for ; i < len(ref) && ref[i] >= 'A' && ref[i] <= 'Z' && i < 3; i++ {
		column = column*26 + int(ref[i]-'A') + 1
	}
	for ; i < len(ref); i++ {
		if ref[i] < '0' || ref[i] > '9' || row > 1<<20 {
			return 0, 0
		}
		row = row*10 + int(ref[i]-'0')
	}
	return column, row
}

// unescapeCell turns _xHHHH_ back into the UTF-16 unit it stands for [ECMA-376] 22.9.2.19, in place.
func unescapeCell(b []byte) []byte {
	i := bytes.Index(b, []byte("_x"))
	if i < 0 {
		return b
	}
	out := b[:i]
	for i < len(b) {
		u, ok := escapeUnit(b[i:])
		if !ok {
			out = append(out, b[i])
			i++
			continue
		}
		i += 7
		r := rune(u)
		if utf16.IsSurrogate(r) {
			low, _ := escapeUnit(b[i:])
			if r = utf16.DecodeRune(r, rune(low)); r != utf8.RuneError {
				i += 7
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

func escapeUnit(b []byte) (uint16, bool) {
	if len(b) < 7 || b[0] != '_' || b[1] != 'x' || b[6] != '_' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return uint16(u), err == nil
}

// utf16Length counts the UTF-16 units of valid UTF-8.
func utf16Length(b []byte) (n int) {
	if len(b) <= 32767 {
		return len(b) // at least; short enough is all that matters
	}
	for _, c := range b {
		if c&0xC0 != 0x80 {
			n++
		}
		if c >= 0xF0 {
			n++
		}
	}
	return n
}
