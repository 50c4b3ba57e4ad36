package sheets

import (
	"fmt"
	"slices"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Survey looks at the rows of one connection before they are sent, and says what their cells will hold. It decides
// which columns of numbers are texts: those that have a number of more than 15 digits. So a column is one kind of cell
// whatever its rows are; in a tab that is appended to, where the rows of others stand already, kinds go by declared
// types alone.
type Survey struct {
	cells    *CellOptions
	own      bool // kinds may go by values
	encoders []*encoder
	buffer   []byte
}

// NewSurvey begins a survey of tables. A *RejectError says that they do not fit the document.
func (d *Document) NewSurvey(tables []Table) (*Survey, error) {
	s := &Survey{cells: &d.c.Cells, own: d.c.Mode == Replace && d.c.All == ""}
	for i := range tables {
		cols, from, err := d.columns(&tables[i])
		if err != nil {
			return nil, err
		}
		s.encoders = append(s.encoders, newEncoder(cols, from, textColumns(cols, tables[i].Digits, nil), nil, s.cells))
	}
	return s, nil
}

// Add looks at a batch of table i. A *RejectError is about the connection.
func (s *Survey) Add(i int, b *columnar.Batch) error {
	e := s.encoders[i]
	for at := 0; at < b.Rows; {
		var err error
		if s.buffer, at, err = e.appendRows(s.buffer[:0], b, at, b.Rows, 64<<10); err != nil {
			return err
		}
	}
	return nil
}

// Found is what a survey has to say.
type Found struct {
	Losses []pipeline.Loss
	Tables []TableFound
}

// TableFound is what it has to say of one table. It is small, and may be kept for Connection.Found.
type TableFound struct {
	Texts []string         `json:"texts,omitempty"` // columns of numbers that are texts, for their digits
	Tally []columnar.Tally `json:"tally,omitempty"` // by column: strays are texts in a column of something else
}

// Done ends the survey.
func (s *Survey) Done() *Found {
	f := &Found{}
	for _, e := range s.encoders {
		t := TableFound{Tally: e.tally}
		for k := range e.cols {
			if s.own && e.wide[k] && exceeds(e.cols[k]) {
				t.Texts = append(t.Texts, e.cols[k].Name)
				e.tally[k] = columnar.Tally{Filled: e.tally[k].Filled} // texts are what the column is
			}
		}
		f.Tables = append(f.Tables, t)
		for _, l := range e.losses {
			i := slices.IndexFunc(f.Losses, func(o pipeline.Loss) bool { return o.Column == l.Column && o.What == l.What })
			if i < 0 {
				f.Losses = append(f.Losses, l)
			} else {
				f.Losses[i].Cells += l.Cells
			}
		}
	}
	return f
}

// textColumns are the columns that are texts whatever they are declared as.
func textColumns(cols []columnar.Column, digits, found []string) []bool {
	texts := make([]bool, len(cols))
	for i, c := range cols {
		texts[i] = slices.Contains(digits, c.Name) || slices.Contains(found, c.Name)
	}
	return texts
}

// columns are those of a table's sheet, and where each is in a batch; nil if it is the same place.
func (d *Document) columns(t *Table) (cols []columnar.Column, from []int, _ error) {
	if d.c.All == "" || d.c.Columns == nil {
		return t.Columns, nil, checkColumns(t.Columns)
	}
	if t.From != nil {
		return d.c.Columns, t.From, checkColumns(d.c.Columns)
	}
	taken := make([]bool, len(t.Columns))
	from = make([]int, len(d.c.Columns))
	for i, c := range d.c.Columns {
		from[i] = -1
		for k, own := range t.Columns {
			if !taken[k] && own.Name == c.Name {
				from[i], taken[k] = k, true
				break
			}
		}
	}
	if k := slices.Index(taken, false); k >= 0 {
		return nil, nil, &pipeline.RejectError{Reason: fmt.Sprintf("the tab %q has no column %q: its columns were fixed before the first row", d.c.All, t.Columns[k].Name)}
	}
	return d.c.Columns, from, checkColumns(d.c.Columns)
}

// mostColumns is Google's limit of a tab.
const mostColumns = 18_278

func checkColumns(cols []columnar.Column) error {
	if len(cols) >= mostColumns {
		return &pipeline.RejectError{Reason: fmt.Sprintf("a tab holds %d columns, the query has %d: select fewer", mostColumns, len(cols))}
	}
	return nil
}
