package sinks

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Encode turns a batch into lines. What depends on a column alone is decided once per batch, so that a cell costs its text and
// little else.
func (p *csvPart) Encode(query int, _ int64, b *columnar.Batch) (pipeline.Chunk, error) {
	if query != p.sink.query {
		return nil, nil
	}
	e := p.sink.encoders.Get().(*csvEncoder)
	lines, nulls := e.encode(e.buf[:0], b, p.order)
	return &csvChunk{encoder: e, lines: lines, nulls: nulls}, nil
}

// csvEncoder encodes one batch at a time.
type csvEncoder struct {
	delimiter string
	// inNumbers says that the delimiter may occur in the text of a number, a date or another value that is no text.
	inNumbers bool
	clock     columnar.Clock
	fields    []csvField
	buf       []byte
}

// csvField is how the values of one column become fields.
type csvField struct {
	form csvForm
	view *columnar.View

	// Of texts: where in the column's bytes each byte that asks for quotes comes next, and the first of these places.
	places [4]int
	next   int

	// Of times: the day written last, and its text; the offset written last, and its text.
	day       int64
	dayText   []byte
	offset    int64
	offsetEnd []byte
}

// csvForm chooses the loop's branch.
type csvForm uint8

const (
	csvOther     csvForm = iota // columnar's text as it is
	csvGuarded                  // columnar's text, which may hold the delimiter
	csvText                     // text
	csvInt                      // 64-bit integers
	csvDecimal                  // decimals
	csvDate                     // days
	csvTimestamp                // microseconds on a clock without a zone
	csvInstant                  // moments
)

func newCSVEncoder(delimiter string, loc *time.Location) *csvEncoder {
	return &csvEncoder{delimiter: delimiter, clock: columnar.NewClock(loc),
		inNumbers: strings.Contains("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-.: ", delimiter)}
}

// plan decides how each column of the batch is written.
func (e *csvEncoder) plan(b *columnar.Batch, order []int) {
	if cap(e.fields) < len(b.Cols) {
		e.fields = make([]csvField, len(b.Cols))
	}
	e.fields = e.fields[:len(b.Cols)]
	for i := range e.fields {
		k := i
		if order != nil {
			k = order[i]
		}
		f := &e.fields[i]
		f.view, f.form = &b.Cols[k], csvOther
		f.places, f.next = [4]int{-1, -1, -1, -1}, -1
		f.dayText, f.offsetEnd = f.dayText[:0], f.offsetEnd[:0]
		switch kind := f.view.Kind; {
		case kind == columnar.Text, kind == columnar.Numeric: // an odd text can stand among the numbers
			f.form = csvText
		case e.inNumbers:
			f.form = csvGuarded
		case kind == columnar.Int:
			f.form = csvInt
		case kind == columnar.Decimal:
			f.form = csvDecimal
		case kind == columnar.Date:
			f.form = csvDate
		case kind == columnar.Timestamp:
			f.form = csvTimestamp
		case kind == columnar.Instant:
			f.form = csvInstant
		}
	}
}

// encode appends the batch's lines and counts the NULLs that had to be written as empty texts.
func (e *csvEncoder) encode(dst []byte, b *columnar.Batch, order []int) (lines []byte, nulls int64) {
	e.plan(b, order)
	for row := range b.Rows {
		for i := range e.fields {
			if i > 0 {
				if len(e.delimiter) == 1 {
					dst = append(dst, e.delimiter[0])
				} else {
					dst = append(dst, e.delimiter...)
				}
			}
			f := &e.fields[i]
			v := f.view
			if v.Null(row) {
				if len(e.fields) == 1 {
					dst = append(dst, `""`...)
					nulls++
				}
				continue
			}
			switch f.form {
			case csvText:
				from, to := int(v.Offsets[row]), int(v.Offsets[row+1])
				if to-from > 2 && !f.asks(from, to, e.delimiter[0]) {
					dst = append(dst, v.Data[from:to]...)
				} else {
					dst = appendCSVText(dst, v.Data[from:to], e.delimiter)
				}
			case csvInt:
				dst = strconv.AppendInt(dst, v.Longs[row], 10)
			case csvDecimal:
				dst = columnar.AppendDecimal(dst, v.Decimals[row], int(v.Scale))
			case csvDate:
				dst = f.appendDay(dst, int64(v.Ints[row]))
			case csvTimestamp:
				dst = f.appendMicros(dst, v.Longs[row])
			case csvInstant:
				offset := e.clock.Offset(v.Longs[row])
				from := len(dst)
				dst = f.appendMicros(dst, v.Longs[row]+offset*1_000_000)
				if len(f.offsetEnd) == 0 || f.offset != offset {
					whole := v.AppendText(nil, row, &e.clock)
					f.offset, f.offsetEnd = offset, append(f.offsetEnd[:0], whole[len(dst)-from:]...)
				}
				dst = append(dst, f.offsetEnd...)
			case csvGuarded:
				from := len(dst)
				if dst = v.AppendText(dst, row, &e.clock); needsQuotes(dst[from:], e.delimiter) {
					dst = appendCSVText(dst[:from], append([]byte(nil), dst[from:]...), e.delimiter)
				}
			default:
				dst = v.AppendText(dst, row, &e.clock)
			}
		}
		dst = append(dst, '\r', '\n')
	}
	return dst, nulls
}

// asks reports whether the bytes of a cell may need quotes. Cells come in order: each of the four searches goes through the column's
// bytes once, at the speed of a vector instruction, however many cells there are.
func (f *csvField) asks(from, to int, delimiter byte) bool {
	if f.next >= to {
		return false
	}
	data := f.view.Data
	f.next = len(data)
	for k, c := range [4]byte{delimiter, '"', '\n', '\r'} {
		if f.places[k] < from {
			if at := bytes.IndexByte(data[from:], c); at >= 0 {
				f.places[k] = from + at
			} else {
				f.places[k] = len(data)
			}
		}
		f.next = min(f.next, f.places[k])
	}
	return f.next < to
}

// appendDay appends a date; days repeat from row to row.
func (f *csvField) appendDay(dst []byte, day int64) []byte {
	if len(f.dayText) == 0 || f.day != day {
		f.day, f.dayText = day, columnar.AppendDate(f.dayText[:0], day)
	}
	return append(dst, f.dayText...)
}

// appendMicros appends date and time as columnar.AppendTimestamp does.
func (f *csvField) appendMicros(dst []byte, micros int64) []byte {
	day := micros / columnar.MicrosPerDay
	if micros < day*columnar.MicrosPerDay {
		day--
	}
	return columnar.AppendTime(append(f.appendDay(dst, day), ' '), micros-day*columnar.MicrosPerDay)
}

// endOfData alone on a line ends the input of PostgreSQL's COPY up to version 16; it is quoted, as COPY does itself.
const endOfData = `\.`

// appendCSVText appends a text that is not NULL.
func appendCSVText(dst, text []byte, delimiter string) []byte {
	switch {
	case len(text) == 0:
		return append(dst, `""`...)
	case !needsQuotes(text, delimiter) && string(text) != endOfData:
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			return append(append(dst, text...), '"')
		}
		dst = append(append(dst, text[:i+1]...), '"')
		text = text[i+1:]
	}
}

// needsQuotes reports whether a text holds the delimiter, a quote or a line end.
func needsQuotes(text []byte, delimiter string) bool {
	return bytes.IndexByte(text, delimiter[0]) >= 0 && (len(delimiter) == 1 || bytes.Contains(text, []byte(delimiter))) ||
		bytes.IndexByte(text, '"') >= 0 || bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0
}
