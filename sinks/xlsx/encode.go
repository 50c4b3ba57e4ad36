package xlsx

import (
	"fmt"
	"time"

	"fanmill/pipeline/columnar"
)

// Options says how rows become cells.
type Options struct {
	Location   *time.Location // the zone whose wall clock instants show; nil is UTC
	FailOnLoss bool           // Encode fails with a *LossError where it would otherwise count a Loss
}

// Loss counts the cells of one column that the workbook does not hold in full.
type Loss struct {
	Column string `json:"column"`
	What   string `json:"what"`
	Cells  int64  `json:"cells"`
}

// What a Loss or LossError says.
const (
	LossCut  = "cut to 32767 characters"
	LossUTF8 = "bytes that are not UTF-8 replaced"
)

// LossError is the first cell that the workbook cannot hold in full, when Options.FailOnLoss asks for an error.
type LossError struct {
	Column string
	Row    int64 // of the query, the first is 1
	What   string
	Length int // UTF-16 code units of the text, where What is LossCut
}

func (e *LossError) Error() string {
	if e.What == LossCut {
		return fmt.Sprintf("column %q, row %d: a text of %d characters does not fit a cell, which holds %d", e.Column, e.Row, e.Length, MaxCellUnits)
	}
	return fmt.Sprintf("column %q, row %d: the text has bytes that are not UTF-8", e.Column, e.Row)
}

// Encoder turns batches of one query into pieces of worksheets. It holds nothing that changes: any number of its calls may
// run at once.
type Encoder struct {
	cols        []encoderColumn
	opt         Options
	header      []byte // the XML of row 1
	headerLost  []lostCells
	rowsOfSheet int64 // data rows of a full sheet
}

type encoderColumn struct {
	columnar.Column
	open string // how its cells begin: `<c r="AB`
}

// NewEncoder makes the encoder for a query's columns as the database declared them: they name the header and style the
// empty cells.
func NewEncoder(cols []columnar.Column, o Options) (*Encoder, error) {
	if len(cols) > MaxColumns {
		return nil, fmt.Errorf("a sheet holds %d columns, the query has %d: select fewer", MaxColumns, len(cols))
	}
	e := &Encoder{cols: make([]encoderColumn, len(cols)), opt: o, rowsOfSheet: MaxRows - 1}
	for i, c := range cols {
		if err := checkColumn(c); err != nil {
			return nil, err
		}
		e.cols[i] = encoderColumn{c, `<c r="` + columnName(i)}
	}
	w := &cellWriter{e: e}
	if err := w.appendHeader(); err != nil {
		return nil, err
	}
	e.header, e.headerLost = w.buf, w.lost
	return e, nil
}

func checkColumn(c columnar.Column) error {
	if c.Kind == columnar.Decimal && (c.Scale < 0 || c.Scale > 38) {
		return fmt.Errorf("column %q: a decimal's scale is 0 to 38, not %d", c.Name, c.Scale)
	}
	return nil
}

// Columns counts the columns.
func (e *Encoder) Columns() int { return len(e.cols) }

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
	return out, nil
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
