package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

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
// connection away instead. "columns" says how single columns look: format, width, hide, rename, order.
//
// In mode "append" the sheets of earlier runs stand before those of this one, which gets a Summary of its own in place of
// theirs. The workbook must be as fanmill left it.
//
// The last sheet is the Summary: every connection of the job with its state and what is known of it, and the sums of its
// columns of numbers. It is the tab that opens as long as a connection is missing; "summary": false leaves it out.
type excelType struct{}

// Keys are the options beside id, type, filePath and mode.
func (excelType) Keys() []string { return []string{"onLoss", "summary", "columns"} }

func (excelType) Check(d *pipeline.Destination) error {
	_, err := readExcelOptions(d.Options)
	if strings.TrimSpace(d.FilePath) == "" {
		err = errors.Join(err, problem{"filePath", errors.New("filePath is missing: give the path of the workbook, such as D:/Reports/{jobName}.xlsx")})
	} else if !strings.EqualFold(filepath.Ext(d.FilePath), ".xlsx") {
		err = errors.Join(err, problem{"filePath", fmt.Errorf("filePath %q: a workbook's name ends in .xlsx, or Excel does not open it", d.FilePath)})
	}
	return errors.Join(err, checkMode(d.Mode))
}

func (excelType) New(spec pipeline.SinkSpec) (pipeline.Sink, error) {
	o, err := readExcelOptions(spec.Destination.Options)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	loc, err := spec.Manifest.Location()
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: time zone %q: %w", spec.Destination.ID, spec.Manifest.TimeZone, err))
	}
	s := &excelSink{
		manifest: spec.Manifest,
		only:     spec.Destination.Query,
		options:  o,
		location: loc,
		log:      spec.Log,

		namesakes: namesakesOf(spec.Manifest),
	}
	as := artifactSpec(spec)
	as.Inspect = s.inspect
	s.artifact = artifact.New(as)
	return s, nil
}

// excelSink writes one workbook. A part is a file per query of finished, compressed sheet XML, so that a commit only copies.
type excelSink struct {
	manifest *pipeline.Manifest
	only     *int // the query it takes; all if nil
	options  excelOptions
	location *time.Location
	artifact *artifact.Artifact
	log      *slog.Logger
	book     *xlsx.Workbook     // what is committed
	names    excelNames         // of the sheets
	slots    map[excelPlace]int // into names
	known    excelLore          // of the sheets committed, for the Summary
	bands    []summaryBand      // of the last Summary
	report   *pipeline.Report   // the last one published; nil before
	// namesakes are the connections that have the same name or a similar one, by index; see pipeline.Namesakes.
	namesakes [][]int
}

// excelState is the artifact's part of the commit record.
type excelState struct {
	Artifact artifact.State `json:"artifact"`
	excelNames
}

// Claim reads the workbook's structure back from the committed file: the record need not repeat it.
func (s *excelSink) Claim(ctx context.Context, token string, state json.RawMessage, parts []pipeline.PartState) (json.RawMessage, error) {
	var old *excelState
	var oldArtifact *artifact.State
	if len(state) > 0 {
		old = &excelState{}
		if err := json.Unmarshal(state, old); err != nil {
			return nil, fmt.Errorf("claim %s: the recorded state cannot be read (%w): %w", s.artifact.Path(), err, pipeline.ErrLost)
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
	if old != nil {
		s.names = old.excelNames
	} else {
		s.names = s.firstNames()
	}
	if err := s.reserve(); err != nil {
		return nil, err
	}
	if s.options.summary {
		s.learn()
	}
	return s.state(st)
}

// load reads the committed workbook from the private file that Claim has just made and proven.
func (s *excelSink) load(st artifact.State) (*xlsx.Workbook, error) {
	properties := xlsx.Properties{Title: s.manifest.JobName, Creator: "fanmill", Application: "fanmill"}
	public := s.artifact.Path()
	book := xlsx.New(properties)
	if st.Length > 0 {
		f, err := os.Open(filepath.Join(filepath.Dir(public), ".fanmill", filepath.Base(public), st.Dir, st.Which))
		if err != nil {
			return nil, pipeline.Transient(fmt.Errorf("open the committed copy of %s: %w", public, err))
		}
		defer f.Close()
		if book, err = xlsx.Load(f, st.Length, properties); err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("%s: %w", public, err))
		}
	}
	book, err := book.WithFormats(s.options.columns.formats()...)
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("%s: %w", public, err))
	}
	return book, nil
}

// inspect refuses to append to a workbook that another program made or saved: what this one does not know it could not carry on.
func (s *excelSink) inspect(r io.ReaderAt, size int64) error {
	_, err := xlsx.Load(r, size, xlsx.Properties{})
	if err == nil {
		return nil
	}
	public := s.artifact.Path()
	if !errors.Is(err, xlsx.ErrNotOurs) {
		return pipeline.Transient(fmt.Errorf("read %s: %w", public, err))
	}
	whose := "was not made by fanmill, or another program has saved it since"
	if xlsx.Marked(r, size) {
		whose = "was saved by another program, such as Excel, since fanmill wrote it"
	}
	return pipeline.Permanent(fmt.Errorf("%s %s, and sheets can be appended to fanmill's own workbooks only: rename that file; or, for a new run without --resume, give the destination another filePath or mode \"replace\" (%w)", public, whose, err))
}

// takes reports whether the workbook has sheets for the query.
func (s *excelSink) takes(query int) bool { return s.only == nil || *s.only == query }

func (s *excelSink) state(st artifact.State) (json.RawMessage, error) {
	return json.Marshal(excelState{st, s.names})
}

func (s *excelSink) Adopted(ctx context.Context) error { return s.artifact.Adopted(ctx) }

func (s *excelSink) Splice(_ context.Context, parts []pipeline.Part) (json.RawMessage, error) {
	var sheets []xlsx.NewSheet
	var files []*artifact.Part
	for _, p := range parts {
		part := p.(*excelPart)
		more, err := part.sheets()
		if err != nil {
			return nil, err
		}
		sheets = append(sheets, more...)
		for i := range part.queries {
			if f := part.queries[i].file; f != nil {
				files = append(files, f)
			}
		}
	}
	addition, err := s.book.WithPage(s.progress(parts)).Add(sheets)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	st, err := s.artifact.Append(addition.Write, files...)
	if err != nil {
		return nil, err
	}
	s.book = addition.Workbook()
	return s.state(st)
}

func (s *excelSink) Publish(ctx context.Context, r *pipeline.Report) error {
	s.report = r
	return s.artifact.Publish(ctx, ofQuery(r, s.manifest, s.only))
}

// Finish copies the workbook without what later commits made obsolete. It keeps the facts of this run's sheets: a resume may
// add a connection, and the Summary is written anew then.
func (s *excelSink) Finish(_ context.Context, r *pipeline.Report) (json.RawMessage, error) {
	book := s.book.WithPage(s.final(r)).WithoutFacts(s.names.Series)
	st, err := s.artifact.Finish(func(w io.Writer, committed io.ReaderAt, length int64) error {
		var err error
		if length == 0 { // no connection got through: the one sheet that a workbook must have
			_, err = book.Append(w, nil)
		} else {
			_, err = book.Compact(committed, w)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.state(st)
}

func (s *excelSink) PublishFinal(ctx context.Context, r *pipeline.Report) error {
	return s.artifact.PublishFinal(ctx, ofQuery(r, s.manifest, s.only))
}

func (s *excelSink) Clean(_ context.Context, keepPrevious bool) error {
	return s.artifact.Clean(keepPrevious)
}

// Retire drops what the finished workbook of a connection no longer needs.
func (s *excelSink) Retire() error { return s.artifact.Retire() }

func (s *excelSink) Close() error { return s.artifact.Close() }
