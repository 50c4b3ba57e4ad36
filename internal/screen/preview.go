package screen

import (
	"encoding/json"
	"fmt"
	"strings"

	"fanmill/pipeline/columnar"
)

// PreviewView is the first rows of a query of one connection. In its JSON a row is a list of texts, as a CSV has them, and nulls.
type PreviewView struct {
	Connection string          `json:"connection"`
	Query      string          `json:"query,omitempty"`
	Server     string          `json:"server,omitempty"`
	Millis     int64           `json:"durationMs"`
	Columns    []PreviewColumn `json:"columns"`
	Rows       [][]PreviewCell `json:"rows"`
	More       bool            `json:"more"` // the query returns further rows
}

// PreviewColumn is a column with its type as columnar spells it.
type PreviewColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// number reports whether the column's values are aligned at their right.
func (c PreviewColumn) number() bool {
	t, err := columnar.ParseType(c.Name, c.Type)
	if err != nil {
		return false
	}
	switch t.Kind {
	case columnar.Int, columnar.Uint, columnar.Float32, columnar.Float, columnar.Decimal, columnar.Numeric:
		return true
	}
	return false
}

// PreviewCell is a value's text, or NULL.
type PreviewCell struct {
	Text string
	Null bool
}

// MarshalJSON makes NULL null.
func (c PreviewCell) MarshalJSON() ([]byte, error) {
	if c.Null {
		return []byte("null"), nil
	}
	return json.Marshal(c.Text)
}

// cell shows NULL, the empty text and a text that says NULL as three different things.
func (c PreviewCell) cell() cell {
	switch {
	case c.Null:
		return cell{"<NULL>", dim}
	case c.Text == "":
		return cell{`""`, dim}
	}
	return cell{text: clean(c.Text)}
}

// columnMin is the width down to which a column of a preview may be cut.
const columnMin = 12

func (v PreviewView) data() any {
	v.Columns, v.Rows = list(v.Columns), list(v.Rows)
	return v
}

func (v PreviewView) text(s *sheet) {
	title := clean(v.Connection)
	if v.Query != "" {
		title += ", query " + clean(v.Query)
	}
	if v.Server != "" {
		title += ", " + oneLine(v.Server)
	}
	s.line(0, bold, title)
	shown := v.fitting(s.Width)
	t := &table{}
	for _, c := range v.Columns[:shown] {
		t.columns = append(t.columns, column{head: clean(c.Name), below: clean(c.Type), right: c.number(), min: columnMin})
	}
	for _, r := range v.Rows {
		var fields []cell
		for _, c := range r[:shown] {
			fields = append(fields, c.cell())
		}
		t.add(fields...)
	}
	if shown > 0 {
		s.blank()
		s.table(t, 0)
		s.blank()
	}
	sum := Of(int64(len(v.Rows)), "row")
	if v.More {
		sum = "the first " + sum
	}
	s.line(0, plain, fmt.Sprintf("%s of %s in %s", sum, Of(int64(len(v.Columns)), "column"), millis(v.Millis)))
	if rest := v.Columns[shown:]; len(rest) > 0 {
		var names []string
		for _, c := range rest {
			names = append(names, clean(c.Name)+" "+clean(c.Type))
		}
		s.line(0, dim, fmt.Sprintf("%s more did not fit: %s; --json has all", Of(int64(len(rest)), "column"), strings.Join(names, ", ")))
	}
}

// fitting is the number of columns that fit beside each other when each is cut as far as it may be; at least one.
func (v *PreviewView) fitting(room int) int {
	if room == 0 {
		return len(v.Columns)
	}
	taken := 0
	for i, c := range v.Columns {
		w := max(width(clean(c.Name)), width(c.Type))
		for _, r := range v.Rows {
			w = max(w, width(r[i].cell().text))
		}
		if taken += min(w, columnMin) + gap; taken-gap > room {
			return max(i, 1)
		}
	}
	return len(v.Columns)
}
