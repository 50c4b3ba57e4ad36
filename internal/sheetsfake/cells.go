package sheetsfake

import (
	"encoding/json"
	"math"
	"unicode/utf16"
)

// mostCharacters is what a cell holds.
const mostCharacters = 50_000

// gridRange is a range; an end that is not there is that of the grid.
type gridRange struct {
	SheetID          int64  `json:"sheetId"`
	StartRowIndex    int64  `json:"startRowIndex"`
	EndRowIndex      *int64 `json:"endRowIndex"`
	StartColumnIndex int64  `json:"startColumnIndex"`
	EndColumnIndex   *int64 `json:"endColumnIndex"`
}

type coordinate struct {
	SheetID     int64 `json:"sheetId"`
	RowIndex    int64 `json:"rowIndex"`
	ColumnIndex int64 `json:"columnIndex"`
}

type updateCells struct {
	Rows []struct {
		Values []cellData `json:"values"`
	} `json:"rows"`
	Fields string      `json:"fields"`
	Start  *coordinate `json:"start"`
	Range  *gridRange  `json:"range"`
}

type repeatCell struct {
	Range  *gridRange `json:"range"`
	Cell   cellData   `json:"cell"`
	Fields string     `json:"fields"`
}

type cellData struct {
	UserEnteredValue  *value     `json:"userEnteredValue"`
	UserEnteredFormat cellFormat `json:"userEnteredFormat"`
}

type value struct {
	NumberValue  *float64 `json:"numberValue"`
	StringValue  *string  `json:"stringValue"`
	BoolValue    *bool    `json:"boolValue"`
	FormulaValue *string  `json:"formulaValue"`
}

type cellFormat struct {
	NumberFormat struct {
		Type    string `json:"type"`
		Pattern string `json:"pattern"`
	} `json:"numberFormat"`
	TextFormat struct {
		Bold bool `json:"bold"`
	} `json:"textFormat"`
}

type copyPaste struct {
	Source           *gridRange `json:"source"`
	Destination      *gridRange `json:"destination"`
	PasteType        string     `json:"pasteType"`
	PasteOrientation string     `json:"pasteOrientation"`
}

type cutPaste struct {
	Source      *gridRange  `json:"source"`
	Destination *coordinate `json:"destination"`
	PasteType   string      `json:"pasteType"`
}

// box is a range within a tab, ends not included.
type box struct {
	*tab
	top, left, end, last int64
}

func (b *batch) box(r *gridRange) (box, *apiError) {
	if r == nil {
		return box{}, b.bad("range is required.")
	}
	t, err := b.find(r.SheetID)
	if err != nil {
		return box{}, err
	}
	x := box{t, r.StartRowIndex, r.StartColumnIndex, t.rows, t.cols}
	if r.EndRowIndex != nil {
		x.end = *r.EndRowIndex
	}
	if r.EndColumnIndex != nil {
		x.last = *r.EndColumnIndex
	}
	if x.top < 0 || x.left < 0 || x.end <= x.top || x.last <= x.left || x.end > t.rows || x.last > t.cols {
		return box{}, b.bad("range (%d..%d, %d..%d) exceeds grid limits or is empty. Max rows: %d, max columns: %d", x.top, x.end, x.left, x.last, t.rows, t.cols)
	}
	return x, nil
}

// cellMask reads a field mask of cells.
func (b *batch) cellMask(fields string) (mask, *apiError) {
	m, ok := parseMask(fields)
	if !ok || m.unknown("userEnteredValue", "userEnteredFormat") != "" || m["userEnteredFormat"].unknown("numberFormat", "textFormat") != "" {
		return nil, b.bad("Invalid field mask: %q", fields)
	}
	return m, nil
}

// merge puts the fields of the mask into a cell. What is not there is reset.
func (b *batch) merge(c cell, d *cellData, m mask) (cell, *apiError) {
	if m.has("userEnteredValue") {
		format := c.format
		var err *apiError
		if c, err = b.value(d.UserEnteredValue); err != nil {
			return c, err
		}
		c.format = format
	}
	if m.has("userEnteredFormat.numberFormat") {
		n := d.UserEnteredFormat.NumberFormat
		switch n.Type {
		case "", "TEXT", "NUMBER", "PERCENT", "CURRENCY", "DATE", "TIME", "DATE_TIME", "SCIENTIFIC":
			c.format.kind, c.format.pattern = n.Type, n.Pattern
		default:
			return c, b.bad("Invalid number format type: %q", n.Type)
		}
	}
	if m.has("userEnteredFormat.textFormat.bold") {
		c.format.bold = d.UserEnteredFormat.TextFormat.Bold
	}
	if m["*"] != nil || m["userEnteredFormat"] != nil && len(m["userEnteredFormat"]) == 0 {
		c.format.color = ""
	}
	return c, nil
}

func (b *batch) value(v *value) (c cell, _ *apiError) {
	if v == nil {
		return c, nil
	}
	n := 0
	if v.NumberValue != nil {
		c, n = cell{kind: 'n', number: *v.NumberValue}, n+1
		if math.IsInf(c.number, 0) {
			return c, b.bad("Invalid number.")
		}
	}
	if v.StringValue != nil {
		c, n = cell{kind: 's', text: *v.StringValue}, n+1
	}
	if v.BoolValue != nil {
		text, _ := json.Marshal(*v.BoolValue)
		c, n = cell{kind: 'b', text: string(text)}, n+1
	}
	if v.FormulaValue != nil {
		c, n = cell{kind: 'f', text: *v.FormulaValue}, n+1
	}
	switch {
	case n > 1:
		return c, b.bad("A value is one of number, string, boolean, formula.")
	case len(utf16.Encode([]rune(c.text))) > mostCharacters:
		return c, b.bad("Your input contains more than the maximum of %d characters in a single cell.", mostCharacters)
	}
	return c, nil
}

func (b *batch) updateCells(u *updateCells) *apiError {
	m, err := b.cellMask(u.Fields)
	if err != nil {
		return err
	}
	var x box
	switch {
	case (u.Start == nil) == (u.Range == nil):
		return b.bad("One of start and range is required.")
	case u.Range != nil:
		if x, err = b.box(u.Range); err != nil {
			return err
		}
	default:
		t, err := b.find(u.Start.SheetID)
		if err != nil {
			return err
		}
		x = box{t, u.Start.RowIndex, u.Start.ColumnIndex, u.Start.RowIndex + int64(len(u.Rows)), t.cols}
	}
	if end := x.top + int64(len(u.Rows)); end > x.tab.rows || end > x.end {
		return b.bad("Attempting to write row: %d, beyond the last requested row of: %d", end-1, min(x.end, x.tab.rows)-1)
	}
	for row := x.top; row < x.end; row++ {
		var values []cellData
		if i := row - x.top; i < int64(len(u.Rows)) {
			values = u.Rows[i].Values
		}
		last := x.left + int64(len(values))
		if last > x.last {
			return b.bad("Attempting to write column: %d, beyond the last requested column of: %d", last-1, x.last-1)
		}
		if u.Range != nil {
			last = x.last // what the rows do not cover is cleared
		}
		x.set(row, x.left, last, func(col int64, c cell) cell {
			d := &cellData{}
			if i := col - x.left; i < int64(len(values)) {
				d = &values[i]
			}
			out, failed := b.merge(c, d, m)
			if failed != nil {
				err = failed
			}
			return out
		})
	}
	return err
}

func (b *batch) repeatCell(r *repeatCell) *apiError {
	m, err := b.cellMask(r.Fields)
	if err != nil {
		return err
	}
	x, err := b.box(r.Range)
	if err != nil {
		return err
	}
	for row := x.top; row < x.end; row++ {
		x.set(row, x.left, x.last, func(_ int64, c cell) cell {
			out, failed := b.merge(c, &r.Cell, m)
			if failed != nil {
				err = failed
			}
			return out
		})
	}
	return err
}

func (b *batch) copyPaste(c *copyPaste) *apiError {
	from, err := b.box(c.Source)
	if err != nil {
		return err
	}
	to, err := b.box(c.Destination)
	if err != nil {
		return err
	}
	if to.end-to.top != from.end-from.top || to.last-to.left != from.last-from.left || c.PasteOrientation != "" && c.PasteOrientation != "NORMAL" {
		return b.bad("The fake copies to a range of the same size only.")
	}
	return b.paste(from, to, c.PasteType)
}

func (b *batch) cutPaste(c *cutPaste) *apiError {
	from, err := b.box(c.Source)
	if err != nil {
		return err
	}
	if c.Destination == nil {
		return b.bad("destination is required.")
	}
	end, last := c.Destination.RowIndex+from.end-from.top, c.Destination.ColumnIndex+from.last-from.left
	to, err := b.box(&gridRange{c.Destination.SheetID, c.Destination.RowIndex, &end, c.Destination.ColumnIndex, &last})
	if err != nil {
		return err
	}
	cells := make([][]cell, len(from.cells))
	copy(cells, from.cells)
	source := *from.tab
	source.cells = cells
	for row := from.top; row < from.end; row++ {
		from.set(row, from.left, from.last, func(int64, cell) cell { return cell{} })
	}
	b.rewrite(reference(to.title), "#REF!") // whoever looked at these cells looks at nothing now
	from.tab = &source
	return b.paste(from, to, c.PasteType)
}

func (b *batch) paste(from, to box, kind string) *apiError {
	lines := make([][]cell, 0, from.end-from.top)
	for row := from.top; row < from.end; row++ {
		line := make([]cell, 0, from.last-from.left)
		for col := from.left; col < from.last; col++ {
			line = append(line, from.at(row, col))
		}
		lines = append(lines, line)
	}
	for i, line := range lines {
		to.set(to.top+int64(i), to.left, to.last, func(col int64, c cell) cell {
			s := line[col-to.left]
			switch kind {
			case "", "PASTE_NORMAL":
				return s
			case "PASTE_VALUES":
				s.format = c.format
				return s
			case "PASTE_FORMAT":
				c.format = s.format
			}
			return c
		})
	}
	if kind != "" && kind != "PASTE_NORMAL" && kind != "PASTE_VALUES" && kind != "PASTE_FORMAT" {
		return b.bad("No paste type: %q", kind)
	}
	return nil
}
