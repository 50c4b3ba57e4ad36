package sheets

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// feed is a connection's rows, pulled as there is room for them.
type feed struct {
	c        *Connection
	cols     [][]columnar.Column
	encoders []*encoder
	rows     []int64 // of each table, as the connection says
	next     func() (int, *columnar.Batch, bool)
	stop     func()
	failed   error // of Connection.Each
	table    int
	batch    *columnar.Batch
	at       int
}

var errStopped = errors.New("stopped")

// open begins a feed at the connection's first row.
func (d *Document) open(ctx context.Context, c *Connection) (*feed, error) {
	if c.Found == nil {
		if err := d.survey(ctx, c); err != nil {
			return nil, err
		}
	}
	f := &feed{c: c}
	for i := range c.Tables {
		cols, from, err := d.columns(&c.Tables[i])
		if err != nil {
			return nil, err
		}
		var named *string
		if d.c.All != "" {
			named = &c.Name
		}
		f.cols = append(f.cols, cols)
		f.rows = append(f.rows, c.Tables[i].Rows)
		f.encoders = append(f.encoders, newEncoder(cols, from, textColumns(cols, c.Tables[i].Digits, c.Found[i].Texts), named, &d.c.Cells))
	}
	f.next, f.stop = iter.Pull2(func(yield func(int, *columnar.Batch) bool) {
		f.failed = c.Each(ctx, func(table int, b *columnar.Batch) error {
			if table < 0 || table >= len(c.Tables) {
				return pipeline.Permanent(fmt.Errorf("a batch of table %d of %d", table, len(c.Tables)))
			}
			if !yield(table, b) {
				return errStopped
			}
			return nil
		})
	})
	return f, nil
}

// survey looks at the rows first, where the caller did not.
func (d *Document) survey(ctx context.Context, c *Connection) error {
	s, err := d.NewSurvey(c.Tables)
	if err != nil {
		return err
	}
	if err := c.Each(ctx, s.Add); err != nil {
		return err
	}
	c.Found = s.Done().Tables
	return nil
}

// chunk is rows of one table.
type chunk struct {
	table    int
	first, n int64
	rows     []byte
}

// take encodes rows of one table: up to some bytes, and to a number of rows. Those before skip are known to be where
// they belong. ok is false if none is left.
func (f *feed) take(most int, mostRows int64, skip func(table int) int64) (c chunk, ok bool, err error) {
	for len(c.rows) < most && c.n < mostRows {
		if f.batch == nil || f.at == f.batch.Rows {
			table, b, more := f.next()
			if !more {
				f.batch = nil
				return c, c.n > 0, f.ended()
			}
			f.table, f.batch, f.at = table, b, 0
		}
		if c.n > 0 && f.table != c.table {
			return c, true, nil
		}
		e := f.encoders[f.table]
		if left := skip(f.table) - e.rows; left > 0 {
			if c.rows, f.at, err = e.appendRows(c.rows, f.batch, f.at, min(f.batch.Rows, f.at+int(left)), 1<<16); err != nil {
				return c, false, err
			}
			c.rows = c.rows[:0]
			continue
		}
		if c.n == 0 {
			c.table, c.first = f.table, e.rows
		}
		to := min(f.batch.Rows, f.at+int(mostRows-c.n))
		if c.rows, f.at, err = e.appendRows(c.rows, f.batch, f.at, to, most); err != nil {
			return c, false, err
		}
		c.n = e.rows - c.first
	}
	return c, true, nil
}

// ended checks that the rows were as many as the connection said.
func (f *feed) ended() error {
	if f.failed != nil {
		return f.failed
	}
	for i, e := range f.encoders {
		if e.rows != f.rows[i] {
			return pipeline.Permanent(fmt.Errorf("connection %s has %d rows in table %d, its spool %d", f.c.Name, f.rows[i], i, e.rows))
		}
	}
	return nil
}

// whole reports whether all rows were taken.
func (f *feed) whole() bool {
	for i, e := range f.encoders {
		if e.rows < f.rows[i] {
			return false
		}
	}
	return true
}
