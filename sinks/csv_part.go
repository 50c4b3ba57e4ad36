package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// csvPart is a connection's lines.
type csvPart struct {
	sink *csvSink
	file *artifact.Part

	connection int
	columns    []pipeline.OpeningColumn
	order      []int
	draft      *csvDraft // nil if it was opened under the header
	nulls      int64
}

// csvPartState describes a part file. Order says which of the connection's columns stands where in the file; absent means as they
// come.
type csvPartState struct {
	Length int64 `json:"length"`
	Order  []int `json:"order,omitempty"`
	Nulls  int64 `json:"nulls,omitempty"` // NULLs written as "", in a file of one column
}

func readCSVPart(p pipeline.PartState) (csvPartState, error) {
	var ps csvPartState
	if err := json.Unmarshal(p.State, &ps); err != nil {
		return ps, pipeline.Permanent(fmt.Errorf("the recorded part of connection %d: %w", p.Connection, err))
	}
	return ps, nil
}

// csvChunk is a batch as lines. Its memory goes back to the sink's pool once it is written.
type csvChunk struct {
	encoder *csvEncoder
	lines   []byte
	nulls   int64
}

var errNotOurChunk = errors.New("a chunk of another part")

func (p *csvPart) Append(query int, c pipeline.Chunk) error {
	if query != p.sink.query {
		return nil
	}
	chunk, ok := c.(*csvChunk)
	if !ok {
		return pipeline.Permanent(errNotOurChunk)
	}
	err := p.file.Append(chunk.lines)
	p.nulls += chunk.nulls
	chunk.encoder.buf = chunk.lines[:0]
	p.sink.encoders.Put(chunk.encoder)
	return err
}

func (p *csvPart) Sync() (json.RawMessage, error) {
	f, err := p.file.Sync()
	if err != nil {
		return nil, err
	}
	return json.Marshal(csvPartState{Length: f.Length, Order: p.order, Nulls: p.nulls})
}

// Finish fixes the header if there is none yet; a part that was written under another draft is turned away. It gives up the file
// handle: a thousand connections may be spliced at once.
func (p *csvPart) Finish() error {
	names := orderedNames(p.columns, p.order)
	if p.sink.header == nil {
		p.sink.fixHeader()
	}
	if !slices.Equal(names, p.sink.header) {
		if _, err := matchColumns(p.sink.header, p.columns); err != nil {
			return err
		}
		// The same columns under two drafts: arrange gives them one, and the recorded parts of a claim theirs.
		return pipeline.Permanent(fmt.Errorf("part of connection with columns %q under header %q", names, p.sink.header))
	}
	return p.file.Close()
}

func (p *csvPart) Discard() error {
	if p.draft != nil {
		p.draft.leave(p.connection)
	}
	return p.file.Discard()
}

// Losses names what the file cannot tell apart.
func (p *csvPart) Losses() []pipeline.Loss {
	if p.nulls == 0 {
		return nil
	}
	return []pipeline.Loss{{Column: p.columns[0].Name, What: "NULL written like an empty text, because an empty line is no row", Cells: p.nulls}}
}
