package sinks

import (
	"context"

	"fanmill/pipeline"
	"fanmill/sinks/parquet"
)

// parquetLayout is what the report on a Parquet file has of its layout.
type parquetLayout struct {
	Column string `json:"connectionColumn,omitempty"` // the one with the connection's name
}

func (s *parquetFile) layout() any { return parquetLayout{s.options.names.connection} }

// countParquet counts the rows of a Parquet file.
func countParquet(ctx context.Context, f pipeline.CountedFile) (out pipeline.Counts, err error) {
	var layout parquetLayout
	if err := readLayout(f, &layout); err != nil {
		return out, err
	}
	var names *nameCounts
	if layout.Column != "" {
		names = newNameCounts(f.Report)
	}
	rows, err := parquet.Count(ctx, f.R, f.Size, layout.Column, func(name string, rows int64) { names.add(name, rows) })
	if err != nil {
		return out, err
	}
	if names == nil {
		return tableCounts(f.Report, rows, nil, ""), nil
	}
	return tableCounts(f.Report, rows, names.by, layout.Column), nil
}
