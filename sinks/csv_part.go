package sinks

import (
	"encoding/json"
	"errors"
	"fmt"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// csvPart is a connection's lines.
type csvPart struct {
	sink  *csvSink
	file  *artifact.Part
	order []int
	nulls int64
}

// csvPartState describes a part file. Order says which of the connection's columns stands where in the file; absent means as they
// come. The header is the names in that order, so that parts recorded before the first commit carry it, too.
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

// Finish gives up the file handle: a thousand connections may be spliced at once.
func (p *csvPart) Finish() error { return p.file.Close() }

func (p *csvPart) Discard() error { return p.file.Discard() }

// Losses names what the file cannot tell apart.
func (p *csvPart) Losses() []pipeline.Loss {
	if p.nulls == 0 {
		return nil
	}
	return []pipeline.Loss{{Column: p.sink.header[0], What: "NULL written like an empty text, because an empty line is no row", Cells: p.nulls}}
}
