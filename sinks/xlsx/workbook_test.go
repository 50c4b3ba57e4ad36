package xlsx_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fanmill/sinks/xlsx"
)

// smallSheets are n one-sheet queries; sheet k holds rows "k.0", "k.1"...
func smallSheets(t testing.TB, n int) []*query {
	e := newEncoder(t, textColumn, xlsx.Options{})
	out := make([]*query, n)
	for k := range out {
		var values []string
		for i := range k % 4 {
			values = append(values, fmt.Sprintf("%d.%d", k, i))
		}
		out[k] = encode(t, e, texts(t, values...))
	}
	return out
}

// checkBook opens a workbook and compares tabs and rows.
func checkBook(t testing.TB, file []byte, tabs ...int) {
	t.Helper()
	f := open(t, file)
	var want []string
	for _, k := range tabs {
		want = append(want, fmt.Sprintf("Branch %03d", k))
	}
	if len(want) == 0 {
		want = []string{"Sheet1"}
	}
	if got := f.GetSheetList(); !slices.Equal(got, want) {
		t.Fatalf("tabs are %q, want %q", got, want)
	}
	for _, k := range tabs {
		rows, err := f.GetRows(fmt.Sprintf("Branch %03d", k))
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 1+k%4 || rows[0][0] != "text" {
			t.Fatalf("sheet %d has rows %q", k, rows)
		}
		for i, row := range rows[1:] {
			if want := fmt.Sprintf("%d.%d", k, i); row[0] != want {
				t.Errorf("sheet %d row %d holds %q", k, i, row[0])
			}
		}
	}
	// Go's own reader checks what excelize passes over: every entry's sizes and checksum.
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range z.File {
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
	}
}

// TestEveryCommittedPrefixOpens holds invariant 2: after each append the file up to Length is a whole workbook, nothing
// before it has changed, tabs stand in their order, and what comes after Length does not matter to Load.
func TestEveryCommittedPrefixOpens(t *testing.T) {
	queries := smallSheets(t, 12)
	order := []int{7, 3, 11, 0, 5, 1, 9, 2, 10, 4, 8, 6}
	var file bytes.Buffer
	wb, err := xlsx.New(properties).Append(&file, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkBook(t, file.Bytes())
	for n := 0; n < len(order); n += 2 {
		earlier := bytes.Clone(file.Bytes())
		var sheets []xlsx.NewSheet
		for _, k := range order[n : n+2] {
			sheets = append(sheets, queries[k].sheets(k, fmt.Sprintf("Branch %03d", k))...)
		}
		var copied bytes.Buffer
		next, err := wb.Append(&file, sheets)
		if err != nil {
			t.Fatal(err)
		}
		if next.Length() != int64(file.Len()) || !bytes.HasPrefix(file.Bytes(), earlier) {
			t.Fatal("an append changed what was there before, or miscounted")
		}
		// The same append, replayed and after a restart, gives the same bytes.
		if _, err := wb.Append(&copied, sheets); err != nil || !bytes.HasSuffix(file.Bytes(), copied.Bytes()) {
			t.Fatalf("the replayed append differs (%v)", err)
		}
		loaded, err := xlsx.Load(bytes.NewReader(append(earlier, "torn append"...)), int64(len(earlier)), properties)
		if err != nil {
			t.Fatal(err)
		}
		copied.Reset()
		if _, err := loaded.Append(&copied, sheets); err != nil || !bytes.Equal(file.Bytes()[len(earlier):], copied.Bytes()) {
			t.Fatalf("an append after Load differs (%v)", err)
		}
		wb = next
		checkBook(t, file.Bytes(), slices.Sorted(slices.Values(order[:n+2]))...)
	}
	// The end: no dead bytes, conventional names, the same whatever the order of appending.
	var compacted, straight, again bytes.Buffer
	final, err := wb.Compact(bytes.NewReader(file.Bytes()), &compacted)
	if err != nil {
		t.Fatal(err)
	}
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	checkBook(t, compacted.Bytes(), all...)
	var sheets []xlsx.NewSheet
	for _, k := range all {
		sheets = append(sheets, queries[k].sheets(k, fmt.Sprintf("Branch %03d", k))...)
	}
	other, err := xlsx.New(properties).Append(&straight, sheets)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Compact(bytes.NewReader(straight.Bytes()), &again); err != nil || !bytes.Equal(again.Bytes(), compacted.Bytes()) {
		t.Errorf("the final workbook depends on the order of appending (%v)", err)
	}
	z, err := zip.NewReader(bytes.NewReader(compacted.Bytes()), int64(compacted.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if z.File[0].Name != "[Content_Types].xml" || z.File[len(z.File)-1].Name != "xl/worksheets/sheet12.xml" {
		t.Errorf("files are %s ... %s", z.File[0].Name, z.File[len(z.File)-1].Name)
	}
	// It can grow again, also after a restart: a run that ended without some branch is resumed.
	more := smallSheets(t, 14)
	late := append(more[13].sheets(13, "Branch 013"), more[12].sheets(12, "Branch 012")...)
	grown, grownToo := bytes.Clone(compacted.Bytes()), bytes.Clone(compacted.Bytes())
	loaded, err := xlsx.Load(bytes.NewReader(compacted.Bytes()), final.Length(), properties)
	if err != nil {
		t.Fatal(err)
	}
	for book, into := range map[*xlsx.Workbook]*[]byte{final: &grown, loaded: &grownToo} {
		delta := bytes.NewBuffer(nil)
		if _, err := book.Append(delta, late); err != nil {
			t.Fatal(err)
		}
		*into = append(*into, delta.Bytes()...)
	}
	checkBook(t, grown, append(all, 12, 13)...)
	if !bytes.Equal(grown, grownToo) {
		t.Error("an append to the compacted workbook differs after Load")
	}
}

// TestCompactEmpty: a workbook without sheets opens, before and after Compact.
func TestCompactEmpty(t *testing.T) {
	var file, compacted bytes.Buffer
	wb, err := xlsx.New(properties).Append(&file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wb, err = xlsx.Load(bytes.NewReader(file.Bytes()), wb.Length(), properties); err != nil || wb.Sheets() != 0 {
		t.Fatalf("load: %v", err)
	}
	if _, err := wb.Compact(bytes.NewReader(file.Bytes()), &compacted); err != nil {
		t.Fatal(err)
	}
	checkBook(t, compacted.Bytes())
	if _, err := xlsx.New(properties).Compact(bytes.NewReader(nil), io.Discard); err == nil {
		t.Error("a workbook that was never written was compacted")
	}
}

// TestAppendRefuses: what would make a workbook that does not open, or not hold what the record says, is an error.
func TestAppendRefuses(t *testing.T) {
	q := encode(t, newEncoder(t, textColumn, xlsx.Options{}), texts(t, "a"))
	one := func(change func(s *xlsx.NewSheet)) []xlsx.NewSheet {
		sheets := q.sheets(0, "One")
		if change != nil {
			change(&sheets[0])
		}
		return sheets
	}
	wb, err := xlsx.New(properties).Append(io.Discard, q.sheets(5, "Five"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(s *xlsx.NewSheet)
		says   string
	}{
		"short part":   {func(s *xlsx.NewSheet) { s.Length++ }, "of the recorded"},
		"long part":    {func(s *xlsx.NewSheet) { s.Length-- }, "more than the recorded"},
		"missing part": {func(s *xlsx.NewSheet) { s.Open = func() (io.ReadCloser, error) { return nil, os.ErrNotExist } }, "not exist"},
		"same name":    {func(s *xlsx.NewSheet) { s.Name = "fIVE" }, "two sheets"},
		"same place":   {func(s *xlsx.NewSheet) { s.Order = [3]int{5, 0, 0} }, "same place"},
		"bad name":     {func(s *xlsx.NewSheet) { s.Name = "a/b" }, "does not accept"},
		"long name":    {func(s *xlsx.NewSheet) { s.Name = strings.Repeat("x", 32) }, "longer"},
		"no name":      {func(s *xlsx.NewSheet) { s.Name = "" }, "cannot name"},
	} {
		if _, err := wb.Append(io.Discard, one(c.change)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("disk full")
	next, err := wb.Append(io.Discard, one(nil))
	if err != nil {
		t.Fatal(err)
	}
	for limit := int64(0); limit < next.Length()-wb.Length(); limit += 7 {
		if _, err := wb.Append(&failingWriter{limit, full}, one(nil)); !errors.Is(err, full) {
			t.Fatalf("a write that failed at byte %d: %v", limit, err)
		}
	}
}

type failingWriter struct {
	left int64
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return int(w.left), w.err
	}
	w.left -= int64(len(p))
	return len(p), nil
}

// TestLoadRefusesDamage: a file cut anywhere, or with any byte of its directory, headers or naming parts changed, is refused
// and never read as another workbook.
func TestLoadRefusesDamage(t *testing.T) {
	var file bytes.Buffer
	wb := xlsx.New(properties)
	for k, q := range smallSheets(t, 3) {
		var err error
		if wb, err = wb.Append(&file, q.sheets(k, fmt.Sprintf("Branch %03d", k))); err != nil {
			t.Fatal(err)
		}
	}
	whole := file.Bytes()
	committed := map[int64]bool{0: true}
	for i := range whole {
		if bytes.HasPrefix(whole[i:], []byte("PK\x05\x06")) {
			committed[int64(i)+22] = true
		}
	}
	if len(committed) != 4 {
		t.Fatalf("%d ends", len(committed))
	}
	for n := range int64(len(whole) + 1) {
		if _, err := xlsx.Load(bytes.NewReader(whole[:n]), n, properties); (err == nil) != committed[n] {
			t.Fatalf("a file of %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := xlsx.Load(bytes.NewReader(whole[:100]), int64(len(whole)), properties); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file shorter than its record: %v", err)
	}
	// Bytes that may change without Load noticing: those of sheets and styles, and dead ones.
	z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	guarded := make([]bool, len(whole))
	for _, e := range z.File {
		at, err := e.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		for i := at - 30 - int64(len(e.Name)); i < at; i++ {
			guarded[i] = true
		}
		if e.Name == "xl/workbook.xml" || e.Name == "xl/_rels/workbook.xml.rels" {
			for i := at; i < at+int64(e.CompressedSize64); i++ {
				guarded[i] = true
			}
		}
	}
	for i := range guarded {
		if !guarded[i] {
			continue
		}
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x55
		got, err := xlsx.Load(bytes.NewReader(damaged), int64(len(damaged)), properties)
		if err == nil && (got.Sheets() != wb.Sheets() || got.Length() != wb.Length()) {
			t.Fatalf("byte %d changed and Load saw another workbook", i)
		}
		if err == nil {
			for k := range got.Sheets() {
				if !reflect.DeepEqual(got.Sheet(k), wb.Sheet(k)) {
					t.Fatalf("byte %d changed and Load saw another sheet", i)
				}
			}
		}
	}
}
