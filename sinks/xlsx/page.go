package xlsx

import (
	"fmt"
	"strconv"

	"fanmill/pipeline/columnar"
)

// Page is a small sheet that is written cell by cell and stands after all others: a summary. Cells are appended to the
// last row, from left to right. A Page is not safe for concurrent use.
type Page struct {
	name   string
	front  bool
	freeze [2]int // columns and rows that stay in sight
	table  [2]int // the filtered table's first and last row, from 1; 0 is none
	right  int    // and its columns

	before []pagePart
	rows   []byte // after those
	links  []byte
	row    int  // from 1
	inRow  bool // it can take more cells
	column int  // of the next cell, from 0
	widths []float64
}

// pagePart is rows and the band that follows them.
type pagePart struct {
	rows []byte
	band *Band
}

// Band is rows that are rendered and compressed: they can stand in the same place of any number of pages, and cost next to nothing there.
// A Band never changes.
type Band struct {
	first, last int // rows
	packed      Piece
	links       []byte
	widths      []float64
}

// Look says what a page's cell looks like.
type Look style

// The looks of texts, and of counts, durations and totals.
const (
	LookTitle        = Look(styleTitle)
	LookNote         = Look(styleNote)  // grey
	LookAlert        = Look(styleAlert) // bold, red
	LookHeader       = Look(styleHeader)
	LookHeaderRight  = Look(styleHeaderRight) // above numbers
	LookHeaderIndent = Look(styleHeaderIndent)
	LookText         = Look(styleText)
	LookIndent       = Look(styleIndent) // a text to the right of numbers
	LookLink         = Look(styleLink)
	LookGood         = Look(styleGood)
	LookBad          = Look(styleBad)       // on a red tint
	LookOpen         = Look(styleOpen)      // on an amber tint
	LookTotal        = Look(styleTotalText) // bold, under a line
)

// NewPage is an empty page.
func NewPage(name string) *Page { return &Page{name: name} }

// Front makes the page the tab that is open when the workbook is.
func (p *Page) Front() { p.front = true }

// Freeze keeps so many columns and rows in sight.
func (p *Page) Freeze(columns, rows int) { p.freeze = [2]int{columns, rows} }

// Table gives the rows from first to last, of so many columns, a filter.
func (p *Page) Table(first, last, columns int) { p.table, p.right = [2]int{first, last}, columns }

// Row begins the next row and returns its number, from 1.
func (p *Page) Row() int {
	p.endRow()
	p.row++
	p.inRow = true
	p.column = 0
	p.rows = strconv.AppendInt(append(p.rows, `<row r="`...), int64(p.row), 10)
	p.rows = append(p.rows, `">`...)
	return p.row
}

func (p *Page) endRow() {
	if p.inRow {
		p.rows = append(p.rows, `</row>`...)
	}
	p.inRow = false
}

// NewBand makes a band of the rows that write adds; the first of them is number first.
func NewBand(first int, write func(p *Page)) *Band {
	p := &Page{row: first - 1}
	write(p)
	p.endRow()
	var pack packer
	pack.text(p.rows)
	return &Band{first: first, last: p.row, packed: pack.piece(), links: p.links, widths: p.widths}
}

// Band adds the rows of b, whose first is the page's next one.
func (p *Page) Band(b *Band) {
	if b.first != p.row+1 {
		panic(fmt.Sprintf("a band of rows from %d on cannot follow row %d", b.first, p.row))
	}
	p.endRow()
	p.before = append(p.before, pagePart{p.rows, b})
	p.rows, p.row, p.links = nil, b.last, append(p.links, b.links...)
	for k, width := range b.widths {
		p.widenTo(k, width)
	}
}

// Skip leaves a cell out.
func (p *Page) Skip() { p.column++ }

// Blank adds a cell that holds nothing.
func (p *Page) Blank(look Look) {
	p.open(style(look))
	p.rows = append(p.rows, `"/>`...)
}

// Text adds a text. What a cell does not hold of it is cut.
func (p *Page) Text(look Look, s string) {
	p.widen(textWidth([]byte(s)))
	p.text(style(look), s)
}

// Caption is Text that may reach over the cells to its right: it does not make the column wider.
func (p *Page) Caption(look Look, s string) { p.text(style(look), s) }

// Link is Text that leads to another sheet.
func (p *Page) Link(s, sheet string) {
	p.links = append(append(p.links, `<hyperlink ref="`...), columnName(p.column)...)
	p.links = strconv.AppendInt(p.links, int64(p.row), 10)
	p.links, _ = appendEscaped(append(p.links, `" location="`...), append(quoteName(sheet), "!A1"...))
	p.links, _ = appendEscaped(append(p.links, `" display="`...), []byte(s))
	p.links = append(p.links, `"/>`...)
	p.Text(LookLink, s)
}

// Count adds a whole number; total makes it one of a line of totals.
func (p *Page) Count(n int64, total bool) {
	s := styleCount
	if total {
		s = styleTotalCount
	}
	text := strconv.FormatInt(n, 10)
	p.number(s, text, len(text)+len(text)/3)
}

// Duration adds milliseconds, which are shown as h:mm:ss.0.
func (p *Page) Duration(millis int64) {
	const day = 86_400_000
	p.number(styleDuration, strconv.FormatFloat(float64(millis)/day, 'f', -1, 64), len("00:00:00.0"))
}

// Sum adds the total of a column of this type, as its own cells show it: format is the place of its own format in
// Workbook.Formats, or -1. A number that a cell does not hold exactly is a text.
func (p *Page) Sum(t *columnar.Total, c columnar.Column, format int, total bool) {
	text := t.Text()
	exact := exactNumber([]byte(text))
	if t.Approximate() {
		f, err := strconv.ParseFloat(text, 64)
		exact = err == nil && keepsFloat(f)
	}
	s := styleOf(c)
	scale := style(min(t.Scale(), maxScale))
	decimals := c.Kind == columnar.Decimal || s == styleInt && scale > 0
	switch {
	case decimals && total:
		s = styleTotalDecimal + scale
	case decimals:
		s = styleDecimal + scale
	case s == styleInt && total:
		s = styleTotalInt
	case total:
		s = styleTotalGeneral
	}
	if format >= 0 {
		if s = customStyle(format); total {
			s++
		}
	}
	if !exact {
		s = styleExact
		if total {
			s = styleTotalExact
		}
		p.Text(Look(s), text)
		return
	}
	width := len(text) + len(text)/3
	if t.Approximate() {
		width = min(width, numberRoom) // Excel shows as many decimals as fit
	}
	p.number(s, text, width)
}

func (p *Page) number(s style, text string, width int) {
	p.widen(width)
	p.open(s)
	p.rows = append(append(append(p.rows, `"><v>`...), text...), numberEnd...)
}

func (p *Page) text(s style, text string) {
	p.open(s)
	p.rows = append(p.rows, `" t="inlineStr"><is><t`...)
	if edgeSpace([]byte(text)) {
		p.rows = append(p.rows, ` xml:space="preserve"`...)
	}
	p.rows, _ = appendEscaped(append(p.rows, '>'), cutUnits([]byte(text), MaxCellUnits))
	p.rows = append(p.rows, textEnd...)
}

// open begins the next cell, up to its style's number.
func (p *Page) open(s style) {
	p.rows = append(append(p.rows, `<c r="`...), columnName(p.column)...)
	p.rows = strconv.AppendInt(p.rows, int64(p.row), 10)
	p.rows = strconv.AppendInt(append(p.rows, `" s="`...), int64(s), 10)
	p.column++
}

// widen makes the next cell's column wide enough for so many characters, within bounds.
func (p *Page) widen(chars int) {
	p.widenTo(p.column, float64(min(chars+2, widest)))
}

func (p *Page) widenTo(column int, width float64) {
	for len(p.widths) <= column {
		p.widths = append(p.widths, narrowest)
	}
	p.widths[column] = max(p.widths[column], width)
}

// filterArea spells the range of the filter, "" if there is none; mark is "$" for an absolute one.
func (p *Page) filterArea(mark string) string {
	if p.table[0] == 0 {
		return ""
	}
	corner := func(column, row int) string { return mark + columnName(column) + mark + strconv.Itoa(row) }
	return corner(0, p.table[0]) + ":" + corner(p.right-1, p.table[1])
}

// pack compresses the worksheet; its entry has no name and no place yet.
func (p *Page) pack() (*entry, []byte) {
	p.endRow()
	var pack packer
	head := p.head()
	for _, part := range p.before {
		pack.text(append(head, part.rows...))
		pack.add(part.band.packed)
		head = nil
	}
	return pack.end(append(append(head, p.rows...), p.tail()...))
}

// head is the worksheet up to its rows. The elements stand in the order of [ECMA-376 18.3.1.99].
func (p *Page) head() []byte {
	b := []byte(xmlHead + `<worksheet xmlns="` + nsMain + `"><sheetPr><pageSetUpPr fitToPage="1"/></sheetPr><sheetViews><sheetView`)
	if p.front {
		b = append(b, ` tabSelected="1"`...)
	}
	b = append(b, ` workbookViewId="0">`...)
	if p.freeze != [2]int{} {
		corner := columnName(p.freeze[0]) + strconv.Itoa(p.freeze[1]+1)
		b = append(b, `<pane`...)
		if p.freeze[0] > 0 {
			b = append(b, ` xSplit="`+strconv.Itoa(p.freeze[0])+`"`...)
		}
		pane := "bottomRight"
		if p.freeze[0] == 0 {
			pane = "bottomLeft"
		}
		b = append(b, ` ySplit="`+strconv.Itoa(p.freeze[1])+`" topLeftCell="`+corner+`" activePane="`+pane+`" state="frozen"/>`...)
		b = append(b, `<selection pane="`+pane+`" activeCell="`+corner+`" sqref="`+corner+`"/>`...)
	}
	b = append(b, `</sheetView></sheetViews><sheetFormatPr defaultRowHeight="15"/>`...)
	if len(p.widths) > 0 {
		b = append(b, `<cols>`...)
		for k, width := range p.widths {
			b = appendCol(b, k, width, styleGeneral, false)
		}
		b = append(b, `</cols>`...)
	}
	return append(b, `<sheetData>`...)
}

// tail is what follows the rows.
func (p *Page) tail() []byte {
	b := []byte(`</sheetData>`)
	if area := p.filterArea(""); area != "" {
		b = append(b, `<autoFilter ref="`+area+`"/>`...)
	}
	if len(p.links) > 0 {
		b = append(append(append(b, `<hyperlinks>`...), p.links...), `</hyperlinks>`...)
	}
	b = append(b, `<pageMargins left="0.4" right="0.4" top="0.5" bottom="0.5" header="0.3" footer="0.3"/><pageSetup orientation="landscape" fitToHeight="0"/>`...)
	if p.row > 0 {
		area := "A1:" + columnName(max(len(p.widths), 1)-1) + strconv.Itoa(p.row)
		b = append(b, `<ignoredErrors><ignoredError sqref="`+area+`" numberStoredAsText="1"/></ignoredErrors>`...)
	}
	return append(b, `</worksheet>`...)
}
