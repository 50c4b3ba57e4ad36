package xlsx

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"fanmill/pipeline/columnar"
)

// Options says how rows become cells.
type Options struct {
	Location   *time.Location // the zone whose wall clock instants show; nil is UTC
	FailOnLoss bool           // Encode fails with a *LossError where it would otherwise count a Loss
	Totals     bool           // Encode sums the columns of numbers that are not hidden
	Layout     []Layout       // the sheet's columns in their order; nil is those of the query
	Formats    []string       // Workbook.Formats, which has every one of Layout
}

// Layout is how a column of the query stands in the sheet. But for Column its zero value asks for nothing special.
type Layout struct {
	Column int     // of the query, from 0
	Header string  // "" is the column's name
	Format string  // of numbers, dates and times, see CheckFormat; "" is that of their type
	Width  float64 // in characters; 0 suits the content
	Hidden bool    // the column is there, out of sight
	Digits bool    // numbers are texts that have all their digits
}

// Loss counts the cells of one column that the workbook does not hold in full.
type Loss struct {
	Column string `json:"column"`
	What   string `json:"what"`
	Cells  int64  `json:"cells"`
}

// What a Loss or LossError says.
const (
	LossCut   = "cut to 32767 characters"
	LossUTF8  = "bytes that are not UTF-8 replaced"
	LossNanos = "rounded to microseconds"
	// A number with a fraction and more digits than Excel keeps.
	LossDigits = "rounded to 15 digits"
)

// LossError is the first cell that the workbook cannot hold in full, when Options.FailOnLoss asks for an error.
type LossError struct {
	Column string
	Row    int64 // of the query, the first is 1
	What   string
	Length int // UTF-16 code units of the text, where What is LossCut
}

func (e *LossError) Error() string {
	switch e.What {
	case LossCut:
		return fmt.Sprintf("column %q, row %d: a text of %d characters does not fit a cell, which holds %d", e.Column, e.Row, e.Length, MaxCellUnits)
	case LossNanos:
		return fmt.Sprintf("column %q, row %d: the time is finer than microseconds, which is what a cell holds", e.Column, e.Row)
	case LossDigits:
		return fmt.Sprintf("column %q, row %d: the number has more than the %d digits that a cell holds; with \"digits\": \"text\" the column has all of them, as texts", e.Column, e.Row, maxDigits)
	default:
		return fmt.Sprintf("column %q, row %d: the text has bytes that are not UTF-8", e.Column, e.Row)
	}
}

// Encoder turns batches of one query into pieces of worksheets. It holds nothing that changes: any number of its
// calls may run at once.
type Encoder struct {
	cols        []encoderColumn
	opt         Options
	header      []byte // the XML of row 1
	headerLost  []lostCells
	rowsOfSheet int64 // data rows of a full sheet
}

type encoderColumn struct {
	columnar.Column
	layout Layout
	open   string // how its cells begin: `<c r="AB`
	style  style  // of its empty cells, and of numbers that have no style of their own
	custom string // what follows the row number of a number, date or time in the layout's format; "" without one
	total  bool
}

// NewEncoder makes the encoder for a query's columns as the database declared them: they name the header and style the
// empty cells.
func NewEncoder(cols []columnar.Column, o Options) (*Encoder, error) {
	if len(cols) > MaxColumns {
		return nil, fmt.Errorf("a sheet holds %d columns, the query has %d: select fewer", MaxColumns, len(cols))
	}
	if o.Layout == nil {
		o.Layout = make([]Layout, len(cols))
		for i := range o.Layout {
			o.Layout[i].Column = i
		}
	}
	e := &Encoder{cols: make([]encoderColumn, len(cols)), opt: o, rowsOfSheet: MaxRows - 1}
	placed := make([]bool, len(cols))
	for i, l := range o.Layout {
		if len(o.Layout) != len(cols) || l.Column < 0 || l.Column >= len(cols) || placed[l.Column] {
			return nil, fmt.Errorf("the layout of %d columns does not name each of the query's %d once", len(o.Layout), len(cols))
		}
		placed[l.Column] = true
		if err := e.place(i, cols[l.Column], l); err != nil {
			return nil, err
		}
	}
	w := &cellWriter{e: e}
	if err := w.appendHeader(); err != nil {
		return nil, err
	}
	e.header, e.headerLost = w.buf, w.lost
	return e, nil
}

// place puts a column into the sheet.
func (e *Encoder) place(i int, c columnar.Column, l Layout) error {
	if err := checkColumn(c); err != nil {
		return err
	}
	if l.Header == "" {
		l.Header = c.Name
	}
	col := encoderColumn{Column: c, layout: l, open: `<c r="` + columnName(i), style: styleOf(c), total: e.opt.Totals && columnar.Totalled(c.Kind) && !l.Hidden}
	if l.Digits && columnar.Totalled(c.Kind) {
		col.style = styleExact
	}
	if l.Format != "" && formatted(c.Kind) {
		at := slices.Index(e.opt.Formats, l.Format)
		if at < 0 {
			return fmt.Errorf("column %q: the workbook has no number format %q", c.Name, l.Format)
		}
		col.style = customStyle(at)
		col.custom = `" s="` + strconv.Itoa(int(col.style)) + `"><v>`
	}
	e.cols[i] = col
	return nil
}

// formatted reports whether number formats do something to the cells of a column.
func formatted(k columnar.Kind) bool {
	switch k {
	case columnar.Text, columnar.Binary, columnar.Bool:
		return false
	default:
		return true
	}
}

func checkColumn(c columnar.Column) error {
	if c.Kind == columnar.Decimal && (c.Scale < 0 || c.Scale > 38) {
		return fmt.Errorf("column %q: a decimal's scale is 0 to 38, not %d", c.Name, c.Scale)
	}
	return nil
}

// Columns counts the columns.
func (e *Encoder) Columns() int { return len(e.cols) }

// TotalColumns are the places in the sheet, from 0, of the columns that are summed: Chunk.Totals has one for each.
func (e *Encoder) TotalColumns() []int {
	var out []int
	for i := range e.cols {
		if e.cols[i].total {
			out = append(out, i)
		}
	}
	return out
}

// Column is the column of the query at place i of the sheet, and its layout with the header that it got.
func (e *Encoder) Column(i int) (columnar.Column, Layout) { return e.cols[i].Column, e.cols[i].layout }

// NewTotals are the totals of no rows, for those of chunks to be added to.
func (e *Encoder) NewTotals() []columnar.Total {
	var out []columnar.Total
	for _, i := range e.TotalColumns() {
		out = append(out, columnar.NewTotal(e.cols[i].Column))
	}
	return out
}

// columnName spells a column's letters; A is 0.
func columnName(i int) string {
	var b [4]byte
	pos := len(b)
	for i++; i > 0; i = (i - 1) / 26 {
		pos--
		b[pos] = byte('A' + (i-1)%26)
	}
	return string(b[pos:])
}

// Chunk is what a batch, or the end of a query, adds to the query's sheets: pieces in order.
type Chunk struct {
	Pieces []Piece
	Losses []Loss
	Totals []columnar.Total // of the rows that it adds, see Encoder.TotalColumns; nil at the end of a query
	Tally  []columnar.Tally // of the same rows, by the column's place in the sheet: strays are texts in a column of something else
}

// Piece is a part of one worksheet's compressed XML: whole deflate blocks that refer to nothing before them, the last
// of them empty and byte-aligned, none of them final. Pieces of a sheet are joined by writing one after the other.
type Piece struct {
	Sheet     int    // 0 for the query's first sheet, 1 for its first roll-over...
	Data      []byte // compressed
	RawLength int64  // bytes of XML
	CRC32     uint32 // of the XML, IEEE
	Rows      int64  // data rows, without the header
}

// Release gives the memory of the pieces back, for chunks to come. Neither they nor their Data may be used afterwards.
func (c *Chunk) Release() {
	for i := range c.Pieces {
		putBuffer(c.Pieces[i].Data)
	}
	c.Pieces = nil
}

// Encode encodes a batch whose first row has firstRow rows of its query before it. The result depends on the arguments
// alone. A batch's column may be of another type than the declared one; columns match by position.
//
// A sheet's first row brings the sheet's head, with the column widths that suit this batch; a row that does not fit the
// sheet closes it and opens the next.
func (e *Encoder) Encode(firstRow int64, b *columnar.Batch) (*Chunk, error) {
	if len(b.Cols) != len(e.cols) {
		return nil, fmt.Errorf("encode batch: it has %d columns, the query declared %d", len(b.Cols), len(e.cols))
	}
	for i := range b.Cols {
		if err := checkColumn(b.Cols[i].Column); err != nil {
			return nil, fmt.Errorf("encode batch: %w", err)
		}
	}
	out := &Chunk{}
	if b.Rows == 0 {
		return out, nil
	}
	w := newCellWriter(e, b, firstRow)
	defer w.close()
	for at := 0; at < b.Rows; {
		row := firstRow + int64(at)
		sheet, inSheet := row/e.rowsOfSheet, row%e.rowsOfSheet
		if inSheet == 0 {
			if sheet > 0 {
				w.appendTail(e.rowsOfSheet)
				out.Pieces = append(out.Pieces, w.cut(int(sheet-1)))
			}
			w.appendHead(b, at, sheet == 0)
		}
		n := int(min(int64(b.Rows-at), e.rowsOfSheet-inSheet))
		if err := w.appendRows(at, at+n, inSheet+2); err != nil {
			return nil, err
		}
		w.rows += int64(n)
		at += n
		if at == b.Rows {
			out.Pieces = append(out.Pieces, w.cut(int(sheet)))
		}
	}
	out.Losses = w.losses()
	out.Totals = e.sum(b)
	out.Tally = w.tallies(b.Rows)
	return out, nil
}

// sum is the totals of a batch.
func (e *Encoder) sum(b *columnar.Batch) []columnar.Total {
	totals := e.NewTotals()
	at := 0
	for i := range e.cols {
		if c := &e.cols[i]; c.total {
			totals[at].AddColumn(&b.Cols[c.layout.Column], b.Rows)
			at++
		}
	}
	return totals
}

// Tail closes the last sheet of a query of so many rows. A query without rows gets a whole sheet: its header.
func (e *Encoder) Tail(rows int64) *Chunk {
	w := newCellWriter(e, &columnar.Batch{}, 0)
	defer w.close()
	sheet, last := int64(0), int64(0)
	if rows > 0 {
		sheet = (rows - 1) / e.rowsOfSheet
		last = rows - sheet*e.rowsOfSheet
	} else {
		w.appendHead(nil, 0, true)
	}
	w.appendTail(last)
	return &Chunk{Pieces: []Piece{w.cut(int(sheet))}, Losses: w.losses()}
}
