package sheets

import (
	"fmt"
	"strconv"

	"google.golang.org/api/sheets/v4"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// mostCells is Google's limit of a spreadsheet: all grids, empty and hidden cells too.
var mostCells int64 = 10_000_000

// target is where a table's rows go within its visible tab.
type target struct {
	tab    *tab  // nil: there is none yet
	from   int64 // row of the first, from 0
	fresh  bool  // the tab's earlier rows go, and the header is written
	shared bool
}

// destine finds a table's place.
func (b *batch) destine(conn, table int, cols []columnar.Column) (t target, _ error) {
	d := b.d
	name := d.places[conn].hash
	if t.shared = d.c.All != ""; t.shared {
		name, table = shared, 0
	}
	t.tab = b.marked(name, table)
	switch {
	case t.tab == nil:
		t.fresh = true
	case d.c.Mode == Append, t.shared && t.tab.mark.birth == d.birth():
		if t.tab.mark.columns != d.header(cols) {
			return t, &pipeline.RejectError{Reason: fmt.Sprintf("the tab %q has other columns, and rows are appended to equal ones only: rename or delete the tab, or take mode \"replace\"", t.tab.title)}
		}
		t.from = t.tab.mark.rows
	default:
		t.fresh = true
	}
	if t.fresh {
		t.from = 1
	}
	return t, nil
}

func (d *Document) header(cols []columnar.Column) string {
	if d.c.All != "" {
		cols = append([]columnar.Column{{Name: d.c.ConnectionColumn}}, cols...)
	}
	return columnsHash(cols)
}

// width counts the columns of a table's sheet, that of the connection's name too.
func (d *Document) width(cols []columnar.Column) int64 {
	n := int64(len(cols))
	if d.c.All != "" {
		n++
	}
	return max(1, n)
}

// headerRow is row 0 as JSON.
func (d *Document) headerRow(cols []columnar.Column) []byte {
	row := []byte(`{"values":[`)
	if d.c.All != "" {
		cols = append([]columnar.Column{{Name: d.c.ConnectionColumn}}, cols...)
	}
	for i, c := range cols {
		if i > 0 {
			row = append(row, ',')
		}
		row, _, _ = appendString(append(row, textStart...), []byte(c.Name))
		row = append(row, cellEnd...)
	}
	return append(row, "]},"...)
}

// loaded is a table's rows on their way: as JSON, or in a stage from its row 1 on.
type loaded struct {
	cols  []columnar.Column
	forms []form
	n     int64
	rows  [][]byte
	stage *tab
}

// bring writes or copies a table's rows into its visible tab, the one step that readers see, and returns the row in
// which they begin.
func (b *batch) bring(conn, table int, l *loaded) (from int64, _ error) {
	d := b.d
	t, err := b.destine(conn, table, l.cols)
	if err != nil {
		return 0, err
	}
	width, end := d.width(l.cols), t.from+l.n
	if l.stage != nil && b.swaps(&t, l.n*width) {
		b.swap(conn, &t, l.stage, l.cols, l.forms, l.n)
	} else {
		b.into(conn, table, &t, l)
	}
	if t.shared && l.n > 0 { // another claim's commit that begins at the same row fails
		b.slot(conn, t.tab.id, id31("slot", d.owner, d.c.Birth, strconv.FormatInt(t.tab.id, 10), strconv.FormatInt(t.from, 10)))
	}
	*t.tab.mark = mark{connection: t.tab.mark.connection, table: t.tab.mark.table, rows: end, cols: width, columns: d.header(l.cols), birth: d.birth()}
	b.mark(conn, t.tab)
	return t.from, nil
}

// into writes or copies the rows into the cells of the visible tab, which stays what it is.
func (b *batch) into(conn, table int, t *target, l *loaded) {
	width, end := b.d.width(l.cols), t.from+l.n
	wasRows, wasCols := int64(0), int64(0) // our cells that go
	if t.tab == nil {
		t.tab = b.addTab(conn, b.newTab(conn, table, max(2, end), width))
		b.bold(conn, t.tab.id, width)
	} else if t.fresh {
		wasRows, wasCols = min(t.tab.mark.rows, t.tab.rows), min(t.tab.mark.cols, t.tab.cols)
	}
	b.grow(conn, t.tab, end, width)
	id, head := t.tab.id, b.d.headerRow(l.cols)
	switch {
	case l.stage != nil:
		if t.fresh {
			b.cells(conn, area{id, 0, 1, 0, max(width, wasCols)}, head)
			b.cells(conn, area{id, end, wasRows, 0, max(width, wasCols)})
			b.cells(conn, area{id, 1, min(end, wasRows), width, wasCols})
		}
		b.formats(conn, area{l.stage.id, 1, l.n + 1, 0, width}, l.cols, l.forms)
		b.copy(conn, area{l.stage.id, 1, l.n + 1, 0, width}, area{id, t.from, end, 0, width})
		b.removeTab(conn, l.stage)
	case t.fresh:
		b.cells(conn, area{id, 0, max(end, wasRows), 0, max(width, wasCols)}, append([][]byte{head}, l.rows...)...)
		b.formats(conn, area{id, 1, end, 0, width}, l.cols, l.forms)
	default:
		b.cells(conn, area{id, t.from, end, 0, width}, l.rows...)
		b.formats(conn, area{id, t.from, end, 0, width}, l.cols, l.forms)
	}
}

func (b *batch) newTab(conn, table int, rows, cols int64) tab {
	d := b.d
	name := d.places[conn].hash
	if d.c.All != "" {
		name, table = shared, 0
	}
	t := tab{title: b.title(name, table), rows: rows, cols: cols, mark: &mark{connection: name, table: table, birth: d.birth()}}
	t.id = id31("tab", d.owner, name, strconv.Itoa(table))
	for n := 0; b.tabs[t.id] != nil; n++ {
		t.id = id31("tab", d.owner, name, strconv.Itoa(table), strconv.Itoa(n))
	}
	return t
}

// growth is how many cells a table's rows add to the grids, and those of its stage.
func (b *batch) growth(conn, table int, cols []columnar.Column, n int64) (cells, staged int64, _ error) {
	t, err := b.destine(conn, table, cols)
	if err != nil {
		return 0, 0, err
	}
	width, end := b.d.width(cols), max(2, t.from+n)
	staged = (n + 1) * width
	if t.tab == nil {
		return end * width, staged, nil
	}
	old := t.tab.rows * t.tab.cols
	if t.tab.mark.cols == t.tab.cols && end > t.tab.rows && width < t.tab.cols {
		return max(0, end*width-old), staged, nil
	}
	return max(t.tab.rows, end)*max(t.tab.cols, width) - old, staged, nil
}

// fits looks whether the grids have room for a connection, before anything of it is written.
func (b *batch) fits(conn int, cols [][]columnar.Column, rows []int64, stage bool) error {
	var more int64
	for table := range cols {
		cells, staged, err := b.growth(conn, table, cols[table], rows[table])
		if err != nil {
			return err
		}
		if more += cells; stage {
			more += staged
		}
	}
	if old := b.state.cells(); old+more > mostCells {
		while := ""
		if stage {
			while = ", while old and new rows are both there"
		}
		return &pipeline.RejectError{Reason: fmt.Sprintf("the spreadsheet has %d cells and would have %d%s; Google's limit is %d, empty and hidden cells too: delete tabs or empty rows, or use another spreadsheet", old, old+more, while, mostCells)}
	}
	return nil
}

// grow makes room. Rows and columns are never taken away: formulas and named ranges of others would shrink with them,
// and the next run's rows would be missing from their sums. Only where the limit of cells asks for it, columns that no
// reader can have written to go before rows come: Google sets the number of rows first.
func (b *batch) grow(conn int, t *tab, rows, cols int64) {
	if rows > t.rows && cols < t.cols && t.mark.cols == t.cols && b.state.cells()+(rows-t.rows)*t.cols > mostCells {
		t.cols = cols
		b.set(conn, "gridProperties.columnCount", &sheets.SheetProperties{SheetId: t.id, GridProperties: &sheets.GridProperties{ColumnCount: cols}})
	}
	if rows > t.rows {
		t.rows = rows
		b.set(conn, "gridProperties.rowCount", &sheets.SheetProperties{SheetId: t.id, GridProperties: &sheets.GridProperties{RowCount: rows}})
	}
	if cols > t.cols {
		t.cols = cols
		b.set(conn, "gridProperties.columnCount", &sheets.SheetProperties{SheetId: t.id, GridProperties: &sheets.GridProperties{ColumnCount: cols}})
	}
}

// formats sets the number formats of an area, whose first column may be that of the connections' names.
func (b *batch) formats(conn int, a area, cols []columnar.Column, forms []form) {
	if a.empty() {
		return
	}
	left := a.last - int64(len(cols))
	if left == 1 {
		b.format(conn, area{a.sheet, a.top, a.end, 0, 1}, "TEXT", "@")
	}
	for from := 0; from < len(cols); {
		kind, pattern := numberFormat(cols[from], forms[from])
		to := from + 1
		for ; to < len(cols); to++ {
			if k, p := numberFormat(cols[to], forms[to]); k != kind || p != pattern {
				break
			}
		}
		b.format(conn, area{a.sheet, a.top, a.end, left + int64(from), left + int64(to)}, kind, pattern)
		from = to
	}
}

// swaps reports whether a stage takes the place of the tab.
func (b *batch) swaps(t *target, cells int64) bool {
	if !t.fresh || b.d.c.Swap == SwapCells {
		return false
	}
	return b.d.c.Swap == SwapTabs || cells > autoSwapCells
}

// swap has the stage take the place of the visible tab: shown first, since a spreadsheet must have a visible tab at
// each step, and named last, since titles are unique at each.
func (b *batch) swap(conn int, t *target, stage *tab, cols []columnar.Column, forms []form, n int64) {
	d := b.d
	width := d.width(cols)
	b.formats(conn, area{stage.id, 1, n + 1, 0, width}, cols, forms)
	b.cells(conn, area{stage.id, 0, 1, 0, width}, d.headerRow(cols))
	b.bold(conn, stage.id, width)
	b.set(conn, "hidden,gridProperties.frozenRowCount", &sheets.SheetProperties{SheetId: stage.id, GridProperties: &sheets.GridProperties{FrozenRowCount: 1}, ForceSendFields: []string{"Hidden"}})
	own := mark{connection: stage.mark.connection, table: stage.mark.table}
	if d.c.All != "" {
		own = mark{connection: shared}
	}
	fields, p := "title", &sheets.SheetProperties{SheetId: stage.id}
	if old := t.tab; old != nil {
		p.Title, p.Index, p.ForceSendFields, fields = old.title, old.index, []string{"Index"}, "title,index"
		b.removeTab(conn, old)
	} else {
		p.Title = b.title(own.connection, own.table)
	}
	b.set(conn, fields, p)
	stage.title, stage.index, stage.hidden = p.Title, p.Index, false
	stage.mark, t.tab = &own, stage
}
