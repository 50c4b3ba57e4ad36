package xlsx_test

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/sinks/xlsx"
)

// TestZip64: entries past 4 GiB are found again, by this package and by others.
func TestZip64(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.xlsx")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	queries := smallSheets(t, 3)
	wb, err := xlsx.New(properties).Append(f, queries[1].sheets(1, "Branch 001"))
	if err != nil {
		t.Fatal(err)
	}
	const far = 5 << 30 // the file is sparse
	wb.MoveEnd(far)
	if _, err := f.Seek(far, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if wb, err = wb.Append(f, queries[2].sheets(2, "Branch 002")); err != nil {
		t.Fatal(err)
	}
	if wb, err = xlsx.Load(f, wb.Length(), properties); err != nil {
		t.Fatal(err)
	}
	if wb, err = wb.Append(f, queries[0].sheets(0, "Branch 000")); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(f, wb.Length())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range z.File {
		r, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
		if strings.HasPrefix(e.Name, "xl/worksheets/s") {
			found++
		}
	}
	if found != 3 {
		t.Errorf("%d sheets", found)
	}
	var compacted bytes.Buffer
	if _, err := wb.Compact(f, &compacted); err != nil {
		t.Fatal(err)
	}
	checkBook(t, compacted.Bytes(), 0, 1, 2)
}

// TestZip64Entry: a sheet of more than 4 GiB of XML has its sizes where readers of ZIP64 look.
func TestZip64Entry(t *testing.T) {
	q := encode(t, newEncoder(t, textColumn, xlsx.Options{}), texts(t, "a"))
	sheets := q.sheets(0, "Big")
	sheets[0].RawLength = 5 << 30 // a lie, but the directory is what is tested
	file := workbookOf(t, sheets...)
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range z.File {
		if strings.HasPrefix(e.Name, "xl/worksheets/") && e.UncompressedSize64 != 5<<30 {
			t.Errorf("%s has %d bytes", e.Name, e.UncompressedSize64)
		}
	}
	if wb, err := xlsx.Load(bytes.NewReader(file), int64(len(file)), properties); err != nil || wb.Sheets() != 1 {
		t.Errorf("load: %v", err)
	}
}
