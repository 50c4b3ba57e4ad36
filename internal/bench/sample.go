package main

import (
	"fmt"

	"fanmill/pipeline/columnar"
	sales "fanmill/sinks/xlsx/sample"
)

// sampleRows is how many different rows there are; every contender writes them again and again. Their XML is far larger than
// the 32 KB in which deflate finds repetitions, and they are small beside the memory that is measured.
const sampleRows = 5000

var sampleColumns = sales.Columns

// sample makes the rows, the same ones in every process.
func sample() (*columnar.Batch, error) { return sales.Batch(1, 100_000, sampleRows) }

// boxed are the rows as excelize takes them.
func boxed(b *columnar.Batch) [][]any { return sales.Boxed(b) }

// tabbed are the rows as the C program takes them: a line each, fields between tabs, an empty field for an empty cell,
// dates and times as the numbers that Excel keeps.
func tabbed(b *columnar.Batch) []byte {
	const epoch = 25_569 // 1970-01-01 in Excel's days
	var out []byte
	for i := range b.Rows {
		for k := range b.Cols {
			if k > 0 {
				out = append(out, '\t')
			}
			v := &b.Cols[k]
			switch {
			case v.Null(i):
			case v.Kind == columnar.Date:
				out = fmt.Append(out, int64(v.Ints[i])+epoch)
			case v.Kind == columnar.Instant:
				out = fmt.Appendf(out, "%.12f", float64(v.Longs[i])/float64(columnar.MicrosPerDay)+epoch)
			default:
				out = v.AppendText(out, i, nil)
			}
		}
		out = append(out, '\n')
	}
	return out
}
