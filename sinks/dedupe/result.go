package dedupe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"
)

var le = binary.LittleEndian

// Counts says what became of rows. Rows = kept + Duplicates + AlreadySent + Superseded.
type Counts struct {
	Rows        int64 `json:"rows"`
	Duplicates  int64 `json:"duplicates,omitempty"`  // another row of this round with the same key is kept
	AlreadySent int64 `json:"alreadySent,omitempty"` // an earlier round has sent a row with the same key
	Superseded  int64 `json:"superseded,omitempty"`  // the same with Last: this row would have been the one, and is not sent
}

// Kept counts the rows that are sent.
func (c Counts) Kept() int64 { return c.Rows - c.Duplicates - c.AlreadySent - c.Superseded }

// Add adds what o has counted.
func (c *Counts) Add(o Counts) {
	c.Rows += o.Rows
	c.Duplicates += o.Duplicates
	c.AlreadySent += o.AlreadySent
	c.Superseded += o.Superseded
}

// Result is one bit per row. Its methods may be called by several goroutines.
type Result struct {
	mu      sync.Mutex
	bits    *bitmap
	keep    Keep
	extents []extent // ascending
	rows    int64
	sent    SentKeys
}

// extent is the rows of one query of one connection: first is the place of its row 0 in the bitmap.
type extent struct {
	connection, query int
	first             int64
	counts            Counts
}

// extend makes room for a batch, which comes next.
func (r *Result) extend(s Share, queries []Query) error {
	if s.Query < 0 || s.Query >= len(queries) {
		return fmt.Errorf("connection %d has rows of query %d, of which nothing is known", s.Connection, s.Query)
	}
	if want := len(queries[s.Query].Columns); s.Columns != nil && len(s.Columns) != want || s.Columns == nil && len(s.Batch.Cols) != want {
		return fmt.Errorf("connection %d, query %d: a batch has other columns than the query's %d", s.Connection, s.Query, want)
	}
	for _, at := range s.Columns {
		if at >= len(s.Batch.Cols) {
			return fmt.Errorf("connection %d, query %d: column %d of a batch of %d", s.Connection, s.Query, at, len(s.Batch.Cols))
		}
	}
	last := len(r.extents) - 1
	if last >= 0 && (r.extents[last].connection != s.Connection || r.extents[last].query != s.Query) && !r.extents[last].before(s.Connection, s.Query) {
		return fmt.Errorf("rows of connection %d, query %d come after those of connection %d, query %d", s.Connection, s.Query,
			r.extents[last].connection, r.extents[last].query)
	}
	if last < 0 || r.extents[last].before(s.Connection, s.Query) {
		r.extents = append(r.extents, extent{connection: s.Connection, query: s.Query, first: r.rows})
		last++
	}
	e := &r.extents[last]
	if s.First != e.counts.Rows {
		return fmt.Errorf("connection %d, query %d: a batch begins at row %d, %d have come", s.Connection, s.Query, s.First, e.counts.Rows)
	}
	e.counts.Rows += int64(s.Batch.Rows)
	r.rows += int64(s.Batch.Rows)
	return nil
}

func (e *extent) before(connection, query int) bool {
	return e.connection < connection || e.connection == connection && e.query < query
}

// dropSent drops a row whose key an earlier round has sent. An extent without rows begins where the next one does: the
// last that begins at the row or before has it.
func (r *Result) dropSent(row int64) error {
	e := &r.extents[sort.Search(len(r.extents), func(i int) bool { return r.extents[i].first > row })-1]
	if r.keep == Last {
		e.counts.Superseded++
	} else {
		e.counts.AlreadySent++
	}
	return r.bits.drop(row)
}

// count counts the duplicates once all is decided.
func (r *Result) count() error {
	if err := r.bits.settle(); err != nil {
		return err
	}
	for i := range r.extents {
		e := &r.extents[i]
		n, err := r.bits.dropped(e.first, e.first+e.counts.Rows)
		if err != nil {
			return err
		}
		e.counts.Duplicates = n - e.counts.AlreadySent - e.counts.Superseded
	}
	return nil
}

// find is the extent of a query of a connection; nil if it has no rows.
func (r *Result) find(connection, query int) *extent {
	i := sort.Search(len(r.extents), func(i int) bool { return !r.extents[i].before(connection, query) })
	if i == len(r.extents) || r.extents[i].connection != connection || r.extents[i].query != query {
		return nil
	}
	return &r.extents[i]
}

// Kept appends which of the n rows from row first on are kept, counted from first, ascending: the rows of a batch that
// are sent. It reads the disk where the bitmap is larger than an eighth of Spec.Memory.
func (r *Result) Kept(dst []int32, connection, query int, first int64, n int) ([]int32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.find(connection, query)
	if n > 0 && (e == nil || first < 0 || first+int64(n) > e.counts.Rows) {
		return dst, fmt.Errorf("dedupe: connection %d, query %d: rows %d to %d were not looked at", connection, query, first, first+int64(n))
	}
	if n == 0 {
		return dst, nil
	}
	base := e.first + first
	err := r.bits.spans(base, base+int64(n), func(p *page, from, to int64) {
		for row := from; row < to; row++ {
			if p == nil || p.words[row%pageRows/64]&(1<<(row%64)) == 0 {
				dst = append(dst, int32(row-base))
			}
		}
	})
	return dst, err
}

// Counts is what became of the rows of one query of a connection.
func (r *Result) Counts(connection, query int) Counts {
	if e := r.find(connection, query); e != nil {
		return e.counts
	}
	return Counts{}
}

// Total is what became of all rows.
func (r *Result) Total() (c Counts) {
	for i := range r.extents {
		c.Add(r.extents[i].counts)
	}
	return c
}

// Sent is the file of keys that Spec.Save asked for.
func (r *Result) Sent() SentKeys { return r.sent }

// PeakDisk is how many bytes the files of Run took at most.
func (r *Result) PeakDisk() int64 { return r.bits.dir.peak }

// Close removes the files of the folder. The saved keys stay.
func (r *Result) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.bits.close(), r.bits.dir.abandon())
}
