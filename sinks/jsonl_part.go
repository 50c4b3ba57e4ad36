package sinks

import (
	"context"
	"encoding/json"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/artifact"
)

// jsonlPart is a connection's lines.
type jsonlPart struct {
	jsonRows
	sink *jsonlFile
	file *artifact.Part
	text int64 // bytes of it, if they are compressed
}

// jsonlPartState describes a part file.
type jsonlPartState struct {
	linesPartState
	Losses []pipeline.Loss  `json:"losses,omitempty"`
	Tally  []columnar.Tally `json:"tally,omitempty"` // by field
	Kinds  []string         `json:"kinds,omitempty"` // by field
}

func (s *jsonlFile) newPart(id pipeline.PartID, part *artifact.Part, o *pipeline.Opening, names csvNames, st jsonlPartState) *jsonlPart {
	p := &jsonlPart{jsonRows: newJSONRows(&s.lines, id, o, st.Order, names, &s.options), sink: s, file: part, text: st.Text}
	p.lost, p.tally, p.kinds = st.Losses, st.Tally, st.Kinds
	return p
}

func (p *jsonlPart) losses() []pipeline.Loss { return p.lost }

func (p *jsonlPart) Append(_ context.Context, query int, c pipeline.Chunk) error {
	if query != p.lines.table.query {
		return nil
	}
	chunk, ok := c.(*jsonlChunk)
	if !ok {
		return pipeline.Permanent(errNotOurChunk)
	}
	err := p.file.Append(chunk.data)
	p.text += chunk.text
	p.add(chunk)
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
	sum, err := p.finish()
	if err != nil {
		return sum, err
	}
	return sum, p.file.Close()
}

func (p *jsonlPart) Discard() error { return p.file.Discard() }
