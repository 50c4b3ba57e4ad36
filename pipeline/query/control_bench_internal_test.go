package query

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// BenchmarkControls adds up five columns of decimals out of fifteen, as a worker does with each batch: rows/s is to be
// far above what any database sends. Without sums a batch is not looked at.
func BenchmarkControls(b *testing.B) {
	const rows, columns = 4096, 15
	var cols []columnar.Column
	for i := range columns {
		cols = append(cols, columnar.Column{Name: fmt.Sprint("c", i), Kind: columnar.Decimal, Precision: 14, Scale: 2})
	}
	built := columnar.NewBuilder(cols)
	for r := range rows {
		for i := range columns {
			built.Column(i).Decimal(decimal128.FromI64(int64(r * i)))
		}
		built.EndRow()
	}
	body, err := built.Encode()
	if err != nil {
		b.Fatal(err)
	}
	body = slices.Clone(body)
	for _, sums := range [][]string{nil, {"c1", "c2", "c3", "c4", "c5"}} {
		b.Run(fmt.Sprint(len(sums), " sums"), func(b *testing.B) {
			all := newControls(&pipeline.DatabaseKind{}, []pipeline.Query{{Verify: &pipeline.Verify{Count: true, Sum: sums}}})
			all.find([][]columnar.Column{cols})
			for b.Loop() {
				if err := all.add(0, body); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
