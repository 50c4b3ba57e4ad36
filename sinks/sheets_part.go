package sinks

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/sheets"
)

// sheetsPart is a sealed connection on its way into the spreadsheet. Its rows stay in the spool.
type sheetsPart struct {
	pipeline.SpooledPart
	sink    *sheetsSink
	id      pipeline.PartID
	opening *pipeline.Opening
	rows    pipeline.Rows
	queries []int // those that are taken, by table
	tables  []sheetsTab
	found   []sheets.TableFound
}

// sheetsTab is what one query's rows are in their tab.
type sheetsTab struct {
	sheets.Table
	names []string // of the tab's columns, without that of the connections' names
	order []int    // which of the query's columns each is; nil if they are as they stand
}

// Open looks whether the connection's columns fit.
func (s *sheetsSink) Open(_ context.Context, id pipeline.PartID, o *pipeline.Opening, _ *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	if want := len(s.spec.Manifest.Connections[id.Connection].Queries); len(o.Queries) != want {
		return nil, &pipeline.RejectError{Reason: fmt.Sprintf("the connection sent %d results, the job has %d queries", len(o.Queries), want)}
	}
	p := &sheetsPart{sink: s, id: id, opening: o, rows: rows}
	counts := rows.Count()
	for q := range o.Queries {
		if !s.takes(q) {
			continue
		}
		t, err := s.tab(o, q)
		if err != nil {
			return nil, err
		}
		t.Rows = counts[q]
		p.queries, p.tables = append(p.queries, q), append(p.tables, t)
	}
	return p, nil
}

// tab arranges a query's columns.
func (s *sheetsSink) tab(o *pipeline.Opening, q int) (t sheetsTab, err error) {
	columns := o.Queries[q].Columns
	own, err := o.Columns(q)
	if err != nil {
		return t, pipeline.Permanent(err)
	}
	h := &s.headers[q]
	if s.options.tab == "" { // each connection has columns of its own
		h.seen = map[string]csvNames{}
	}
	order, under, err := h.place(columns)
	if err != nil {
		return t, err
	}
	t.names, t.order = under.names, order
	shown := order
	if shown == nil {
		for i := range columns {
			shown = append(shown, i)
		}
	}
	if h.schema != nil {
		t.From, t.order = shown, nil
	}
	for i, at := range shown {
		if at < 0 {
			continue
		}
		if s.options.asText(own[at].Name) {
			t.Digits = append(t.Digits, t.names[i])
		}
		c := own[at]
		c.Name = t.names[i]
		t.Columns = append(t.Columns, c)
	}
	return t, nil
}

// Finish looks at all rows, before any of them is sent.
func (p *sheetsPart) Finish(ctx context.Context) (pipeline.Summary, error) {
	survey, err := p.sink.doc.NewSurvey(p.connection().Tables)
	if err != nil {
		return pipeline.Summary{}, err
	}
	if err := p.each(ctx, survey.Add); err != nil {
		return pipeline.Summary{}, err
	}
	found := survey.Done()
	p.found = found.Tables
	return pipeline.Summary{Losses: found.Losses, Notes: p.notes()}, nil
}

// Discard implements pipeline.Part: there is nothing but the spool's rows.
func (p *sheetsPart) Discard() error { return nil }

func (p *sheetsPart) connection() *sheets.Connection {
	c := &sheets.Connection{Index: p.id.Connection, Name: p.sink.spec.Manifest.Connections[p.id.Connection].Name, Attempt: p.id.Attempt, Found: p.found, Each: p.each}
	for i := range p.tables {
		c.Tables = append(c.Tables, p.tables[i].Table)
	}
	return c
}

// each gives the rows with their columns as the tabs have them.
func (p *sheetsPart) each(ctx context.Context, yield func(table int, b *columnar.Batch) error) error {
	return p.rows.Each(ctx, func(query int, _ int64, b *columnar.Batch) error {
		table := slices.Index(p.queries, query)
		if table < 0 {
			return nil
		}
		return yield(table, p.tables[table].arrange(b))
	})
}

// arrange is a batch with the tab's columns.
func (t *sheetsTab) arrange(b *columnar.Batch) *columnar.Batch {
	if t.order == nil {
		return b
	}
	out := &columnar.Batch{Rows: b.Rows, Cols: make([]columnar.View, len(t.order))}
	for i, at := range t.order {
		out.Cols[i] = b.Cols[at]
	}
	return out
}

// notes say how the connection differs from what the job expects, what its columns hold that is none of their kind, and
// whose names are easily taken for its own.
func (p *sheetsPart) notes() (notes []string) {
	add := func(prefix string, more ...string) {
		for _, n := range more {
			if !slices.Contains(notes, prefix+n) {
				notes = append(notes, prefix+n)
			}
		}
	}
	for i, q := range p.queries {
		var others []pipeline.OpeningColumn
		for k := range p.opening.Queries {
			if k != q {
				others = append(others, p.opening.Queries[k].Columns...)
			}
		}
		t := &p.tables[i]
		add("", p.sink.headers[q].notes(p.opening.Queries[q].Columns, others, t.names)...)
		prefix := ""
		if len(p.queries) > 1 {
			prefix = fmt.Sprintf("query %s, ", cmp.Or(p.opening.Queries[q].Name, fmt.Sprint(q+1)))
		}
		for _, name := range p.found[i].Texts {
			add(prefix, fmt.Sprintf("the numbers of %s are texts: some have more than 15 digits, and Google Sheets keeps no more of a number", pipeline.ShowName(name)))
		}
		add("", strayNotes(prefix, p.found[i].Tally, func(k int) string { return t.names[k] }, strayCells)...)
	}
	if others := p.sink.namesakes[p.id.Connection]; others != nil {
		same := "their tabs are told apart by a number"
		if p.sink.options.tab != "" {
			same = "the tab does not tell them apart"
		}
		add("", namesakeNotes(p.sink.spec.Manifest, p.id.Connection, others, same)...)
	}
	return notes
}
