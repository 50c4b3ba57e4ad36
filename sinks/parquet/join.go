package parquet

import (
	"errors"
	"fmt"
	"io"

	pq "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// Row groups below a fourth of what is allowed are rewritten together.
const smallFraction = 4

// span is a row group of a part.
type span struct {
	part  Part
	file  *File
	group int
}

func (s span) bytes() int64 { return s.file.footer.RowGroups[s.group].TotalByteSize }
func (s span) codec() int64 { return int64(s.file.footer.RowGroups[s.group].Columns[0].MetaData.Codec) }
func (s span) rows() int64  { return s.file.footer.RowGroups[s.group].NumRows }

// Append appends the row groups of parts, in their order, to w, which stands at the file's end. Large ones are copied
// byte by byte. Neighbours that are small, of whatever parts, are decoded and written again as one: a thousand parts of
// twenty rows make one row group. Those that are compressed otherwise than o says are rewritten, too: parquet-go takes
// all of a column for compressed alike. Finish makes the file complete.
func (f *File) Append(w io.Writer, o Options, parts ...Part) error {
	var spans []span
	for i, p := range parts {
		part, err := Open(p)
		if err != nil {
			return fmt.Errorf("append part %d: %w", i+1, err)
		}
		if !part.footer.Schema.Equals(f.footer.Schema) {
			return fmt.Errorf("append part %d: its columns are not those of the file", i+1)
		}
		for group := range part.footer.RowGroups {
			spans = append(spans, span{p, part, group})
		}
	}
	props, err := o.properties()
	if err != nil {
		return err
	}
	if err := f.begin(w); err != nil {
		return fmt.Errorf("begin Parquet file: %w", err)
	}
	for len(spans) > 0 {
		n := together(spans, o.groupBytes())
		if len(f.footer.RowGroups) >= MaxGroups {
			return fmt.Errorf("a Parquet file has at most %d row groups; allow more bytes for each", MaxGroups)
		}
		if n == 1 && spans[0].codec() == int64(props.Compression()) {
			err = f.copyGroup(w, spans[0].part, spans[0].file, spans[0].group)
		} else {
			err = f.merge(w, o, spans[:n])
		}
		if err != nil {
			return fmt.Errorf("append row group: %w", err)
		}
		spans = spans[n:]
	}
	return nil
}

// together is how many of the first row groups become one.
func together(spans []span, most int64) int {
	bytes, rows := int64(0), int64(0)
	for n, s := range spans {
		small := s.bytes() < most/smallFraction && s.rows() < MaxGroupRows/smallFraction
		if !small || bytes+s.bytes() > most || rows+s.rows() > MaxGroupRows {
			return max(1, n)
		}
		bytes += s.bytes()
		rows += s.rows()
	}
	return len(spans)
}

// merge writes row groups as one.
func (f *File) merge(w io.Writer, o Options, spans []span) (err error) {
	props, err := o.properties()
	if err != nil {
		return err
	}
	out := &sink{w: w, skip: int64(len(magic))}
	pw, err := file.NewParquetWriterWithError(out, f.footer.Schema.Root(), file.WithWriterProps(props))
	if err != nil {
		return err
	}
	group, err := pw.AppendBufferedRowGroupChecked()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // gives memory back
			out.w, out.err = io.Discard, nil
			_ = group.Close()
			for i := range group.NumColumns() {
				if chunk, err := group.Column(i); err == nil {
					_ = chunk.Close()
				}
			}
		}
		f.size += out.n
	}()
	copiers := make([]copier, group.NumColumns())
	for _, s := range spans {
		if err := s.copyRows(o, group, copiers); err != nil {
			return err
		}
	}
	if err := group.Close(); err != nil {
		return err
	}
	if out.err != nil {
		return out.err
	}
	footer, err := pw.FileMetadata()
	if err != nil {
		return err
	}
	for column := range copiers {
		for _, s := range spans {
			if !bounded(s.file.footer, s.group, column) {
				dropBounds(footer, 0, column)
			}
		}
	}
	f.add(footer, 0, f.size-int64(len(magic)), out.n)
	return nil
}

// copyRows decodes the rows of a row group and writes them into another.
func (s span) copyRows(o Options, group file.BufferedRowGroupWriter, copiers []copier) error {
	reading := pq.NewReaderProperties(o.memory)
	r, err := file.NewParquetReader(io.NewSectionReader(s.part.R, 0, s.part.Size), file.WithReadProps(reading))
	if err != nil {
		return err
	}
	defer r.Close()
	rows := r.RowGroup(s.group)
	for i := range copiers {
		in, err := rows.Column(i)
		if err != nil {
			return err
		}
		out, err := group.Column(i)
		if err != nil {
			return err
		}
		if copiers[i] == nil {
			copiers[i] = newCopier(out)
		}
		err = copiers[i](in, out, rows.NumRows())
		if closing := in.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return fmt.Errorf("column %q: %w", out.Descr().Name(), err)
		}
	}
	return nil
}

// copier copies a number of rows of a column.
type copier func(in file.ColumnChunkReader, out file.ColumnChunkWriter, rows int64) error

// chunkReader and chunkWriter are what arrow-go's column chunks of one type have in common.
type chunkReader[T any] interface {
	file.ColumnChunkReader
	ReadBatch(batchSize int64, values []T, defLevels, repLevels []int16) (total int64, valuesRead int, err error)
}

type chunkWriter[T any] interface {
	file.ColumnChunkWriter
	WriteBatch(values []T, defLevels, repLevels []int16) (valueOffset int64, err error)
}

func newCopier(out file.ColumnChunkWriter) copier {
	switch out.(type) {
	case *file.BooleanColumnChunkWriter:
		return copyValues[bool]()
	case *file.Int32ColumnChunkWriter:
		return copyValues[int32]()
	case *file.Int64ColumnChunkWriter:
		return copyValues[int64]()
	case *file.Float32ColumnChunkWriter:
		return copyValues[float32]()
	case *file.Float64ColumnChunkWriter:
		return copyValues[float64]()
	case *file.FixedLenByteArrayColumnChunkWriter:
		return copyValues[pq.FixedLenByteArray]()
	default:
		return copyValues[pq.ByteArray]()
	}
}

// copyStep is how many rows are decoded at a time.
const copyStep = 1000

func copyValues[T any]() copier {
	values, levels := make([]T, copyStep), make([]int16, copyStep)
	inPage := int64(0)
	return func(in file.ColumnChunkReader, out file.ColumnChunkWriter, rows int64) error {
		r, w := in.(chunkReader[T]), out.(chunkWriter[T])
		for rows > 0 {
			n, have, err := r.ReadBatch(min(rows, copyStep, maxPageRows-inPage), values, levels, nil)
			if err != nil {
				return err
			}
			if n == 0 {
				return errors.New("the row group ends before its last row")
			}
			if _, err := w.WriteBatch(values[:have], levels[:n], nil); err != nil {
				return err
			}
			rows -= n
			if inPage += n; inPage == maxPageRows {
				inPage = 0
				if err := endPage(out); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
