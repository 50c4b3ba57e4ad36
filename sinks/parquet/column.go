package parquet

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	pq "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"fanmill/pipeline/columnar"
)

// columnWriter writes one column of a row group. Its memory is used again for the next rows.
type columnWriter struct {
	target  *target
	chunk   file.ColumnChunkWriter
	nan     bool  // the row group has a NaN
	loose   []int // the row groups that had one
	levels  []int16
	bools   []bool
	ints    []int32
	longs   []int64
	floats  []float32
	doubles []float64
	fixed   []pq.FixedLenByteArray
	bytes   []byte
	texts   []pq.ByteArray
}

// append writes rows lo to hi of v, at most a page of them.
func (c *columnWriter) append(v *columnar.View, lo, hi int) error {
	levels := ones[:hi-lo]
	if v.Nulls > 0 {
		c.levels = c.levels[:0]
		for i := lo; i < hi; i++ {
			c.levels = append(c.levels, int16(v.Valid[i>>3]>>uint(i&7)&1))
		}
		levels = c.levels
	}
	switch chunk := c.chunk.(type) {
	case *file.BooleanColumnChunkWriter:
		c.bools = c.bools[:0]
		for i := lo; i < hi; i++ {
			if levels[i-lo] != 0 {
				c.bools = append(c.bools, v.Bool(i))
			}
		}
		return put(chunk.WriteBatch, c.bools, levels)
	case *file.Int32ColumnChunkWriter:
		if c.target.kind == columnar.Decimal {
			c.ints = dense(c.ints, v.Decimals[lo:hi], levels, func(d decimal128.Num) int32 { return int32(d.LowBits()) })
			return put(chunk.WriteBatch, c.ints, levels)
		}
		return put(chunk.WriteBatch, compact(&c.ints, v.Ints[lo:hi], levels, v.Nulls), levels)
	case *file.Int64ColumnChunkWriter:
		if c.target.kind == columnar.Decimal {
			c.longs = dense(c.longs, v.Decimals[lo:hi], levels, func(d decimal128.Num) int64 { return int64(d.LowBits()) })
			return put(chunk.WriteBatch, c.longs, levels)
		}
		return put(chunk.WriteBatch, compact(&c.longs, v.Longs[lo:hi], levels, v.Nulls), levels)
	case *file.Float32ColumnChunkWriter:
		c.floats = dense(c.floats, v.Ints[lo:hi], levels, func(bits int32) float32 { return math.Float32frombits(uint32(bits)) })
		c.nan = c.nan || slices.ContainsFunc(c.floats, func(f float32) bool { return f != f })
		return put(chunk.WriteBatch, c.floats, levels)
	case *file.Float64ColumnChunkWriter:
		c.doubles = dense(c.doubles, v.Longs[lo:hi], levels, func(bits int64) float64 { return math.Float64frombits(uint64(bits)) })
		c.nan = c.nan || slices.ContainsFunc(c.doubles, func(f float64) bool { return f != f })
		return put(chunk.WriteBatch, c.doubles, levels)
	case *file.FixedLenByteArrayColumnChunkWriter:
		return put(chunk.WriteBatch, c.fixedValues(v, lo, hi, levels), levels)
	default:
		c.texts = c.texts[:0]
		for i := lo; i < hi; i++ {
			if levels[i-lo] != 0 {
				c.texts = append(c.texts, v.Bytes(i))
			}
		}
		return put(chunk.(*file.ByteArrayColumnChunkWriter).WriteBatch, c.texts, levels)
	}
}

// fixedValues makes the big-endian numbers of decimals, and the bytes of UUIDs.
func (c *columnWriter) fixedValues(v *columnar.View, lo, hi int, levels []int16) []pq.FixedLenByteArray {
	c.fixed = c.fixed[:0]
	if c.target.kind != columnar.Decimal {
		for i := lo; i < hi; i++ {
			if levels[i-lo] != 0 {
				c.fixed = append(c.fixed, v.Bytes(i))
			}
		}
		return c.fixed
	}
	if need := (hi - lo) * 16; cap(c.bytes) < need {
		c.bytes = make([]byte, need)
	}
	for i, d := range v.Decimals[lo:hi] {
		if levels[i] == 0 {
			continue
		}
		b := c.bytes[i*16 : i*16+16]
		binary.BigEndian.PutUint64(b, uint64(d.HighBits()))
		binary.BigEndian.PutUint64(b[8:], d.LowBits())
		c.fixed = append(c.fixed, b[16-c.target.width:])
	}
	return c.fixed
}

// repeat writes n times a text.
func (c *columnWriter) repeat(text []byte, n int) error {
	c.texts = c.texts[:0]
	for range n {
		c.texts = append(c.texts, text)
	}
	return put(c.chunk.(*file.ByteArrayColumnChunkWriter).WriteBatch, c.texts, ones[:n])
}

// nulls writes n NULLs.
func (c *columnWriter) nulls(n int) error {
	levels := zeros[:n]
	switch chunk := c.chunk.(type) {
	case *file.BooleanColumnChunkWriter:
		return put(chunk.WriteBatch, nil, levels)
	case *file.Int32ColumnChunkWriter:
		return put(chunk.WriteBatch, nil, levels)
	case *file.Int64ColumnChunkWriter:
		return put(chunk.WriteBatch, nil, levels)
	case *file.Float32ColumnChunkWriter:
		return put(chunk.WriteBatch, nil, levels)
	case *file.Float64ColumnChunkWriter:
		return put(chunk.WriteBatch, nil, levels)
	case *file.FixedLenByteArrayColumnChunkWriter:
		return put(chunk.WriteBatch, nil, levels)
	default:
		return put(chunk.(*file.ByteArrayColumnChunkWriter).WriteBatch, nil, levels)
	}
}

// put gives values and levels to a column chunk.
func put[T any](write func([]T, []int16, []int16) (int64, error), values []T, levels []int16) error {
	_, err := write(values, levels, nil)
	return err
}

// compact drops the values of NULLs.
func compact[T any](scratch *[]T, values []T, levels []int16, nulls int) []T {
	if nulls == 0 {
		return values
	}
	*scratch = dense(*scratch, values, levels, func(v T) T { return v })
	return *scratch
}

// dense converts the values that are not NULL.
func dense[A, B any](out []B, values []A, levels []int16, convert func(A) B) []B {
	out = out[:0]
	for i, v := range values {
		if levels[i] != 0 {
			out = append(out, convert(v))
		}
	}
	return out
}
