package main

import (
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

var properties = xlsx.Properties{Title: "Sales", Creator: "fanmill bench", Application: "fanmill"}

// writeFanmill writes a workbook of one query's sheets as the destination does: batches are encoded on all cores, pieces are
// written to a part's file in their order, and the finished sheets are appended to the workbook.
func writeFanmill(path string, batch *columnar.Batch, rows int) (err error) {
	part, err := os.CreateTemp("", "fanmill-bench-part-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close(), os.Remove(part.Name())) }()
	segments, err := encodeRows(part, batch, rows)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = xlsx.New(properties).Append(file, sheets(part, segments, 1, "Sales"))
	return err
}

// encodeRows writes the batch again and again, until there are so many rows, as the pieces of one query's sheets.
func encodeRows(part io.Writer, batch *columnar.Batch, rows int) (segments xlsx.Segments, err error) {
	encoder, err := xlsx.NewEncoder(sampleColumns, xlsx.Options{})
	if err != nil {
		return nil, err
	}
	write := func(c *xlsx.Chunk) error {
		for _, p := range c.Pieces {
			if _, err := part.Write(p.Data); err != nil {
				return err
			}
			if err := segments.Add(p); err != nil {
				return err
			}
		}
		c.Release()
		return nil
	}
	type outcome struct {
		chunk *xlsx.Chunk
		err   error
	}
	cores := runtime.GOMAXPROCS(0)
	queue := make(chan chan outcome, cores+2) // in order; bounds what is encoded and not yet written
	running := make(chan struct{}, cores)
	go func() {
		defer close(queue)
		for first := 0; first < rows; first += batch.Rows {
			done := make(chan outcome, 1)
			queue <- done
			running <- struct{}{}
			go func() {
				defer func() { <-running }()
				c, err := encoder.Encode(int64(first), head(batch, rows-first))
				done <- outcome{c, err}
			}()
		}
	}()
	for done := range queue {
		o := <-done
		if err == nil {
			err = o.err
		}
		if err == nil {
			err = write(o.chunk)
		}
	}
	if err != nil {
		return nil, err
	}
	return segments, write(encoder.Tail(int64(rows)))
}

// head is the batch, or its first rows.
func head(b *columnar.Batch, rows int) *columnar.Batch {
	if rows >= b.Rows {
		return b
	}
	return &columnar.Batch{Rows: rows, Cols: b.Cols}
}

// sheets are a part's sheets on their way into a workbook.
func sheets(part io.ReaderAt, segments xlsx.Segments, place int, name string) []xlsx.NewSheet {
	out := make([]xlsx.NewSheet, len(segments))
	at := int64(0)
	for i, s := range segments {
		from := at
		at += s.Length
		out[i] = xlsx.NewSheet{Order: [3]int{place, 0, i}, Name: xlsx.RollOver([]string{name}, 0, i), Columns: len(sampleColumns), Segment: s,
			Open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(part, from, s.Length)), nil }}
	}
	return out
}

// writeExcelize writes the same rows with excelize: a header, and values as they are. It styles dates by itself; decimals
// get no format, which spares it work and bytes.
func writeExcelize(path string, table [][]any, rows int) (err error) {
	f := excelize.NewFile()
	defer func() { err = errors.Join(err, f.Close()) }()
	w, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		return err
	}
	header := make([]any, len(sampleColumns))
	for i, c := range sampleColumns {
		header[i] = c.Name
	}
	for i := range rows + 1 {
		row := header
		if i > 0 {
			row = table[(i-1)%len(table)]
		}
		cell, err := excelize.CoordinatesToCellName(1, i+1)
		if err != nil {
			return err
		}
		if err := w.SetRow(cell, row); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.SaveAs(path)
}
