package columnar

import (
	"bytes"
	"fmt"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// ContentType names the encoding of a batch: an Arrow IPC stream of one schema and one record batch, its buffers
// compressed with LZ4 [Arrow Columnar Format, "IPC Streaming Format"]. Any Arrow library reads it.
const ContentType = "application/vnd.apache.arrow.stream"

// What the metadata of a field say where its Arrow type does not.
const (
	kindKey = "fanmill.kind"
	ofKey   = "fanmill.of" // Column.Of
)

// mixedType is that of a Mixed column: a value's text, and its class.
var mixedType = arrow.StructOf(arrow.Field{Name: "text", Type: arrow.BinaryTypes.String}, arrow.Field{Name: "class", Type: arrow.PrimitiveTypes.Uint8})

// encoder keeps what can be reused between two batches of the same columns.
type encoder struct {
	out    bytes.Buffer
	schema *arrow.Schema
	cols   []Column
}

// Encode appends nothing and drops nothing: it returns the batch as an Arrow IPC stream, valid until the next call.
func (b *Builder) Encode() ([]byte, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	schema := b.arrowSchema()
	arrays := make([]arrow.Array, len(b.cols))
	for i := range b.cols {
		c := &b.cols[i]
		data := array.NewData(schema.Field(i).Type, b.rows, c.buffers(), c.children(), c.nulls, 0)
		arrays[i] = array.MakeFromData(data)
	}
	rec := array.NewRecordBatch(schema, arrays, int64(b.rows))
	b.enc.out.Reset()
	w := ipc.NewWriter(&b.enc.out, ipc.WithSchema(schema), ipc.WithLZ4(), ipc.WithCompressConcurrency(1))
	if err := w.Write(rec); err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode batch: %w", err)
	}
	return b.enc.out.Bytes(), nil
}

func (b *Builder) arrowSchema() *arrow.Schema {
	if b.enc.schema != nil {
		same := true
		for i := range b.cols {
			same = same && b.enc.cols[i] == b.cols[i].Column
		}
		if same {
			return b.enc.schema
		}
	}
	fields := make([]arrow.Field, len(b.cols))
	b.enc.cols = make([]Column, len(b.cols))
	for i := range b.cols {
		b.enc.cols[i] = b.cols[i].Column
		fields[i] = b.cols[i].arrowField()
	}
	b.enc.schema = arrow.NewSchema(fields, nil)
	return b.enc.schema
}

func (c Column) arrowField() arrow.Field {
	f := arrow.Field{Name: c.Name, Nullable: true}
	switch c.Kind {
	case Bool:
		f.Type = arrow.FixedWidthTypes.Boolean
	case Int:
		f.Type = arrow.PrimitiveTypes.Int64
	case Uint:
		f.Type = arrow.PrimitiveTypes.Uint64
	case Float32:
		f.Type = arrow.PrimitiveTypes.Float32
	case Float:
		f.Type = arrow.PrimitiveTypes.Float64
	case Decimal:
		f.Type = &arrow.Decimal128Type{Precision: c.Precision, Scale: c.Scale}
	case Date:
		f.Type = arrow.FixedWidthTypes.Date32
	case Time:
		f.Type = arrow.FixedWidthTypes.Time64us
	case Timestamp:
		f.Type = &arrow.TimestampType{Unit: arrow.Microsecond}
	case Instant:
		f.Type = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case TimeNano:
		f.Type = arrow.FixedWidthTypes.Time64ns
	case TimestampNano:
		f.Type = &arrow.TimestampType{Unit: arrow.Nanosecond}
	case InstantNano:
		f.Type = &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}
	case Binary:
		f.Type = arrow.BinaryTypes.Binary
	case Mixed:
		f.Type = mixedType
		f.Metadata = arrow.NewMetadata([]string{ofKey}, []string{c.Of.String()})
	case Numeric:
		f.Type = arrow.BinaryTypes.String
		f.Metadata = arrow.NewMetadata([]string{kindKey}, []string{Numeric.String()})
	default:
		f.Type = arrow.BinaryTypes.String
	}
	return f
}

func columnOf(f arrow.Field) (Column, error) {
	c := Column{Name: f.Name}
	unit := arrow.Microsecond
	switch t := f.Type.(type) {
	case *arrow.BooleanType:
		c.Kind = Bool
	case *arrow.Int64Type:
		c.Kind = Int
	case *arrow.Uint64Type:
		c.Kind = Uint
	case *arrow.Float32Type:
		c.Kind = Float32
	case *arrow.Float64Type:
		c.Kind = Float
	case *arrow.Decimal128Type:
		c.Kind, c.Precision, c.Scale = Decimal, t.Precision, t.Scale
	case *arrow.Date32Type:
		c.Kind = Date
	case *arrow.Time64Type:
		c.Kind, unit = Time, t.Unit
	case *arrow.TimestampType:
		if c.Kind, unit = Timestamp, t.Unit; t.TimeZone != "" {
			c.Kind = Instant
		}
	case *arrow.BinaryType:
		c.Kind = Binary
	case *arrow.StructType:
		if of, ok := f.Metadata.GetValue(ofKey); ok && arrow.TypeEqual(t, mixedType) {
			c.Kind, c.Of = Mixed, kindNamed(of)
		}
	case *arrow.StringType:
		if c.Kind = Text; f.HasMetadata() {
			if v, ok := f.Metadata.GetValue(kindKey); ok && v == Numeric.String() {
				c.Kind = Numeric
			}
		}
	}
	switch {
	case unit == arrow.Nanosecond:
		c.Kind = c.Kind.Nano()
	case unit != arrow.Microsecond:
		c.Kind = 0
	}
	if c.Kind == 0 {
		return c, fmt.Errorf("column %q: arrow type %s is not one that fanmill sends", f.Name, f.Type)
	}
	return c, nil
}

// buffers lends the column's memory to Arrow, without a copy: it is encoded before the builder is reused.
func (c *ColumnBuilder) buffers() []*memory.Buffer {
	var valid *memory.Buffer
	if c.nulls > 0 {
		valid = memory.NewBufferBytes(c.valid)
	}
	switch c.Kind {
	case Bool:
		return []*memory.Buffer{valid, memory.NewBufferBytes(c.bits)}
	case Float32, Date:
		return []*memory.Buffer{valid, memory.NewBufferBytes(raw(c.ints))}
	case Decimal:
		return []*memory.Buffer{valid, memory.NewBufferBytes(raw(c.decs))}
	case Mixed:
		return []*memory.Buffer{valid}
	case Text, Binary, Numeric:
		return []*memory.Buffer{valid, memory.NewBufferBytes(raw(c.offs)), memory.NewBufferBytes(c.data)}
	default:
		return []*memory.Buffer{valid, memory.NewBufferBytes(raw(c.longs))}
	}
}

// children are the two parts of a Mixed column.
func (c *ColumnBuilder) children() []arrow.ArrayData {
	if c.Kind != Mixed {
		return nil
	}
	text := []*memory.Buffer{nil, memory.NewBufferBytes(raw(c.offs)), memory.NewBufferBytes(c.data)}
	return []arrow.ArrayData{array.NewData(arrow.BinaryTypes.String, c.n, text, nil, 0, 0),
		array.NewData(arrow.PrimitiveTypes.Uint8, c.n, []*memory.Buffer{nil, memory.NewBufferBytes(classBytes(c.classes))}, nil, 0, 0)}
}

// raw is the memory of s as bytes. Arrow's layout is little-endian, as is every platform fanmill is built for.
func raw[T int32 | int64 | decimal128.Num](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0])))
}

func cast[T Class | int32 | int64 | decimal128.Num](b *memory.Buffer, n int) []T {
	if b == nil || b.Len() == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b.Bytes()))), n)
}

// bytesOf are a buffer's. Columns without rows may have none.
func bytesOf(b *memory.Buffer) []byte {
	if b == nil {
		return nil
	}
	return b.Bytes()
}

// Decode reads a batch that Encode wrote. The views stay valid as long as they are referenced.
func Decode(body []byte) (*Batch, error) {
	r, err := ipc.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	defer r.Release()
	rec, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	out := &Batch{Rows: int(rec.NumRows()), Cols: make([]View, rec.NumCols())}
	for i := range out.Cols {
		if out.Cols[i], err = viewOf(rec.Schema().Field(i), rec.Column(i).Data()); err != nil {
			return nil, fmt.Errorf("decode batch: %w", err)
		}
	}
	return out, nil
}

func viewOf(f arrow.Field, d arrow.ArrayData) (View, error) {
	c, err := columnOf(f)
	if err != nil {
		return View{}, err
	}
	if d.Offset() != 0 {
		return View{}, fmt.Errorf("column %q: sliced arrays are not ones that fanmill sends", c.Name)
	}
	v, bufs, n := View{Column: c}, d.Buffers(), d.Len()
	if v.Nulls = d.NullN(); v.Nulls > 0 {
		v.Valid = bufs[0].Bytes()
	}
	switch c.Kind {
	case Bool:
		v.Bits = bytesOf(bufs[1])
	case Float32, Date:
		v.Ints = cast[int32](bufs[1], n)
	case Decimal:
		v.Decimals = cast[decimal128.Num](bufs[1], n)
	case Text, Binary, Numeric:
		v.Offsets, v.Data = textsOf(d)
	case Mixed:
		parts := d.Children()
		v.Offsets, v.Data = textsOf(parts[0])
		v.Classes = cast[Class](parts[1].Buffers()[1], n)
	default:
		v.Longs = cast[int64](bufs[1], n)
	}
	return v, nil
}

// textsOf are the offsets and bytes of values of any length.
func textsOf(d arrow.ArrayData) (offsets []int32, data []byte) {
	bufs := d.Buffers()
	return cast[int32](bufs[1], d.Len()+1), bytesOf(bufs[2])
}
