package sinks

import (
	"fmt"
	"slices"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// summaryPlaces are where columns of totals stand.
type summaryPlaces struct {
	columns map[excelShapeColumn]int
	shapes  map[*excelShape][]int
}

// placeTotals finds the columns of a line's totals.
func (m *summary) placeTotals(line *summaryLine, places *summaryPlaces) {
	k := line.known
	at, ok := places.shapes[k.shape]
	if !ok {
		at = make([]int, len(k.shape.columns))
		for i, key := range k.shape.columns {
			if at[i], ok = places.columns[key]; ok {
				continue
			}
			if at[i] = len(m.columns); at[i] == maxSummaryTotals {
				at[i] = -1
				continue
			}
			places.columns[key] = at[i]
			m.columns = append(m.columns, summaryColumn{name: k.facts.Totals[i].Name})
		}
		places.shapes[k.shape] = at
	}
	line.places = at
	for i, place := range at {
		if place < 0 {
			m.dropped = true
		} else if k.facts.Totals[i].Total.Approximate() {
			m.columns[place].approx = true
		}
	}
}

// totalsOf are a line's totals by column, nil where it has none.
func (m *summary) totalsOf(l *summaryLine) []*excelTotal {
	out := make([]*excelTotal, len(m.columns))
	for i, place := range l.places {
		if place >= 0 {
			out[place] = &l.known.facts.Totals[i]
		}
	}
	return out
}

// format is the place of a total's number format in the book, -1 if it has none.
func (m *summary) format(t *excelTotal) int {
	if t.Format == "" {
		return -1
	}
	return slices.Index(m.sink.book.Formats(), t.Format)
}

// totals writes the line under the table, one for every query where there are several: what they select differs.
func (m *summary) totals(p *xlsx.Page) {
	var queries []string
	for i := range m.lines {
		if !slices.Contains(queries, m.lines[i].query) {
			queries = append(queries, m.lines[i].query)
		}
	}
	if !m.queries && len(queries) > 0 {
		queries = queries[:1]
	}
	for _, query := range queries {
		var rows int64
		sums := make([]*excelTotal, len(m.columns))
		for i := range m.lines {
			l := &m.lines[i]
			if m.queries && l.query != query {
				continue
			}
			rows += l.rows
			for k, place := range l.places {
				if place >= 0 {
					sums[place] = sums[place].plus(&l.known.facts.Totals[k])
				}
			}
		}
		p.Row()
		p.Text(xlsx.LookTotal, "Total")
		if m.queries {
			p.Text(xlsx.LookTotal, query)
		}
		p.Text(xlsx.LookTotal, fmt.Sprintf("%d delivered", m.present))
		p.Count(rows, true)
		blank := 4
		if m.compared {
			blank += 2
		}
		if m.verified {
			blank++
		}
		for range blank {
			p.Blank(xlsx.LookTotal)
		}
		for _, t := range sums {
			if t != nil {
				p.Sum(&t.Total, t.column, m.format(t), true)
			} else {
				p.Blank(xlsx.LookTotal)
			}
		}
	}
}

// plus is the total of two columns; t may be nil. Where their types differ the sum is shown as a number of any size.
func (t *excelTotal) plus(o *excelTotal) *excelTotal {
	if t == nil {
		t = &excelTotal{Format: o.Format, column: o.column}
	}
	if t.column.Kind != o.column.Kind {
		t.column.Kind = columnar.Numeric
	}
	if t.Format != o.Format {
		t.Format = ""
	}
	t.Total.Add(&o.Total)
	return t
}
