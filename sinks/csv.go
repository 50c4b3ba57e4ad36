package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

func init() { types["csv"] = csvType{} }

// csvType is the destination "csv": one file as [RFC 4180] has it, with CRLF line ends, UTF-8 without a byte order mark,
// one header line, the rows of a connection together, the connections in the order in which they were committed.
//
// A field is quoted where it must be. NULL is an empty field; an empty text is "", quoted, so that they differ. In a file
// of one column an empty line would be a row that most readers skip: there NULL is written as "" too, and counted as
// a loss.
//
// The header is fixed when the first connection has arrived whole: by the columns that most connections under way agree on, the first
// in the job's order if as many agree on others. A connection that fails on the way leaves no trace in it. Columns are matched by name,
// equal names by their order; a connection with other columns than the header's is turned away, naming them.
type csvType struct{}

// csvOptions are the destination's own keys.
type csvOptions struct {
	Delimiter      *string `json:"delimiter"`      // one character; "," if absent
	IncludeHeaders *bool   `json:"includeHeaders"` // true if absent
}

func (o *csvOptions) read(raw json.RawMessage) error {
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, o); err != nil {
			return fmt.Errorf("csv options: %w", err)
		}
	}
	if d := o.Delimiter; d != nil {
		if r, size := utf8.DecodeRuneInString(*d); r == utf8.RuneError || size != len(*d) || strings.ContainsRune("\"\r\n\x00", r) {
			return fmt.Errorf("delimiter %q: use one character other than a quote or a line end, such as \",\", \";\", \"|\" or \"\\t\"", *d)
		}
	}
	return nil
}

func (csvType) Keys() []string { return []string{"delimiter", "includeHeaders"} }

func (csvType) Check(d *pipeline.Destination) error {
	var o csvOptions
	err := o.read(d.Options)
	if strings.TrimSpace(d.FilePath) == "" {
		err = errors.Join(err, errors.New("filePath is missing: give the path of the CSV file"))
	}
	return errors.Join(err, checkMode(d.Mode))
}

// checkMode accepts what artifact.Spec.Mode does.
func checkMode(mode string) error {
	if mode != "" && mode != "replace" {
		return fmt.Errorf("mode %q is not supported; use \"replace\"", mode)
	}
	return nil
}

func (csvType) New(spec pipeline.SinkSpec) (pipeline.Sink, error) {
	var o csvOptions
	if err := o.read(spec.Destination.Options); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	s := &csvSink{manifest: spec.Manifest, delimiter: ",", headers: true, artifact: artifact.New(artifactSpec(spec))}
	if o.Delimiter != nil {
		s.delimiter = *o.Delimiter
	}
	if o.IncludeHeaders != nil {
		s.headers = *o.IncludeHeaders
	}
	if q := spec.Destination.Query; q != nil {
		s.query = *q
	} else {
		for _, c := range spec.Manifest.Connections {
			if len(c.Queries) > 1 {
				return nil, pipeline.Permanent(fmt.Errorf("destination %s: a CSV file takes the rows of one query, and connection %s has %d; name the one it takes", spec.Destination.ID, c.ID, len(c.Queries)))
			}
		}
	}
	loc, err := spec.Manifest.Location()
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: time zone %q: %w", spec.Destination.ID, spec.Manifest.TimeZone, err))
	}
	s.encoders = sync.Pool{New: func() any { return newCSVEncoder(s.delimiter, loc) }}
	return s, nil
}

// artifactSpec is the artifact that a sink's specification asks for.
func artifactSpec(spec pipeline.SinkSpec) artifact.Spec {
	return artifact.Spec{Path: spec.Destination.Path, Mode: spec.Destination.Mode, StoreID: spec.StoreID, Job: spec.Manifest.JobID,
		Destination: spec.Destination.ID, Run: spec.Manifest.Run, Log: spec.Log}
}

// csvSink writes one CSV file. A part is a file of finished lines, so that a commit only copies.
type csvSink struct {
	manifest  *pipeline.Manifest
	artifact  *artifact.Artifact
	delimiter string
	headers   bool
	query     int         // the query whose rows it takes
	header    []string    // nil until a connection fixes it
	drafts    []*csvDraft // until then: a header for each set of columns that is under way
	encoders  sync.Pool
	copyBuf   []byte
}

// csvState is the artifact's part of the commit record.
type csvState struct {
	Artifact artifact.State `json:"artifact"`
	Header   []string       `json:"header,omitempty"`
}

func (s *csvSink) Claim(ctx context.Context, token string, state json.RawMessage, parts []pipeline.PartState) (json.RawMessage, error) {
	var old *artifact.State
	if len(state) > 0 {
		var st csvState
		if err := json.Unmarshal(state, &st); err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("claim %s: the recorded state: %w", s.artifact.Path(), err))
		}
		old, s.header = &st.Artifact, st.Header
	}
	files := make([]artifact.FileState, len(parts))
	for i, p := range parts {
		ps, err := readCSVPart(p)
		if err != nil {
			return nil, err
		}
		files[i] = artifact.FileState{Name: s.partName(p.PartID), Length: ps.Length}
	}
	st, err := s.artifact.Claim(ctx, token, old, files)
	if err != nil {
		return nil, err
	}
	return s.state(st)
}

func (s *csvSink) state(st artifact.State) (json.RawMessage, error) {
	return json.Marshal(csvState{Artifact: st, Header: s.header})
}

func (s *csvSink) partName(p pipeline.PartID) string {
	return artifact.PartName(p.Connection, s.manifest.Connections[p.Connection].ID, s.query, p.Attempt)
}

func (s *csvSink) Adopted(ctx context.Context) error { return s.artifact.Adopted(ctx) }

func (s *csvSink) Open(id pipeline.PartID, o *pipeline.Opening) (pipeline.Part, error) {
	if s.query >= len(o.Queries) {
		return nil, &pipeline.RejectError{Reason: fmt.Sprintf("the connection has %d queries, and the file takes the rows of query %d", len(o.Queries), s.query+1)}
	}
	columns := o.Queries[s.query].Columns
	if len(columns) == 0 {
		return nil, &pipeline.RejectError{Reason: "the query returns no columns"}
	}
	var order []int
	if s.header != nil {
		var err error
		if order, err = matchColumns(s.header, columns); err != nil {
			return nil, err
		}
	}
	file, err := s.artifact.CreatePart(s.partName(id))
	if err != nil {
		return nil, err
	}
	p := &csvPart{sink: s, file: file, connection: id.Connection, columns: columns, order: order}
	if s.header == nil {
		p.draft, p.order = s.join(id.Connection, columns, nil)
	}
	return p, nil
}

func (s *csvSink) Reopen(p pipeline.PartState) (pipeline.Part, error) {
	ps, err := readCSVPart(p)
	if err != nil {
		return nil, err
	}
	file, err := s.artifact.ReopenPart(artifact.FileState{Name: s.partName(p.PartID), Length: ps.Length})
	if err != nil {
		return nil, err
	}
	part := &csvPart{sink: s, file: file, connection: p.Connection, columns: p.Open.Queries[s.query].Columns, order: ps.Order, nulls: ps.Nulls}
	if s.header == nil {
		part.draft, _ = s.join(p.Connection, part.columns, ps.Order)
	}
	return part, nil
}

func (s *csvSink) Splice(_ context.Context, parts []pipeline.Part) (json.RawMessage, error) {
	files := make([]*artifact.Part, len(parts))
	for i, p := range parts {
		files[i] = p.(*csvPart).file
	}
	var head []byte
	if s.headers && s.artifact.State().Length == 0 {
		head = appendCSVHeader(nil, s.header, s.delimiter)
	}
	if s.copyBuf == nil {
		s.copyBuf = make([]byte, 1<<20)
	}
	st, err := s.artifact.Append(func(w io.Writer) error {
		if len(head) > 0 {
			if _, err := w.Write(head); err != nil {
				return err
			}
		}
		for _, f := range files {
			if err := f.CopyTo(w, s.copyBuf); err != nil {
				return err
			}
		}
		return nil
	}, files...)
	if err != nil {
		return nil, err
	}
	return s.state(st)
}

func (s *csvSink) Publish(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.Publish(ctx, r)
}

func (s *csvSink) Finish(context.Context, *pipeline.Report) (json.RawMessage, error) {
	st, err := s.artifact.Finish(nil)
	if err != nil {
		return nil, err
	}
	return s.state(st)
}

func (s *csvSink) PublishFinal(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.PublishFinal(ctx, r)
}

func (s *csvSink) Clean(_ context.Context, keepPrevious bool) error {
	return s.artifact.Clean(keepPrevious)
}

func (s *csvSink) Close() error { return s.artifact.Close() }
