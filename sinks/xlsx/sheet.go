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
		if w.buf, err = w.appendText(w.buf, []byte(c.layout.Header), k, -1, headerStart, headerKeep); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, "</row>"...)
	return nil
}

// appendColumn says a column's width, and the style of its empty cells [ECMA-376 18.3.1.13].
func (w *cellWriter) appendColumn(k int, b *columnar.Batch, at int) {
	c := &w.e.cols[k]
	width := c.layout.Width
	if width == 0 {
		if b != nil {
			width = float64(w.width(c, &b.Cols[c.layout.Column], at, b.Rows))
		} else {
			width = float64(w.width(c, nil, at, 0))
		}
	}
	w.buf = appendCol(w.buf, k, width, c.style, c.layout.Hidden)
}

// appendCol appends a column that is so many characters wide.
func appendCol(b []byte, k int, width float64, s style, hidden bool) []byte {
	const padding, most = 0.7109375, 255 // with the default font; the Open XML SDK takes no more for valid
	b = strconv.AppendInt(append(b, `<col min="`...), int64(k+1), 10)
	b = strconv.AppendInt(append(b, `" max="`...), int64(k+1), 10)
	b = strconv.AppendFloat(append(b, `" width="`...), min(width+padding, most), 'f', -1, 64)
	b = strconv.AppendInt(append(b, `" style="`...), int64(s), 10)
	if hidden {
		b = append(b, `" hidden="1`...)
	}
	return append(b, `" customWidth="1"/>`...)
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
	case columnar.Time, columnar.TimeNano:
		return styleTime
	case columnar.Timestamp, columnar.Instant, columnar.TimestampNano, columnar.InstantNano:
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

func (w *cellWriter) width(c *encoderColumn, v *columnar.View, at, rows int) int {
	width := textWidth([]byte(c.layout.Header)) + filterButton
	more, words := 0, 0 // what a format of the user's adds to digits, and takes for a date, whose months may be words
	if c.custom != "" {
		more = literals(c.layout.Format)
		words = more + len("September") - len("mmmm")
	}
	switch c.Kind {
	case columnar.Int, columnar.Uint, columnar.Numeric, columnar.Float, columnar.Float32, columnar.Unknown:
		width = max(width, numberRoom)
	case columnar.Decimal:
		integer := int(c.Precision - c.Scale)
		full := 1 + integer + (integer-1)/3 + int(min(c.Scale, maxScale)+1)
		width = max(width, min(full, decimalRoom)+more)
	}
	for i := at; i < min(rows, at+widthRows) && width < widest; i++ {
		if v.Null(i) {
			continue
		}
		switch v.Kind {
		case columnar.Text, columnar.Mixed:
			s := v.Bytes(i)
			n := textWidth(s[:min(len(s), 4*widest)])
			width = max(width, n+n/10+1) // capitals are wider than digits
		case columnar.Timestamp, columnar.Instant:
			if width = max(width, len("2006-01-02 15:04:05"), words); v.Longs[i]%1_000_000 != 0 {
				width = max(width, len("2006-01-02 15:04:05.000"))
			}
		case columnar.TimestampNano, columnar.InstantNano:
			width = max(width, len("2006-01-02 15:04:05.000"), words)
		case columnar.Time, columnar.TimeNano:
			width = max(width, len("15:04:05.000"), words)
		case columnar.Binary:
			width = max(width, len("0x")+2*len(v.Bytes(i)))
		default:
			w.scratch = v.AppendText(w.scratch[:0], i, nil)
			n := len(w.scratch)
			if v.Kind == columnar.Decimal {
				n += max(0, n-int(v.Scale)-2) / 3 // thousands separators
			}
			if v.Kind == columnar.Date {
				width = max(width, n, words)
			} else {
				width = max(width, n+more)
			}
		}
	}
	return min(max(width, narrowest), widest)
}

// textWidth is about how many digits' widths a text takes: two for the wide scripts of East Asia, none for combining
// marks.
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
		w.buf = append(w.buf, `"/>`...)
		w.appendIgnored(rows + 1)
	}
	w.buf = append(w.buf, `</worksheet>`...)
}

// appendIgnored keeps Excel from marking every identifier in a text cell with a green corner. In columns of amounts,
// dates and the like a number in a text cell is a stray, and is marked.
func (w *cellWriter) appendIgnored(rows int64) {
	var areas []byte
	for from := 0; from < len(w.e.cols); from++ {
		if !w.e.cols[from].identifiers() {
			continue
		}
		to := from
		for to+1 < len(w.e.cols) && w.e.cols[to+1].identifiers() {
			to++
		}
		areas = append(append(append(areas, ' '), columnName(from)...), "1:"...)
		areas = strconv.AppendInt(append(areas, columnName(to)...), rows, 10)
		from = to
	}
	if len(areas) > 0 {
		w.buf = append(append(w.buf, `<ignoredErrors><ignoredError sqref="`...), areas[1:]...)
		w.buf = append(w.buf, `" numberStoredAsText="1"/></ignoredErrors>`...)
	}
}

// identifiers reports whether a column may hold numbers in text cells that are right as they are: texts, and whole
// numbers of more digits than Excel keeps.
func (c *encoderColumn) identifiers() bool {
	switch c.Kind {
	case columnar.Text, columnar.Binary, columnar.Int, columnar.Uint, columnar.Numeric, columnar.Unknown:
		return true
	case columnar.Decimal:
		return c.Scale == 0 || c.layout.Digits
	default:
		return c.layout.Digits
	}
}

// appendArea spells the range from A1 to the last cell; mark is "$" for an absolute one.
func appendArea(dst []byte, cols int, rows int64, mark string) []byte {
	dst = append(append(append(append(dst, mark...), 'A'), mark...), "1:"...)
	dst = append(append(append(dst, mark...), columnName(cols-1)...), mark...)
	return strconv.AppendInt(dst, rows, 10)
}
