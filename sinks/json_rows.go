package sinks

import (
	"fmt"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// jsonRows is how the rows of one connection become JSON objects, and what there is to say of those that did.
type jsonRows struct {
	lines   *lines
	strings bool // decimals and whole numbers are strings
	columns []pipeline.OpeningColumn
	others  []pipeline.OpeningColumn // of the connection's other queries
	fields  csvNames                 // of the fields, without the connection's
	id      pipeline.PartID
	keys    []jsonlKey // of the fields
	order   []int      // of the fields: which of columns each is, -1 for none; nil if they are as the columns are
	prefix  []byte     // of every line: the brace, and the connection's name
	lost    []pipeline.Loss
	tally   []columnar.Tally // by field
	kinds   []string         // by field; "" where one is declared, or has no value yet
}

// jsonlKey is what is fixed of a field before its first row.
type jsonlKey struct {
	text   []byte // the key as JSON, its comma and colon
	asText bool   // elsewhere the column holds texts: numbers and booleans are written as such
	zoned  bool   // it holds instants, shown in the file's time zone
	open   bool   // its database does not declare its type: its values say
	usual  string // what it is in the connections that declare it; "" if none does
}

// newJSONRows prepares for the rows of an attempt. order and names are what the header says of its columns; ask what
// the job wants of keys and numbers.
func newJSONRows(l *lines, id pipeline.PartID, o *pipeline.Opening, order []int, names csvNames, ask *jsonlOptions) jsonRows {
	columns := o.Queries[l.table.query].Columns
	p := jsonRows{lines: l, strings: ask.strings, columns: columns, others: l.table.others(o), fields: names, id: id, order: order, prefix: []byte{'{'}}
	keys := jsonKeys(l.table.header.line(names.names))
	if ask.names.connection != "" {
		p.prefix = append(appendJSONText(p.prefix, []byte(keys[0])), ':')
		p.prefix = appendJSONText(p.prefix, []byte(l.table.manifest.Connections[id.Connection].Name))
		keys = keys[1:]
	}
	types := l.table.header.types(columns)
	for i, key := range keys {
		var k jsonlKey
		if i > 0 || len(p.prefix) > 1 {
			k.text = append(k.text, ',')
		}
		k.text = append(appendJSONText(k.text, []byte(key)), ':')
		at := i
		if p.order != nil {
			at = p.order[i]
		}
		if at >= 0 {
			k.zoned = columns[at].Type == columnar.Instant.String()
			k.asText = types[at] == columnar.Text.String()
			k.open = l.table.header.schema != nil && !k.asText && columns[at].Type == columnar.Unknown.String()
			k.usual = jsonlKindOf(types[at])
		}
		p.keys = append(p.keys, k)
	}
	return p
}

// add takes over what a batch had.
func (p *jsonRows) add(c *jsonlChunk) {
	for _, l := range c.losses {
		p.lost = addLoss(p.lost, l)
	}
	p.tally = addTallies(p.tally, c.tally)
	p.kinds = firstKinds(p.kinds, c.kinds)
}

// finish fixes the keys if there are none yet, and sums up. Rows that were begun before and have others are turned
// away.
func (p *jsonRows) finish() (pipeline.Summary, error) {
	if err := p.lines.table.header.fix(p.fields); err != nil {
		return pipeline.Summary{}, err
	}
	sum := pipeline.Summary{Losses: p.lost, Notes: p.notes()}
	p.lines.kinds = firstKinds(p.lines.kinds, p.kinds)
	return sum, nil
}

// notes say how the connection differs from what the file or the job expects, which columns hold values that are none
// of their kind, and which keys are not as the columns are called.
func (p *jsonRows) notes() []string {
	notes := append(p.lines.table.header.notes(p.columns, p.others, p.fields.names), p.lines.table.namesakeNotes(p.id.Connection)...)
	names := p.lines.table.header.line(p.fields.names)
	keys := jsonKeys(names)
	for i, key := range keys {
		if key != names[i] {
			notes = append(notes, fmt.Sprintf("a second column is called %q: its key is %q", names[i], key))
		}
	}
	for _, twin := range pipeline.Twins(keys) {
		notes = append(notes, "of the keys "+twin)
	}
	notes = append(notes, p.kindNotes()...)
	return append(notes, strayNotes("", p.tally, func(i int) string { return p.fields.names[i] }, strayValues)...)
}
