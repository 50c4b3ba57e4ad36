package sheets

import (
	"encoding/json"
	"strconv"

	"google.golang.org/api/sheets/v4"
)

// batchBytes is what Google recommends a request to have at most.
const batchBytes = 2 << 20

// nobody is whose a subrequest is that is of no connection.
const nobody = -1

// batch is a batchUpdate in the making: its body, and the spreadsheet as it will be once it is applied.
type batch struct {
	*state
	d       *Document
	body    []byte
	whose   []int // connection of each subrequest
	stages  map[stageKey]int64
	settled map[int]Settled // those that it commits
}

func (d *Document) newBatch() *batch {
	return &batch{state: d.state.clone(), d: d, body: append(make([]byte, 0, d.client.batch/8), `{"requests":[`...), stages: map[stageKey]int64{}, settled: map[int]Settled{}}
}

func (b *batch) room() int { return b.d.client.batch - len(b.body) }

// add appends a subrequest. Zero, false and empty values must stand in ForceSendFields, or they are left out.
func (b *batch) add(whose int, r *sheets.Request) {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // the client's own types
	}
	b.next(whose)
	b.body = append(b.body, data...)
}

func (b *batch) next(whose int) {
	if len(b.whose) > 0 {
		b.body = append(b.body, ',')
	}
	b.whose = append(b.whose, whose)
}

func (b *batch) finish() []byte { return append(b.body, "]}"...) }

// area is a range of cells, ends not included.
type area struct {
	sheet                int64
	top, end, left, last int64
}

func (a area) empty() bool { return a.end <= a.top || a.last <= a.left }

// grid is the range with all its ends: one that is left out would mean the end of the sheet.
func (a area) grid() *sheets.GridRange {
	return &sheets.GridRange{SheetId: a.sheet, StartRowIndex: a.top, EndRowIndex: a.end, StartColumnIndex: a.left, EndColumnIndex: a.last,
		ForceSendFields: []string{"SheetId", "StartRowIndex", "EndRowIndex", "StartColumnIndex", "EndColumnIndex"}}
}

// cells writes rows of JSON, each followed by a comma, into an area. What they do not cover of it is cleared. An empty
// area is none.
func (b *batch) cells(whose int, a area, rows ...[]byte) {
	if a.empty() {
		return
	}
	b.next(whose)
	dst := append(b.body, `{"updateCells":{"fields":"userEnteredValue","range":{"sheetId":`...)
	dst = strconv.AppendInt(dst, a.sheet, 10)
	dst = strconv.AppendInt(append(dst, `,"startRowIndex":`...), a.top, 10)
	dst = strconv.AppendInt(append(dst, `,"endRowIndex":`...), a.end, 10)
	dst = strconv.AppendInt(append(dst, `,"startColumnIndex":`...), a.left, 10)
	dst = strconv.AppendInt(append(dst, `,"endColumnIndex":`...), a.last, 10)
	dst = append(dst, `},"rows":[`...)
	for _, r := range rows {
		dst = append(dst, r...)
	}
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	b.body = append(dst, "]}}"...)
}

// format sets the number format of an area; Google's own if kind is "".
func (b *batch) format(whose int, a area, kind, pattern string) {
	if a.empty() {
		return
	}
	cell := &sheets.CellData{}
	if kind != "" {
		cell.UserEnteredFormat = &sheets.CellFormat{NumberFormat: &sheets.NumberFormat{Type: kind, Pattern: pattern}}
	}
	b.add(whose, &sheets.Request{RepeatCell: &sheets.RepeatCellRequest{Range: a.grid(), Cell: cell, Fields: "userEnteredFormat.numberFormat", ForceSendFields: []string{"Cell"}}})
}

// bold sets the header off.
func (b *batch) bold(whose int, sheet, cols int64) {
	cell := &sheets.CellData{UserEnteredFormat: &sheets.CellFormat{TextFormat: &sheets.TextFormat{Bold: true}}}
	b.add(whose, &sheets.Request{RepeatCell: &sheets.RepeatCellRequest{Range: area{sheet, 0, 1, 0, cols}.grid(), Cell: cell, Fields: "userEnteredFormat.textFormat.bold"}})
}

// copy copies cells, formats and all.
func (b *batch) copy(whose int, from, to area) {
	b.add(whose, &sheets.Request{CopyPaste: &sheets.CopyPasteRequest{Source: from.grid(), Destination: to.grid(), PasteType: "PASTE_NORMAL"}})
}

// addTab makes a tab with a mark. An unmarked one is never there. Its first row is frozen.
func (b *batch) addTab(whose int, t tab) *tab {
	grid := &sheets.GridProperties{RowCount: t.rows, ColumnCount: t.cols}
	if !t.hidden && t.rows > 1 {
		grid.FrozenRowCount = 1
	}
	b.add(whose, &sheets.Request{AddSheet: &sheets.AddSheetRequest{Properties: &sheets.SheetProperties{SheetId: t.id, Title: t.title, Hidden: t.hidden,
		GridProperties: grid, ForceSendFields: []string{"SheetId"}}}})
	t.index = int64(len(b.tabs))
	b.tabs[t.id] = &t
	b.mark(whose, &t)
	return &t
}

// mark writes a tab's mark.
func (b *batch) mark(whose int, t *tab) {
	value := t.mark.value(b.d.owner, t.id)
	if t.markID != 0 {
		b.add(whose, &sheets.Request{UpdateDeveloperMetadata: &sheets.UpdateDeveloperMetadataRequest{DataFilters: []*sheets.DataFilter{byID(t.markID)},
			DeveloperMetadata: &sheets.DeveloperMetadata{MetadataValue: value}, Fields: "metadataValue"}})
		return
	}
	t.markID = b.freeID("mark", b.d.owner, strconv.FormatInt(t.id, 10))
	b.create(whose, &sheets.DeveloperMetadata{MetadataId: t.markID, MetadataKey: markKey, MetadataValue: value,
		Location: &sheets.DeveloperMetadataLocation{SheetId: t.id, ForceSendFields: []string{"SheetId"}}})
}

// note writes an entry of the spreadsheet's own metadata. An id that is taken fails the batch: this is what makes a
// commit happen once.
func (b *batch) note(whose int, id int64, value string) {
	b.create(whose, &sheets.DeveloperMetadata{MetadataId: id, MetadataKey: b.d.ledgerKey(), MetadataValue: value, Location: &sheets.DeveloperMetadataLocation{Spreadsheet: true}})
}

// slot is an entry of a tab's own metadata, whose budget is another.
func (b *batch) slot(whose int, sheet, id int64) {
	b.create(whose, &sheets.DeveloperMetadata{MetadataId: id, MetadataKey: b.d.ledgerKey(), Location: &sheets.DeveloperMetadataLocation{SheetId: sheet, ForceSendFields: []string{"SheetId"}}})
}

func (b *batch) create(whose int, m *sheets.DeveloperMetadata) {
	m.Visibility = "DOCUMENT" // PROJECT would be invisible to another account's project
	b.ids[m.MetadataId] = true
	b.add(whose, &sheets.Request{CreateDeveloperMetadata: &sheets.CreateDeveloperMetadataRequest{DeveloperMetadata: m}})
}

// forget removes an entry of metadata.
func (b *batch) forget(id int64) {
	delete(b.ids, id)
	b.add(nobody, &sheets.Request{DeleteDeveloperMetadata: &sheets.DeleteDeveloperMetadataRequest{DataFilter: byID(id)}})
}

func byID(id int64) *sheets.DataFilter {
	return &sheets.DataFilter{DeveloperMetadataLookup: &sheets.DeveloperMetadataLookup{MetadataId: id}}
}

// removeTab deletes a tab of ours.
func (b *batch) removeTab(whose int, t *tab) {
	delete(b.tabs, t.id)
	delete(b.ids, t.markID)
	b.add(whose, &sheets.Request{DeleteSheet: &sheets.DeleteSheetRequest{SheetId: t.id, ForceSendFields: []string{"SheetId"}}})
}

// set changes properties of a tab.
func (b *batch) set(whose int, fields string, p *sheets.SheetProperties) {
	p.ForceSendFields = append(p.ForceSendFields, "SheetId")
	b.add(whose, &sheets.Request{UpdateSheetProperties: &sheets.UpdateSheetPropertiesRequest{Properties: p, Fields: fields}})
}

// freeID is an id that no entry has.
func (b *batch) freeID(parts ...string) int64 {
	id := id31(parts...)
	for n := 0; b.ids[id]; n++ {
		id = id31(append(parts, strconv.Itoa(n))...)
	}
	return id
}
