package sinks

import (
	"context"
	"encoding/json"
	"fmt"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/artifact"
)

// jsonlPart is a connection's lines.
type jsonlPart struct {
	sink     *jsonlFile
	file     *artifact.Part
	columns  []pipeline.OpeningColumn
	others   []pipeline.OpeningColumn // of the connection's other queries
	csvNames                          // of the fields, without the connection's
	id       pipeline.PartID
	keys     []jsonlKey // of the fields
	order    []int      // of the fields: which of columns each is, -1 for none; nil if they are as the columns are
	prefix   []byte     // of every line: the brace, and the connection's name
	lost     []pipeline.Loss
	tally    []columnar.Tally // by field
	kinds    []string         // by field; "" where one is declared, or has no value yet
	text     int64            // bytes of it, if they are compressed
}

// jsonlKey is what is fixed of a field before its first row.
type jsonlKey struct {
	text   []byte // the key as JSON, its comma and colon
	asText bool   // elsewhere the column holds texts: numbers and booleans are written as such
	zoned  bool   // it holds instants, shown in the file's time zone
	open   bool   // its database does not declare its type: its values say
	usual  string // what it is in the connections that declare it; "" if none does
}

// jsonlPartState describes a part file.
type jsonlPartState struct {
	linesPartState
	Losses []pipeline.Loss  `json:"losses,omitempty"`
	Tally  []columnar.Tally `json:"tally,omitempty"` // by field
	Kinds  []string         `json:"kinds,omitempty"` // by field
}

func (s *jsonlFile) newPart(id pipeline.PartID, part *artifact.Part, o *pipeline.Opening, names csvNames, st jsonlPartState) *jsonlPart {
	columns := o.Queries[s.query].Columns
	p := &jsonlPart{sink: s, file: part, columns: columns, others: s.others(o), csvNames: names, id: id, order: st.Order, lost: st.Losses, tally: st.Tally, kinds: st.Kinds, text: st.Text, prefix: []byte{'{'}}
	keys := jsonKeys(s.header.line(names.names))
	if s.options.names.connection != "" {
		p.prefix = append(appendJSONText(p.prefix, []byte(keys[0])), ':')
		p.prefix = appendJSONText(p.prefix, []byte(s.manifest.Connections[id.Connection].Name))
		keys = keys[1:]
	}
	types := s.header.types(columns)
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
			k.open = s.header.schema != nil && !k.asText && columns[at].Type == columnar.Unknown.String()
			k.usual = jsonlKindOf(types[at])
		}
		p.keys = append(p.keys, k)
	}
	return p
}

func (p *jsonlPart) Append(_ context.Context, query int, c pipeline.Chunk) error {
	if query != p.sink.query {
		return nil
	}
	chunk, ok := c.(*jsonlChunk)
	if !ok {
		return pipeline.Permanent(errNotOurChunk)
	}
	err := p.file.Append(chunk.data)
	p.text += chunk.text
	for _, l := range chunk.losses {
		p.lost = addLoss(p.lost, l)
	}
	p.tally = addTallies(p.tally, chunk.tally)
	p.kinds = firstKinds(p.kinds, chunk.kinds)
	chunk.release()
	return err
}

func (p *jsonlPart) Save(context.Context) (pipeline.State, error) {
	f, err := p.file.Sync()
	if err != nil {
		return nil, err
	}
	return json.Marshal(jsonlPartState{linesPartState{f.Length, p.order, p.text}, p.lost, p.tally, p.kinds})
}

// Finish makes its columns the keys if there are none yet; a part that was begun before and has others is turned
// away. It gives up the file handle: a thousand connections may be staged at once.
func (p *jsonlPart) Finish(context.Context) (pipeline.Summary, error) {
	if err := p.sink.header.fix(p.csvNames); err != nil {
		return pipeline.Summary{}, err
	}
	sum := pipeline.Summary{Losses: p.losses(), Notes: p.notes()}
	p.sink.kinds = firstKinds(p.sink.kinds, p.kinds)
	return sum, p.file.Close()
}

func (p *jsonlPart) Discard() error { return p.file.Discard() }

func (p *jsonlPart) losses() []pipeline.Loss { return p.lost }

// notes say how the connection differs from what the file or the job expects, which columns hold values that are none
// of their kind, and which keys are not as the columns are called.
func (p *jsonlPart) notes() []string {
	notes := append(p.sink.header.notes(p.columns, p.others, p.names), p.sink.namesakeNotes(p.id.Connection)...)
	names := p.sink.header.line(p.names)
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
	return append(notes, strayNotes("", p.tally, func(i int) string { return p.names[i] }, strayValues)...)
}
