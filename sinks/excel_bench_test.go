package sinks_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline/columnar"
)

// BenchmarkExcelCommits commits 1,000 connections one by one, each with a sheet of 100 rows and ten columns of numbers: the worst
// case for a Summary that every commit writes anew. A thousand commits are one iteration.
func BenchmarkExcelCommits(b *testing.B) {
	for name, options := range map[string]string{"Summary": "", "NoSummary": `{"summary":false}`} {
		b.Run(name, func(b *testing.B) {
			var names []string
			for i := range 1000 {
				names = append(names, fmt.Sprintf("Branch_%04d", i))
			}
			for b.Loop() {
				w := newExcelWorld(b, options, names...)
				w.cols = nil
				for i := range 10 {
					w.cols = append(w.cols, columnar.Column{Name: fmt.Sprintf("amount_%d", i), Kind: columnar.Decimal, Precision: 14, Scale: 2})
				}
				w.claim()
				for conn := range names {
					batch := columnar.NewBuilder(w.cols)
					for row := range 100 {
						for i := range w.cols {
							batch.Column(i).Decimal(decimal128.FromI64(int64(conn*1_000_003 + row*7919 + i)))
						}
						batch.EndRow()
					}
					p := w.open(conn)
					w.write(p, 0, 0, decoded(b, batch))
					w.finishPart(p)
					w.commit(p)
				}
				w.finish()
				w.publishFinal()
			}
		})
	}
}
