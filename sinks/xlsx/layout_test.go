package xlsx_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// TestLayout: order, header, format, width and hiding are those asked for; what is not a number, date or time keeps
// its look.
func TestLayout(t *testing.T) {
	cols := []columnar.Column{{Name: "id", Kind: columnar.Int}, {Name: "party", Kind: columnar.Text}, {Name: "amount", Kind: columnar.Decimal, Precision: 20, Scale: 2},
		{Name: "day", Kind: columnar.Date}, {Name: "at", Kind: columnar.Timestamp}}
	wb, err := xlsx.New(properties).WithFormats(`dd-mmm-yyyy`, `"₹ "#,##0.00;[Red]-"₹ "#,##0.00`, `#,##0.0`)
	if err != nil {
		t.Fatal(err)
	}
	e := newEncoder(t, cols, xlsx.Options{Formats: wb.Formats(), Layout: []xlsx.Layout{
		{Column: 2, Header: "Amount (INR)", Format: `"₹ "#,##0.00;[Red]-"₹ "#,##0.00`}, {Column: 1, Format: `#,##0.0`, Width: 33.5}, {Column: 0, Hidden: true, Width: 255},
		{Column: 3, Format: `dd-mmm-yyyy`}, {Column: 4, Format: `dd-mmm-yyyy`}}})
	q := encode(t, e, batchOf(t, cols, func(b *columnar.Builder) {
		for _, amount := range []string{"-1234567.50", "1234567890123456.78"} {
			b.Column(0).Long(7)
			b.Column(1).String("A & B")
			b.Column(2).Decimal(decimal(amount, 2))
			b.Column(3).Days(int32(columnar.Days(2025, 4, 1)))
			b.Column(4).Long(micros("2025-04-01 12:00:00.5"))
			b.EndRow()
		}
	}))
	var file bytes.Buffer
	if wb, err = wb.Append(&file, q.sheets(0, "Rows")); err != nil {
		t.Fatal(err)
	}
	f := open(t, file.Bytes())
	rows, err := f.GetRows("Rows")
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"Amount (INR)", "party", "id", "day", "at"}, {"-₹ 1,234,567.50", "A & B", "7", "01-Apr-2025", "01-Apr-2025"},
		{"₹ 1,234,567,890,123,460.00", "A & B", "7", "01-Apr-2025", "01-Apr-2025"}}
	if fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("rows are %q, want %q", rows, want)
	}
	if shown, err := f.GetColVisible("Rows", "C"); err != nil || shown {
		t.Errorf("the hidden column is in sight (%v)", err)
	}
	if width, err := f.GetColWidth("Rows", "B"); err != nil || width != 33.5+0.7109375 {
		t.Errorf("the width is %v (%v)", width, err)
	}
	if width, err := f.GetColWidth("Rows", "C"); err != nil || width != 255 { // and no padding beyond what Office allows
		t.Errorf("the greatest width is %v (%v)", width, err)
	}
	if width, err := f.GetColWidth("Rows", "A"); err != nil || width < 18 {
		t.Errorf("an amount with a currency has the width %v (%v)", width, err)
	}
	// Formats stay with the file, and those that come later stand after them.
	loaded, err := xlsx.Load(bytes.NewReader(file.Bytes()), wb.Length(), properties)
	if err != nil || !slices.Equal(loaded.Formats(), wb.Formats()) {
		t.Fatalf("formats after Load: %q, want %q (%v)", loaded.Formats(), wb.Formats(), err)
	}
	more, err := loaded.WithFormats("0.000", `#,##0.0`)
	if err != nil || !slices.Equal(more.Formats(), append(wb.Formats(), "0.000")) {
		t.Fatalf("with one more: %q (%v)", more.Formats(), err)
	}
	e = newEncoder(t, cols[:1], xlsx.Options{Formats: more.Formats(), Layout: []xlsx.Layout{{Format: "0.000"}}})
	q = encode(t, e, batchOf(t, cols[:1], func(b *columnar.Builder) { b.Column(0).Long(7); b.EndRow() }))
	grown := bytes.NewBuffer(bytes.Clone(file.Bytes()))
	if more, err = more.Append(grown, q.sheets(1, "More")); err != nil {
		t.Fatal(err)
	}
	var final bytes.Buffer
	if _, err := more.Compact(bytes.NewReader(grown.Bytes()), &final); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{grown.Bytes(), final.Bytes()} {
		f := open(t, b)
		for cell, want := range map[string]string{"More!A2": "7.000", "Rows!A2": "-₹ 1,234,567.50", "Rows!D2": "01-Apr-2025"} {
			sheet, ref, _ := strings.Cut(cell, "!")
			if got, err := f.GetCellValue(sheet, ref); err != nil || got != want {
				t.Errorf("%s is shown as %q, want %q (%v)", cell, got, want, err)
			}
		}
	}
}

// TestFormatsReadBack: a workbook with any format that is accepted can be read, and so appended to.
func TestFormatsReadBack(t *testing.T) {
	wb, err := xlsx.New(properties).WithFormats(`0"_x0041_"`, "0\"\uFFFE\"", `"a""b"0`, `"<&>'"0`, " 0 ", "0\"\u00a0😀\"")
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := wb.Append(&file, nil); err != nil {
		t.Fatal(err)
	}
	loaded, err := xlsx.Load(bytes.NewReader(file.Bytes()), int64(file.Len()), properties)
	if err != nil {
		t.Fatal(err)
	}
	if got := loaded.Formats(); !slices.Equal(got, wb.Formats()) {
		t.Errorf("formats are %q, want %q", got, wb.Formats())
	}
}

// TestLayoutRefuses: a layout that is not one of the query's columns, or asks for a format that the workbook has not.
func TestLayoutRefuses(t *testing.T) {
	cols := []columnar.Column{{Name: "a", Kind: columnar.Int}, {Name: "b", Kind: columnar.Int}}
	for name, layout := range map[string][]xlsx.Layout{
		"too few": {{Column: 1}}, "twice": {{Column: 1}, {Column: 1}}, "outside": {{Column: 0}, {Column: 2}}, "format": {{Column: 0, Format: "0.0"}, {Column: 1}},
	} {
		if _, err := xlsx.NewEncoder(cols, xlsx.Options{Layout: layout, Formats: []string{"0.00"}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestCheckFormat: what Excel takes for a damaged workbook is refused, with what to write instead.
func TestCheckFormat(t *testing.T) {
	for _, code := range []string{"#,##0.00", "0", "General", "dd/mm/yyyy hh:mm", "[h]:mm:ss", "[$₹-4009] #,##0.00", "#,##0.00;[Red]-#,##0.00;\"-\";@", "0.00E+00", `0" kg"`, `0\ \k\g`, "₹ #,##0",
		"_(* #,##0.00_)", "h:mm AM/PM", "[>=100000]#,##0;[Color 5]0", "# ?/8", "0%", `"a;b"0`} {
		if err := xlsx.CheckFormat(code); err != nil {
			t.Errorf("%q: %v", code, err)
		}
	}
	for code, says := range map[string]string{"": "empty", " ": "empty", `0" kg`: "quote is not closed", "[Red0": "[ is not closed", "0]": "not opened", `0\`: "nothing follows",
		"0 kg": "put text in quotes", "0;0;0;0;0": "sections", "[Pink]0": "neither a colour", "0\n": "characters", strings.Repeat("0", 256): "longer", "\xff": "characters", "0.0E0": "sign follows", "[>x]0": "neither"} {
		if err := xlsx.CheckFormat(code); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, should mention %q", code, err, says)
		}
	}
	var codes []string
	for i := range 151 {
		codes = append(codes, fmt.Sprintf(`0" %d"`, i))
	}
	if _, err := xlsx.New(properties).WithFormats(codes...); err == nil || !strings.Contains(err.Error(), "use fewer") {
		t.Errorf("151 formats: %v", err)
	}
}

// TestNanoseconds holds invariant 9 for 100 ns: a cell has the microsecond nearest to it and the loss is counted, a
// text has it all, and onLoss "fail" turns the row away.
func TestNanoseconds(t *testing.T) {
	cols := []columnar.Column{{Name: "t", Kind: columnar.Time}, {Name: "s", Kind: columnar.Timestamp}, {Name: "i", Kind: columnar.Instant}}
	moment := func(b *columnar.Builder, day string, nanos int64) {
		at := micros(day)
		b.Column(0).Moment(13*3600*1e6+5, nanos)
		b.Column(1).Moment(at, nanos)
		b.Column(2).Moment(at, nanos)
		b.EndRow()
	}
	kolkata := time.FixedZone("IST", 5*3600+1800)
	e := newEncoder(t, cols, xlsx.Options{Location: kolkata})
	q := encode(t, e, batchOf(t, cols, func(b *columnar.Builder) {
		moment(b, "2025-04-01 12:00:00.000001", 500) // rounded up
		moment(b, "2025-04-01 12:00:00.000001", 499) // rounded down
		moment(b, "2025-04-01 12:00:00.25", 0)       // exact, among finer ones
		moment(b, "1899-01-01 12:00:00.000001", 100) // a text, but for the time
		moment(b, "2262-01-01 12:00:00.000001", 100) // too late for microseconds
	}))
	f := open(t, workbookOf(t, q.sheets(0, "Nano")...))
	wantRows := [][]string{
		{"0.541666666736111", "45748.500000000023148", "45748.729166666689814"}, {"", "45748.500000000011574", "45748.729166666678240"}, {"", "45748.500002893518518", "45748.729169560185185"},
		{"", "1899-01-01 12:00:00.0000011", "1899-01-01 17:30:00.0000011+05:30"}, {"", "2262-01-01 12:00:00.0000011", "2262-01-01 17:30:00.0000011+05:30"},
	}
	for i, row := range wantRows {
		for k, want := range row {
			cell := string(rune('A'+k)) + fmt.Sprint(i+2)
			if got := raw(t, f, "Nano", cell); want != "" && !sameMicros(got, want) {
				t.Errorf("%s holds %s, want %s", cell, got, want)
			}
		}
	}
	want := []xlsx.Loss{{Column: "t", What: xlsx.LossNanos, Cells: 4}, {Column: "s", What: xlsx.LossNanos, Cells: 2}, {Column: "i", What: xlsx.LossNanos, Cells: 2}}
	if !slices.Equal(q.losses, want) {
		t.Errorf("losses are %v, want %v", q.losses, want)
	}
	strict := newEncoder(t, cols, xlsx.Options{FailOnLoss: true})
	_, err := strict.Encode(0, batchOf(t, cols, func(b *columnar.Builder) { moment(b, "2025-04-01 12:00:00.000001", 500) }))
	var loss *xlsx.LossError
	if !errors.As(err, &loss) || !strings.Contains(err.Error(), "finer than microseconds") {
		t.Errorf("with FailOnLoss: %v", err)
	}
	// The last 100 ns of a day are not the next day.
	q = encode(t, newEncoder(t, cols[:1], xlsx.Options{}), batchOf(t, cols[:1], func(b *columnar.Builder) { b.Column(0).Moment(columnar.MicrosPerDay-1, 900); b.EndRow() }))
	f = open(t, workbookOf(t, q.sheets(0, "Last")...))
	if got := raw(t, f, "Last", "A2"); !sameMicros(got, "0.99999999998842593") {
		t.Errorf("23:59:59.9999999 is %s", got)
	}
}

// sameMicros compares texts, or serial numbers to the microsecond.
func sameMicros(a, b string) bool {
	var x, y float64
	if n, _ := fmt.Sscanf(a+" "+b, "%g %g", &x, &y); n == 2 && !strings.Contains(b, ":") {
		const perMicro = 86_400_000_000
		d := (x - y) * perMicro
		return d < 0.5 && d > -0.5
	}
	return a == b
}
