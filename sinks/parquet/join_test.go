package parquet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

var meta = map[string]string{"b": "2", "a": "दिल्ली", "empty": ""}

// numbers makes a batch of kinds with the numbers from lo on, each tenth NULL.
func numbers(t testing.TB, lo, rows int) *columnar.Batch {
	if rows == 0 {
		return &columnar.Batch{}
	}
	return batchOf(t, rows, kinds, func(r int, b *columnar.Builder) {
		for i := range kinds {
			if n := lo + r; n%10 == 0 {
				b.Column(i).Null()
			} else {
				put(b, i, n)
			}
		}
	})
}

// isNumbers fails unless a file holds the numbers from lo to hi.
func isNumbers(t testing.TB, data []byte, lo, hi int) (groups []int64) {
	t.Helper()
	got := read(t, data)
	for i, c := range kinds {
		if len(got.cols[i]) != hi-lo {
			t.Fatalf("%s has %d values, not %d", c.Name, len(got.cols[i]), hi-lo)
		}
		for r := range got.cols[i] {
			if want := wanted(c, lo+r, (lo+r)%10 == 0); got.cols[i][r] != want {
				t.Fatalf("%s, row %d: %v, want %v", c.Name, r, got.cols[i][r], want)
			}
		}
	}
	return got.groups
}

func start(t testing.TB, s *parquet.Schema) *parquet.File {
	t.Helper()
	f, err := parquet.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// must fails a test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestJoin has parts joined: large row groups as they are, small ones merged, in order.
func TestJoin(t *testing.T) {
	s := newSchema(t, plain(kinds)...)
	part0 := func(lo, rows int, o parquet.Options) parquet.Part {
		return part(written(t, s, o, newFeed(t, s, "c", count(len(kinds))...), numbers(t, lo, rows)))
	}
	sizes := []int{20, 20, 5000, 7, 1, 21_500, 20, 0, 20, 3000}
	for name, test := range map[string]struct {
		groupBytes int64
		codec      string
		want       string
	}{
		"copied":      {1, "gzip", "[20 20 5000 7 1 21500 20 20 3000]"},
		"merged":      {0, "zstd", "[29588]"},
		"large":       {1, "zstd", "[20 20 5000 7 1 21500 20 20 3000]"},
		"some merged": {1_000_000, "none", "[40 5000 8 21500 40 3000]"},
	} {
		t.Run(name, func(t *testing.T) {
			var parts []parquet.Part
			lo := 0
			for _, rows := range sizes {
				parts = append(parts, part0(lo, rows, parquet.Options{Compression: test.codec}))
				lo += rows
			}
			f := start(t, s)
			var out bytes.Buffer
			must(t, f.Append(&out, parquet.Options{GroupBytes: test.groupBytes, Compression: test.codec}, parts...))
			must(t, f.Finish(&out, meta))
			if groups := fmt.Sprint(isNumbers(t, out.Bytes(), 0, lo)); groups != test.want {
				t.Fatalf("row groups of %s rows, want %s", groups, test.want)
			}
			if f.Rows() != int64(lo) || f.Size() != int64(out.Len()) || fmt.Sprint(f.Meta()) != fmt.Sprint(meta) {
				t.Fatalf("%d rows in %d bytes of %d, with %v", f.Rows(), f.Size(), out.Len(), f.Meta())
			}
		})
	}
}

// TestRecompress has parts that are compressed otherwise than the file.
func TestRecompress(t *testing.T) {
	s := newSchema(t, plain(kinds)...)
	f := start(t, s)
	var out bytes.Buffer
	for i, codec := range []string{"zstd", "none", "gzip"} {
		data := written(t, s, parquet.Options{Compression: codec}, newFeed(t, s, "c", count(len(kinds))...), numbers(t, i*100, 100))
		must(t, f.Append(&out, parquet.Options{Compression: "snappy", GroupBytes: 1}, part(data)))
	}
	must(t, f.Finish(&out, nil))
	if groups := isNumbers(t, out.Bytes(), 0, 300); len(groups) != 3 {
		t.Fatalf("row groups %v", groups)
	}
}

// TestGrow is a file that is finished again and again, by one process after the other: it is complete at each length,
// what was there stays byte for byte, and joined anew it has no dead bytes and one row group.
func TestGrow(t *testing.T) {
	s := newSchema(t, plain(kinds)...)
	var out bytes.Buffer
	f := start(t, s)
	must(t, f.Finish(&out, nil))
	read(t, out.Bytes())
	const rows = 50
	for lo := 0; lo < 10*rows; lo += rows {
		before := bytes.Clone(out.Bytes())
		f, err := parquet.Open(part(before))
		must(t, err)
		must(t, f.Append(&out, parquet.Options{}, part(written(t, s, parquet.Options{}, newFeed(t, s, "c", count(len(kinds))...), numbers(t, lo, rows)))))
		must(t, f.Finish(&out, meta))
		if !bytes.HasPrefix(out.Bytes(), before) {
			t.Fatal("bytes that were there have changed")
		}
		if groups := isNumbers(t, out.Bytes(), 0, lo+rows); len(groups) != lo/rows+1 || f.Groups() != len(groups) {
			t.Fatalf("row groups %v", groups)
		}
	}
	grown, err := parquet.Open(part(out.Bytes()))
	must(t, err)
	var fresh bytes.Buffer
	f = start(t, s)
	must(t, f.Append(&fresh, parquet.Options{}, part(out.Bytes())))
	must(t, f.Finish(&fresh, meta))
	if groups := isNumbers(t, fresh.Bytes(), 0, 10*rows); len(groups) != 1 {
		t.Fatalf("row groups %v", groups)
	}
	if f.Dead() >= grown.Dead() || grown.Dead() >= int64(out.Len()) || f.Size() >= grown.Size() {
		t.Fatalf("%d bytes of %d are dead, after joining anew %d of %d", grown.Dead(), grown.Size(), f.Dead(), f.Size())
	}
	var again bytes.Buffer
	f = start(t, s)
	must(t, f.Append(&again, parquet.Options{}, part(out.Bytes())))
	must(t, f.Finish(&again, meta))
	if !bytes.Equal(fresh.Bytes(), again.Bytes()) {
		t.Fatal("the same calls give other bytes")
	}
}

// bounds says of each row group whether a column has bounds, with the number of NULLs.
func bounds(t testing.TB, data []byte, column int) (out []string) {
	t.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(data))
	must(t, err)
	defer r.Close()
	for g := range r.NumRowGroups() {
		chunk, err := r.MetaData().RowGroup(g).ColumnChunk(column)
		must(t, err)
		stats, err := chunk.Statistics()
		must(t, err)
		out = append(out, fmt.Sprintf("%t %d", stats.HasMinMax(), stats.NullCount()))
	}
	return out
}

// TestBounds has no bounds of a column where some row group cannot have them, whether they were written, copied or
// merged.
func TestBounds(t *testing.T) {
	s := newSchema(t, parquet.Column{Name: "f", Kind: columnar.Float}, parquet.Column{Name: "t", Kind: columnar.Text}, parquet.Column{Name: "n", Kind: columnar.Int})
	cols := []columnar.Column{{Name: "f", Kind: columnar.Float}, {Name: "t", Kind: columnar.Text}, {Name: "n", Kind: columnar.Int}}
	make := func(odd bool) []byte {
		return written(t, s, parquet.Options{}, newFeed(t, s, "c", 0, 1, 2), batchOf(t, 3, cols, func(r int, b *columnar.Builder) {
			f, text := float64(r), "x"
			if odd && r == 1 {
				f, text = nan(), strings.Repeat("x", 300)
			}
			b.Column(0).Float(f)
			b.Column(1).String(text)
			b.Column(2).Null()
		}))
	}
	even, odd := make(false), make(true)
	if got := fmt.Sprint(bounds(t, even, 0), bounds(t, even, 1), bounds(t, even, 2)); got != "[true 0] [true 0] [false 3]" {
		t.Fatal(got)
	}
	for groupBytes, want := range map[int64]string{1: "[false 0 false 0 false 0] [false 0 false 0 false 0] [false 3 false 3 false 3]", 0: "[false 0] [false 0] [false 9]"} {
		var out bytes.Buffer
		f := start(t, s)
		must(t, f.Append(&out, parquet.Options{GroupBytes: groupBytes}, part(even), part(odd), part(even)))
		must(t, f.Finish(&out, nil))
		if got := fmt.Sprint(bounds(t, out.Bytes(), 0), bounds(t, out.Bytes(), 1), bounds(t, out.Bytes(), 2)); got != want {
			t.Errorf("%d: %s, want %s", groupBytes, got, want)
		}
	}
}

func nan() float64 { return zero / zero }

var zero float64

// TestOpenRefuses has what is no Parquet file, or a cut one, refused; no damage makes a panic.
func TestOpenRefuses(t *testing.T) {
	s := newSchema(t, parquet.Column{Name: "a", Kind: columnar.Int})
	good := written(t, s, parquet.Options{}, newFeed(t, s, "c", 0), one(t, columnar.Column{Name: "a", Kind: columnar.Int}, long(1), null))
	for n := range len(good) {
		if _, err := parquet.Open(part(good[:n])); err == nil {
			t.Fatalf("a file cut to %d of %d bytes is opened", n, len(good))
		}
	}
	for i := range good {
		damaged := bytes.Clone(good)
		damaged[i] ^= 0xFF
		_, err := parquet.Open(part(damaged))
		if i >= len(good)-4 && err == nil {
			t.Fatalf("byte %d of %d is damaged and the file is opened", i, len(good))
		}
	}
	other := newSchema(t, parquet.Column{Name: "a", Kind: columnar.Float})
	if err := start(t, other).Append(io.Discard, parquet.Options{}, part(good)); err == nil || !strings.Contains(err.Error(), "columns are not those") {
		t.Fatalf("a part of other columns: %v", err)
	}
}

// failing is a disk with room for some bytes.
type failing struct{ left int }

var errFull = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		n := f.left
		f.left = 0
		return n, errFull
	}
	f.left -= len(p)
	return len(p), nil
}

// TestFullDisk fills the disk at any byte: the error comes out, stays, and no memory is kept.
func TestFullDisk(t *testing.T) {
	s := newSchema(t, plain(kinds)...)
	batches := []*columnar.Batch{numbers(t, 0, 300), numbers(t, 300, 300)}
	o := parquet.Options{GroupBytes: 30_000}
	whole := written(t, s, o, newFeed(t, s, "c", count(len(kinds))...), batches...)
	step := 97
	if testing.Short() {
		step = 1009 // with the race detector each takes 30 times as long, and one goroutine has nothing to race with
	}
	for room := 0; room < len(whole); room += step {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		disk := &failing{room}
		w, err := parquet.New(disk, s, parquet.WithMemory(o, mem))
		if err == nil {
			f := newFeed(t, s, "c", count(len(kinds))...)
			for _, b := range batches {
				if err = w.Write(f, b); err != nil {
					break
				}
			}
			if err == nil {
				err = w.Close(map[string]string{"fanmill.run": "r1"})
			}
			if w.Write(f, batches[0]) == nil {
				t.Fatalf("%d: a broken or closed writer goes on", room)
			}
			w.Discard()
		}
		if !errors.Is(err, errFull) {
			t.Fatalf("room for %d of %d bytes: %v", room, len(whole), err)
		}
		mem.AssertSize(t, 0)
	}
	parts := []parquet.Part{part(whole), part(whole)}
	for _, room := range []int{0, 4, 500, len(whole) / 2} {
		for _, groupBytes := range []int64{0, 1} {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			f := start(t, s)
			disk := &failing{room}
			err := f.Append(disk, parquet.WithMemory(parquet.Options{GroupBytes: groupBytes}, mem), parts...)
			if err == nil {
				err = f.Finish(disk, nil)
			}
			if !errors.Is(err, errFull) {
				t.Fatalf("join with room for %d bytes: %v", room, err)
			}
			mem.AssertSize(t, 0)
		}
	}
}

// TestMemoryIsGivenBack writes and joins without an error.
func TestMemoryIsGivenBack(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	s := newSchema(t, plain(kinds)...)
	o := parquet.WithMemory(parquet.Options{GroupBytes: 1 << 20}, mem)
	data := written(t, s, o, newFeed(t, s, "c", count(len(kinds))...), numbers(t, 0, 25_000), numbers(t, 25_000, 25_000))
	mem.AssertSize(t, 0)
	f := start(t, s)
	must(t, f.Append(io.Discard, parquet.WithMemory(parquet.Options{}, mem), part(data), part(data)))
	must(t, f.Finish(io.Discard, nil))
	mem.AssertSize(t, 0)
}
