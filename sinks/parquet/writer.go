package parquet

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/memory"
	pq "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"

	"fanmill/pipeline/columnar"
)

// Options say how a file is encoded. The zero Options are the defaults.
type Options struct {
	// Compression is "zstd" (the default), "snappy", "gzip" or "none". Old tools read snappy only.
	Compression string
	// GroupBytes bounds a row group, in bytes of values; 0 is DefaultGroupBytes. One batch may go beyond it.
	GroupBytes int64

	memory memory.Allocator // of tests
}

func (o Options) groupBytes() int64 {
	if o.GroupBytes <= 0 {
		return DefaultGroupBytes
	}
	return o.GroupBytes
}

// properties are those of arrow-go's writer.
func (o Options) properties() (*pq.WriterProperties, error) {
	codecs := map[string]compress.Compression{"": compress.Codecs.Zstd, "zstd": compress.Codecs.Zstd, "snappy": compress.Codecs.Snappy,
		"gzip": compress.Codecs.Gzip, "none": compress.Codecs.Uncompressed}
	codec, ok := codecs[o.Compression]
	if !ok {
		return nil, fmt.Errorf("parquet: there is no compression %q; it is zstd, snappy, gzip or none", o.Compression)
	}
	if o.memory == nil {
		o.memory = memory.DefaultAllocator
	}
	return pq.NewWriterProperties(pq.WithAllocator(o.memory), pq.WithCompression(codec), pq.WithDataPageVersion(pq.DataPageV1),
		pq.WithDataPageSize(maxPageBytes), pq.WithDictionaryPageSizeLimit(maxDictionaryBytes), pq.WithMaxRowGroupLength(MaxGroupRows), pq.WithMaxStatsSize(maxBound)), nil
}

// Writer writes batches as a complete Parquet file. Row groups are as large as Options allow, whatever the size of
// batches. After an error the file is to be thrown away: every later call returns that error. A Writer is for one
// goroutine; the batches may be used again when Write returns.
type Writer struct {
	schema    *Schema
	opts      Options
	out       *sink
	file      *file.Writer
	group     file.BufferedRowGroupWriter // nil between two groups
	columns   []columnWriter
	converter converter
	groupRows int
	groupRaw  int64 // bytes of the group's values
	pageRows  int
	pageRaw   int64
	rows      int64
	err       error
}

// New begins a file on w.
func New(w io.Writer, s *Schema, o Options) (*Writer, error) {
	props, err := o.properties()
	if err != nil {
		return nil, err
	}
	root, err := s.tree()
	if err != nil {
		return nil, fmt.Errorf("parquet: begin file: %w", err)
	}
	out := &sink{w: w}
	f, err := file.NewParquetWriterWithError(out, root, file.WithWriterProps(props))
	if err != nil {
		return nil, fmt.Errorf("parquet: begin file: %w", err)
	}
	pw := &Writer{schema: s, opts: o, out: out, file: f, columns: make([]columnWriter, len(s.columns))}
	for i := range pw.columns {
		pw.columns[i].target = &s.columns[i]
	}
	return pw, nil
}

// Rows counts the rows written.
func (w *Writer) Rows() int64 { return w.rows }

// Size is how many bytes were given to the io.Writer.
func (w *Writer) Size() int64 { return w.out.n }

// Buffered is about how many bytes the Writer holds: the compressed pages of the open row group, and pages in the
// making. It stays below Options.GroupBytes and two pages of up to 1 MB with a dictionary of as much for each column,
// unless values do not compress.
func (w *Writer) Buffered() int64 {
	if w.group == nil {
		return 0
	}
	return w.group.TotalCompressedBytes() + w.pageRaw
}

// Write appends the rows of a batch. What the file does not hold of them is counted in f.
func (w *Writer) Write(f *Feed, b *columnar.Batch) error {
	if w.err != nil || b.Rows == 0 {
		return w.err
	}
	if err := w.write(f, b); err != nil {
		w.err = fmt.Errorf("parquet: write rows of %s: %w", f.connection, err)
	}
	return w.err
}

func (w *Writer) write(f *Feed, b *columnar.Batch) error {
	if f.schema != w.schema {
		return errors.New("the feed was made for another schema")
	}
	raw := batchBytes(b)
	if w.group != nil && (w.groupRows+b.Rows > MaxGroupRows || w.groupRaw+raw > w.opts.groupBytes()) {
		if err := w.endGroup(); err != nil {
			return err
		}
	}
	if w.group == nil {
		if err := w.beginGroup(); err != nil {
			return err
		}
	}
	for i := range w.columns {
		if err := w.column(f, b, i); err != nil {
			return fmt.Errorf("column %q: %w", w.columns[i].target.Name, err)
		}
	}
	f.rows += int64(b.Rows)
	w.rows += int64(b.Rows)
	w.groupRows += b.Rows
	w.groupRaw += raw
	w.pageRaw += raw
	if w.pageRows += b.Rows; w.pageRows >= maxPageRows {
		w.pageRows, w.pageRaw = w.pageRows%maxPageRows, 0
	}
	return nil
}

// column appends the rows of a batch to column i, page by page.
func (w *Writer) column(f *Feed, b *columnar.Batch, i int) error {
	c, from := &w.columns[i], f.from[i]
	var view *columnar.View
	if from >= 0 {
		view = w.converter.convert(c.target, &b.Cols[from], b.Rows, f, i)
	}
	inPage := w.pageRows
	for lo := 0; lo < b.Rows; {
		hi := min(b.Rows, lo+maxPageRows-inPage)
		var err error
		switch {
		case view != nil:
			err = c.append(view, lo, hi)
		case c.target.Connection:
			err = c.repeat([]byte(f.connection), hi-lo)
		default:
			err = c.nulls(hi - lo)
		}
		if err != nil {
			return err
		}
		if inPage += hi - lo; inPage == maxPageRows {
			inPage = 0
			if err := endPage(c.chunk); err != nil {
				return err
			}
		}
		lo = hi
	}
	return nil
}

func (w *Writer) beginGroup() error {
	if w.file.NumRowGroups() >= MaxGroups {
		return fmt.Errorf("a file has at most %d row groups; allow more bytes for each", MaxGroups)
	}
	group, err := w.file.AppendBufferedRowGroupChecked()
	if err != nil {
		return err
	}
	for i := range w.columns {
		if w.columns[i].chunk, err = group.Column(i); err != nil {
			return err
		}
	}
	w.group = group
	return nil
}

func (w *Writer) endGroup() error {
	if w.group == nil {
		return nil
	}
	group := w.group
	w.group, w.groupRows, w.groupRaw, w.pageRows, w.pageRaw = nil, 0, 0, 0, 0
	for i := range w.columns {
		if c := &w.columns[i]; c.nan {
			c.loose, c.nan = append(c.loose, w.file.NumRowGroups()-1), false
		}
	}
	if err := group.Close(); err != nil {
		return err
	}
	return w.out.err
}

// Close ends the last row group and writes the footer, with these keys and values in it. It does not close the
// io.Writer.
func (w *Writer) Close(meta map[string]string) error {
	if w.err != nil {
		return w.err
	}
	w.err = errors.New("parquet: the file is closed")
	if err := w.endGroup(); err != nil {
		return fmt.Errorf("parquet: end row group: %w", err)
	}
	footer, err := w.file.FileMetadata()
	if err != nil {
		return fmt.Errorf("parquet: end file: %w", err)
	}
	for i := range w.columns {
		for _, group := range w.columns[i].loose {
			dropBounds(footer, group, i)
		}
	}
	_, err = writeFooter(w.out, footer, meta)
	return err
}

// Discard gives back what the Writer holds, in place of Close. It may follow Close.
func (w *Writer) Discard() {
	if w.err == nil {
		w.err = errors.New("parquet: the file is discarded")
	}
	w.out.w, w.out.err = io.Discard, nil
	for i := range w.columns {
		if chunk := w.columns[i].chunk; chunk != nil {
			_ = chunk.Close() // nobody gets what it says
		}
	}
}

// batchBytes is about what the values of a batch take before they are encoded.
func batchBytes(b *columnar.Batch) (n int64) {
	for i := range b.Cols {
		v := &b.Cols[i]
		n += int64(len(v.Bits) + 8*len(v.Longs) + 4*len(v.Ints) + 16*len(v.Decimals))
		if len(v.Offsets) > b.Rows {
			n += int64(v.Offsets[b.Rows]-v.Offsets[0]) + 4*int64(b.Rows)
		}
	}
	return n
}

// sink counts bytes. It hides other methods of the writer: arrow-go closes what it can. An error is kept, because it
// also comes from where arrow-go drops it.
type sink struct {
	w    io.Writer
	n    int64
	skip int64 // bytes at the beginning that are counted by nobody and go nowhere
	err  error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	all := len(p)
	if s.skip > 0 {
		skipped := min(s.skip, int64(len(p)))
		s.skip -= skipped
		if p = p[skipped:]; len(p) == 0 {
			return all, nil
		}
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if s.err = err; err != nil {
		return n, err
	}
	return all, nil
}

// endPage ends the page of a column chunk, if it has a value.
func endPage(chunk file.ColumnChunkWriter) error {
	page := chunk.PageStatistics()
	if page.NumValues()+page.NullCount() == 0 {
		return nil
	}
	return chunk.(interface{ FlushCurrentPage() error }).FlushCurrentPage()
}

// ones are the definition levels of values that are not NULL, zeros those of NULLs.
var (
	ones  = slices.Repeat([]int16{1}, maxPageRows)
	zeros = make([]int16, maxPageRows)
)
