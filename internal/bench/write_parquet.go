package main

import (
	"errors"
	"fmt"
	"os"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
	sales "fanmill/sinks/xlsx/sample"
)

// distinct makes batches of rows of which no two are the same: a Parquet file keeps repetitions of values in
// dictionaries.
func distinct(rows int) ([]*columnar.Batch, error) {
	var batches []*columnar.Batch
	for first := 0; first < rows; first += sampleRows {
		b, err := sales.Batch(uint64(first), int64(first), min(sampleRows, rows-first))
		if err != nil {
			return nil, err
		}
		batches = append(batches, b)
	}
	return batches, nil
}

// writeParquet writes batches as the destination writes a connection: one Writer, one row group of up to 64 MB at a
// time.
func writeParquet(path string, batches []*columnar.Batch) (rows int, err error) {
	columns, from := make([]parquet.Column, len(sampleColumns)), make([]int, len(sampleColumns))
	for i, c := range sampleColumns {
		columns[i], from[i] = parquet.Column{Name: c.Name, Kind: c.Kind, Precision: c.Precision, Scale: c.Scale}, i
	}
	schema, err := parquet.NewSchema(columns)
	if err != nil {
		return 0, err
	}
	feed, err := schema.Feed("Branch_001", from)
	if err != nil {
		return 0, err
	}
	file, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := parquet.New(file, schema, parquet.Options{})
	if err != nil {
		return 0, err
	}
	for _, b := range batches {
		if err := w.Write(feed, b); err != nil {
			return 0, err
		}
	}
	if err := w.Close(nil); err != nil {
		return 0, err
	}
	if losses := feed.Losses(); len(losses) > 0 {
		return 0, fmt.Errorf("the file does not hold all values: %v", losses)
	}
	return int(w.Rows()), nil
}
