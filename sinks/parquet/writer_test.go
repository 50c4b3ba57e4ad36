package parquet_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

// kinds are a column of each kind that can be declared.
var kinds = []columnar.Column{
	{Name: "z_bool", Kind: columnar.Bool}, {Name: "int", Kind: columnar.Int}, {Name: "uint", Kind: columnar.Uint},
	{Name: "real", Kind: columnar.Float32}, {Name: "double", Kind: columnar.Float},
	{Name: "d9", Kind: columnar.Decimal, Precision: 9, Scale: 2}, {Name: "d18", Kind: columnar.Decimal, Precision: 18, Scale: 4},
	{Name: "d38", Kind: columnar.Decimal, Precision: 38, Scale: 10}, {Name: "d20", Kind: columnar.Decimal, Precision: 20, Scale: 0},
	{Name: "numeric", Kind: columnar.Numeric}, {Name: "day", Kind: columnar.Date}, {Name: "Clock", Kind: columnar.Time},
	{Name: "wall", Kind: columnar.Timestamp}, {Name: "moment", Kind: columnar.Instant}, {Name: "text", Kind: columnar.Text},
	{Name: "a_bytes", Kind: columnar.Binary},
}

// put appends the value n to column i of kinds: small numbers of both signs, and texts of them.
func put(b *columnar.Builder, i, n int) {
	c := b.Column(i)
	switch c.Kind {
	case columnar.Bool:
		c.Bool(n%2 == 0)
	case columnar.Uint:
		c.Uint(math.MaxUint64 - uint64(n))
	case columnar.Float32:
		c.Float32(float32(n) / 4)
	case columnar.Float:
		c.Float(float64(n) / 8)
	case columnar.Decimal:
		c.Decimal(decimal(int64(n)))
	case columnar.Date:
		c.Days(int32(n))
	case columnar.Time:
		c.Long(int64(n+1_000_000) * 1000)
	case columnar.Text:
		c.String("text " + fmt.Sprint(n))
	case columnar.Binary:
		c.Bytes([]byte{0, byte(n), byte(n >> 8), byte(n >> 16)})
	case columnar.Numeric:
		c.String(fmt.Sprint(n))
	default:
		c.Long(int64(n) * 1_000_003)
	}
}

// The test matrix of writers that break in silence.
var patterns = map[string]func(r int) (n int, null bool){
	"all NULL":          func(int) (int, bool) { return 0, true },
	"first half NULL":   func(r int) (int, bool) { return r - 15_000, r < 15_000 },
	"distinct":          func(r int) (int, bool) { return r - 15_000, false }, // more than a dictionary holds, of the longer ones
	"one value":         func(int) (int, bool) { return -7, false },
	"every third NULL":  func(r int) (int, bool) { return r%100 - 50, r%3 == 0 },
	"NULL but for last": func(r int) (int, bool) { return -1, r != 29_999 },
}

// TestMatrix reads back what was written, with both libraries: patterns of NULLs, by codec, in one row group and in
// several.
func TestMatrix(t *testing.T) {
	const rows, batchRows = 30_000, 7_000 // a page and a half
	s := newSchema(t, plain(kinds)...)
	for name, pattern := range patterns {
		for codec, groupBytes := range map[string]int64{"zstd": 0, "snappy": 1 << 20, "gzip": 0, "none": 1} {
			t.Run(name+"/"+codec, func(t *testing.T) {
				t.Parallel()
				var batches []*columnar.Batch
				for lo := 0; lo < rows; lo += batchRows {
					batches = append(batches, batchOf(t, min(batchRows, rows-lo), kinds, func(r int, b *columnar.Builder) {
						for i := range kinds {
							if n, null := pattern(lo + r); null {
								b.Column(i).Null()
							} else {
								put(b, i, n)
							}
						}
					}))
				}
				f := newFeed(t, s, "c", count(len(kinds))...)
				got := read(t, written(t, s, parquet.Options{Compression: codec, GroupBytes: groupBytes}, f, batches...))
				if len(f.Losses()) > 0 || f.Rows() != rows {
					t.Fatalf("%d rows, losses %v", f.Rows(), f.Losses())
				}
				if groupBytes == 1 && len(got.groups) != len(batches) || groupBytes == 0 && len(got.groups) != 1 {
					t.Fatalf("row groups of %v rows", got.groups)
				}
				for i, c := range kinds {
					if got.names[i] != c.Name {
						t.Fatalf("column %d is %q, not %q", i, got.names[i], c.Name)
					}
					for r := range rows {
						n, null := pattern(r)
						if want := wanted(c, n, null); got.cols[i][r] != want {
							t.Fatalf("%s, row %d: %v (%T), want %v (%T)", c.Name, r, got.cols[i][r], got.cols[i][r], want, want)
						}
					}
				}
			})
		}
	}
}

// wanted is what put makes, as it stands in the file.
func wanted(c columnar.Column, n int, null bool) any {
	switch {
	case null:
		return nil
	case c.Kind == columnar.Bool:
		return n%2 == 0
	case c.Kind == columnar.Uint:
		return bigEndian(math.MaxUint64-uint64(n), 0, 9)
	case c.Kind == columnar.Float32:
		return float32(n) / 4
	case c.Kind == columnar.Float:
		return float64(n) / 8
	case c.Name == "d9", c.Kind == columnar.Date:
		return int32(n)
	case c.Name == "d18":
		return int64(n)
	case c.Name == "d38":
		return bigEndian(uint64(n), byte(n>>63), 16)
	case c.Name == "d20":
		return bigEndian(uint64(n), byte(n>>63), 9)
	case c.Kind == columnar.Time:
		return int64(n+1_000_000) * 1000
	case c.Kind == columnar.Text:
		return "text " + fmt.Sprint(n)
	case c.Kind == columnar.Binary:
		return string([]byte{0, byte(n), byte(n >> 8), byte(n >> 16)})
	case c.Kind == columnar.Numeric:
		return fmt.Sprint(n)
	default:
		return int64(n) * 1_000_003
	}
}

func bigEndian(low uint64, sign byte, width int) string {
	b := []byte(strings.Repeat(string([]byte{sign}), width))
	for i := range 8 {
		b[width-1-i] = byte(low >> (8 * i))
	}
	return string(b)
}

// TestSideBySide has writers of one schema work at a time, as connections that end together do.
func TestSideBySide(t *testing.T) {
	s := newSchema(t, plain(kinds)...)
	batch := numbers(t, 0, 300)
	want := written(t, s, parquet.Options{}, newFeed(t, s, "c", count(len(kinds))...), batch)
	var files [8][]byte
	var all sync.WaitGroup
	for i := range files {
		all.Go(func() { files[i] = written(t, s, parquet.Options{}, newFeed(t, s, "c", count(len(kinds))...), batch) })
	}
	all.Wait()
	for i, got := range files {
		if !bytes.Equal(got, want) {
			t.Errorf("file %d differs", i)
		}
	}
}
