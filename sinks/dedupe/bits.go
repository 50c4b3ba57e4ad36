package dedupe

import (
	"errors"
	"io"
	"math/bits"
	"os"
	"slices"
)

// bitmap has a bit per row, set if the row is dropped. Its pages are in memory as long as they fit; the others are in a
// file, whose holes are rows that are kept.
type bitmap struct {
	dir      *folder
	f        *os.File
	most     int     // pages in memory
	pages    []*page // by number; nil: not in memory
	stored   []bool  // by number: the file has it
	resident []int   // pages in memory, in the order in which they came
	hand     int     // of resident: the next to go
	waiting  []int64 // rows to be dropped whose page is in the file
	size     int64   // of the file, as the folder counts it
}

// page is the bits of pageRows rows.
type page struct {
	words [pageRows / 64]uint64
	dirty bool
}

const (
	pageBits  = 16
	pageRows  = 1 << pageBits
	pageBytes = pageRows / 8
)

// newBits makes a bitmap that holds so much memory, at least two pages.
func newBits(dir *folder, memory int64) *bitmap {
	pages := max(int(memory/pageBytes), 4)
	return &bitmap{dir: dir, most: pages / 2, waiting: make([]int64, 0, pages/2*pageBytes/8)}
}

// drop sets the bit of a row.
func (b *bitmap) drop(row int64) error {
	n := int(row >> pageBits)
	b.reach(n)
	p := b.pages[n]
	if p == nil && !b.stored[n] && len(b.resident) < b.most {
		p = b.place(n, new(page))
	}
	if p == nil {
		return b.later(row)
	}
	p.set(row)
	return nil
}

// reach makes room for the number of a page.
func (b *bitmap) reach(n int) {
	for len(b.pages) <= n {
		b.pages, b.stored = append(b.pages, nil), append(b.stored, false)
	}
}

func (b *bitmap) place(n int, p *page) *page {
	b.pages[n] = p
	b.resident = append(b.resident, n)
	return p
}

// later keeps a row until there are so many that pages are read for many of them.
func (b *bitmap) later(row int64) error {
	b.waiting = append(b.waiting, row)
	if len(b.waiting) < cap(b.waiting) {
		return nil
	}
	return b.settle()
}

// settle drops the rows that wait.
func (b *bitmap) settle() error {
	slices.Sort(b.waiting)
	for _, row := range b.waiting {
		p, err := b.load(int(row >> pageBits))
		if err != nil {
			return err
		}
		p.set(row)
	}
	b.waiting = b.waiting[:0]
	return nil
}

// load brings a page into memory.
func (b *bitmap) load(n int) (*page, error) {
	b.reach(n)
	if p := b.pages[n]; p != nil {
		return p, nil
	}
	if len(b.resident) < b.most {
		p := new(page)
		return b.place(n, p), b.read(n, p)
	}
	if err := b.dir.ctx.Err(); err != nil {
		return nil, err
	}
	gone := b.resident[b.hand]
	p := b.pages[gone]
	if p.dirty {
		if err := b.write(gone, p); err != nil {
			return nil, err
		}
	}
	b.pages[gone] = nil
	b.pages[n], b.resident[b.hand] = p, n
	b.hand = (b.hand + 1) % len(b.resident)
	return p, b.read(n, p)
}

func (b *bitmap) write(n int, p *page) error {
	if b.f == nil {
		f, err := b.dir.create(bitsName)
		if err != nil {
			return err
		}
		b.f = f
	}
	if more := int64(n+1)*pageBytes - b.size; more > 0 {
		if err := b.dir.grow(more); err != nil {
			return err
		}
		b.size += more
	}
	var raw [pageBytes]byte
	for i, w := range p.words {
		le.PutUint64(raw[8*i:], w)
	}
	if _, err := b.f.WriteAt(raw[:], int64(n)*pageBytes); err != nil {
		return trouble("dedupe", err)
	}
	b.stored[n], p.dirty = true, false
	return nil
}

func (b *bitmap) read(n int, p *page) error {
	if !b.stored[n] {
		*p = page{}
		return nil
	}
	var raw [pageBytes]byte
	if _, err := b.f.ReadAt(raw[:], int64(n)*pageBytes); err != nil {
		if errors.Is(err, io.EOF) {
			return damaged(b.f)
		}
		return trouble("dedupe", err)
	}
	for i := range p.words {
		p.words[i] = le.Uint64(raw[8*i:])
	}
	p.dirty = false
	return nil
}

func (p *page) set(row int64) {
	p.words[row%pageRows/64] |= 1 << (row % 64)
	p.dirty = true
}

// spans calls f with the words of the rows from first to end, and the row of the first bit of the first word. p is nil
// where all rows are kept.
func (b *bitmap) spans(first, end int64, f func(p *page, from, to int64)) error {
	for from := first; from < end; {
		n := int(from >> pageBits)
		to := min(int64(n+1)<<pageBits, end)
		var p *page
		if n < len(b.pages) && (b.pages[n] != nil || b.stored[n]) {
			var err error
			if p, err = b.load(n); err != nil {
				return err
			}
		}
		f(p, from, to)
		from = to
	}
	return nil
}

// dropped counts the dropped rows from first to end.
func (b *bitmap) dropped(first, end int64) (n int64, err error) {
	err = b.spans(first, end, func(p *page, from, to int64) {
		if p == nil {
			return
		}
		for row := from; row < to; {
			w := p.words[row%pageRows/64] >> (row % 64)
			width := min(64-row%64, to-row)
			if width < 64 {
				w &= 1<<width - 1
			}
			n += int64(bits.OnesCount64(w))
			row += width
		}
	})
	return n, err
}

// close removes the file.
func (b *bitmap) close() error {
	b.pages, b.stored, b.resident, b.waiting = nil, nil, nil, nil
	if b.f == nil {
		return nil
	}
	err := b.f.Close()
	b.f = nil
	return errors.Join(trouble("dedupe", err), b.dir.remove(bitsName, b.size))
}
