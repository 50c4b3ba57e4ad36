package sinks

import (
	"bytes"
	"strconv"
	"sync"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Encode turns a batch into lines. What depends on a column alone is decided once per batch, so that a cell costs its
// text and little else.
func (p *csvPart) Encode(query int, firstRow int64, b *columnar.Batch) (pipeline.Chunk, error) {
	if query != p.sink.table.query {
		return nil, nil
	}
	e := csvEncoders.Get().(*csvEncoder)
	e.use(p.sink.format)
	c := &csvChunk{encoder: e}
	e.buf, c.nulls = e.encode(e.buf[:0], b, p.order, p.instant, p.prefix)
	first := 0
	if firstRow == 0 && !p.sink.options.headers {
		first = p.sink.format.sylkField(e.buf)
	}
	c.piece = p.sink.piece(e.buf, first)
	c.tally = e.tally(firstRow, b.Rows)
	for i := range e.fields {
		if n := e.fields[i].guarded; n > 0 {
			if c.guarded == nil {
				c.guarded = make([]int64, len(e.fields))
			}
			c.guarded[i] = n
		}
	}
	if c.own != nil { // its lines are copied
		csvEncoders.Put(e)
		c.encoder = nil
	}
	return c, nil
}

// csvEncoder encodes one batch at a time.
type csvEncoder struct {
	format *csvFormat
	clock  columnar.Clock
	fields []csvField
	buf    []byte
	absent columnar.View // as many NULLs as there are rows
	shown  []byte        // the moment shown last

	// Of the format, and of the part being encoded.
	delimiter string
	null      string
	prefix    []byte
	crlf      bool
}

// csvEncoders are those not in use, of all files: with a file for each of many connections the memory is still that of
// the batches under way.
var csvEncoders = sync.Pool{New: func() any { return new(csvEncoder) }}

// use prepares the encoder for a file.
func (e *csvEncoder) use(f *csvFormat) {
	if e.format != f {
		e.format, e.clock = f, columnar.NewClock(f.location)
	}
}

// csvField is how the values of one column become fields.
type csvField struct {
	form csvForm
	view *columnar.View

	// For texts in the form csvAsked, and values in the form csvGuarded.
	number  bool  // numbers, which are neither guarded nor, by some options, quoted
	quoted  bool  // whatever they hold
	instant bool  // moments, which are shown in the file's time zone
	guarded int64 // texts that got a ' in front

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
	csvGuarded                  // columnar's text, which may hold the delimiter or is to be quoted
	csvText                     // text, quoted where it must be
	csvAsked                    // text, with more asked for
	csvMixed                    // values as texts, because one of them is none of the column's kind
	csvInt                      // 64-bit integers
	csvDecimal                  // decimals
	csvDate                     // days
	csvTimestamp                // microseconds on a clock without a zone
	csvInstant                  // moments
)

// plan decides how each column of the batch is written. instant tells which columns of the query hold moments,
// whatever this batch became.
func (e *csvEncoder) plan(b *columnar.Batch, order []int, instant []bool) {
	n := len(b.Cols)
	if order != nil {
		n = len(order)
	}
	if cap(e.fields) < n {
		e.fields = make([]csvField, n)
	}
	e.fields = e.fields[:n]
	for i := range e.fields {
		k := i
		if order != nil {
			k = order[i]
		}
		f := &e.fields[i]
		if f.form, f.guarded = csvOther, 0; k < 0 {
			f.view = e.nulls(b.Rows)
		} else {
			f.view = &b.Cols[k]
		}
		f.places, f.next = [4]int{-1, -1, -1, -1}, -1
		f.dayText, f.offsetEnd = f.dayText[:0], f.offsetEnd[:0]
		kind := f.view.Kind
		f.number = kind.Number()
		f.quoted = e.format.quoting == quoteAll || e.format.quoting == quoteNonNumeric && !f.number
		switch {
		case kind == columnar.Mixed:
			f.form, f.instant = csvMixed, instant[k]
		case kind == columnar.Text, kind == columnar.Numeric:
			if f.form = csvText; !e.format.plain() {
				f.form = csvAsked
			}
		case e.format.inValues, f.quoted:
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

// nulls is a column that a connection lacks.
func (e *csvEncoder) nulls(rows int) *columnar.View {
	if need := (rows + 7) / 8; len(e.absent.Valid) < need {
		e.absent.Valid = make([]byte, need)
	}
	return &e.absent
}

// encode appends the batch's lines, each beginning with prefix, and counts the NULLs that had to be written as empty
// texts.
func (e *csvEncoder) encode(dst []byte, b *columnar.Batch, order []int, instant []bool, prefix []byte) (lines []byte, nulls int64) {
	e.plan(b, order, instant)
	// In the encoder rather than in variables, which would take registers from the loop.
	e.delimiter, e.null, e.prefix, e.crlf = e.format.delimiter, e.format.nullText, prefix, e.format.lineEnd == "\r\n"
	alone := len(e.fields) == 1 && len(prefix) == 0 && e.null == ""
	if alone { // an empty line would be no row
		e.null = `""`
	}
	for row := range b.Rows {
		if len(e.prefix) > 0 {
			dst = append(dst, e.prefix...)
		}
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
				if e.null != "" {
					dst = append(dst, e.null...)
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
			default:
				dst = f.appendOther(dst, row, e)
			}
		}
		if e.crlf {
			dst = append(dst, '\r', '\n')
		} else {
			dst = append(dst, '\n')
		}
	}
	if !alone {
		nulls = 0
	}
	return dst, nulls
}

// moment is the text in the file's time zone of a moment that stands as text in UTC; any other text is left as it is.
func (e *csvEncoder) moment(text []byte) []byte {
	micros, nanos, ok := columnar.ParseMoment(text, columnar.Instant)
	if !ok {
		return text
	}
	e.shown = columnar.AppendMoment(e.shown[:0], columnar.Instant, micros, nanos, e.clock.Offset(micros))
	return e.shown
}

// appendOther appends what is rare, or what options ask more of. It is kept out of the loop, whose choice of a branch
// is the faster the fewer there are.
func (f *csvField) appendOther(dst []byte, row int, e *csvEncoder) []byte {
	switch f.form {
	case csvAsked:
		return f.appendText(dst, f.view.Bytes(row), f.number, e)
	case csvMixed:
		return f.appendMixed(dst, row, e)
	}
	from := len(dst)
	if dst = f.view.AppendText(dst, row, &e.clock); f.form == csvOther {
		return dst
	}
	return e.quote(dst, from, f.quoted)
}

// appendText appends a text, or a number that is kept as one.
func (f *csvField) appendText(dst, text []byte, number bool, e *csvEncoder) []byte {
	dst, guarded := e.format.appendText(dst, text, number)
	if guarded {
		f.guarded++
	}
	return dst
}

// appendMixed appends a value as it is written in a batch of its column's kind.
func (f *csvField) appendMixed(dst []byte, row int, e *csvEncoder) []byte {
	from := len(dst)
	text := f.view.Bytes(row)
	switch f.view.Classes[row] {
	case columnar.ClassStray, columnar.ClassText:
		return f.appendText(dst, text, false, e)
	case columnar.ClassNumber, columnar.ClassFloat:
		return e.quote(append(dst, text...), from, e.format.quoting == quoteAll)
	case columnar.ClassMoment:
		if f.instant {
			text = e.moment(text)
		}
	}
	return e.quote(append(dst, text...), from, e.format.quoting != quoteMinimal)
}

// quote puts what stands from there on in quotes if it is to be, or if it must. There is never a quote in it.
func (e *csvEncoder) quote(dst []byte, from int, asked bool) []byte {
	if !asked && !needsQuotes(dst[from:], e.format.delimiter) && !e.format.isNull(dst[from:]) {
		return dst
	}
	dst = append(dst, `""`...)
	copy(dst[from+1:], dst[from:len(dst)-2])
	dst[from], dst[len(dst)-1] = '"', '"'
	return dst
}

// tally counts what the fields of a batch hold.
func (e *csvEncoder) tally(firstRow int64, rows int) []columnar.Tally {
	out := make([]columnar.Tally, len(e.fields))
	for i := range e.fields {
		v := e.fields[i].view
		if v == &e.absent {
			continue
		}
		out[i].Filled = int64(rows - v.Nulls)
		if n, first := v.Strays(rows); n > 0 {
			out[i].Strays, out[i].First, out[i].Of = n, firstRow+int64(first)+1, v.Kind
			if v.Kind == columnar.Mixed {
				out[i].Of = v.Of
			}
		}
	}
	return out
}

// asks reports whether the bytes of a cell may need quotes. Cells come in order: each of the four searches goes
// through the column's bytes once, at the speed of a vector instruction, however many cells there are.
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
