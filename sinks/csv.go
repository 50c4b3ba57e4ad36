package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

func init() { types["csv"] = csvType{} }

// csvType is the destination "csv": one file as [RFC 4180] has it, UTF-8, with one header line, the rows of a connection
// together, the connections in the order in which they were committed.
//
// A field is quoted where it must be, or as "quoting" says. NULL is an empty field, or nullText, and never quoted; an empty text is "",
// quoted, and so is one that equals nullText: so they differ. In a file of one column an empty line would be a row that most
// readers skip: there NULL is written as "" too, and counted as a loss.
//
// Columns are matched by name, see pipeline.MatchNames. Where the run has a schema, a connection that lacks a column of
// it has NULL there, and the report says so; where it has none, the first connection that is spliced fixes the header.
// A connection that does not fit it is turned away, with the names that differ. In mode "append" the file's own header
// decides, see csvSink.inspect.
type csvType struct{}

// Keys are the options beside id, type, filePath and mode.
func (csvType) Keys() []string {
	return []string{"delimiter", "includeHeaders", "nullText", "bom", "formulaGuard", "connectionColumn", "quoting", "lineEnd", "columns"}
}

func (csvType) Check(d *pipeline.Destination) error {
	_, err := readCSVOptions(d.Options)
	if strings.TrimSpace(d.FilePath) == "" {
		err = errors.Join(err, problem{"filePath", errors.New("filePath is missing: give the path of the CSV file")})
	}
	return errors.Join(err, checkMode(d.Mode))
}

// OneSchema implements pipeline.OneSchema: a file has one header.
func (csvType) OneSchema(d *pipeline.ManifestDestination) bool { return d.Files == nil }

// checkMode accepts what artifact.Spec.Mode does.
func checkMode(mode string) error {
	if mode != "" && mode != "replace" && mode != "append" {
		return problem{"mode", fmt.Errorf("mode %q is not known; use \"replace\" or \"append\"", mode)}
	}
	return nil
}

func (csvType) New(spec pipeline.SinkSpec) (pipeline.Sink, error) {
	o, err := readCSVOptions(spec.Destination.Options)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	loc, err := spec.Manifest.Location()
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: time zone %q: %w", spec.Destination.ID, spec.Manifest.TimeZone, err))
	}
	s := &csvSink{manifest: spec.Manifest, options: o, format: o.format(loc)}
	if q := spec.Destination.Query; q != nil {
		s.query = *q
	} else {
		for _, c := range spec.Manifest.Connections {
			if len(c.Queries) > 1 {
				return nil, pipeline.Permanent(fmt.Errorf("destination %s: a CSV file takes the rows of one query, and connection %s has %d; name the one it takes", spec.Destination.ID, c.ID, len(c.Queries)))
			}
		}
	}
	s.header = newCSVHeader(&s.options, spec.Manifest, s.query)
	if o.connection != "" {
		s.namesakes = namesakesOf(spec.Manifest)
	}
	kept := artifactSpec(spec)
	kept.Inspect = s.inspect
	s.artifact = artifact.New(kept)
	return s, nil
}

// artifactSpec is the artifact that a sink's specification asks for.
func artifactSpec(spec pipeline.SinkSpec) artifact.Spec {
	return artifact.Spec{Path: spec.Destination.Path, Mode: spec.Destination.Mode, StoreID: spec.StoreID, Job: spec.Manifest.JobID,
		Destination: spec.Destination.ID, Run: spec.Manifest.Run, Log: spec.Log}
}

// csvSink writes one CSV file. A part is a file of finished lines, so that a commit only copies.
type csvSink struct {
	manifest *pipeline.Manifest
	artifact *artifact.Artifact
	options  csvOptions
	format   *csvFormat
	query    int // the query whose rows it takes
	header   csvHeader
	unended  bool // what rows are appended to does not end with a line end
	// namesakes are, where the file has the connections' names, the connections that have the same one or a similar
	// one, by index.
	namesakes [][]int
}

// csvState is the artifact's part of the commit record.
type csvState struct {
	Artifact artifact.State `json:"artifact"`
	Header   []string       `json:"header,omitempty"`
	From     []string       `json:"from,omitempty"` // the databases' names, where the header's are not enough
	Width    int            `json:"width,omitempty"`
	Unended  bool           `json:"unended,omitempty"`
}

// copyBuffers are those not in use for copying parts. One is large enough that a system call costs nothing beside it.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

func (s *csvSink) Claim(ctx context.Context, token string, state json.RawMessage, parts []pipeline.PartState) (json.RawMessage, error) {
	var old *artifact.State
	if len(state) > 0 {
		var st csvState
		if err := json.Unmarshal(state, &st); err != nil {
			return nil, fmt.Errorf("claim %s: the recorded state cannot be read (%w): %w", s.artifact.Path(), err, pipeline.ErrLost)
		}
		old, s.header.width, s.unended = &st.Artifact, st.Width, st.Unended
		if st.Header != nil {
			s.header.csvNames = csvNames{st.Header, st.From}
		}
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
	record := csvState{Artifact: st, Header: s.header.names, Width: s.header.width, Unended: s.unended}
	if !slices.Equal(keysOf(s.header.csvNames), s.header.names) {
		record.From = s.header.from
	}
	return json.Marshal(record)
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
	order, under, err := s.header.place(columns)
	if err != nil {
		return nil, err
	}
	file, err := s.artifact.CreatePart(s.partName(id))
	if err != nil {
		return nil, err
	}
	return s.newPart(id, file, o, under, csvPartState{Order: order}), nil
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
	return s.newPart(p.PartID, file, &p.Open, s.header.resume(p.Open.Queries[s.query].Columns, ps.Order), ps), nil
}

func (s *csvSink) Splice(_ context.Context, parts []pipeline.Part) (json.RawMessage, error) {
	files := make([]*artifact.Part, len(parts))
	for i, p := range parts {
		files[i] = p.(*csvPart).file
	}
	head, first := s.head(), s.beginsWithRow()
	st, err := s.artifact.Append(func(w io.Writer) error { // more than once: for each of the private files
		begins := first
		if len(head) > 0 {
			if _, err := w.Write(head); err != nil {
				return err
			}
		}
		buf := copyBuffers.Get().(*[]byte)
		defer copyBuffers.Put(buf)
		for i, f := range files {
			to := w
			if begins && f.Length() > 0 { // its first row is the file's
				to, begins = &quotingWriter{to: w, left: parts[i].(*csvPart).sylk}, false
			}
			if err := f.CopyTo(to, *buf); err != nil {
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

// head is what the next commit begins with: the beginning of the file, or the line end that the last line of an earlier run lacks.
func (s *csvSink) head() (head []byte) {
	switch st := s.artifact.State(); {
	case st.Length == 0:
		if s.options.bom {
			head = append(head, byteOrderMark...)
		}
		if s.options.headers {
			head = s.format.appendHeader(head, s.header.line(s.header.names))
		}
	case st.Commits == 0 && s.unended:
		head = append(head, s.format.lineEnd...)
	}
	return head
}

// beginsWithRow reports whether the next row that is written begins the file. A mark may be there already: of a connection without rows, or
// in the file that rows are appended to.
func (s *csvSink) beginsWithRow() bool {
	n := s.artifact.State().Length
	return !s.options.headers && (n == 0 || s.options.bom && n == int64(len(byteOrderMark)))
}

func (s *csvSink) Publish(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.Publish(ctx, ofQuery(r, s.manifest, &s.query))
}

func (s *csvSink) Finish(context.Context, *pipeline.Report) (json.RawMessage, error) {
	st, err := s.artifact.Finish(nil)
	if err != nil {
		return nil, err
	}
	return s.state(st)
}

func (s *csvSink) PublishFinal(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.PublishFinal(ctx, ofQuery(r, s.manifest, &s.query))
}

func (s *csvSink) Clean(_ context.Context, keepPrevious bool) error {
	return s.artifact.Clean(keepPrevious)
}

// Retire implements what a file per connection asks of its sink.
func (s *csvSink) Retire() error { return s.artifact.Retire() }

func (s *csvSink) Close() error { return s.artifact.Close() }
