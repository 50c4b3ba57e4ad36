package verify_test

import (
	"strings"
	"testing"

	"fanmill/internal/verify"
	"fanmill/internal/verify/excelread"
)

// The readers at work on 2 x 50,000 rows of 7 columns.
func BenchmarkRead(b *testing.B) {
	small := fixture()
	_, cols := truthOf(b, small)
	tables := map[string][][]cell{}
	for name, rows := range small {
		for range 12_500 {
			tables[name] = append(tables[name], rows...)
		}
	}
	book, text := writeWorkbook(b, sheetsOf(tables)), csvText(tables)
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "rows/s")
		})
	}
	run("csv", func() error {
		_, err := verify.ReadCSV(strings.NewReader(text), verify.CSVOptions{Columns: cols, Key: "branch"})
		return err
	})
	run("workbook", func() error {
		_, err := verify.Workbook(book, cols)
		return err
	})
	run("open", func() error {
		_, _, err := verify.OpenWorkbook(book)
		return err
	})
	run("excelize", func() error {
		_, err := excelread.Workbook(book, cols)
		return err
	})
}
