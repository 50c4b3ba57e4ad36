package xlsx

import (
	"hash/crc32"
	"slices"
	"strconv"
	"sync"

	"github.com/klauspost/compress/flate"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/deflate"
)

// flushBytes is how much XML is gathered before it is compressed: little enough to stay in a core's own cache.
const flushBytes = 64 << 10

// cellWriter writes the XML of one call of the encoder and compresses it. Writers are reused; each belongs to one call.
type cellWriter struct {
	buf  []byte // XML not yet compressed
	cols []cellColumn

	flate *flate.Writer
	out   []byte // compressed
	crc   uint32
	raw   int64 // bytes of XML compressed
	rows  int64 // data rows of the piece

	e        *Encoder
	firstRow int64
	clock    columnar.Clock
	scratch  []byte
	lost     []lostCells // per column; empty until the first loss
	tally    []columnar.Tally
}

// cellColumn is a column of a batch with what its cells have in common.
type cellColumn struct {
	view  *columnar.View
	open  string // `<c r="AB`
	start string // what follows the row number of a number, date or time
	fine  string // the same for a time with a fraction of a second

	form     columnar.Kind // how its cells are written: the batch's kind, or formDigits
	of       columnar.Kind // the column's kind
	moment   columnar.Kind // of a mixed batch: which dates or times were declared
	fraction bool          // declared with decimals: every number of it is rounded to what a cell holds, also a whole one
}

type lostCells struct{ cut, utf8, nanos, digits int64 }

var (
	writers = sync.Pool{New: func() any {
		w := &cellWriter{}
		var err error
		if w.flate, err = flate.NewWriter(w, deflate.Level); err != nil {
			panic(err) // an unknown level
		}
		return w
	}}
	buffers sync.Pool
)

var decimalStarts = func() (s [maxScale + 1]string) {
	for i := range s {
		s[i] = `" s="` + strconv.Itoa(int(decimalStyle(int32(i)))) + `"><v>`
	}
	return s
}()

func newCellWriter(e *Encoder, b *columnar.Batch, firstRow int64) *cellWriter {
	w := writers.Get().(*cellWriter)
	w.cols, w.tally = w.cols[:0], w.tally[:0]
	if len(b.Cols) > 0 {
		w.tally = append(w.tally, make([]columnar.Tally, len(e.cols))...)
		for i := range e.cols {
			c := &e.cols[i]
			w.cols = append(w.cols, c.cells(&b.Cols[c.layout.Column]))
		}
	}
	w.e, w.firstRow, w.clock = e, firstRow, columnar.NewClock(e.opt.Location)
	w.buf, w.lost, w.rows = w.buf[:0], w.lost[:0], 0
	w.begin()
	return w
}

// cells says how a batch's values become cells.
func (c *encoderColumn) cells(v *columnar.View) cellColumn {
	out := cellColumn{view: v, open: c.open, form: v.Kind, of: v.Kind}
	kind, scale := v.Kind, v.Scale
	if c.Kind == columnar.Decimal && (kind == columnar.Decimal || kind == columnar.Mixed) {
		scale = c.Scale
	}
	if v.Kind == columnar.Mixed {
		kind, out.of = v.Of, v.Of
		if c.Kind.Nano() != 0 || c.Kind == columnar.Date {
			out.moment = c.Kind
		}
	}
	if c.Kind == columnar.Unknown && kind.Number() {
		kind = columnar.Numeric // one look for all numbers, whatever batch they are in
	}
	out.fraction = kind == columnar.Decimal && scale > 0
	if out.start, out.fine = starts(kind, scale); c.custom != "" {
		out.start, out.fine = c.custom, c.custom
	}
	if c.layout.Digits && (kind.Number()) {
		out.form = formDigits
	}
	return out
}

// starts is how numbers, dates and times of a column begin, by the type that it has in this batch.
func starts(kind columnar.Kind, scale int32) (start, fine string) {
	switch kind {
	case columnar.Int, columnar.Uint:
		return intStart, ""
	case columnar.Decimal:
		return decimalStarts[min(scale, maxScale)], ""
	case columnar.Date:
		return dateStart, ""
	case columnar.Time, columnar.TimeNano:
		return timeStart, timeMillisStart
	case columnar.Timestamp, columnar.TimestampNano, columnar.Instant, columnar.InstantNano:
		return stampStart, stampMillisStart
	default:
		return generalStart, ""
	}
}

// close gives the writer back. Pieces that were cut stay.
func (w *cellWriter) close() {
	putBuffer(w.out)
	w.out = nil
	clear(w.cols) // lets go of the batch
	w.e = nil
	if cap(w.buf) > 16*flushBytes {
		w.buf = nil
	}
	writers.Put(w)
}

// begin starts a piece.
func (w *cellWriter) begin() {
	if b, ok := buffers.Get().(*[]byte); ok {
		w.out = (*b)[:0]
	}
	w.crc, w.raw, w.rows = 0, 0, 0
	w.flate.Reset(w)
}

func putBuffer(b []byte) {
	if cap(b) > 0 {
		buffers.Put(&b)
	}
}

// Write takes what the compressor produces.
func (w *cellWriter) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// compress takes XML away into the compressor and returns the emptied buffer.
func (w *cellWriter) compress(buf []byte) []byte {
	w.crc = crc32.Update(w.crc, crc32.IEEETable, buf)
	w.raw += int64(len(buf))
	_, _ = w.flate.Write(buf) // fails only if Write does
	return buf[:0]
}

// cut ends the piece of a sheet, and begins the next.
func (w *cellWriter) cut(sheet int) Piece {
	w.buf = w.compress(w.buf)
	_ = w.flate.Flush()
	p := Piece{Sheet: sheet, Data: w.out, RawLength: w.raw, CRC32: w.crc, Rows: w.rows}
	w.out = nil
	w.begin()
	return p
}

// lose counts a cell of column k and batch row i (-1: the header) that is not held in full, or fails.
func (w *cellWriter) lose(k, i int, what string, length int) error {
	if w.e.opt.FailOnLoss {
		row := int64(0)
		if i >= 0 {
			row = w.firstRow + int64(i) + 1
		}
		return &LossError{Column: w.e.cols[k].Name, Row: row, What: what, Length: length}
	}
	if len(w.lost) == 0 {
		w.lost = append(w.lost, make([]lostCells, len(w.e.cols))...)
	}
	switch what {
	case LossCut:
		w.lost[k].cut++
	case LossNanos:
		w.lost[k].nanos++
	case LossDigits:
		w.lost[k].digits++
	default:
		w.lost[k].utf8++
	}
	return nil
}

// losses lists what was lost, column by column.
func (w *cellWriter) losses() (out []Loss) {
	for k, l := range w.lost {
		if l.cut > 0 {
			out = append(out, Loss{w.e.cols[k].Name, LossCut, l.cut})
		}
		if l.utf8 > 0 {
			out = append(out, Loss{w.e.cols[k].Name, LossUTF8, l.utf8})
		}
		if l.nanos > 0 {
			out = append(out, Loss{w.e.cols[k].Name, LossNanos, l.nanos})
		}
		if l.digits > 0 {
			out = append(out, Loss{w.e.cols[k].Name, LossDigits, l.digits})
		}
	}
	return out
}

// tallies are what the batch's columns hold, by their place in the sheet.
func (w *cellWriter) tallies(rows int) []columnar.Tally {
	out := slices.Clone(w.tally)
	for k := range out {
		out[k].Filled = int64(rows - w.cols[k].view.Nulls)
	}
	return out
}
