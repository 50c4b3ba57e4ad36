package sinks_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// What is none of a column's kind is counted over batches, and over a cut and a resume.
func TestCSVStrays(t *testing.T) {
	s := openCSV(t, t.TempDir(), "", nil)
	cols := []columnar.Column{{Name: "amount", Kind: columnar.Decimal, Precision: 14, Scale: 2}, {Name: "paid", Kind: columnar.Bool}, {Name: "rate", Kind: columnar.Float}}
	batch := func(first int64, strays ...string) func(pipeline.Part) {
		return func(p pipeline.Part) {
			b := columnar.NewBuilder(cols)
			for range 3 {
				b.Column(0).Decimal(decimal128.FromI64(5))
				b.Column(1).Null()
				b.Column(2).Float(math.NaN())
				b.EndRow()
			}
			for _, text := range strays {
				for i := range 2 {
					b.Column(i).Retype(columnar.Mixed)
					b.Column(i).Mixed(columnar.ClassStray, []byte(text))
				}
				b.Column(2).Null()
				b.EndRow()
			}
			c, err := p.Encode(0, first, decodeBatch(t, b))
			if err == nil {
				err = p.Append(context.Background(), 0, c)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	o := opening(cols)
	p, err := s.Open(context.Background(), pipeline.PartID{Attempt: 1}, &o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	batch(0)(p)
	batch(3, "n/a", "x")(p)
	raw, err := p.Save(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cut := pipeline.PartState{PartID: pipeline.PartID{Attempt: 1}, State: raw, Open: o}
	if p, err = s.Open(context.Background(), cut.PartID, &cut.Open, &cut, nil); err != nil {
		t.Fatal(err)
	}
	batch(8, "y")(p)
	want := []string{"amount: 3 of 12 values are not numbers; the first in row 7", "paid: 3 of 3 values are not booleans; the first in row 7", "rate: 9 of 9 values are not numbers; the first in row 1"}
	if got := notesOf(p); !slices.Equal(got, want) {
		t.Errorf("notes are %q, want %q", got, want)
	}
	if l := sinks.SummaryOf(p).Losses; l != nil {
		t.Errorf("losses are %v", l)
	}
}
