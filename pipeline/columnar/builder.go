package columnar

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Builder collects the rows of one batch, column by column. Its memory is reused from batch to batch, so that a long
// stream allocates nothing per row. A stage appends exactly one value to every column and then calls EndRow.
// It is not safe for concurrent use.
type Builder struct {
	cols     []ColumnBuilder
	rows     int
	varBytes int
	rowWidth int
	enc      encoder
}

// NewBuilder makes a builder for batches of these columns.
func NewBuilder(cols []Column) *Builder {
	b := &Builder{cols: make([]ColumnBuilder, len(cols))}
	for i, c := range cols {
		b.cols[i] = ColumnBuilder{declared: c, start: c, size: &b.varBytes}
		if c.Kind == Unknown {
			b.cols[i].start.Kind = Int // the narrowest
		}
		b.cols[i].reset()
		b.rowWidth += c.Kind.fixedWidth()
	}
	return b
}

// Column returns the builder of column i.
func (b *Builder) Column(i int) *ColumnBuilder { return &b.cols[i] }

// Columns counts the columns.
func (b *Builder) Columns() int { return len(b.cols) }

// EndRow closes a row.
func (b *Builder) EndRow() { b.rows++ }

// Rows counts the closed rows of the batch.
func (b *Builder) Rows() int { return b.rows }

// Bytes is the batch's size in memory, before compression.
func (b *Builder) Bytes() int { return b.varBytes + b.rows*b.rowWidth }

// Reset drops the rows of the batch and takes every column back to its declared type.
func (b *Builder) Reset() {
	b.rows, b.varBytes = 0, 0
	for i := range b.cols {
		b.cols[i].reset()
	}
}

// Check reports a column that did not get exactly one value for every row: a mistake in a stage, found before it is
// data.
func (b *Builder) Check() error {
	for i := range b.cols {
		c := &b.cols[i]
		if c.n != b.rows {
			return fmt.Errorf("column %q has %d values in a batch of %d rows", c.Name, c.n, b.rows)
		}
		if c.Kind == Mixed && len(c.classes) != c.n {
			return fmt.Errorf("column %q has %d classes for %d values", c.Name, len(c.classes), c.n)
		}
	}
	return nil
}

// ColumnBuilder collects one column of a batch. Each method appends one value; which of them fits the column is said
// by its Kind: appending through another one corrupts nothing but fails Check.
type ColumnBuilder struct {
	Column     // the type within this batch: Retype may have widened it
	declared   Column
	start      Column // the type a batch starts with: the declared one, or what was found for one that nobody declared
	size       *int
	n, nulls   int
	valid      []byte // a bit per value, least significant first
	bits       []byte // Bool
	longs      []int64
	ints       []int32
	decs       []decimal128.Num
	offs       []int32
	data       []byte
	classes    []Class // Mixed
	textBuffer []byte  // of the last widening, to be used again
	offsBuffer []int32
}

func (c *ColumnBuilder) reset() {
	c.Column = c.start
	c.n, c.nulls = 0, 0
	c.valid, c.bits, c.longs, c.ints, c.decs = c.valid[:0], c.bits[:0], c.longs[:0], c.ints[:0], c.decs[:0]
	c.offs, c.data, c.classes = append(c.offs[:0], 0), c.data[:0], c.classes[:0]
}

// Declared is the column as its database declares it.
func (c *ColumnBuilder) Declared() Column { return c.declared }

// Filled counts the values of the batch that are not NULL.
func (c *ColumnBuilder) Filled() int { return c.n - c.nulls }

// Found fixes the type that batches of a column begin with which nobody declared: from the next batch on, and in this
// one if it has no value yet.
func (c *ColumnBuilder) Found(t Column) {
	t.Name = c.declared.Name
	if c.start = t; c.n == 0 {
		c.Column = t
	}
}

func (c *ColumnBuilder) mark(valid bool) {
	bit := uint(c.n & 7)
	if bit == 0 {
		c.valid = append(c.valid, 0)
	}
	if valid {
		c.valid[len(c.valid)-1] |= 1 << bit
	} else {
		c.nulls++
	}
	c.n++
}

// Null appends a NULL.
func (c *ColumnBuilder) Null() {
	switch c.Kind {
	case Bool:
		if c.n&7 == 0 {
			c.bits = append(c.bits, 0)
		}
	case Float32, Date:
		c.ints = append(c.ints, 0)
	case Decimal:
		c.decs = append(c.decs, decimal128.Num{})
	case Text, Binary, Numeric:
		c.offs = append(c.offs, int32(len(c.data)))
	case Mixed:
		c.offs = append(c.offs, int32(len(c.data)))
		c.classes = append(c.classes, ClassNull)
	default:
		c.longs = append(c.longs, 0)
	}
	c.mark(false)
}

// Bool appends to a Bool column.
func (c *ColumnBuilder) Bool(v bool) {
	if c.n&7 == 0 {
		c.bits = append(c.bits, 0)
	}
	if v {
		c.bits[len(c.bits)-1] |= 1 << uint(c.n&7)
	}
	c.mark(true)
}

// Long appends to an Int column, or to a column of times of any kind, in its unit.
func (c *ColumnBuilder) Long(v int64) {
	c.longs = append(c.longs, v)
	c.mark(true)
}

// Uint appends to a Uint column.
func (c *ColumnBuilder) Uint(v uint64) { c.Long(int64(v)) }

// Float appends to a Float column.
func (c *ColumnBuilder) Float(v float64) { c.Long(int64(math.Float64bits(v))) }

// Float32 appends to a Float32 column.
func (c *ColumnBuilder) Float32(v float32) { c.Days(int32(math.Float32bits(v))) }

// Days appends to a Date column.
func (c *ColumnBuilder) Days(v int32) {
	c.ints = append(c.ints, v)
	c.mark(true)
}

// Decimal appends to a Decimal column: v is the value times 10^Scale. The caller has seen to it that it fits Precision.
func (c *ColumnBuilder) Decimal(v decimal128.Num) {
	c.decs = append(c.decs, v)
	c.mark(true)
}

// Bytes appends a copy of v to a Text, Binary or Numeric column.
func (c *ColumnBuilder) Bytes(v []byte) {
	c.data = append(c.data, v...)
	c.offs = append(c.offs, int32(len(c.data)))
	*c.size += len(v)
	c.mark(true)
}

// String appends v to a Text, Binary or Numeric column.
func (c *ColumnBuilder) String(v string) {
	c.data = append(c.data, v...)
	c.offs = append(c.offs, int32(len(c.data)))
	*c.size += len(v)
	c.mark(true)
}

// Mixed appends the text of a value and its class to a Mixed column.
func (c *ColumnBuilder) Mixed(class Class, text []byte) {
	c.classes = append(c.classes, class)
	c.Bytes(text)
}

// Moment appends a time of micros microseconds and nanos (0 to 999) nanoseconds to a column that is declared as Time,
// Timestamp or Instant. Where that is more than the column holds, it widens the column for the rest of the batch: to
// nanoseconds, or to texts if a value of the batch is out of their years. Instants are then written in UTC: the text
// names its zone.
func (c *ColumnBuilder) Moment(micros, nanos int64) { c.moment(c.declared.Kind, micros, nanos) }

// Zoned appends an instant to a column that is declared as Timestamp, where a database leaves that to each value. A
// batch of nothing else becomes one of instants. In one that has both, each value stands as its text: an instant in
// UTC, with its zone.
func (c *ColumnBuilder) Zoned(micros, nanos int64) { c.moment(Instant, micros, nanos) }

func (c *ColumnBuilder) moment(kind Kind, micros, nanos int64) {
	if (c.Kind == Timestamp || c.Kind == Instant) && c.nulls == c.n {
		c.Kind = kind // both have 64 bits for a NULL
	}
	if c.Kind == kind {
		if nanos == 0 {
			c.Long(micros)
			return
		}
		if !fitsNano(micros) || !c.Retype(kind.Nano()) {
			c.Retype(Mixed)
		}
	}
	if c.Kind == kind.Nano() {
		if fitsNano(micros) {
			c.Long(micros*1000 + nanos)
			return
		}
	}
	c.Retype(Mixed)
	c.textBuffer = AppendMoment(c.textBuffer[:0], kind, micros, nanos, 0)
	c.Mixed(ClassMoment, c.textBuffer)
}

// Retype widens the column for the rest of this batch because the next value does not fit its type. The values
// already in the batch are converted exactly: to Float where every integer is one and has up to 15 digits, from
// microseconds to nanoseconds where they reach, to Mixed or Text from anything, as the text they have in a CSV, from
// nothing but NULLs to Binary, too. It reports whether that was possible; nothing changes if not.
func (c *ColumnBuilder) Retype(to Kind) bool {
	if to == c.Kind {
		return true
	}
	out := Column{Name: c.Name, Kind: to}
	switch {
	case to == Float && c.Kind == Int:
		for _, v := range c.longs {
			if v >= fitsFloat || v <= -fitsFloat {
				return false
			}
		}
		for i, v := range c.longs {
			c.longs[i] = int64(math.Float64bits(float64(v)))
		}
	case to == c.Kind.Nano() && to != 0:
		for _, v := range c.longs {
			if !fitsNano(v) {
				return false
			}
		}
		for i := range c.longs {
			c.longs[i] *= 1000
		}
	case to == Mixed && c.Kind != Unknown:
		if out.Of = c.Kind; c.declared.Kind != Unknown {
			out.Of = c.declared.Kind
		}
		c.classify()
		c.toText()
	case to == Text, to == Binary && c.nulls == c.n:
		c.toText()
	default:
		return false
	}
	c.Column = out
	return true
}

// classify notes the class of every value, all of which are of the column's kind.
func (c *ColumnBuilder) classify() {
	class := classOf(c.Kind)
	view := c.view()
	c.classes = c.classes[:0]
	for i := range c.n {
		if view.Null(i) {
			c.classes = append(c.classes, ClassNull)
		} else {
			c.classes = append(c.classes, class)
		}
	}
}

// fitsNano reports whether a whole microsecond fits 64 bits of nanoseconds.
func fitsNano(micros int64) bool {
	const last = math.MaxInt64/1000 - 1
	return micros >= -last && micros <= last
}

// toText rewrites the values as their text. Instants are written in UTC: the text names its zone.
func (c *ColumnBuilder) toText() {
	view := c.view()
	var clock Clock
	text := c.textBuffer[:0]
	offs := append(c.offsBuffer[:0], 0)
	for i := range c.n {
		if !view.Null(i) {
			text = view.AppendText(text, i, &clock)
		}
		offs = append(offs, int32(len(text)))
	}
	c.textBuffer, c.data = c.data, text
	c.offsBuffer, c.offs = c.offs, offs
	*c.size += len(text)
	c.bits, c.longs, c.ints, c.decs = c.bits[:0], c.longs[:0], c.ints[:0], c.decs[:0]
}

func (c *ColumnBuilder) view() View {
	v := View{Column: c.Column, Nulls: c.nulls, Bits: c.bits, Longs: c.longs, Ints: c.ints, Decimals: c.decs, Offsets: c.offs, Data: c.data, Classes: c.classes}
	if c.nulls > 0 {
		v.Valid = c.valid
	}
	return v
}
