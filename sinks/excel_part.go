package sinks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/artifact"
	"fanmill/sinks/xlsx"
)

// excelPart is one attempt's sheets: a file for every query.
type excelPart struct {
	sink    *excelFile
	id      pipeline.PartID
	opening *pipeline.Opening
	queries []excelQuery
	unknown []string // columns that the options name and no query returns
}

// excelQuery is one query's sheets, one after the other in its file. A query that the workbook does not take has none.
type excelQuery struct {
	encoder  *xlsx.Encoder
	file     *artifact.Part
	segments xlsx.Segments
	losses   []pipeline.Loss
	totals   []columnar.Total // see xlsx.Encoder.TotalColumns
	tally    []columnar.Tally // by column of the sheet
}

// excelPartState describes a part's files.
type excelPartState struct {
	Queries []excelQueryState `json:"queries"`
}

// excelQueryState is what was fsynced of one query: the file's length is that of the segments together.
type excelQueryState struct {
	Query    int                `json:"query"`
	File     artifact.FileState `json:"file"`
	Segments xlsx.Segments      `json:"segments,omitempty"`
	Losses   []pipeline.Loss    `json:"losses,omitempty"`
	Totals   []columnar.Total   `json:"totals,omitempty"`
	Tally    []columnar.Tally   `json:"tally,omitempty"`
}

func readExcelPart(p pipeline.PartState) (excelPartState, error) {
	var ps excelPartState
	err := json.Unmarshal(p.State, &ps)
	for i := range ps.Queries {
		q := &ps.Queries[i]
		if err == nil && (q.Segments.Length() != q.File.Length || q.Query < 0 || q.Query >= len(p.Open.Queries)) {
			err = fmt.Errorf("query %d: its sheets take %d bytes, its file %d", q.Query, q.Segments.Length(), q.File.Length)
		}
	}
	return ps, err
}

func (s *excelFile) partFiles(p pipeline.PartState) (files []artifact.FileState, err error) {
	ps, err := readExcelPart(p)
	for i := range ps.Queries {
		files = append(files, ps.Queries[i].File)
	}
	return files, err
}

// newPart makes a part without files.
func (s *excelFile) newPart(id pipeline.PartID, o *pipeline.Opening) (*excelPart, error) {
	if want := len(s.manifest.Connections[id.Connection].Queries); len(o.Queries) != want {
		return nil, &pipeline.RejectError{Reason: fmt.Sprintf("the connection sent %d results, the job has %d queries", len(o.Queries), want)}
	}
	p := &excelPart{sink: s, id: id, queries: make([]excelQuery, len(o.Queries)), opening: o, unknown: s.options.columns.unknown(o)}
	for q := range o.Queries {
		if !s.takes(q) {
			continue
		}
		cols, err := o.Columns(q)
		if err != nil {
			return nil, pipeline.Permanent(err)
		}
		encoder, err := xlsx.NewEncoder(cols, xlsx.Options{Location: s.location, FailOnLoss: s.options.failOnLoss, Totals: s.options.summary,
			Layout: s.options.columns.layout(cols), Formats: s.book.Formats()})
		if err != nil {
			return nil, &pipeline.RejectError{Reason: err.Error()}
		}
		p.queries[q].encoder, p.queries[q].totals = encoder, encoder.NewTotals()
	}
	return p, nil
}

func (s *excelFile) open(id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, _ pipeline.Rows) (pipeline.Part, error) {
	p, err := s.newPart(id, o)
	if err != nil {
		return nil, err
	}
	if from != nil {
		return p, s.resume(p, from)
	}
	for q := range p.queries {
		if p.queries[q].encoder == nil {
			continue
		}
		if p.queries[q].file, err = s.artifact.CreatePart(s.partName(id, q)); err != nil {
			return nil, errors.Join(err, p.Discard())
		}
	}
	return p, nil
}

// resume continues a part at what was recorded of it.
func (s *excelFile) resume(p *excelPart, state *pipeline.PartState) error {
	ps, err := readExcelPart(*state)
	if err != nil {
		return unreadable(fmt.Sprintf("part of connection %d", state.Connection), err)
	}
	for i := range ps.Queries {
		from := &ps.Queries[i]
		to := &p.queries[from.Query]
		if to.encoder == nil || len(from.Totals) != len(to.totals) || from.Tally != nil && len(from.Tally) != to.encoder.Columns() {
			return pipeline.Permanent(fmt.Errorf("the recorded part of connection %d does not fit the options of its destination: start the run anew, without --resume", state.Connection))
		}
		to.segments, to.losses, to.totals, to.tally = from.Segments, from.Losses, from.Totals, from.Tally
		if to.file, err = s.artifact.ReopenPart(from.File); err != nil {
			return err
		}
	}
	for q := range p.queries {
		if p.queries[q].encoder != nil && p.queries[q].file == nil {
			return pipeline.Permanent(fmt.Errorf("the recorded part of connection %d has no file for query %d", state.Connection, q))
		}
	}
	return nil
}

// Encode runs on any core: it only reads.
func (p *excelPart) Encode(query int, firstRow int64, b *columnar.Batch) (pipeline.Chunk, error) {
	e := p.queries[query].encoder
	if e == nil {
		return nil, nil
	}
	c, err := e.Encode(firstRow, b)
	var loss *xlsx.LossError
	switch {
	case errors.As(err, &loss):
		return nil, &pipeline.RejectError{Reason: loss.Error() + ` (onLoss is "fail")`}
	case err != nil:
		return nil, pipeline.Permanent(err)
	}
	return c, nil
}

func (p *excelPart) Append(_ context.Context, query int, c pipeline.Chunk) error {
	q := &p.queries[query]
	if q.encoder == nil {
		return nil
	}
	chunk, ok := c.(*xlsx.Chunk)
	if !ok {
		return pipeline.Permanent(errNotOurChunk)
	}
	return q.append(chunk)
}

// append writes the chunk's pieces and gives its memory back.
func (q *excelQuery) append(c *xlsx.Chunk) error {
	for _, piece := range c.Pieces {
		if err := q.file.Append(piece.Data); err != nil {
			return err
		}
		if err := q.segments.Add(piece); err != nil {
			return pipeline.Permanent(err)
		}
	}
	for _, l := range c.Losses {
		q.losses = addLoss(q.losses, pipeline.Loss(l))
	}
	for i := range c.Totals {
		q.totals[i].Add(&c.Totals[i])
	}
	q.tally = addTallies(q.tally, c.Tally)
	c.Release()
	return nil
}

// addLoss counts a loss with those of the same column and kind.
func addLoss(losses []pipeline.Loss, l pipeline.Loss) []pipeline.Loss {
	for i := range losses {
		if losses[i].Column == l.Column && losses[i].What == l.What {
			losses[i].Cells += l.Cells
			return losses
		}
	}
	return append(losses, l)
}

func (p *excelPart) Save(context.Context) (pipeline.State, error) {
	var ps excelPartState
	for i := range p.queries {
		q := &p.queries[i]
		if q.file == nil {
			continue
		}
		f, err := q.file.Sync()
		if err != nil {
			return nil, err
		}
		ps.Queries = append(ps.Queries, excelQueryState{Query: i, File: f, Segments: q.segments, Losses: q.losses, Totals: q.totals, Tally: q.tally})
	}
	return json.Marshal(ps)
}

// Finish closes the last sheet of every query, and the files: a thousand connections may be staged at once.
func (p *excelPart) Finish(context.Context) (pipeline.Summary, error) {
	for i := range p.queries {
		q := &p.queries[i]
		if q.file == nil {
			continue
		}
		if err := q.append(q.encoder.Tail(q.rows())); err != nil {
			return pipeline.Summary{}, err
		}
		if err := q.file.Close(); err != nil {
			return pipeline.Summary{}, pipeline.Transient(err)
		}
	}
	return pipeline.Summary{Losses: p.losses(), Notes: p.notes()}, nil
}

func (p *excelPart) Discard() error {
	var err error
	for i := range p.queries {
		if f := p.queries[i].file; f != nil {
			err = errors.Join(err, f.Discard())
		}
	}
	return err
}

// losses names what the cells could not hold, of all queries together.
func (p *excelPart) losses() []pipeline.Loss {
	var out []pipeline.Loss
	for i := range p.queries {
		for _, l := range p.queries[i].losses {
			out = addLoss(out, l)
		}
	}
	return out
}

// notes names what of the options did nothing, what can be taken for something else (columns of one header, sheets of
// connections of one name), and the columns with texts among other cells.
func (p *excelPart) notes() (notes []string) {
	if len(p.unknown) > 0 {
		notes = append(notes, fmt.Sprintf("the options name columns that it does not return: %s", pipeline.ShowNames(p.unknown, p.columns()...)))
		notes = append(notes, pipeline.Alike(p.unknown, p.columns())...)
	}
	for q := range p.queries {
		if p.queries[q].encoder != nil {
			notes = append(notes, p.sink.options.columns.twins(p.opening.Queries, q)...)
		}
	}
	if others := p.sink.namesakes[p.id.Connection]; others != nil {
		notes = append(notes, namesakeNotes(p.sink.manifest, p.id.Connection, others, "this one's rows are in "+strings.Join(p.sheetNames(), ", "))...)
	}
	return append(notes, p.strays()...)
}

// strays names the columns with texts among other cells.
func (p *excelPart) strays() (notes []string) {
	for i := range p.queries {
		q := &p.queries[i]
		if q.encoder == nil {
			continue
		}
		prefix := ""
		if len(p.queries) > 1 && p.sink.dest.Query == nil {
			prefix = fmt.Sprintf("query %s, ", cmp.Or(p.sink.manifest.Connections[p.id.Connection].Queries[i].Name, fmt.Sprint(i+1)))
		}
		notes = append(notes, strayNotes(prefix, q.tally, func(k int) string { c, _ := q.encoder.Column(k); return c.Name }, strayCells)...)
	}
	return notes
}

// columns are the names of all that the connection returns.
func (p *excelPart) columns() (names []string) {
	for q := range p.opening.Queries {
		names = append(names, columnNames(p.opening.Queries[q].Columns)...)
	}
	return names
}

// sheetNames are the names of the connection's first sheets.
func (p *excelPart) sheetNames() (names []string) {
	for q := range p.queries {
		if p.queries[q].encoder != nil {
			names = append(names, p.sink.sheetName(p.id.Connection, q, 0))
		}
	}
	return names
}

// rows counts the rows of a query.
func (q *excelQuery) rows() (n int64) {
	for _, s := range q.segments {
		n += s.Rows
	}
	return n
}

// sheets are the part's finished sheets on their way into the workbook.
func (p *excelPart) sheets() ([]xlsx.NewSheet, error) {
	var out []xlsx.NewSheet
	for i := range p.queries {
		q := &p.queries[i]
		if q.file == nil {
			continue
		}
		offset := int64(0)
		for _, segment := range q.segments {
			at := offset
			offset += segment.Length
			n := xlsx.NewSheet{
				Series:  p.sink.names.Series,
				Order:   [3]int{p.id.Connection, i, segment.Sheet},
				Name:    p.sink.sheetName(p.id.Connection, i, segment.Sheet),
				Columns: q.encoder.Columns(),
				Segment: segment,
				Open:    func() (io.ReadCloser, error) { return openSegment(q.file, at, segment.Length) },
			}
			if segment.Sheet == 0 && p.sink.options.summary {
				var err error
				if n.Facts, err = json.Marshal(q.facts()); err != nil {
					return nil, pipeline.Permanent(err)
				}
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// openSegment reads one sheet of a part file, whose size is checked as a whole.
func openSegment(file *artifact.Part, offset, length int64) (io.ReadCloser, error) {
	f, err := file.Open()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, offset, length), f}, nil
}
