package sheets

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// CellOptions says how rows become cells.
type CellOptions struct {
	Location   *time.Location // the zone whose wall clock instants show; nil is UTC
	FailOnLoss bool           // a value that a cell does not hold in full rejects its connection
}

// What a Loss says.
const (
	LossCut   = "cut to 50000 characters"
	LossUTF8  = "bytes that are not UTF-8 replaced"
	LossNanos = "rounded to microseconds"
)

// A cell of JSON: {"userEnteredValue":{"numberValue":1.5}}. Nothing in it is parsed by Google: a text that begins with
// an equals sign is a text.
const (
	numberStart = `{"userEnteredValue":{"numberValue":`
	textStart   = `{"userEnteredValue":{"stringValue":`
	boolStart   = `{"userEnteredValue":{"boolValue":`
	cellEnd     = `}}`
	emptyCell   = `{}`
)

// encoder writes the rows of one table as JSON and counts what their cells do not hold. It is for one goroutine.
type encoder struct {
	cols    []columnar.Column // of the sheet
	from    []int             // batch column of each; -1 is none
	forms   []form
	named   []byte // JSON of the connection's name in front of each row; nil is none
	clock   columnar.Clock
	strict  bool
	rows    int64
	tally   []columnar.Tally
	losses  []pipeline.Loss
	wide    []bool // columns with numbers of more than 15 digits
	open    []int  // columns that nobody declares: their first batch that has a value decides
	scratch []byte
}

// newEncoder makes an encoder for a sheet's columns; from may be nil where they are the table's.
func newEncoder(cols []columnar.Column, from []int, texts []bool, named *string, o *CellOptions) *encoder {
	e := &encoder{cols: slices.Clone(cols), from: from, clock: columnar.NewClock(o.Location), strict: o.FailOnLoss,
		forms: make([]form, len(cols)), tally: make([]columnar.Tally, len(cols)), wide: make([]bool, len(cols))}
	for i, c := range cols {
		e.forms[i] = formOf(c.Kind)
		if texts != nil && texts[i] {
			e.forms[i] = formText
		}
	}
	for i, c := range cols {
		if c.Kind == columnar.Unknown && from == nil && (texts == nil || !texts[i]) {
			e.open = append(e.open, i)
		}
	}
	if named != nil {
		e.named, _, _ = appendString([]byte(textStart), []byte(*named))
		e.named = append(e.named, cellEnd...)
	}
	return e
}

// appendRows appends rows from..to-1 of a batch, each followed by a comma, until dst has most bytes, and returns the
// row that comes next. It appends one row at least.
func (e *encoder) appendRows(dst []byte, b *columnar.Batch, from, to, most int) (_ []byte, next int, err error) {
	e.open = slices.DeleteFunc(e.open, func(k int) bool { return e.decide(k, b) })
	for i := from; i < to; i++ {
		dst = append(dst, `{"values":[`...)
		if e.named != nil {
			dst = append(append(dst, e.named...), ',')
		}
		e.rows++
		for k := range e.cols {
			at := k
			if e.from != nil {
				at = e.from[k]
			}
			if at < 0 || b.Cols[at].Null(i) {
				dst = append(dst, emptyCell...)
			} else if dst, err = e.appendCell(dst, &b.Cols[at], k, i); err != nil {
				return dst, i, err
			}
			dst = append(dst, ',')
		}
		if dst[len(dst)-1] == ',' {
			dst = dst[:len(dst)-1]
		}
		dst = append(dst, "]},"...)
		if len(dst) >= most {
			return dst, i + 1, nil
		}
	}
	return dst, to, nil
}

// decide takes the kind of a column that nobody declares from a batch, if it has a value.
func (e *encoder) decide(k int, b *columnar.Batch) bool {
	v := &b.Cols[k]
	if v.Nulls == b.Rows {
		return false
	}
	e.cols[k] = v.Column
	if v.Kind == columnar.Mixed {
		e.cols[k].Kind = columnar.Text
	}
	e.forms[k] = formOf(e.cols[k].Kind)
	return true
}

// appendCell appends the value of row i, which is not NULL, as a cell of column k.
func (e *encoder) appendCell(dst []byte, v *columnar.View, k, i int) ([]byte, error) {
	e.tally[k].Filled++
	if e.forms[k] == formText {
		if e.cols[k].Kind.Number() || e.cols[k].Kind == columnar.Unknown { // as texts, by option or because some are wide
			e.look(v, k, i)
		}
		return e.appendText(dst, v, k, i)
	}
	start := len(dst)
	is := formOf(v.Kind)
	ok := false
	switch v.Kind {
	case columnar.Bool:
		return e.appendBool(dst, v.Bool(i), k, v, i)
	case columnar.Int, columnar.Uint, columnar.Decimal, columnar.Numeric, columnar.Float, columnar.Float32:
		dst, ok = e.appendNumber(append(dst, numberStart...), v, k, i)
	case columnar.Mixed:
		return e.appendMixed(dst, v, k, i)
	case columnar.Text, columnar.Binary:
	default:
		var err error
		if dst, ok, err = e.appendMoment(append(dst, numberStart...), v, k, i); err != nil {
			return dst, err
		}
	}
	if ok && is == e.forms[k] {
		return append(dst, cellEnd...), nil
	}
	e.stray(k)
	return e.appendText(dst[:start], v, k, i)
}

func (e *encoder) appendBool(dst []byte, value bool, k int, v *columnar.View, i int) ([]byte, error) {
	if e.forms[k] != formBool {
		e.stray(k)
		return e.appendText(dst, v, k, i)
	}
	return append(strconv.AppendBool(append(dst, boolStart...), value), cellEnd...), nil
}

// appendNumber appends a number that a double holds.
func (e *encoder) appendNumber(dst []byte, v *columnar.View, k, i int) (_ []byte, ok bool) {
	switch v.Kind {
	case columnar.Int:
		if n := v.Longs[i]; n < pastDigits && n > -pastDigits {
			return strconv.AppendInt(dst, n, 10), true
		}
	case columnar.Uint:
		if n := uint64(v.Longs[i]); n < pastDigits {
			return strconv.AppendUint(dst, n, 10), true
		}
	case columnar.Float:
		f := math.Float64frombits(uint64(v.Longs[i]))
		return strconv.AppendFloat(dst, f, 'g', -1, 64), f-f == 0
	case columnar.Float32: // in its own shortest digits: 0.1 is 0.1
		f := float64(math.Float32frombits(uint32(v.Ints[i])))
		return strconv.AppendFloat(dst, f, 'g', -1, 32), f-f == 0
	case columnar.Decimal:
		from := len(dst)
		dst = columnar.AppendDecimal(dst, v.Decimals[i], int(v.Scale))
		if exactNumber(dst[from:]) {
			return dst, true
		}
	case columnar.Numeric:
		if s := v.Bytes(i); exactNumber(s) {
			return append(dst, s...), true
		}
	}
	e.long(k)
	return dst, false
}

// look notes a number of more than 15 digits in a column of texts.
func (e *encoder) look(v *columnar.View, k, i int) {
	switch v.Kind {
	case columnar.Int, columnar.Uint, columnar.Decimal, columnar.Numeric:
		long := e.tally[k].Long
		e.scratch, _ = e.appendNumber(e.scratch[:0], v, k, i)
		e.tally[k].Long = long
	case columnar.Mixed:
		e.wide[k] = e.wide[k] || v.Classes[i] == columnar.ClassNumber && !exactNumber(v.Bytes(i))
	}
}

// appendText appends a value as its text.
func (e *encoder) appendText(dst []byte, v *columnar.View, k, i int) ([]byte, error) {
	s := e.scratch[:0]
	if v.Kind == columnar.Text || v.Kind == columnar.Numeric || v.Kind == columnar.Mixed {
		s = v.Bytes(i)
	} else {
		s = v.AppendText(s, i, &e.clock)
		e.scratch = s
	}
	dst, cut, clean := appendString(append(dst, textStart...), s)
	dst = append(dst, cellEnd...)
	if cut {
		if err := e.lose(k, LossCut); err != nil {
			return dst, err
		}
	}
	if !clean {
		return dst, e.lose(k, LossUTF8)
	}
	return dst, nil
}

// stray counts a text in a column of something else.
func (e *encoder) stray(k int) {
	t := &e.tally[k]
	if t.Strays++; t.First == 0 {
		t.First, t.Of = e.rows, e.cols[k].Kind
	}
}

func (e *encoder) long(k int) {
	e.tally[k].Long++
	e.wide[k] = true
}

// lose counts a value that its cell does not hold in full.
func (e *encoder) lose(k int, what string) error {
	name := e.cols[k].Name
	if e.strict {
		return &pipeline.RejectError{Reason: fmt.Sprintf("column %q, row %d: %s (onLoss is \"fail\")", name, e.rows, what)}
	}
	for i := range e.losses {
		if e.losses[i].Column == name && e.losses[i].What == what {
			e.losses[i].Cells++
			return nil
		}
	}
	e.losses = append(e.losses, pipeline.Loss{Column: name, What: what, Cells: 1})
	return nil
}
