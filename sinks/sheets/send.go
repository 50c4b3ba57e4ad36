package sheets

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"fanmill/pipeline"
)

// mostOpen bounds the connections whose rows are on their way at a time: each has a hidden tab and a batch in memory.
const mostOpen = 8

// Result is what became of connections, by index. It is whole beside an error, too.
type Result struct {
	Settled  map[int]Settled
	Rejected map[int]string // what Google, or the document, will never take
	Held     map[int]string // what a person must make room for in the spreadsheet first
}

// sender sends some connections.
type sender struct {
	*Document
	conns   []*Connection
	feeds   map[int]*feed
	result  Result
	strikes map[int]int   // refused batches by connection
	rows    map[int]int64 // most rows of a connection in a batch, while the row is looked for that Google refuses
	turn    int           // of the connection that the next batch begins with
	misread int           // ranges that were gone when they were read
}

// Send brings sealed connections into the document, several in a batch, and waits for its turns by the quota. It makes
// one attempt at each batch: an error is a *pipeline.Trouble, ErrFenced, or the context's, and what the ledger has by
// then is in the result. After an error Send may be called again, with the same connections or others.
func (d *Document) Send(ctx context.Context, conns []*Connection) (Result, error) {
	s := &sender{Document: d, conns: conns, feeds: map[int]*feed{}, strikes: map[int]int{}, rows: map[int]int64{},
		result: Result{Settled: map[int]Settled{}, Rejected: map[int]string{}, Held: map[int]string{}}}
	defer s.drop()
	for {
		if err := d.load(ctx); err != nil {
			return s.result, err
		}
		left := s.left()
		if len(left) == 0 {
			return s.result, nil
		}
		if err := s.below(ctx, left); err != nil {
			return s.result, err
		}
		if s.state == nil {
			continue
		}
		if left = s.left(); len(left) == 0 {
			return s.result, nil
		}
		b, err := s.compose(ctx, left)
		if err != nil {
			return s.result, err
		}
		if b == nil { // all were rejected
			continue
		}
		if err := s.write(ctx, b); err != nil {
			return s.result, err
		}
	}
}

// left are the connections that are neither settled, nor rejected, nor held.
func (s *sender) left() (left []*Connection) {
	for _, c := range s.conns {
		if found, ok := s.state.settled[c.Index]; ok {
			s.result.Settled[c.Index] = found
			continue
		}
		_, rejected := s.result.Rejected[c.Index]
		if _, held := s.result.Held[c.Index]; !rejected && !held {
			left = append(left, c)
		}
	}
	return left
}

// write sends a batch. Unless Google said yes, what is known of the document is forgotten: it is read before anything
// is tried again.
func (s *sender) write(ctx context.Context, b *batch) error {
	err := s.client.update(ctx, s.c.Spreadsheet, b.finish())
	if err == nil {
		s.state, s.first = b.state, false
		maps.Copy(s.stages, b.stages)
		maps.DeleteFunc(s.stages, func(k stageKey, _ int64) bool { _, done := b.settled[k.connection]; return done })
		maps.Copy(s.state.settled, b.settled)
		return nil
	}
	s.drop()
	s.state = nil
	if statusOf(err) == http.StatusBadRequest {
		return s.refused(ctx, b, err)
	}
	if uncertain(err) {
		if lerr := s.load(ctx); lerr != nil {
			return errors.Join(s.classify("write", err), lerr)
		}
		if len(s.left()) == 0 { // the answer was lost, and nothing else
			return nil
		}
	}
	return s.classify("write", err)
}

// drop ends all feeds. They begin again at what is known to be in the document.
func (s *sender) drop() {
	for _, f := range s.feeds {
		f.stop()
	}
	clear(s.feeds)
}

// compose makes the next batch: housekeeping of a claim's first one, then rows, the oldest connection first, round
// robin between those that do not fit. nil if nothing is left to write.
func (s *sender) compose(ctx context.Context, left []*Connection) (*batch, error) {
	b := s.newBatch()
	if s.first {
		b.begin()
	}
	from := max(0, slices.IndexFunc(left, func(c *Connection) bool { return c.Index == s.turn }))
	done := false // something of a connection is in the batch
	for i := range left {
		c := left[(from+i)%len(left)]
		if done && (b.room() < s.client.batch/32 || s.strikes[nobody] > 0 || s.strikes[c.Index] > 1) {
			break
		}
		f := s.feeds[c.Index]
		if f == nil && len(s.feeds) >= mostOpen {
			continue
		}
		err := s.fill(ctx, b, c)
		var reject *pipeline.RejectError
		switch {
		case errors.As(err, &reject):
			s.result.Rejected[c.Index] = reject.Reason
			s.close(c.Index)
			continue
		case err != nil:
			return nil, err
		}
		done = true
		if s.strikes[c.Index] > 1 { // alone
			break
		}
	}
	if !done {
		return nil, nil
	}
	return b, nil
}

func (s *sender) close(conn int) {
	if f := s.feeds[conn]; f != nil {
		f.stop()
		delete(s.feeds, conn)
	}
}

// fill puts a connection's next rows into the batch, and commits it with its last.
func (s *sender) fill(ctx context.Context, b *batch, c *Connection) (err error) {
	f := s.feeds[c.Index]
	if f == nil {
		if f, err = s.open(ctx, c); err != nil {
			return err
		}
		s.feeds[c.Index] = f
	}
	mostRows := int64(1) << 40
	if n := s.rows[c.Index]; n > 0 {
		mostRows = n
	}
	var chunks []chunk
	for room := b.room(); room > 0 && !f.whole(); {
		k, ok, err := f.take(room, mostRows, func(table int) int64 { return s.stages[stageKey{c.Index, table, c.Attempt}] })
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		chunks = append(chunks, k)
		if room -= len(k.rows); s.rows[c.Index] > 0 {
			break
		}
	}
	if !f.whole() {
		s.turn = c.Index + 1
		return s.stage(b, f, chunks)
	}
	if err := f.ended(); err != nil {
		return err
	}
	staged := s.staged(b, f) || s.rows[c.Index] > 0
	if staged = staged || s.c.Swap == SwapTabs; staged {
		if err := s.stage(b, f, chunks); err != nil {
			return err
		}
	}
	return s.commit(b, f, chunks, staged)
}

// staged reports whether rows of the connection are in hidden tabs already.
func (s *sender) staged(b *batch, f *feed) bool {
	for table := range f.cols {
		if b.tabs[s.stageID(stageKey{f.c.Index, table, f.c.Attempt})] != nil {
			return true
		}
	}
	return false
}

// stage writes rows into hidden tabs.
func (s *sender) stage(b *batch, f *feed, chunks []chunk) error {
	if !s.staged(b, f) {
		if err := b.fits(f.c.Index, f.cols, f.rows, true); err != nil {
			return err
		}
	}
	for _, k := range chunks {
		key := stageKey{f.c.Index, k.table, f.c.Attempt}
		t := b.stage(key, s.c.Connections[key.connection].ID, f.rows[k.table]+1, s.width(f.cols[k.table]))
		b.cells(f.c.Index, area{t.id, 1 + k.first, 1 + k.first + k.n, 0, t.cols}, k.rows)
		b.stages[key] = k.first + k.n
	}
	return nil
}

// commit brings a connection's tables into their visible tabs, and its entry into the ledger.
func (s *sender) commit(b *batch, f *feed, chunks []chunk, staged bool) error {
	if !staged {
		if err := b.fits(f.c.Index, f.cols, f.rows, false); err != nil {
			return err
		}
	}
	settled := Settled{Attempt: f.c.Attempt}
	for table := range f.cols {
		l := &loaded{cols: f.encoders[table].cols, forms: f.encoders[table].forms, n: f.rows[table]}
		for _, k := range chunks {
			if k.table == table {
				l.rows = append(l.rows, k.rows)
			}
		}
		if key := (stageKey{f.c.Index, table, f.c.Attempt}); staged && l.n > 0 {
			l.stage = b.tabs[s.stageID(key)]
		}
		from, err := b.bring(f.c.Index, table, l)
		if err != nil {
			return err
		}
		if settled.Rows += l.n; table == 0 {
			settled.From = from
		}
	}
	b.note(f.c.Index, s.places[f.c.Index].ledger, settled.value())
	b.settled[f.c.Index] = settled
	s.close(f.c.Index)
	return nil
}
