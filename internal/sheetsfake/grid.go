package sheetsfake

import (
	"slices"
	"unicode/utf8"
)

// Limits of tabs.
const (
	mostTitle   = 100
	mostColumns = 18_278
)

type sheetID struct {
	SheetID int64 `json:"sheetId"`
}

type addSheet struct {
	Properties properties `json:"properties"`
}

type updateProps struct {
	Properties properties `json:"properties"`
	Fields     string     `json:"fields"`
}

type properties struct {
	SheetID        *int64   `json:"sheetId"`
	Title          string   `json:"title"`
	Index          *int     `json:"index"`
	Hidden         bool     `json:"hidden"`
	GridProperties gridSize `json:"gridProperties"`
}

type gridSize struct {
	RowCount          int64 `json:"rowCount"`
	ColumnCount       int64 `json:"columnCount"`
	FrozenRowCount    int64 `json:"frozenRowCount"`
	FrozenColumnCount int64 `json:"frozenColumnCount"`
}

type appendDim struct {
	SheetID   int64  `json:"sheetId"`
	Dimension string `json:"dimension"`
	Length    int64  `json:"length"`
}

type deleteDim struct {
	Range struct {
		SheetID    int64  `json:"sheetId"`
		Dimension  string `json:"dimension"`
		StartIndex int64  `json:"startIndex"`
		EndIndex   *int64 `json:"endIndex"`
	} `json:"range"`
}

// find is a tab by its id, which may be edited.
func (b *batch) find(id int64) (*tab, *apiError) {
	t := b.tab(id)
	switch {
	case t == nil:
		return nil, b.bad("No sheet with id: %d", id)
	case t.protected:
		return nil, b.bad("You are trying to edit a protected cell or object. Please contact the spreadsheet owner to remove protection if you need to edit.")
	}
	return t, nil
}

func (b *batch) checkTitle(title string, own *tab) *apiError {
	switch other := b.titled(title); {
	case title == "" || utf8.RuneCountInString(title) > mostTitle:
		return b.bad("The sheet name cannot be empty or greater than %d characters.", mostTitle)
	case other != nil && other != own:
		return b.bad("A sheet with the name \"%s\" already exists. Please enter another name.", title)
	}
	return nil
}

func (b *batch) addSheet(p *properties) *apiError {
	t := &tab{title: p.Title, hidden: p.Hidden, rows: 1000, cols: 26, frozenRows: p.GridProperties.FrozenRowCount, frozenCols: p.GridProperties.FrozenColumnCount}
	if p.SheetID != nil {
		t.id = *p.SheetID
	} else {
		for t.id = 1; b.tab(t.id) != nil; t.id++ {
		}
	}
	if t.id < 0 || t.id > 1<<31-1 || b.tab(t.id) != nil {
		return b.bad("Sheet id %d is already in use or not valid. Please enter another id.", t.id)
	}
	if err := b.checkTitle(p.Title, nil); err != nil {
		return err
	}
	if n := p.GridProperties.RowCount; n != 0 {
		t.rows = n
	}
	if n := p.GridProperties.ColumnCount; n != 0 {
		t.cols = n
	}
	at := len(b.tabs)
	if p.Index != nil {
		at = min(at, *p.Index)
	}
	b.tabs = slices.Insert(b.tabs, at, t)
	return b.checkGrid(t)
}

// checkGrid looks at a grid that has changed.
func (b *batch) checkGrid(t *tab) *apiError {
	switch {
	case t.rows < 1 || t.cols < 1:
		return b.bad("A sheet must have at least one row and one column.")
	case t.cols > mostColumns:
		return b.bad("A sheet may have no more than %d columns.", mostColumns)
	case t.frozenRows >= t.rows || t.frozenCols >= t.cols:
		return b.bad("You can't freeze all visible rows or columns on the sheet.")
	case b.cellCount() > b.opt.MostCells:
		return b.bad("This action would increase the number of cells in the workbook above the limit of %d cells.", b.opt.MostCells)
	}
	return nil
}

func (b *batch) deleteSheet(id int64) *apiError {
	t, err := b.find(id)
	if err != nil {
		return err
	}
	if !t.hidden && b.visible() == 1 {
		return b.bad("You can't remove all the visible sheets in a document.")
	}
	b.remove(t)
	return nil
}

// updateProps sets the fields of the mask, in the order of the field numbers: rows before columns. A field of the mask
// without a value is reset.
func (b *batch) updateProps(u *updateProps) *apiError {
	m, ok := parseMask(u.Fields)
	if !ok || m.unknown("title", "index", "hidden", "gridProperties", "sheetId") != "" {
		return b.bad("Invalid field mask: %q", u.Fields)
	}
	p := &u.Properties
	if p.SheetID == nil {
		p.SheetID = new(int64) // as a client that leaves zero out
	}
	t, err := b.find(*p.SheetID)
	if err != nil {
		return err
	}
	if m.has("title") {
		if err := b.checkTitle(p.Title, t); err != nil {
			return err
		}
		b.rename(t, p.Title)
	}
	if m.has("index") {
		at := 0
		if p.Index != nil {
			at = *p.Index
		}
		b.move(t, at)
	}
	if m.has("hidden") {
		if p.Hidden && !t.hidden && b.visible() == 1 {
			return b.bad("You can't hide all the sheets in a document.")
		}
		t.hidden = p.Hidden
	}
	return b.updateGrid(t, m, &p.GridProperties)
}

// move puts a tab before the one that has this index now.
func (b *batch) move(t *tab, at int) {
	from := slices.Index(b.tabs, t)
	if at > from {
		at--
	}
	rest := slices.Delete(b.tabs, from, from+1)
	b.tabs = slices.Insert(rest, min(at, len(rest)), t)
}

func (b *batch) updateGrid(t *tab, m mask, g *gridSize) *apiError {
	if m.has("gridProperties.frozenRowCount") {
		t.frozenRows = g.FrozenRowCount
	}
	if m.has("gridProperties.frozenColumnCount") {
		t.frozenCols = g.FrozenColumnCount
	}
	if m.has("gridProperties.rowCount") {
		t.resize(g.RowCount, t.cols)
		if err := b.checkGrid(t); err != nil {
			return err
		}
	}
	if m.has("gridProperties.columnCount") {
		t.resize(t.rows, g.ColumnCount)
	}
	return b.checkGrid(t)
}

func (b *batch) appendDim(a *appendDim) *apiError {
	t, err := b.find(a.SheetID)
	if err != nil {
		return err
	}
	switch {
	case a.Length < 1:
		return b.bad("length must be positive.")
	case a.Dimension == "ROWS":
		t.rows += a.Length
	case a.Dimension == "COLUMNS":
		t.cols += a.Length
	default:
		return b.bad("No dimension: %q", a.Dimension)
	}
	return b.checkGrid(t)
}

func (b *batch) deleteDim(d *deleteDim) *apiError {
	r := &d.Range
	t, err := b.find(r.SheetID)
	if err != nil {
		return err
	}
	size := t.rows
	if r.Dimension == "COLUMNS" {
		size = t.cols
	}
	end := size
	if r.EndIndex != nil {
		end = *r.EndIndex
	}
	if r.StartIndex < 0 || end <= r.StartIndex || end > size {
		return b.bad("Cannot delete dimension %d..%d of %d.", r.StartIndex, end, size)
	}
	if r.Dimension == "COLUMNS" {
		for i, line := range t.cells {
			if from := min(r.StartIndex, int64(len(line))); from < int64(len(line)) {
				t.cells[i] = slices.Concat(line[:from], line[min(end, int64(len(line))):])
			}
		}
		t.cols -= end - r.StartIndex
	} else {
		if from := min(r.StartIndex, int64(len(t.cells))); from < int64(len(t.cells)) {
			t.cells = slices.Delete(t.cells, int(from), int(min(end, int64(len(t.cells)))))
		}
		t.rows -= end - r.StartIndex
	}
	return b.checkGrid(t)
}
