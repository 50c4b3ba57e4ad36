package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/artifact"
)

// csvPart is a connection's lines.
type csvPart struct {
	sink     *csvFile
	file     *artifact.Part
	columns  []pipeline.OpeningColumn
	others   []pipeline.OpeningColumn // of the connection's other queries, which have files of their own
	csvNames                          // of the fields, without the connection's column
	id       pipeline.PartID
	order    []int  // of the fields: which of columns each is, -1 for none; nil if they are as the columns are
	prefix   []byte // of every line: the connection's name
	marked   bool   // which got a ' in front
	instant  []bool // of columns: which may hold instants
	nulls    int64
	guarded  []int64          // by field
	tally    []columnar.Tally // by field
	sylk     int              // what of the part is the first row's first field, if it is to be quoted where it begins a file
	text     int64            // bytes of it, if they are compressed
}

// csvPartState describes a part file.
type csvPartState struct {
	linesPartState
	Nulls   int64            `json:"nulls,omitempty"`   // NULLs written as "", in a file of one column
	Guarded []int64          `json:"guarded,omitempty"` // texts that got a ' in front, by field
	Tally   []columnar.Tally `json:"tally,omitempty"`   // by field
	SYLK    int              `json:"sylk,omitempty"`    // what of the part is the first row's first field, if it is to be quoted where it begins a file
}

func (s *csvFile) newPart(id pipeline.PartID, part *artifact.Part, o *pipeline.Opening, names csvNames, st csvPartState) *csvPart {
	columns := o.Queries[s.table.query].Columns
	p := &csvPart{sink: s, file: part, columns: columns, csvNames: names, id: id, others: s.table.others(o), order: st.Order, nulls: st.Nulls, guarded: st.Guarded, tally: st.Tally, sylk: st.SYLK, text: st.Text, instant: make([]bool, len(columns))}
	for i, c := range columns {
		p.instant[i] = c.Type == columnar.Instant.String() || c.Type == columnar.Timestamp.String()
	}
	if s.options.connection != "" {
		p.prefix, p.marked = s.format.appendText(nil, []byte(s.table.manifest.Connections[id.Connection].Name), false)
		if len(names.names) > 0 {
			p.prefix = append(p.prefix, s.options.delimiter...)
		}
	}
	return p
}

// csvChunk is a batch as lines. Its memory is used again once it is written.
type csvChunk struct {
	piece
	encoder *csvEncoder // whose memory it has; nil if it is compressed
	nulls   int64
	guarded []int64          // by field; nil if none
	tally   []columnar.Tally // by field
}

// release gives the chunk's memory back.
func (c *csvChunk) release() {
	if c.encoder != nil {
		c.encoder.buf = c.data[:0]
		csvEncoders.Put(c.encoder)
	}
	c.piece.release()
}

var errNotOurChunk = errors.New("a chunk of another part")

func (p *csvPart) Append(_ context.Context, query int, c pipeline.Chunk) error {
	if query != p.sink.table.query {
		return nil
	}
	chunk, ok := c.(*csvChunk)
	if !ok {
		return pipeline.Permanent(errNotOurChunk)
	}
	if p.file.Length() == 0 {
		p.sylk = chunk.head
	}
	err := p.file.Append(chunk.data)
	p.text += chunk.text
	p.nulls += chunk.nulls
	if chunk.guarded != nil {
		if p.guarded == nil {
			p.guarded = make([]int64, len(p.names))
		}
		for i, n := range chunk.guarded {
			p.guarded[i] += n
		}
	}
	p.tally = addTallies(p.tally, chunk.tally)
	chunk.release()
	return err
}

func (p *csvPart) Save(context.Context) (pipeline.State, error) {
	f, err := p.file.Sync()
	if err != nil {
		return nil, err
	}
	return json.Marshal(csvPartState{linesPartState: linesPartState{f.Length, p.order, p.text}, Nulls: p.nulls, Guarded: p.guarded, Tally: p.tally, SYLK: p.sylk})
}

// Finish makes its columns the header if there is none yet; a part that was begun before and has others is turned
// away. It gives up the file handle: a thousand connections may be staged at once.
func (p *csvPart) Finish(context.Context) (pipeline.Summary, error) {
	if err := p.sink.table.header.fix(p.csvNames); err != nil {
		return pipeline.Summary{}, err
	}
	return pipeline.Summary{Losses: p.losses(), Notes: p.notes()}, p.file.Close()
}

func (p *csvPart) Discard() error { return p.file.Discard() }

// losses names what the file cannot tell apart.
func (p *csvPart) losses() []pipeline.Loss {
	if p.nulls == 0 {
		return nil
	}
	return []pipeline.Loss{{Column: p.names[0], What: "NULL written like an empty text, because an empty line is no row", Cells: p.nulls}}
}

// notes says how the connection differs from what the file or the job expects, which texts were changed, and which
// columns hold values that are none of their kind.
func (p *csvPart) notes() []string {
	notes := append(p.sink.table.header.notes(p.columns, p.others, p.names), p.sink.table.namesakeNotes(p.id.Connection)...)
	if p.marked {
		notes = append(notes, fmt.Sprintf("%s: the name got a ' in front, so that no program takes it for a formula", p.sink.options.connection))
	}
	for i, n := range p.guarded {
		if n > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d texts got a ' in front, so that no program takes them for formulas", p.names[i], n))
		}
	}
	return append(notes, strayNotes("", p.tally, func(i int) string { return p.names[i] }, strayValues)...)
}
