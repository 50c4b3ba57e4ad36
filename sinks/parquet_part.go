package sinks

import (
	"bufio"
	"context"
	"fmt"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/artifact"
	"fanmill/sinks/parquet"
)

// parquetPart is a connection's rows as a Parquet file of their own.
type parquetPart struct {
	pipeline.SpooledPart
	sink   *parquetFile
	schema *parquet.Schema
	feed   *parquet.Feed
	file   *artifact.Part
	rows   pipeline.Rows
	notes  []string
}

func (s *parquetFile) open(id pipeline.PartID, o *pipeline.Opening, _ *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	columns, err := s.table.columns(o)
	if err != nil {
		return nil, err
	}
	from, names, err := s.place(columns)
	if err != nil {
		return nil, err
	}
	feed, err := s.schema.Feed(s.table.manifest.Connections[id.Connection].Name, from)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	part, err := s.table.artifact.CreatePart(s.table.partName(id, s.table.query))
	if err != nil {
		return nil, err
	}
	return &parquetPart{sink: s, schema: s.schema, feed: feed, file: part, rows: rows, notes: s.notes(id, o, names)}, nil
}

// Finish writes all rows. It gives up the file handle: a thousand connections may be staged at once. The file is not
// synced: until it is staged the rows are in the spool.
func (p *parquetPart) Finish(ctx context.Context) (pipeline.Summary, error) {
	if err := p.write(ctx); err != nil {
		return pipeline.Summary{}, err
	}
	sum := pipeline.Summary{Notes: p.notes}
	for _, l := range p.feed.Losses() {
		sum.Losses = append(sum.Losses, pipeline.Loss{Column: l.Column, What: l.What, Cells: l.Values})
	}
	return sum, p.file.Close()
}

func (p *parquetPart) write(ctx context.Context) error {
	out := newPartWriter(ctx, p.file)
	w, err := parquet.New(out, p.schema, p.sink.options.encoding)
	if err != nil {
		return pipeline.Permanent(err)
	}
	defer w.Discard()
	err = p.rows.Each(ctx, func(query int, _ int64, b *columnar.Batch) error {
		if query != p.sink.table.query {
			return nil
		}
		if err := w.Write(p.feed, b); err != nil {
			return out.cause(err)
		}
		return p.refuse()
	})
	if err != nil {
		return err
	}
	if err := w.Close(p.sink.meta()); err != nil {
		return out.cause(err)
	}
	return out.flush()
}

// refuse turns the connection away where nothing may be lost.
func (p *parquetPart) refuse() error {
	if !p.sink.options.failOnLoss {
		return nil
	}
	if losses := p.feed.Losses(); len(losses) > 0 {
		l := losses[0]
		return &pipeline.RejectError{Reason: fmt.Sprintf(`%s: a value would be %s, in row %d (onLoss is "fail")`, pipeline.ShowName(l.Column), l.What, l.First)}
	}
	return nil
}

func (p *parquetPart) Discard() error { return p.file.Discard() }

// partWriter writes a part file in large pieces, and tells its own errors from an encoder's.
type partWriter struct {
	*bufio.Writer
	to *appender
}

// appender is the end of a part file.
type appender struct {
	ctx  context.Context
	part *artifact.Part
	err  error
}

func newPartWriter(ctx context.Context, part *artifact.Part) *partWriter {
	to := &appender{ctx: ctx, part: part}
	return &partWriter{bufio.NewWriterSize(to, 1<<20), to}
}

func (a *appender) Write(b []byte) (int, error) {
	if a.err = a.ctx.Err(); a.err == nil {
		a.err = a.part.Append(b)
	}
	if a.err != nil {
		return 0, a.err
	}
	return len(b), nil
}

// cause is the part file's own error, if that was the cause; anything else a second try would meet as well.
func (w *partWriter) cause(err error) error {
	if w.to.err != nil {
		return w.to.err
	}
	return pipeline.Permanent(err)
}

func (w *partWriter) flush() error {
	if err := w.Flush(); err != nil {
		return w.cause(err)
	}
	return nil
}
