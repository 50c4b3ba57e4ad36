package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
	"fanmill/sinks/xlsx"
)

func init() { types["excel"] = excelType{} }

// excelType is the destination "excel": one workbook with a sheet for every connection and query, named after them, in the
// order of the job whatever order they finish in. Rows past Excel's limit go on in "Name (2)". Every sheet has a header
// in bold that stays in sight, a filter, and columns formatted by their type. Package xlsx says how values become cells.
//
// What a cell cannot hold in full is cut, counted by column and named in the report; with "onLoss": "fail" it turns the
// connection away instead.
type excelType struct{}

// excelOptions are the destination's own keys.
type excelOptions struct {
	OnLoss string `json:"onLoss"` // "count" (or absent) or "fail"
}

func (o *excelOptions) read(raw json.RawMessage) error {
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, o); err != nil {
			return fmt.Errorf("excel options: %w", err)
		}
	}
	if o.OnLoss != "" && o.OnLoss != "count" && o.OnLoss != "fail" {
		return fmt.Errorf("onLoss %q: use \"count\" to cut what a cell cannot hold and report it, or \"fail\" to leave such a connection out", o.OnLoss)
	}
	return nil
}

// Keys are the options beside id, type, filePath and mode.
func (excelType) Keys() []string { return []string{"onLoss"} }

func (excelType) Check(d *pipeline.Destination) error {
	var o excelOptions
	err := o.read(d.Options)
	if strings.TrimSpace(d.FilePath) == "" {
		err = errors.Join(err, errors.New("filePath is missing: give the path of the workbook, such as D:/Reports/{jobName}.xlsx"))
	} else if !strings.EqualFold(filepath.Ext(d.FilePath), ".xlsx") {
		err = errors.Join(err, fmt.Errorf("filePath %q: a workbook's name ends in .xlsx, or Excel does not open it", d.FilePath))
	}
	return errors.Join(err, checkMode(d.Mode))
}

func (excelType) New(spec pipeline.SinkSpec) (pipeline.Sink, error) {
	var o excelOptions
	if err := o.read(spec.Destination.Options); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	loc, err := spec.Manifest.Location()
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: time zone %q: %w", spec.Destination.ID, spec.Manifest.TimeZone, err))
	}
	return &excelSink{
		manifest: spec.Manifest,
		only:     spec.Destination.Query,
		options:  xlsx.Options{Location: loc, FailOnLoss: o.OnLoss == "fail"},
		artifact: artifact.New(artifactSpec(spec)),
	}, nil
}

// excelSink writes one workbook. A part is a file per query of finished, compressed sheet XML, so that a commit only copies.
type excelSink struct {
	manifest *pipeline.Manifest
	only     *int // the query it takes; all if nil
	options  xlsx.Options
	artifact *artifact.Artifact
	book     *xlsx.Workbook // what is committed
	names    []string       // of the sheets, see slot
	slots    []int          // by connection, where its names begin
}

// excelState is the artifact's part of the commit record. The names are reserved when the run begins, for all
// connections of the job in order, so that neither a crash nor the order of finishing changes one; a resume adds those
// of added connections.
type excelState struct {
	Artifact artifact.State `json:"artifact"`
	Names    []string       `json:"names"`
}

// Claim reads the workbook's structure back from the committed file: the record need not repeat it.
func (s *excelSink) Claim(ctx context.Context, token string, state json.RawMessage, parts []pipeline.PartState) (json.RawMessage, error) {
	var old excelState
	var oldArtifact *artifact.State
	if len(state) > 0 {
		if err := json.Unmarshal(state, &old); err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("claim %s: the recorded state: %w", s.artifact.Path(), err))
		}
		oldArtifact = &old.Artifact
	}
	var files []artifact.FileState
	for _, p := range parts {
		ps, err := readExcelPart(p)
		if err != nil {
			return nil, err
		}
		for i := range ps.Queries {
			files = append(files, ps.Queries[i].File)
		}
	}
	st, err := s.artifact.Claim(ctx, token, oldArtifact, files)
	if err != nil {
		return nil, err
	}
	if s.book, err = s.load(st); err != nil {
		return nil, err
	}
	if err := s.reserve(old.Names); err != nil {
		return nil, err
	}
	return s.state(st)
}

// load reads the committed workbook from the private file that Claim has just made and proven.
func (s *excelSink) load(st artifact.State) (*xlsx.Workbook, error) {
	properties := xlsx.Properties{Title: s.manifest.JobName, Creator: "fanmill", Application: "fanmill"}
	if st.Length == 0 {
		return xlsx.New(properties), nil
	}
	public := s.artifact.Path()
	f, err := os.Open(filepath.Join(filepath.Dir(public), ".fanmill", filepath.Base(public), st.Dir, st.Which))
	if err != nil {
		return nil, pipeline.Transient(fmt.Errorf("open the committed copy of %s: %w", public, err))
	}
	defer f.Close()
	book, err := xlsx.Load(f, st.Length, properties)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("%s: %w", public, err))
	}
	return book, nil
}

// reserve names the sheets of all connections, after those that were named before.
func (s *excelSink) reserve(names []string) error {
	var bases []string
	s.slots = s.slots[:0]
	for _, c := range s.manifest.Connections {
		s.slots = append(s.slots, len(bases))
		for q, query := range c.Queries {
			switch {
			case s.only != nil && *s.only != q:
			case s.only != nil || len(c.Queries) == 1:
				bases = append(bases, c.Name)
			case query.Name != "":
				bases = append(bases, c.Name+" "+query.Name)
			default:
				bases = append(bases, c.Name+" "+strconv.Itoa(q+1))
			}
		}
	}
	if len(names) > len(bases) {
		return pipeline.Permanent(fmt.Errorf("%s: %d sheets are reserved, the job has %d: start the run anew, without --resume", s.artifact.Path(), len(names), len(bases)))
	}
	reserved := names
	for i := range s.book.Sheets() { // also those that a roll-over made
		_, name := s.book.Sheet(i)
		reserved = append(reserved[:len(reserved):len(reserved)], name)
	}
	s.names = append(names[:len(names):len(names)], xlsx.SheetNames(reserved, bases[len(names):])...)
	return nil
}

// slot is where the name of a connection's query stands.
func (s *excelSink) slot(connection, query int) int {
	if s.only != nil {
		return s.slots[connection]
	}
	return s.slots[connection] + query
}

// takes reports whether the workbook has sheets for the query.
func (s *excelSink) takes(query int) bool { return s.only == nil || *s.only == query }

func (s *excelSink) state(st artifact.State) (json.RawMessage, error) {
	return json.Marshal(excelState{Artifact: st, Names: s.names})
}

func (s *excelSink) Adopted(ctx context.Context) error { return s.artifact.Adopted(ctx) }

func (s *excelSink) Splice(_ context.Context, parts []pipeline.Part) (json.RawMessage, error) {
	var sheets []xlsx.NewSheet
	var files []*artifact.Part
	for _, p := range parts {
		part := p.(*excelPart)
		sheets = append(sheets, part.sheets()...)
		for i := range part.queries {
			if f := part.queries[i].file; f != nil {
				files = append(files, f)
			}
		}
	}
	before, after := s.book, s.book // the closure is called again for the second private file
	st, err := s.artifact.Append(func(w io.Writer) (err error) {
		after, err = before.Append(w, sheets)
		return err
	}, files...)
	if err != nil {
		return nil, err
	}
	s.book = after
	return s.state(st)
}

func (s *excelSink) Publish(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.Publish(ctx, r)
}

// Finish copies the workbook without what later commits made obsolete.
func (s *excelSink) Finish(context.Context, *pipeline.Report) (json.RawMessage, error) {
	st, err := s.artifact.Finish(func(w io.Writer, committed io.ReaderAt, length int64) error {
		if length == 0 { // no connection got through: the one empty sheet that a workbook must have
			_, err := s.book.Append(w, nil)
			return err
		}
		_, err := s.book.Compact(committed, w)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.state(st)
}

func (s *excelSink) PublishFinal(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.PublishFinal(ctx, r)
}

func (s *excelSink) Clean(_ context.Context, keepPrevious bool) error {
	return s.artifact.Clean(keepPrevious)
}

func (s *excelSink) Close() error { return s.artifact.Close() }
