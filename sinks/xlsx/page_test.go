package xlsx_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
	"fanmill/sinks/xlsx/sample"
)

// somePage is a page that says n.
func somePage(n int, front bool) *xlsx.Page {
	p := xlsx.NewPage("Summary")
	if front {
		p.Front()
	}
	p.Row()
	p.Caption(xlsx.LookTitle, fmt.Sprint("state ", n))
	top := p.Row()
	p.Text(xlsx.LookHeader, "name")
	p.Text(xlsx.LookHeaderRight, "rows")
	last := p.Row()
	p.Link("Branch 003", "Branch 003")
	p.Count(1_234_567, false)
	p.Freeze(1, top)
	p.Table(top, last, 2)
	return p
}

// TestPageStandsLast: every append has its own page after all sheets, in front or not; dead ones do not come back; it stays
// through Load and Compact, can be replaced after them, and can go.
func TestPageStandsLast(t *testing.T) {
	queries := smallSheets(t, 6)
	var file bytes.Buffer
	wb := xlsx.New(properties)
	check := func(content []byte, n int, front bool, tabs ...string) {
		t.Helper()
		f := open(t, content)
		if got := f.GetSheetList(); !slices.Equal(got, append(tabs, "Summary")) {
			t.Fatalf("tabs are %q", got)
		}
		if got := raw(t, f, "Summary", "A1"); got != fmt.Sprint("state ", n) {
			t.Errorf("the page says %q, want %d", got, n)
		}
		if want := map[bool]int{true: len(tabs), false: 0}[front]; f.GetActiveSheetIndex() != want {
			t.Errorf("tab %d is in front, want %d", f.GetActiveSheetIndex(), want)
		}
	}
	var tabs []string
	for n, k := range []int{1, 3, 4} {
		tabs = append(tabs, fmt.Sprintf("Branch %03d", k))
		front := n%2 == 0
		next := wb.WithPage(somePage(n, front))
		before := bytes.Clone(file.Bytes())
		var err error
		if wb, err = next.Append(&file, queries[k].sheets(k, tabs[n])); err != nil {
			t.Fatal(err)
		}
		check(file.Bytes(), n, front, tabs...)
		if n == 0 {
			continue
		}
		loaded, err := xlsx.Load(bytes.NewReader(before), int64(len(before)), properties)
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		if _, err := loaded.WithPage(somePage(n, front)).Append(&again, queries[k].sheets(k, tabs[n])); err != nil || !bytes.HasSuffix(file.Bytes(), again.Bytes()) {
			t.Errorf("an append after Load differs (%v)", err)
		}
	}
	// Kept as it is by an append that has no page, and by Compact; or replaced, or left out.
	kept := bytes.NewBuffer(bytes.Clone(file.Bytes()))
	if _, err := wb.Append(kept, queries[0].sheets(0, "Branch 000")); err != nil {
		t.Fatal(err)
	}
	check(kept.Bytes(), 2, true, "Branch 000", tabs[0], tabs[1], tabs[2])
	loaded, err := xlsx.Load(bytes.NewReader(file.Bytes()), wb.Length(), properties)
	if err != nil {
		t.Fatal(err)
	}
	for n, book := range map[int]*xlsx.Workbook{2: wb, 3: wb.WithPage(somePage(3, false)), 4: loaded.WithPage(somePage(4, true))} {
		var final bytes.Buffer
		compact, err := book.Compact(bytes.NewReader(file.Bytes()), &final)
		if err != nil {
			t.Fatal(err)
		}
		check(final.Bytes(), n, n != 3, tabs...)
		var more bytes.Buffer
		if _, err := compact.WithPage(somePage(9, false)).Append(&more, queries[5].sheets(5, "Branch 005")); err != nil {
			t.Fatal(err)
		}
		check(append(final.Bytes(), more.Bytes()...), 9, false, append(slices.Clone(tabs), "Branch 005")...)
	}
	var bare bytes.Buffer
	if _, err := wb.WithPage(nil).Compact(bytes.NewReader(file.Bytes()), &bare); err != nil {
		t.Fatal(err)
	}
	if got := open(t, bare.Bytes()).GetSheetList(); !slices.Equal(got, tabs) {
		t.Errorf("without the page tabs are %q", got)
	}
	// A page alone makes a workbook.
	var alone bytes.Buffer
	if _, err := xlsx.New(properties).WithPage(somePage(5, true)).Append(&alone, nil); err != nil {
		t.Fatal(err)
	}
	check(alone.Bytes(), 5, true)
	if _, err := xlsx.Load(bytes.NewReader(alone.Bytes()), int64(alone.Len()), properties); err != nil {
		t.Error(err)
	}
	if _, err := wb.WithPage(somePage(6, true)).Append(io.Discard, queries[5].sheets(5, "summary")); err == nil || !strings.Contains(err.Error(), "two sheets") {
		t.Errorf("a sheet of the page's name: %v", err)
	}
}

// TestPageCells: numbers are numbers where a cell holds them exactly, with the format of their column.
func TestPageCells(t *testing.T) {
	total := func(c columnar.Column, values ...string) *columnar.Total {
		v := totalOf(t, c, batchOf(t, []columnar.Column{c}, func(b *columnar.Builder) {
			for _, s := range values {
				if c.Kind == columnar.Decimal {
					b.Column(0).Decimal(decimal(s, c.Scale))
				} else {
					b.Column(0).String(s)
				}
				b.EndRow()
			}
		}))
		return &v
	}
	wb, err := xlsx.New(properties).WithFormats(`"₹ "0.00`)
	if err != nil {
		t.Fatal(err)
	}
	amount := columnar.Column{Name: "amount", Kind: columnar.Decimal, Precision: 38, Scale: 2}
	p := xlsx.NewPage("Cells")
	p.Row()
	for _, bold := range []bool{false, true} {
		p.Sum(total(amount, "1234567.50", "1"), amount, -1, bold)
		p.Sum(total(amount, "1234567890123456.78"), amount, -1, bold)
		p.Sum(total(amount, "5.00"), amount, 0, bold)
		p.Sum(total(columnar.Column{Kind: columnar.Numeric}, "1.5"), columnar.Column{Kind: columnar.Numeric}, -1, bold)
		p.Count(1_234_567, bold)
	}
	p.Duration(3_723_400)
	p.Text(xlsx.LookText, "=1+1 ")
	var file bytes.Buffer
	if _, err := wb.WithPage(p).Append(&file, nil); err != nil {
		t.Fatal(err)
	}
	f := open(t, file.Bytes())
	for i, want := range []string{"1,234,568.50", "1234567890123456.78", "₹ 5.00", "1.5", "1,234,567", "1,234,568.50", "1234567890123456.78", "₹ 5.00", "1.5", "1,234,567", "1:02:03.4", "=1+1 "} {
		cell, _ := excelize.CoordinatesToCellName(i+1, 1)
		if got, err := f.GetCellValue("Cells", cell); err != nil || got != want {
			t.Errorf("%s is shown as %q, want %q (%v)", cell, got, want, err)
		}
		id, err := f.GetCellStyle("Cells", cell)
		if err != nil {
			t.Fatal(err)
		}
		if style, err := f.GetStyle(id); err != nil || (style.Font != nil && style.Font.Bold) != (i >= 5 && i < 10) {
			t.Errorf("%s: bold is wrong (%v)", cell, err)
		}
	}
}

// TestPageSumOfExtremeDoubles: the sum of doubles can be one that no cell holds, past the largest of them or below what Excel keeps. Such
// a number in a cell, or +Inf, makes a workbook that does not open: it is a text, as in the column's own cells.
func TestPageSumOfExtremeDoubles(t *testing.T) {
	c := columnar.Column{Name: "x", Kind: columnar.Float}
	p := xlsx.NewPage("Cells")
	p.Row()
	wants := []string{"3.5953862697246314e+308", "-3.5953862697246314e+308", "1e-323", "1.7976931348623157e+308", "0"}
	for _, values := range [][]float64{{math.MaxFloat64, math.MaxFloat64}, {-math.MaxFloat64, -math.MaxFloat64}, {5e-324, 5e-324}, {math.MaxFloat64}, {1, -1}} {
		sum := totalOf(t, c, batchOf(t, []columnar.Column{c}, func(b *columnar.Builder) {
			for _, v := range values {
				b.Column(0).Float(v)
				b.EndRow()
			}
		}))
		p.Sum(&sum, c, -1, true)
	}
	var file bytes.Buffer
	if _, err := xlsx.New(properties).WithPage(p).Append(&file, nil); err != nil {
		t.Fatal(err)
	}
	f := open(t, file.Bytes())
	for i, want := range wants {
		cell, _ := excelize.CoordinatesToCellName(i+1, 1)
		if got := raw(t, f, "Cells", cell); got != want {
			t.Errorf("%s holds %q, want %q", cell, got, want)
		}
		kind, err := f.GetCellType("Cells", cell)
		if text := kind == excelize.CellTypeInlineString; err != nil || text != (i < 3) {
			t.Errorf("%s %s is of type %d (%v)", cell, want, kind, err)
		}
	}
}

// TestFacts: what is kept with sheets comes back after Load and Compact, and goes when it is of an earlier series.
func TestFacts(t *testing.T) {
	queries := smallSheets(t, 3)
	var file bytes.Buffer
	wb := xlsx.New(properties)
	want := map[string]string{}
	for series, k := range []int{2, 0, 1} {
		sheets := queries[k].sheets(k, fmt.Sprintf("Branch %03d", k))
		sheets[0].Series = series
		if k != 0 {
			want[sheets[0].Name] = fmt.Sprintf(`{"k":%d,"text":"<é & ]]> \u0001"}`, k)
			sheets[0].Facts = []byte(want[sheets[0].Name])
		}
		var err error
		if wb, err = wb.Append(&file, sheets); err != nil {
			t.Fatal(err)
		}
	}
	checkBook(t, file.Bytes(), 2, 0, 1) // by series first
	compare := func(content []byte, want map[string]string) {
		t.Helper()
		loaded, err := xlsx.Load(bytes.NewReader(content), int64(len(content)), properties)
		if err != nil {
			t.Fatal(err)
		}
		for i := range loaded.Sheets() {
			if s := loaded.Sheet(i); string(s.Facts) != want[s.Name] || s.Series != i {
				t.Errorf("sheet %s of series %d keeps %q, want %q", s.Name, s.Series, s.Facts, want[s.Name])
			}
		}
	}
	compare(file.Bytes(), want)
	var final bytes.Buffer
	if _, err := wb.Compact(bytes.NewReader(file.Bytes()), &final); err != nil {
		t.Fatal(err)
	}
	compare(final.Bytes(), want)
	final.Reset()
	if _, err := wb.WithoutFacts(1).Compact(bytes.NewReader(file.Bytes()), &final); err != nil {
		t.Fatal(err)
	}
	delete(want, "Branch 002")
	compare(final.Bytes(), want)
}

// TestLoadRefusesOthers: a workbook that another program made or saved is told from ours by its structure, and one that was ours
// by its mark.
func TestLoadRefusesOthers(t *testing.T) {
	e := newEncoder(t, sample.Columns, xlsx.Options{})
	ours := workbookOf(t, encode(t, e, sales(1, 10, 1)...).sheets(0, "Sale")...)
	f := open(t, ours)
	if err := f.SetCellValue("Sale", "A2", "edited"); err != nil {
		t.Fatal(err)
	}
	saved, err := f.WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := excelize.NewFile().WriteToBuffer()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content       []byte
		loads, marked bool
	}{"ours": {ours, true, true}, "saved by another program": {saved.Bytes(), false, true}, "foreign": {foreign.Bytes(), false, false}, "not a workbook": {[]byte("id;party\r\n1;a\r\n"), false, false}} {
		_, err := xlsx.Load(bytes.NewReader(c.content), int64(len(c.content)), properties)
		if (err == nil) != c.loads {
			t.Errorf("%s: %v", name, err)
		}
		if xlsx.Marked(bytes.NewReader(c.content), int64(len(c.content))) != c.marked {
			t.Errorf("%s: marked is not %v", name, c.marked)
		}
	}
}

// TestPageOfBands: rows that come in bands are the page that the same rows are one by one, whatever the bands, in every page that has them;
// and an append that is prepared once is the same bytes each time that it is written.
func TestPageOfBands(t *testing.T) {
	row := func(p *xlsx.Page, n int) {
		p.Row()
		p.Link(fmt.Sprintf("Branch <%d>", n), fmt.Sprint("S ", n))
		p.Text(xlsx.LookText, strings.Repeat("long ", n))
		p.Count(int64(n), false)
	}
	const rows = 12
	bands := map[[2]int]*xlsx.Band{}
	content := func(size int, title string) string {
		p := xlsx.NewPage("Summary")
		p.Row()
		p.Caption(xlsx.LookTitle, title)
		for n := 2; n <= rows; {
			last := n + size - 1
			if size == 0 || last > rows {
				row(p, n)
				n++
				continue
			}
			b := bands[[2]int{n, size}]
			if b == nil {
				b = xlsx.NewBand(n, func(p *xlsx.Page) {
					for i := n; i <= last; i++ {
						row(p, i)
					}
				})
				bands[[2]int{n, size}] = b
			}
			p.Band(b)
			n = last + 1
		}
		if got := p.Row(); got != rows+1 {
			t.Errorf("the row after the bands is %d", got)
		}
		p.Text(xlsx.LookTotal, "Total")
		p.Table(1, rows, 3)
		a, err := xlsx.New(properties).WithPage(p).Add(smallSheets(t, 2)[1].sheets(1, "One"))
		if err != nil {
			t.Fatal(err)
		}
		var file, again bytes.Buffer
		for _, w := range []*bytes.Buffer{&file, &again} {
			if err := a.Write(w); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(file.Bytes(), again.Bytes()) || int64(file.Len()) != a.Workbook().Length() {
			t.Error("an append written twice differs")
		}
		if rows, err := open(t, file.Bytes()).GetRows("Summary"); err != nil || len(rows) != 13 {
			t.Fatalf("the page has %d rows (%v)", len(rows), err)
		}
		z, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		r, err := z.Open("xl/worksheets/sheet2.xml")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		text, err := io.ReadAll(r) // compares the checksum
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, title := range []string{"first", "second"} {
		want := content(0, title)
		for size := 1; size <= rows; size++ {
			if got := content(size, title); got != want {
				t.Errorf("in bands of %d the page is\n%s\nwant\n%s", size, got, want)
			}
		}
	}
}
