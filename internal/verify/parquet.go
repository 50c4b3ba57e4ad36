package verify

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Parquet reads a Parquet file with parquet-go. key is the column whose values are the tables' names; the rows of each
// must stand together. Without a key all rows are of the table "". Every value is read by the logical type of its
// column [LogicalTypes.md].
func Parquet(path string, columns []Column, key string) (_ Dataset, err error) {
	file, shut, err := openParquet(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shut()) }()
	r := newParquetReader(file, columns, key)
	for n, group := range file.RowGroups() {
		if err := r.group(group); err != nil {
			return nil, fmt.Errorf("read %s: row group %d: %w", path, n, err)
		}
	}
	if key == "" && len(r.tables) == 0 {
		r.tables[""] = newTally(r.header, columns)
	}
	out := Dataset{}
	for name, t := range r.tables {
		out[name] = t.table()
	}
	return out, nil
}

// ParquetMeta is the key-value metadata of a Parquet file.
func ParquetMeta(path string) (_ map[string]string, err error) {
	file, shut, err := openParquet(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shut()) }()
	out := map[string]string{}
	for _, kv := range file.Metadata().KeyValueMetadata {
		out[kv.Key] = kv.Value
	}
	return out, nil
}

// openParquet reads a file's footer. shut closes the file.
func openParquet(path string) (file *parquet.File, shut func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		file, err = parquet.OpenFile(f, info.Size())
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return file, f.Close, nil
}

type parquetReader struct {
	columns []Column
	header  []string
	types   []*format.LogicalType // nil of plain values
	key     int                   // -1 for none
	tables  map[string]*tally
	current *tally
	name    string
}

func newParquetReader(file *parquet.File, columns []Column, key string) *parquetReader {
	r := &parquetReader{columns: columns, tables: map[string]*tally{}}
	for _, field := range file.Schema().Fields() {
		r.header, r.types = append(r.header, field.Name()), append(r.types, field.Type().LogicalType())
	}
	r.key = slices.Index(r.header, key)
	return r
}

func (r *parquetReader) group(group parquet.RowGroup) (err error) {
	rows := group.Rows()
	defer func() { err = errors.Join(err, rows.Close()) }()
	buf, read := make([]parquet.Row, 256), int64(0)
	for {
		n, err := rows.ReadRows(buf)
		for _, row := range buf[:n] {
			if err := r.row(row); err != nil {
				return err
			}
		}
		read += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if read != group.NumRows() {
		return fmt.Errorf("it says %d rows and has %d", group.NumRows(), read)
	}
	return nil
}

func (r *parquetReader) row(row parquet.Row) error {
	if len(row) != len(r.header) {
		return fmt.Errorf("a row has %d values for %d columns", len(row), len(r.header))
	}
	name := ""
	if r.key >= 0 {
		name = string(row[r.key].ByteArray())
	}
	if r.current == nil || name != r.name {
		if r.name = name; r.tables[name] != nil {
			return fmt.Errorf("rows of %s again, after those of another", name)
		}
		r.current = newTally(r.header, r.columns)
		r.tables[name] = r.current
	}
	t := r.current
	for i, v := range row {
		if v.IsNull() {
			t.null(i)
			continue
		}
		text, err := t.cols[i].appendParquet(t.set(i), v, r.types[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", r.header[i], err)
		}
		t.cells[i] = text
	}
	t.endRow()
	return nil
}

// appendParquet appends the canonical text of a value.
func (c *Column) appendParquet(dst []byte, v parquet.Value, t *format.LogicalType) ([]byte, error) {
	if t == nil {
		return c.appendPlain(dst, v)
	}
	switch t := t.Value.(type) {
	case *format.StringType, *format.JsonType:
		if c.Kind != Text && c.Kind != Decimal && c.Kind != Float {
			dst = append(dst, asText...)
		}
		return c.canonical(dst, v.ByteArray()), nil
	case *format.DecimalType:
		return c.canonical(c.mark(dst), []byte(pointed(parquetInteger(v), int(t.Scale)))), nil
	case *format.DateType:
		return time.Unix(int64(v.Int32())*86400, 0).UTC().AppendFormat(c.mark(dst), time.DateOnly), nil
	case *format.TimestampType:
		if t.IsAdjustedToUTC != (c.Kind == Instant) {
			dst = append(dst, asText...)
		}
		if _, micros := t.Unit.Value.(*format.MicroSeconds); micros {
			return c.appendTime(dst, time.UnixMicro(v.Int64()).UTC()), nil
		}
	case *format.TimeType:
		if _, micros := t.Unit.Value.(*format.MicroSeconds); micros {
			return time.UnixMicro(v.Int64()).UTC().AppendFormat(dst, "15:04:05.999999"), nil
		}
	}
	return nil, fmt.Errorf("%s is a type that this reader does not know", t)
}

// appendPlain appends the text of a value without a logical type.
func (c *Column) appendPlain(dst []byte, v parquet.Value) ([]byte, error) {
	var scratch [64]byte
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(c.mark(dst), v.Boolean()), nil
	case parquet.Int32, parquet.Int64:
		return c.canonical(c.mark(dst), strconv.AppendInt(scratch[:0], v.Int64(), 10)), nil
	case parquet.Float:
		return c.canonical(c.mark(dst), strconv.AppendFloat(scratch[:0], float64(v.Float()), 'g', -1, 32)), nil
	case parquet.Double:
		return c.canonical(c.mark(dst), strconv.AppendFloat(scratch[:0], v.Double(), 'g', -1, 64)), nil
	case parquet.ByteArray:
		return hex.AppendEncode(append(dst, "0x"...), v.ByteArray()), nil
	}
	return nil, fmt.Errorf("%s is a type that this reader does not know", v.Kind())
}

// mark marks what is no text in a column of texts.
func (c *Column) mark(dst []byte) []byte {
	if c.Kind == Text {
		return append(dst, asNumber...)
	}
	return dst
}

// parquetInteger is the number that a decimal would be without its point.
func parquetInteger(v parquet.Value) *big.Int {
	switch v.Kind() {
	case parquet.Int32, parquet.Int64:
		return big.NewInt(v.Int64())
	}
	bytes := v.ByteArray()
	n := new(big.Int).SetBytes(bytes)
	if len(bytes) > 0 && bytes[0]&0x80 != 0 { // two's complement
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(bytes))))
	}
	return n
}
