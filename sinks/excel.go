package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
	"fanmill/sinks/xlsx"
)

// init registers the destination "excel": one workbook with a sheet for every connection and query, named after them,
// in the order of the job whatever order they finish in. Rows past Excel's limit go on in "Name (2)". Every sheet has
// a header in bold that stays in sight, a filter, and columns formatted by their type. Package xlsx says how values
// become cells.
//
// What a cell cannot hold in full is cut, counted by column and named in the report; with "onLoss": "fail" it turns
// the connection away instead. "columns" says how single columns look: format, width, hide, rename, order.
//
// In mode "append" the sheets of earlier runs stand before those of this one, which gets a Summary of its own in
// place of theirs. The workbook must be as fanmill left it.
//
// The last sheet is the Summary: every connection of the job with its state and what is known of it, and the sums of
// its columns of numbers. It is the tab that opens as long as a connection is missing; "summary": false leaves it
// out.
func init() {
	fileKind(pipeline.SinkKind{
		Name:        "excel",
		Label:       "Excel",
		Description: "An Excel workbook with a sheet for every connection and query.",
		Example:     "D:/Reports/{jobName} {date}.xlsx",
		Options:     excelTable,
		Traits:      pipeline.Traits{LongestPath: 218}, // Excel takes less than other programs
		Count:       countExcel,
		Check: func(d *pipeline.Destination) error {
			_, err := readExcelOptions(d.Options)
			if path := strings.TrimSpace(d.FilePath); path != "" && !strings.EqualFold(filepath.Ext(path), ".xlsx") {
				err = errors.Join(err, problem{"filePath", fmt.Errorf("filePath %q: a workbook's name ends in .xlsx, or Excel does not open it", d.FilePath)})
			}
			return err
		},
		Warn:        excelOptionTwins,
		HeaderTwins: excelHeaderTwins,
	}, newExcelFile)
}

// excelFile is the format of one workbook. A part is a file per query of finished, compressed sheet XML, so that a
// commit only copies.
type excelFile struct {
	*file
	options excelOptions
	fresh   bool               // no record named sheets before this claim
	book    *xlsx.Workbook     // what is committed
	names   excelNames         // of the sheets
	slots   map[excelPlace]int // into names
	known   excelLore          // of the sheets committed, for the Summary
	bands   []summaryBand      // of the last Summary
	// namesakes are the connections that have the same name or a similar one, by index; see pipeline.Namesakes.
	namesakes [][]int
}

func newExcelFile(f *file) (fileFormat, error) {
	o, err := readExcelOptions(f.dest.Options)
	if err != nil {
		return nil, err
	}
	return &excelFile{file: f, options: o, namesakes: namesakesOf(f.manifest)}, nil
}

func (s *excelFile) restore(state json.RawMessage) error {
	if s.fresh = state == nil; s.fresh {
		return nil
	}
	return json.Unmarshal(state, &s.names)
}

// recovered reads the workbook's structure back from the committed file: the record need not repeat it.
func (s *excelFile) recovered(st artifact.State) error {
	var err error
	if s.book, err = s.load(st); err != nil {
		return err
	}
	if s.fresh {
		s.names = s.firstNames()
	}
	if err := s.reserve(); err != nil {
		return err
	}
	if s.options.summary {
		s.learn()
	}
	return nil
}

func (s *excelFile) record() any { return s.names }

// load reads the committed workbook from the private file that Claim has just made and proven.
func (s *excelFile) load(st artifact.State) (*xlsx.Workbook, error) {
	properties := xlsx.Properties{Title: s.manifest.JobName, Creator: "fanmill", Application: "fanmill"}
	public := s.artifact.Path()
	book := xlsx.New(properties)
	if st.Length > 0 {
		f, err := os.Open(s.committed(st))
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

// inspect refuses to append to a workbook that another program made or saved: what this one does not know it could
// not carry on.
func (s *excelFile) inspect(r io.ReaderAt, size int64) error {
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

// assemble adds the parts' sheets, and the Summary as far as the run has come.
func (s *excelFile) assemble(_ context.Context, parts []pipeline.Part) (*assembly, error) {
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
	return &assembly{write: addition.Write, files: files, staged: func() { s.book = addition.Workbook() }}, nil
}

// final copies the workbook without what later commits made obsolete. It keeps the facts of this run's sheets: a
// resume may add a connection, and the Summary is written anew then.
func (s *excelFile) final(r *pipeline.Report) func(io.Writer, io.ReaderAt, int64) error {
	book := s.book.WithPage(s.lastPage(r)).WithoutFacts(s.names.Series)
	return func(w io.Writer, committed io.ReaderAt, length int64) error {
		var err error
		if length == 0 { // no connection got through: the one sheet that a workbook must have
			_, err = book.Append(w, nil)
		} else {
			_, err = book.Compact(committed, w)
		}
		return err
	}
}
