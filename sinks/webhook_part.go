package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// webhookPart is the rows of one connection. In stream mode it has the requests that they are sent in; in batch mode
// they are read again when all connections are there.
type webhookPart struct {
	pipeline.SpooledPart
	jsonRows
	sink     *webhookSink
	rows     pipeline.Rows
	file     string // of its requests; "" for none
	size     int64
	requests []pipeline.WireRequest
}

func (s *webhookSink) Open(_ context.Context, id pipeline.PartID, o *pipeline.Opening, _ *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	if s.table.query >= len(o.Queries) {
		return nil, &pipeline.RejectError{Reason: fmt.Sprintf("the connection has %d queries, and the destination takes the rows of query %d", len(o.Queries), s.table.query+1)}
	}
	order, names, err := s.table.header.place(o.Queries[s.table.query].Columns)
	if err != nil {
		return nil, err
	}
	p := &webhookPart{jsonRows: newJSONRows(&s.lines, id, o, order, names, &s.options.rows), sink: s, rows: rows}
	if err := s.fixColumns(o, p); err != nil {
		return nil, err
	}
	return p, s.table.header.fix(names)
}

// each encodes the part's rows, batch by batch.
func (p *webhookPart) each(ctx context.Context, take func(first int64, b *columnar.Batch, c *jsonlChunk) error) error {
	return p.rows.Each(ctx, func(query int, first int64, b *columnar.Batch) error {
		if query != p.lines.table.query {
			return nil
		}
		c := p.encode(first, b, func(lines []byte) piece { return piece{data: lines} })
		defer c.release()
		return take(first, b, c)
	})
}

// Finish looks at all rows once: what of them a body cannot hold is counted here, and a row that fits no request turns
// the connection away. In stream mode the requests are written.
func (p *webhookPart) Finish(ctx context.Context) (sum pipeline.Summary, err error) {
	p.lost, p.tally, p.kinds = nil, nil, nil
	most := p.sink.options.keys.MaxBytesPerRequest
	var b *bodies
	if p.sink.options.stream {
		c := p.sink.table.manifest.Connections[p.id.Connection]
		about := p.sink.about(1)
		about.Connections = []EnvelopeConnection{{ID: c.ID, Name: c.Name, Rows: p.rows.Count()[p.lines.table.query]}}
		if b, err = newBodies(p.sink.folder, fmt.Sprintf("body-c%06d-a%d", p.id.Connection, p.id.Attempt), p.sink.options, about, p.id.Connection); err != nil {
			return sum, err
		}
		defer func() {
			if err != nil {
				b.discard()
			}
		}()
	}
	err = p.each(ctx, func(first int64, _ *columnar.Batch, c *jsonlChunk) error {
		p.add(c)
		if b == nil && most == 0 {
			return nil
		}
		row := first
		for line := range bytes.Lines(c.data) {
			line = line[:len(line)-1]
			if row++; most > 0 && int64(len(line))+tailRoom > most {
				return &pipeline.RejectError{Reason: fmt.Sprintf("row %d has %d bytes, and a request may have %d: raise maxBytesPerRequest, or shorten what the query returns", row, len(line), most)}
			}
			if b != nil {
				if err := b.row(line); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	if b != nil {
		if p.requests, p.size, err = b.close(false); err != nil {
			return sum, err
		}
		p.file = b.name
		p.sink.grow(p.size)
	}
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	return p.finish()
}

// Discard removes the requests, which no record names.
func (p *webhookPart) Discard() error {
	if p.file == "" {
		return nil
	}
	err := os.Remove(filepath.Join(p.sink.folder, p.file))
	p.sink.grow(-p.size)
	p.file = ""
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
