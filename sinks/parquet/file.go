package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// magic begins and ends a file. [parquet-format] "File format"
const magic = "PAR1"

// tailBytes are those behind the metadata of a footer: its length and the magic.
const tailBytes = 8

// Part is a complete Parquet file of this package: what a Writer, or a File, wrote.
type Part struct {
	R    io.ReaderAt
	Size int64
}

// File is a Parquet file that grows by parts, and is complete after each Finish. It holds the metadata of all row
// groups, some 100 bytes for a column of a group. What it appends goes to an io.Writer that stands at the file's end.
// After an error the bytes from the last Finish on are to be cut off, and the File opened anew. It is for one
// goroutine.
type File struct {
	footer *metadata.FileMetaData
	size   int64
	body   int64 // bytes of row groups
}

// Start is a file without bytes.
func Start(s *Schema) (*File, error) {
	var empty bytes.Buffer
	w, err := New(&empty, s, Options{})
	if err != nil {
		return nil, err
	}
	if err := w.Close(nil); err != nil {
		return nil, err
	}
	f, err := Open(Part{bytes.NewReader(empty.Bytes()), int64(empty.Len())})
	if err != nil {
		return nil, err
	}
	f.size = 0
	return f, nil
}

// Open reads the footer that a file of this size ends with.
func Open(p Part) (*File, error) {
	if p.Size < int64(len(magic))+tailBytes {
		return nil, fmt.Errorf("open Parquet file: %d bytes are too few to be one", p.Size)
	}
	var tail [tailBytes]byte
	if _, err := p.R.ReadAt(tail[:], p.Size-tailBytes); err != nil {
		return nil, fmt.Errorf("open Parquet file: read its end: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if string(tail[4:]) != magic || length > p.Size-tailBytes-int64(len(magic)) {
		return nil, errors.New("open Parquet file: it does not end with a footer; it was cut, or is none")
	}
	data := make([]byte, length)
	if _, err := p.R.ReadAt(data, p.Size-tailBytes-length); err != nil {
		return nil, fmt.Errorf("open Parquet file: read its footer: %w", err)
	}
	footer, err := metadata.NewFileMetaData(data, nil)
	if err != nil {
		return nil, fmt.Errorf("open Parquet file: its footer is damaged: %w", err)
	}
	f := &File{footer: footer, size: p.Size}
	for i := range footer.RowGroups {
		from, to, err := f.extent(i)
		if err != nil {
			return nil, err
		}
		if from < int64(len(magic)) || to > p.Size-tailBytes-length {
			return nil, fmt.Errorf("open Parquet file: row group %d is at %d to %d, outside of the file", i, from, to)
		}
		f.body += to - from
	}
	return f, nil
}

// Size is the file's length in bytes.
func (f *File) Size() int64 { return f.size }

// Dead is how many bytes of the file are in no row group and not needed: older footers, and the current one.
func (f *File) Dead() int64 { return max(0, f.size-f.body-int64(len(magic))) }

// Rows counts the rows.
func (f *File) Rows() int64 { return f.footer.NumRows }

// Groups counts the row groups.
func (f *File) Groups() int { return len(f.footer.RowGroups) }

// Meta is the footer's keys and values.
func (f *File) Meta() map[string]string {
	meta := map[string]string{}
	for _, kv := range f.footer.GetKeyValueMetadata() {
		meta[kv.Key] = kv.GetValue()
	}
	return meta
}

// extent is where the bytes of a row group stand. They are one piece in the files of this package.
func (f *File) extent(group int) (from, to int64, err error) {
	size := int64(0)
	for i, c := range f.footer.RowGroups[group].Columns {
		m := c.MetaData
		start := m.DataPageOffset
		if m.IsSetDictionaryPageOffset() && m.GetDictionaryPageOffset() > 0 {
			start = min(start, m.GetDictionaryPageOffset())
		}
		if i == 0 || start < from {
			from = start
		}
		to = max(to, start+m.TotalCompressedSize)
		size += m.TotalCompressedSize
	}
	if size != to-from {
		return 0, 0, fmt.Errorf("open Parquet file: row group %d is not one piece: another program wrote it", group)
	}
	return from, to, nil
}

// begin writes the magic that a file begins with.
func (f *File) begin(w io.Writer) error {
	if f.size > 0 {
		return nil
	}
	n, err := io.WriteString(w, magic)
	f.size += int64(n)
	return err
}

// copyGroup appends a row group of a part as it is.
func (f *File) copyGroup(w io.Writer, p Part, part *File, group int) error {
	from, to, err := part.extent(group)
	if err != nil {
		return err
	}
	at := f.size
	n, err := io.Copy(w, io.NewSectionReader(p.R, from, to-from))
	f.size += n
	if err != nil {
		return err
	}
	if n != to-from {
		return fmt.Errorf("%d bytes of a row group of %d are there", n, to-from)
	}
	f.add(part.footer, group, at-from, n)
	return nil
}

// add takes over the metadata of a row group, whose bytes stand this much further on. The other footer is not to be
// used again.
func (f *File) add(other *metadata.FileMetaData, group int, moved, bytes int64) {
	g := other.RowGroups[group]
	for _, c := range g.Columns {
		if c.FileOffset != 0 {
			c.FileOffset += moved
		}
		m := c.MetaData
		m.DataPageOffset += moved
		if m.DictionaryPageOffset != nil {
			offset := *m.DictionaryPageOffset + moved
			m.DictionaryPageOffset = &offset
		}
	}
	if g.FileOffset != nil {
		offset := *g.FileOffset + moved
		g.FileOffset = &offset
	}
	ordinal := int16(len(f.footer.RowGroups))
	g.Ordinal = &ordinal
	f.footer.RowGroups = append(f.footer.RowGroups, g)
	f.footer.NumRows += g.NumRows
	f.body += bytes
}

// Finish writes a footer with these keys and values: what stands on disk then is complete.
func (f *File) Finish(w io.Writer, meta map[string]string) error {
	if err := f.begin(w); err != nil {
		return fmt.Errorf("finish Parquet file: %w", err)
	}
	n, err := writeFooter(w, f.footer, meta)
	f.size += n
	return err
}

// writeFooter writes a footer and returns its length.
func writeFooter(w io.Writer, footer *metadata.FileMetaData, meta map[string]string) (int64, error) {
	kv := metadata.NewKeyValueMetadata()
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if err := kv.Append(key, meta[key]); err != nil {
			return 0, fmt.Errorf("write Parquet footer: %w", err)
		}
	}
	footer.FileMetaData.KeyValueMetadata = kv
	dropUnevenBounds(footer)
	var out bytes.Buffer
	n, err := footer.WriteTo(&out, nil)
	if err != nil {
		return 0, fmt.Errorf("write Parquet footer: %w", err)
	}
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	out.WriteString(magic)
	written, err := w.Write(out.Bytes())
	if err != nil {
		return int64(written), fmt.Errorf("write Parquet footer: %w", err)
	}
	return int64(written), nil
}
