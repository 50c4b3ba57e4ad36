package xlsx_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/flate"
	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
	"fanmill/sinks/xlsx/sample"
)

// TestRollOver: rows past a sheet's limit go on in the next, header repeated, wherever batches are cut.
func TestRollOver(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(2, 9).Draw(rt, "limit")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 12), 0, 6).Draw(rt, "batches")
		e := newEncoder(t, textColumn, xlsx.Options{})
		e.LimitRows(int64(limit))
		var batches []*columnar.Batch
		total := 0
		for _, size := range sizes {
			var values []string
			for range size {
				values = append(values, fmt.Sprint(total))
				total++
			}
			batches = append(batches, texts(t, values...))
		}
		q := encode(t, e, batches...)
		f := open(t, workbookOf(t, q.sheets(0, "Rows")...))
		wantSheets := max(1, (total+limit-2)/(limit-1))
		if tabs := f.GetSheetList(); len(q.segments) != wantSheets || len(tabs) != wantSheets {
			rt.Fatalf("%d rows in sheets of %d: tabs %q", total, limit, tabs)
		}
		next := 0
		for k := range wantSheets {
			rows, err := f.GetRows(xlsx.RollOver([]string{"Rows"}, 0, k))
			if err != nil {
				rt.Fatal(err)
			}
			if len(rows) > limit || rows[0][0] != "text" || int64(len(rows)-1) != q.segments[k].Rows {
				rt.Fatalf("sheet %d has %d rows, limit %d", k, len(rows), limit)
			}
			for _, row := range rows[1:] {
				if row[0] != fmt.Sprint(next) {
					rt.Fatalf("row %d is %q", next, row[0])
				}
				next++
			}
		}
		if next != total {
			rt.Fatalf("%d of %d rows", next, total)
		}
	})
}

// TestTrueRowLimit: sheet row 1,048,576 is the last, and the row after it opens the next sheet.
func TestTrueRowLimit(t *testing.T) {
	e := newEncoder(t, textColumn, xlsx.Options{})
	for _, first := range []int64{xlsx.MaxRows - 3, xlsx.MaxRows - 1} {
		c, err := e.Encode(first, texts(t, "a", "b", "c"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range c.Pieces {
			got = append(got, fmt.Sprintf("%d:%d:%s", p.Sheet, p.Rows, inflate(t, p.Data)))
		}
		all := strings.Join(got, "\n")
		if first == xlsx.MaxRows-3 {
			if len(got) != 2 || !strings.HasPrefix(got[0], `0:2:<row r="1048575">`) || !strings.Contains(got[0], `<c r="A1048576"`) ||
				!strings.Contains(got[0], `<autoFilter ref="A1:A1048576"/>`) || !strings.HasPrefix(got[1], "1:1:<?xml") || !strings.Contains(got[1], `<c r="A2"`) {
				t.Errorf("rows around the limit: %s", all)
			}
		} else if len(got) != 2 || !strings.HasPrefix(got[0], "0:0:</sheetData>") || !strings.HasPrefix(got[1], "1:3:<?xml") {
			t.Errorf("a batch right after the limit: %s", all)
		}
	}
	tail := inflate(t, e.Tail(xlsx.MaxRows - 1).Pieces[0].Data)
	if !strings.Contains(tail, "A1:A1048576") {
		t.Errorf("tail of a full sheet: %s", tail)
	}
}

// inflate reads deflate blocks that are not ended.
func inflate(t testing.TB, data []byte) string {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(bytes.NewReader(append(bytes.Clone(data), 3, 0))))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPiecesAreIndependent: a piece's length, checksum and bytes are its own, so that pieces can be made on all cores,
// and the same call gives the same bytes whatever else runs.
func TestPiecesAreIndependent(t *testing.T) {
	batches := sales(8, 400, 7)
	e := newEncoder(t, sample.Columns, xlsx.Options{})
	want := make([]*xlsx.Chunk, len(batches))
	for i, b := range batches {
		var err error
		if want[i], err = e.Encode(int64(i)*400, b); err != nil {
			t.Fatal(err)
		}
		p := want[i].Pieces[0]
		if text := inflate(t, p.Data); int64(len(text)) != p.RawLength || crc32.ChecksumIEEE([]byte(text)) != p.CRC32 {
			t.Fatalf("piece %d does not hold what it says", i)
		}
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, b := range batches {
				c, err := e.Encode(int64(i)*400, b)
				if err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(c.Pieces[0].Data, want[i].Pieces[0].Data) {
					t.Errorf("piece %d differs", i)
				}
				c.Release()
			}
		})
	}
	wg.Wait()
}

// TestSegmentsInOrder: pieces out of order are refused.
func TestSegmentsInOrder(t *testing.T) {
	var s xlsx.Segments
	for _, step := range []struct {
		sheet int
		ok    bool
	}{{1, false}, {0, true}, {0, true}, {2, false}, {1, true}, {0, false}} {
		if err := s.Add(xlsx.Piece{Sheet: step.sheet, Data: []byte{1}}); (err == nil) != step.ok {
			t.Errorf("sheet %d: %v", step.sheet, err)
		}
	}
	if s.Length() != 3 {
		t.Errorf("length is %d", s.Length())
	}
}

// TestManyColumns: 16,384 columns are a sheet, one more is an error, none at all is a sheet without a filter.
func TestManyColumns(t *testing.T) {
	cols := make([]columnar.Column, xlsx.MaxColumns+1)
	for i := range cols {
		cols[i] = columnar.Column{Name: fmt.Sprint("c", i), Kind: columnar.Int}
	}
	if _, err := xlsx.NewEncoder(cols, xlsx.Options{}); err == nil {
		t.Error("16,385 columns were accepted")
	}
	f := open(t, workbookOf(t, encode(t, newEncoder(t, cols[:xlsx.MaxColumns], xlsx.Options{})).sheets(0, "Wide")...))
	if got := raw(t, f, "Wide", "XFD1"); got != "c16383" {
		t.Errorf("the last column is %q", got)
	}
	open(t, workbookOf(t, encode(t, newEncoder(t, nil, xlsx.Options{})).sheets(0, "None")...))
}
