package sheets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"google.golang.org/api/sheets/v4"
)

// stageID is the id of a hidden tab: another claim's is another tab.
func (d *Document) stageID(k stageKey) int64 {
	return id31("stage", d.owner, d.c.Birth, d.places[k.connection].hash, strconv.Itoa(k.table), strconv.Itoa(k.attempt), strconv.FormatUint(d.c.Epoch, 10))
}

// stage is a hidden tab; it is made if it is not there. Row 0 is left for a header.
func (b *batch) stage(k stageKey, connection string, rows, cols int64) *tab {
	id := b.d.stageID(k)
	if t := b.tabs[id]; t != nil {
		return t
	}
	return b.addTab(k.connection, tab{id: id, title: cutRunes(fmt.Sprintf("fanmill %d %s", id, connection), mostTitle), hidden: true, rows: max(2, rows), cols: cols,
		mark: &mark{hidden: true, connection: b.d.places[k.connection].hash, table: k.table, birth: b.d.birth(), epoch: b.d.c.Epoch}})
}

// begin is a claim's first step: its fence, and what earlier claims and runs left behind. Removed tabs also fence:
// whoever still writes to one fails.
func (b *batch) begin() {
	d := b.d
	for _, t := range b.state.stale(d, false) {
		b.removeTab(nobody, t)
	}
	for _, id := range b.old {
		b.forget(id)
	}
	b.old = nil
	own := d.fence()
	there := false
	for _, f := range b.fences {
		if f.id == own.id {
			there = true
		} else {
			b.forget(f.id)
		}
	}
	if !there {
		b.note(nobody, own.id, own.value())
	}
	b.fences = []fence{own}
}

// stale are hidden tabs of ours: of earlier claims, or all.
func (s *state) stale(d *Document, all bool) (stale []*tab) {
	for _, t := range s.tabs {
		if t.mark != nil && t.mark.hidden && (all || t.mark.birth != d.birth() || t.mark.epoch != d.c.Epoch) {
			stale = append(stale, t)
		}
	}
	return stale
}

// Staged reports whether rows of connections that are not committed are in hidden tabs.
func (d *Document) Staged() bool { return len(d.stages) > 0 }

// Tidy removes the hidden tabs of this run and of earlier ones, when the run has ended or was given up. It needs no
// claim, may be repeated, and does nothing where a later claim is at work.
func (d *Document) Tidy(ctx context.Context) error {
	d.state = nil
	if err := d.load(ctx); err != nil {
		if errors.Is(err, ErrFenced) {
			return nil
		}
		return err
	}
	b := d.newBatch()
	for _, t := range b.state.stale(d, true) {
		b.removeTab(nobody, t)
	}
	if len(b.whose) == 0 {
		return nil
	}
	clear(d.stages)
	d.state = nil
	return d.classify("tidy up", d.client.update(ctx, d.c.Spreadsheet, b.finish()))
}

// mostMisread is how often in a Send a document may change between two reads of it.
const mostMisread = 3

// below looks, before rows are appended to a tab, for cells below ours: they are somebody's, and would be written over.
// The document is to be read again if it forgets what it knew of it.
func (s *sender) below(ctx context.Context, conns []*Connection) error {
	b := s.newBatch()
	var ranges []*sheets.GridRange
	var whose [][]*Connection
	at := map[int64]int{}
	for _, c := range conns {
		for table := range c.Tables {
			cols, _, err := s.columns(&c.Tables[table])
			if err != nil {
				continue // Send says so
			}
			t, err := b.destine(c.Index, table, cols)
			if err != nil || t.fresh || t.tab == nil || s.looked[t.tab.id] || t.from >= t.tab.rows {
				continue
			}
			i, known := at[t.tab.id]
			if !known {
				i = len(ranges)
				at[t.tab.id] = i
				ranges = append(ranges, area{t.tab.id, t.from, t.tab.rows, 0, t.tab.cols}.grid())
				whose = append(whose, nil)
			}
			whose[i] = append(whose[i], c)
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	found, err := s.client.values(ctx, s.c.Spreadsheet, ranges)
	if err != nil {
		// A tab may have gone since the document was read: Google refuses its range as it would a wrong one.
		s.state = nil
		if statusOf(err) == http.StatusBadRequest && s.misread < mostMisread {
			s.misread++
			return nil
		}
		return s.classify("read", err)
	}
	occupied := map[int64]int64{} // tab -> first row that was looked at
	var about []*Connection
	for i, r := range found.ValueRanges {
		if r.ValueRange != nil && len(r.ValueRange.Values) > 0 {
			occupied[ranges[i].SheetId] = ranges[i].StartRowIndex
			about = append(about, whose[i]...)
		} else {
			s.looked[ranges[i].SheetId] = true
		}
	}
	if len(occupied) == 0 {
		return nil
	}
	return s.occupied(ctx, occupied, about)
}

// occupied holds connections whose tabs have cells below ours, unless these are what another claim has written since
// the document was read.
func (s *sender) occupied(ctx context.Context, rows map[int64]int64, about []*Connection) error {
	s.state = nil
	if err := s.load(ctx); err != nil {
		return err
	}
	b := s.newBatch()
	for _, c := range about {
		for table := range c.Tables {
			cols, _, err := s.columns(&c.Tables[table])
			if err != nil {
				continue
			}
			t, err := b.destine(c.Index, table, cols)
			if err != nil || t.tab == nil {
				continue
			}
			if row, ok := rows[t.tab.id]; ok && row == t.from {
				s.result.Held[c.Index] = fmt.Sprintf("the tab %q has cells below fanmill's last row, %d: move them, rows are appended there", t.tab.title, row)
			}
		}
	}
	return nil
}
