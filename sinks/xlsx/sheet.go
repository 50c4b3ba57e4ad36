package xlsx

import (
	"strconv"
	"unicode"
	"unicode/utf8"

	"fanmill/pipeline/columnar"
)

const (
	xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	nsMain  = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"

	// The first row stays in sight [ECMA-376 18.3.1.66].
	sheetHead = xmlHead + `<worksheet xmlns="` + nsMain + `"><sheetViews><sheetView workbookViewId="0">` +
		`<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>` +
		`<selection pane="bottomLeft" activeCell="A2" sqref="A2"/></sheetView></sheetViews><sheetFormatPr defaultRowHeight="15"/>`
)

// appendHead opens a sheet: columns as wide as the header and the batch's rows from at on ask for, and the header. What
// the header lost counts once, in the query's first sheet.
func (w *cellWriter) appendHead(b *columnar.Batch, at int, first bool) {
	w.buf = append(w.buf, sheetHead...)
	if len(w.e.cols) > 0 {
		w.buf = append(w.buf, "<cols>"...)
		for k := range w.e.cols {
			w.appendColumn(k, b, at)
		}
		w.buf = append(w.buf, "</cols>"...)
	}
	w.buf = append(append(w.buf, "<sheetData>"...), w.e.header...)
	if first {
		w.lost = append(w.lost, w.e.headerLost...)
	}
}

// appendHeader writes row 1.
func (w *cellWriter) appendHeader() error {
	w.buf = append(w.buf, `<row r="1">`...)
	for k := range w.e.cols {
		c := &w.e.cols[k]
		w.buf = append(append(w.buf, c.open...), '1')
		var err error
		if w.buf, err = w.appendText(w.buf, []byte(c.Name), k, -1, headerStart, headerKeep); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, "</row>"...)
	return nil
}

// appendColumn says a column's width, and the style of its empty cells [ECMA-376 18.3.1.13].
func (w *cellWriter) appendColumn(k int, b *columnar.Batch, at int) {
	var v *columnar.View
	rows := 0
	if b != nil {
		v, rows = &b.Cols[k], b.Rows
	}
	number := strconv.Itoa(k + 1)
	w.buf = append(append(append(append(append(w.buf, `<col min="`...), number...), `" max="`...), number...), `" width="`...)
	w.buf = strconv.AppendInt(w.buf, int64(w.width(w.e.cols[k].Column, v, at, rows)), 10)
	w.buf = append(w.buf, `.7109375" style="`...) // the part that is padding, with the default font
	w.buf = strconv.AppendInt(w.buf, int64(styleOf(w.e.cols[k].Column)), 10)
	w.buf = append(w.buf, `" customWidth="1"/>`...)
}

// styleOf is the style of a column's cells.
func styleOf(c columnar.Column) style {
	switch c.Kind {
	case columnar.Bool:
		return styleBool
	case columnar.Int, columnar.Uint:
		return styleInt
	case columnar.Decimal:
		return decimalStyle(c.Scale)
	case columnar.Date:
		return styleDate
	case columnar.Time:
		return styleTime
	case columnar.Timestamp, columnar.Instant:
		return styleStamp
	case columnar.Text, columnar.Binary:
		return styleText
	default:
		return styleGeneral
	}
}

// Column widths, in characters.
const (
	narrowest    = 8
	widest       = 60
	numberRoom   = 12 // a number that does not fit is shown as ####: leave room for larger ones to come
	decimalRoom  = 18 // where the type says how large they may get
	filterButton = 3
	widthRows    = 500 // rows that are looked at
)

func (w *cellWriter) width(c columnar.Column, v *columnar.View, at, rows int) int {
	width := textWidth([]byte(c.Name)) + filterButton
	switch c.Kind {
	case columnar.Int, columnar.Uint, columnar.Numeric, columnar.Float, columnar.Float32:
		width = max(width, numberRoom)
	case columnar.Decimal:
		integer := int(c.Precision - c.Scale)
		full := 1 + integer + (integer-1)/3 + int(min(c.Scale, maxScale)+1)
		width = max(width, min(full, decimalRoom))
	}
	for i := at; i < min(rows, at+widthRows) && width < widest; i++ {
		if v.Null(i) {
			continue
		}
		switch v.Kind {
		case columnar.Text:
			s := v.Bytes(i)
			n := textWidth(s[:min(len(s), 4*widest)])
			width = max(width, n+n/10+1) // capitals are wider than digits
		case columnar.Timestamp, columnar.Instant:
			if width = max(width, len("2006-01-02 15:04:05")); v.Longs[i]%1_000_000 != 0 {
				width = max(width, len("2006-01-02 15:04:05.000"))
			}
		case columnar.Time:
			width = max(width, len("15:04:05.000"))
		case columnar.Binary:
			width = max(width, len("0x")+2*len(v.Bytes(i)))
		default:
			w.scratch = v.AppendText(w.scratch[:0], i, nil)
			n := len(w.scratch)
			if v.Kind == columnar.Decimal {
				n += max(0, n-int(v.Scale)-2) / 3 // thousands separators
			}
			width = max(width, n)
		}
	}
	return min(max(width, narrowest), widest)
}

// textWidth is about how many digits' widths a text takes: two for the wide scripts of East Asia, none for combining marks.
func textWidth(s []byte) (n int) {
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		s = s[size:]
		switch {
		case r < utf8.RuneSelf:
			n++
		case unicode.Is(unicode.Mn, r):
		case r >= 0x1100 && unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0xFF01 && r <= 0xFF60, r >= 0x1F300:
			n += 2
		default:
			n++
		}
	}
	return n
}

// appendTail closes a sheet of so many data rows. The elements stand in the order of [ECMA-376 18.3.1.99].
func (w *cellWriter) appendTail(rows int64) {
	w.buf = append(w.buf, `</sheetData>`...)
	if n := len(w.e.cols); n > 0 {
		w.buf = append(w.buf, `<autoFilter ref="`...)
		w.buf = appendArea(w.buf, n, rows+1, "")
		// Without this, Excel marks every identifier in a text cell with a green corner.
		w.buf = append(w.buf, `"/><ignoredErrors><ignoredError sqref="`...)
		w.buf = appendArea(w.buf, n, rows+1, "")
		w.buf = append(w.buf, `" numberStoredAsText="1"/></ignoredErrors>`...)
	}
	w.buf = append(w.buf, `</worksheet>`...)
}

// appendArea spells the range from A1 to the last cell; mark is "$" for an absolute one.
func appendArea(dst []byte, cols int, rows int64, mark string) []byte {
	dst = append(append(append(append(dst, mark...), 'A'), mark...), "1:"...)
	dst = append(append(append(dst, mark...), columnName(cols-1)...), mark...)
	return strconv.AppendInt(dst, rows, 10)
}
