package xlsx_test

import (
	"strings"
	"testing"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// TestWidths: columns are wide enough for the first batch's values as Excel shows them: a number or a time that is too wide
// is shown as ####.
func TestWidths(t *testing.T) {
	cols := []columnar.Column{{Name: "t", Kind: columnar.Text}, {Name: "at", Kind: columnar.Timestamp}, {Name: "exact", Kind: columnar.Instant},
		{Name: "amount", Kind: columnar.Decimal, Precision: 38, Scale: 2}, {Name: "a header that is long", Kind: columnar.Bool}, {Name: "none", Kind: columnar.Time}}
	batch := batchOf(t, cols, func(b *columnar.Builder) {
		b.Column(0).String(strings.Repeat("long ", 100))
		b.Column(1).Long(micros("2025-04-01 12:00:00"))
		b.Column(2).Long(micros("2025-04-01 12:00:00.5"))
		b.Column(3).Decimal(decimal("-123456789012345.67", 2))
		b.Column(4).Bool(true)
		b.Column(5).Null()
		b.EndRow()
	})
	f := open(t, workbookOf(t, encode(t, newEncoder(t, cols, xlsx.Options{}), batch).sheets(0, "W")...))
	for i, least := range []float64{60, 19, 23, 23, 24, 8} {
		name := string(rune('A' + i))
		if got, err := f.GetColWidth("W", name); err != nil || got < least || got > least+3 && i != 3 {
			t.Errorf("column %s is %v wide, want about %v (%v)", name, got, least, err)
		}
	}
}
