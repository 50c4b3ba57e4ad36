package sheets

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/api/sheets/v4"
)

// stateFields is what is read of a spreadsheet: no cells.
const stateFields = "developerMetadata(metadataId,metadataKey,metadataValue)," +
	"sheets(properties(sheetId,title,index,hidden,gridProperties(rowCount,columnCount)),developerMetadata(metadataId,metadataKey,metadataValue))"

// place is what ids a connection has.
type place struct {
	hash   string
	ledger int64
}

// stageKey names a hidden tab.
type stageKey struct {
	connection, table, attempt int
}

// tab is a tab as it is, or will be when the batch that is being made is applied.
type tab struct {
	id         int64
	title      string
	index      int64
	hidden     bool
	rows, cols int64
	mark       *mark // nil: not ours
	markID     int64
}

// state is what a spreadsheet holds of what matters to us.
type state struct {
	tabs    map[int64]*tab
	ids     map[int64]bool // of all metadata
	settled map[int]Settled
	old     []int64 // ledger entries of earlier runs
	fences  []fence
}

// clone is for a batch that may fail.
func (s *state) clone() *state {
	c := &state{tabs: make(map[int64]*tab, len(s.tabs)), ids: maps.Clone(s.ids), settled: maps.Clone(s.settled), old: slices.Clone(s.old), fences: slices.Clone(s.fences)}
	for id, t := range s.tabs {
		n := *t
		if t.mark != nil {
			m := *t.mark
			n.mark = &m
		}
		c.tabs[id] = &n
	}
	return c
}

// cells is what the grids take together, hidden and empty cells too: what Google's limit is about.
func (s *state) cells() (n int64) {
	for _, t := range s.tabs {
		n += t.rows * t.cols
	}
	return n
}

// marked is our visible tab of a table; nil if there is none.
func (s *state) marked(connection string, table int) *tab {
	for _, t := range s.tabs {
		if t.mark != nil && !t.mark.hidden && t.mark.connection == connection && t.mark.table == table {
			return t
		}
	}
	return nil
}

// birth is a hash of the run.
func (d *Document) birth() string { return hash("birth", d.c.Birth)[:birthLength] }

func (d *Document) ledgerKey() string { return ledgerKey + d.owner[:4] }

// fence is this claim's.
func (d *Document) fence() fence {
	began := d.c.Began.UnixMilli()
	return fence{id31("fence", d.owner, d.c.Birth, strconv.FormatInt(began, 10), strconv.FormatUint(d.c.Epoch, 10)), began, d.c.Epoch, d.birth()}
}

// assign gives the connections their ids, in the job's order: two of one number are told apart, the same in every
// process.
func (d *Document) assign() []place {
	taken := map[int64]bool{d.fence().id: true}
	out := make([]place, len(d.c.Connections))
	for i, c := range d.c.Connections {
		out[i].hash = hash(c.ID)[:8]
		for n := 0; out[i].ledger == 0 || taken[out[i].ledger]; n++ {
			out[i].ledger = id31("ledger", d.owner, d.c.Birth, c.ID, strconv.Itoa(n))
		}
		taken[out[i].ledger] = true
	}
	return out
}

// Load reads the spreadsheet and returns what its ledger has of this run. ErrFenced says that it shows a later claim.
// It changes nothing.
func (d *Document) Load(ctx context.Context) (map[int]Settled, error) {
	d.state = nil
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	return maps.Clone(d.state.settled), nil
}

func (d *Document) load(ctx context.Context) error {
	if d.state != nil {
		return nil
	}
	doc, err := d.client.get(ctx, d.c.Spreadsheet, stateFields)
	if err != nil {
		return d.classify("read", err)
	}
	s := d.read(doc)
	own := d.fence()
	for i := range s.fences {
		if s.fences[i].after(&own) {
			return ErrFenced
		}
	}
	for key := range d.stages {
		if t := s.tabs[d.stageID(key)]; t == nil || t.mark == nil { // somebody removed it
			delete(d.stages, key)
		}
	}
	d.state = s
	return nil
}

// read takes an answer apart.
func (d *Document) read(doc *sheets.Spreadsheet) *state {
	s := &state{tabs: map[int64]*tab{}, ids: map[int64]bool{}, settled: map[int]Settled{}}
	var slots []int64
	for _, sheet := range doc.Sheets {
		p := sheet.Properties
		t := &tab{id: p.SheetId, title: p.Title, index: p.Index, hidden: p.Hidden}
		if p.GridProperties != nil {
			t.rows, t.cols = p.GridProperties.RowCount, p.GridProperties.ColumnCount
		}
		for _, m := range sheet.DeveloperMetadata {
			s.ids[m.MetadataId] = true
			if m.MetadataKey == d.ledgerKey() {
				slots = append(slots, m.MetadataId)
			}
			if m.MetadataKey != markKey {
				continue
			}
			if own, ok := parseMark(m.MetadataValue, d.owner, t.id); ok {
				t.mark, t.markID = &own, m.MetadataId
			}
		}
		s.tabs[t.id] = t
	}
	if running := d.readLedger(doc.DeveloperMetadata, s); !running {
		s.old = append(s.old, slots...)
	}
	return s
}

// readLedger takes the spreadsheet's own metadata apart, and reports whether this run has begun to write.
func (d *Document) readLedger(entries []*sheets.DeveloperMetadata, s *state) (running bool) {
	byID := make(map[int64]int, len(d.places))
	for i := range d.places {
		byID[d.places[i].ledger] = i
	}
	for _, m := range entries {
		s.ids[m.MetadataId] = true
		if m.MetadataKey != d.ledgerKey() {
			continue
		}
		if f, ok := parseFence(m.MetadataId, m.MetadataValue); ok {
			s.fences = append(s.fences, f)
			running = running || f.birth == d.birth()
			continue
		}
		i, known := byID[m.MetadataId]
		if found, ok := parseSettled(m.MetadataValue); known && ok {
			s.settled[i] = found
		} else {
			s.old = append(s.old, m.MetadataId)
		}
	}
	return running
}
