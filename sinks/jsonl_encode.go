package sinks

import (
	"bytes"
	"strconv"
	"sync"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// What a loss of a JSON Lines file says.
const (
	lossNotFinite = "NaN or an infinity written as null, for which JSON has no number"
	lossNotUTF8   = "bytes that are not UTF-8 replaced"
)

// jsonlEncoder encodes one batch at a time.
type jsonlEncoder struct {
	clock  columnar.Clock
	fields []jsonlField
	buf    []byte
	shown  []byte
	absent columnar.View // as many NULLs as there are rows
}

var jsonlEncoders = sync.Pool{New: func() any { return new(jsonlEncoder) }}

// jsonlChunk is a batch as lines. Its memory is used again once it is written.
type jsonlChunk struct {
	piece
	encoder *jsonlEncoder // whose memory it has; nil if it is compressed
	losses  []pipeline.Loss
	tally   []columnar.Tally
	kinds   []string // by field; nil if all are declared
}

// release gives the chunk's memory back.
func (c *jsonlChunk) release() {
	if c.encoder != nil {
		c.encoder.buf = c.data[:0]
		jsonlEncoders.Put(c.encoder)
	}
	c.piece.release()
}

// jsonlField is how the values of one column become values of a key.
type jsonlField struct {
	key       *jsonlKey
	view      *columnar.View
	form      jsonlForm
	plain     bool // of texts: no byte of the column needs to be escaped
	notFinite int64
	notUTF8   int64
}

// jsonlForm is how a column is written. What is frequent has a form of its own.
type jsonlForm uint8

const (
	jsonlText    jsonlForm = iota // texts
	jsonlInt                      // 64-bit integers
	jsonlDecimal                  // decimals
	jsonlNumber                   // other numbers, by their text
	jsonlFloat                    // floats
	jsonlBool                     // true and false
	jsonlQuoted                   // columnar's text in quotes: never with a byte to escape
	jsonlMoment                   // date and time: the same, with a T between them
	jsonlMixed                    // values of several classes
)

// Encode turns a batch into lines. What depends on a column alone is decided once per batch.
func (p *jsonlPart) Encode(query int, first int64, b *columnar.Batch) (pipeline.Chunk, error) {
	if query != p.lines.table.query {
		return nil, nil
	}
	return p.encode(first, b, func(data []byte) piece { return p.sink.piece(data, 0) }), nil
}

// encode makes lines of a batch, and a piece of a file of them. It depends on nothing but what was fixed before the
// first row, so any number may run at once.
func (p *jsonRows) encode(first int64, b *columnar.Batch, pieceOf func(lines []byte) piece) *jsonlChunk {
	e := jsonlEncoders.Get().(*jsonlEncoder)
	e.clock = columnar.NewClock(p.lines.table.location)
	e.plan(b, p)
	e.buf = e.encode(e.buf[:0], b.Rows, p.prefix, p.strings)
	c := &jsonlChunk{encoder: e, piece: pieceOf(e.buf), tally: make([]columnar.Tally, len(e.fields))}
	for i := range e.fields {
		f := &e.fields[i]
		if f.notFinite > 0 {
			c.losses = append(c.losses, pipeline.Loss{Column: p.fields.names[i], What: lossNotFinite, Cells: f.notFinite})
		}
		if f.notUTF8 > 0 {
			c.losses = append(c.losses, pipeline.Loss{Column: p.fields.names[i], What: lossNotUTF8, Cells: f.notUTF8})
		}
		if f.view == &e.absent {
			continue
		}
		f.count(&c.tally[i], first, b.Rows)
		if f.key.open {
			if c.kinds == nil {
				c.kinds = make([]string, len(e.fields))
			}
			c.kinds[i] = jsonlKind(f.view, b.Rows)
		}
	}
	if c.own != nil { // its lines are copied
		jsonlEncoders.Put(e)
		c.encoder = nil
	}
	return c
}

// plan finds the form of every field.
func (e *jsonlEncoder) plan(b *columnar.Batch, p *jsonRows) {
	e.absent = columnar.View{Valid: append(e.absent.Valid[:0], make([]byte, (b.Rows+7)/8)...)}
	e.fields = e.fields[:0]
	for i := range p.keys {
		f := jsonlField{key: &p.keys[i], view: &e.absent}
		at := i
		if p.order != nil {
			at = p.order[i]
		}
		if at >= 0 {
			f.view = &b.Cols[at]
		}
		switch kind := f.view.Kind; {
		case kind == columnar.Mixed:
			f.form = jsonlMixed
		case kind == columnar.Text:
			f.form, f.plain = jsonlText, plainJSON(f.view.Data)
		case f.key.asText:
			f.form = jsonlQuoted
		case kind == columnar.Int:
			f.form = jsonlInt
		case kind == columnar.Decimal:
			f.form = jsonlDecimal
		case kind == columnar.Float, kind == columnar.Float32:
			f.form = jsonlFloat
		case kind == columnar.Uint, kind == columnar.Numeric:
			f.form = jsonlNumber
		case kind == columnar.Bool:
			f.form = jsonlBool
		case kind == columnar.Timestamp, kind == columnar.Instant, kind == columnar.TimestampNano, kind == columnar.InstantNano:
			f.form = jsonlMoment
		default:
			f.form = jsonlQuoted
		}
		e.fields = append(e.fields, f)
	}
}

func (e *jsonlEncoder) encode(dst []byte, rows int, prefix []byte, quoteNumbers bool) []byte {
	for row := range rows {
		dst = append(dst, prefix...)
		for i := range e.fields {
			f := &e.fields[i]
			dst = append(dst, f.key.text...)
			if f.view.Null(row) {
				dst = append(dst, "null"...)
				continue
			}
			switch f.form {
			case jsonlText:
				if f.plain {
					dst = append(append(append(dst, '"'), f.view.Bytes(row)...), '"')
				} else {
					dst = f.text(dst, f.view.Bytes(row))
				}
			case jsonlInt:
				if quoteNumbers {
					dst = append(strconv.AppendInt(append(dst, '"'), f.view.Longs[row], 10), '"')
				} else {
					dst = strconv.AppendInt(dst, f.view.Longs[row], 10)
				}
			case jsonlDecimal:
				if quoteNumbers {
					dst = append(columnar.AppendDecimal(append(dst, '"'), f.view.Decimals[row], int(f.view.Scale)), '"')
				} else {
					dst = columnar.AppendDecimal(dst, f.view.Decimals[row], int(f.view.Scale))
				}
			case jsonlBool:
				dst = strconv.AppendBool(dst, f.view.Bool(row))
			default:
				dst = f.other(dst, row, quoteNumbers, e)
			}
		}
		dst = append(dst, '}', '\n')
	}
	return dst
}

// other appends what is less frequent.
func (f *jsonlField) other(dst []byte, row int, quoteNumbers bool, e *jsonlEncoder) []byte {
	switch f.form {
	case jsonlNumber:
		e.shown = f.view.AppendText(e.shown[:0], row, nil)
		return appendJSONNumber(dst, e.shown, quoteNumbers)
	case jsonlFloat:
		e.shown = f.view.AppendText(e.shown[:0], row, nil)
		return f.float(dst, e.shown)
	case jsonlMoment:
		return f.moment(dst, func(dst []byte) []byte { return f.view.AppendText(dst, row, &e.clock) })
	case jsonlMixed:
		return f.mixed(dst, row, quoteNumbers, e)
	default:
		return append(f.view.AppendText(append(dst, '"'), row, &e.clock), '"')
	}
}

// mixed appends a value as it is written in a batch of its column's kind.
func (f *jsonlField) mixed(dst []byte, row int, quoteNumbers bool, e *jsonlEncoder) []byte {
	text := f.view.Bytes(row)
	class := f.view.Classes[row]
	if f.key.asText && class != columnar.ClassMoment {
		return f.text(dst, text)
	}
	switch class {
	case columnar.ClassNumber:
		return appendJSONNumber(dst, text, quoteNumbers)
	case columnar.ClassFloat:
		return f.float(dst, text)
	case columnar.ClassBool:
		return append(dst, text...)
	case columnar.ClassMoment:
		if f.key.zoned {
			if micros, nanos, ok := columnar.ParseMoment(text, columnar.Instant); ok {
				e.shown = columnar.AppendMoment(e.shown[:0], columnar.Instant, micros, nanos, e.clock.Offset(micros))
				text = e.shown
			}
		}
		return f.moment(dst, func(dst []byte) []byte { return append(dst, text...) })
	default:
		return f.text(dst, text)
	}
}

// float appends the text of a double; JSON has none for NaN and the infinities.
func (f *jsonlField) float(dst, text []byte) []byte {
	if last := text[len(text)-1]; last > '9' {
		f.notFinite++
		return append(dst, "null"...)
	}
	return append(dst, text...)
}

// moment appends what text appends, with a T in place of the blank, as [RFC 3339] has it.
func (f *jsonlField) moment(dst []byte, text func([]byte) []byte) []byte {
	dst = append(dst, '"')
	from := len(dst)
	dst = text(dst)
	if at := bytes.IndexByte(dst[from:], ' '); at >= 0 {
		dst[from+at] = 'T'
	}
	return append(dst, '"')
}

// text appends a text, and counts one that is not UTF-8.
func (f *jsonlField) text(dst, s []byte) []byte {
	if !utf8.Valid(s) {
		f.notUTF8++
	}
	return appendJSONText(dst, s)
}

// count adds what the column holds. What was written as null is a loss, and no stray.
func (f *jsonlField) count(t *columnar.Tally, first int64, rows int) {
	t.Filled = int64(rows - f.view.Nulls)
	if f.form != jsonlMixed {
		return
	}
	if n, at := f.view.Strays(rows); n > f.notFinite {
		t.Strays, t.First, t.Of = n-f.notFinite, first+int64(at)+1, f.view.Of
	}
}
