package sinks

import (
	"encoding/json"
	"strings"

	"fanmill/pipeline/columnar"
)

// excelFacts is what the Summary says of one query of a connection and the sheets themselves do not: it is kept in
// the workbook beside the query's first sheet, so that the commit record need not hold it. A thousand connections
// with a hundred columns of numbers each would be too much for that.
type excelFacts struct {
	Rows   int64        `json:"rows"`
	Totals []excelTotal `json:"totals,omitempty"`
	More   int          `json:"more,omitempty"` // columns of numbers past maxSummaryTotals, whose totals are not kept
}

// excelTotal is the control total of one column.
type excelTotal struct {
	Name   string         `json:"name"` // as the header has it
	Type   string         `json:"type"`
	Format string         `json:"format,omitempty"`
	Total  columnar.Total `json:"total"`

	column columnar.Column // of Name and Type
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *excelTotal) UnmarshalJSON(data []byte) error {
	type plain excelTotal
	err := json.Unmarshal(data, (*plain)(t))
	if err == nil {
		t.column, err = columnar.ParseType(t.Name, t.Type)
	}
	return err
}

// facts are those of a finished query. A column that nobody declared has a total if each of its values was a number.
func (q *excelQuery) facts() excelFacts {
	f := excelFacts{Rows: q.rows()}
	for i, at := range q.encoder.TotalColumns() {
		c, l := q.encoder.Column(at)
		if c.Kind == columnar.Unknown {
			if q.totals[i].Others() > 0 || at >= len(q.tally) || q.tally[at].Filled == 0 {
				continue
			}
			c.Kind = columnar.Numeric
		}
		if len(f.Totals) == maxSummaryTotals {
			f.More++
			continue
		}
		f.Totals = append(f.Totals, excelTotal{l.Header, c.Type(), l.Format, q.totals[i], c})
	}
	return f
}

// excelPlace is a query of a connection.
type excelPlace struct{ connection, query int }

// excelKnown is what is known of a query whose sheets the book has. It never changes.
type excelKnown struct {
	sheet string // the first
	facts excelFacts
	shape *excelShape
}

// excelShape is which columns of numbers a query has. Most connections share one.
type excelShape struct{ columns []excelShapeColumn }

// excelShapeColumn tells columns apart: those of different connections are one if their headers differ in case only;
// equal headers within a query are matched by their order.
type excelShapeColumn struct {
	name    string // lower case
	ordinal int    // among equal names
}

// excelLore is what is known of all sheets.
type excelLore struct {
	at     map[excelPlace]*excelKnown
	shapes map[string]*excelShape
}

func newExcelLore() excelLore {
	return excelLore{map[excelPlace]*excelKnown{}, map[string]*excelShape{}}
}

// add notes a query's sheet and facts.
func (l *excelLore) add(at excelPlace, sheet string, facts excelFacts) {
	names := make([]string, len(facts.Totals))
	for i := range facts.Totals {
		names[i] = strings.ToLower(facts.Totals[i].Name)
	}
	key := strings.Join(names, "\x00")
	shape := l.shapes[key]
	if shape == nil {
		shape = &excelShape{}
		seen := make(map[string]int, len(names))
		for _, name := range names {
			shape.columns = append(shape.columns, excelShapeColumn{name, seen[name]})
			seen[name]++
		}
		l.shapes[key] = shape
	}
	l.at[at] = &excelKnown{sheet, facts, shape}
}

// learn reads the facts of this run's sheets in the book.
func (s *excelFile) learn() {
	s.known = newExcelLore()
	for i := range s.book.Sheets() {
		info := s.book.Sheet(i)
		if info.Series != s.names.Series || info.Order[2] != 0 {
			continue
		}
		var facts excelFacts
		if err := json.Unmarshal(info.Facts, &facts); err != nil {
			s.log.Debug("the totals of a sheet do not read and are left out of the Summary", "sheet", info.Name, "error", err)
		}
		s.known.add(excelPlace{info.Order[0], info.Order[1]}, info.Name, facts)
	}
}
