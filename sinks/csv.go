package sinks

import (
	"context"
	"errors"
	"io"
	"sync"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// init registers the destination "csv": one file as [RFC 4180] has it, UTF-8, with one header line, the rows of a
// connection together, the connections in the order in which they were committed.
//
// A field is quoted where it must be, or as "quoting" says. NULL is an empty field, or nullText, and never quoted; an
// empty text is "", quoted, and so is one that equals nullText: so they differ. In a file of one column an empty line
// would be a row that most readers skip: there NULL is written as "" too, and counted as a loss.
//
// Columns are matched by name, see pipeline.MatchNames. Where the run has a schema, a connection that lacks a column
// of it has NULL there, and the report says so; where it has none, the first connection that is staged fixes the
// header. A connection that does not fit it is turned away, with the names that differ. In mode "append" the file's
// own header decides, see csvFile.inspect.
func init() {
	fileKind(pipeline.SinkKind{
		Name:        "csv",
		Label:       "CSV",
		Description: "A CSV file with the rows of one query of all connections. With several queries there is a file for each.",
		Example:     "D:/Exports/{jobName} {date}.csv",
		Options:     csvTable,
		Traits:      pipeline.Traits{OneQuery: true, OneSchema: true},
		Count:       countCSV,
		Check: func(d *pipeline.Destination) error {
			o, err := readCSVOptions(d.Options)
			return errors.Join(err, checkCompression(d, o.compression))
		},
		Warn:        csvOptionTwins,
		HeaderTwins: csvHeaderTwins,
	}, newCSVFile)
}

// csvFile is the format of one CSV file.
type csvFile struct {
	lines
	options csvOptions
	format  *csvFormat
}

func newCSVFile(f *file) (fileFormat, error) {
	o, err := readCSVOptions(f.dest.Options)
	if err != nil {
		return nil, err
	}
	c := &csvFile{options: o, format: o.format(f.location)}
	if c.lines, err = newLines(f, &c.options, o.compression); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *csvFile) open(id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, _ pipeline.Rows) (pipeline.Part, error) {
	var st csvPartState
	part, names, err := s.part(id, o, from, &st, &st.linesPartState)
	if err != nil {
		return nil, err
	}
	return s.newPart(id, part, o, names, st), nil
}

// copyParts writes part files one after the other.
func copyParts(w io.Writer, files []*artifact.Part) error {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for _, f := range files {
		if err := f.CopyTo(w, *buf); err != nil {
			return err
		}
	}
	return nil
}

// copyBuffers are those not in use for copying parts. One is large enough that a system call costs nothing beside it.
var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 1<<20); return &b }}

func (s *csvFile) assemble(_ context.Context, parts []pipeline.Part) (*assembly, error) {
	files := make([]*artifact.Part, len(parts))
	head, begins := s.head(), -1 // the part whose first row is the file's
	text := int64(len(head))
	for i, p := range parts {
		part := p.(*csvPart)
		files[i] = part.file
		if begins < 0 && part.file.Length() > 0 {
			begins = i
		}
		text += part.text
	}
	head, quote := s.beginning(head, begins >= 0), s.packed([]byte{'"'})
	if begins >= 0 && (!s.beginsWithRow() || parts[begins].(*csvPart).sylk == 0) {
		begins = -1
	}
	if begins >= 0 {
		text += 2
	}
	return &assembly{files: files, staged: func() { s.committed(text) }, write: func(w io.Writer) error {
		if len(head) > 0 {
			if _, err := w.Write(head); err != nil {
				return err
			}
		}
		buf := copyBuffers.Get().(*[]byte)
		defer copyBuffers.Put(buf)
		for i, f := range files {
			to := w
			if i == begins {
				to = &quotingWriter{to: w, mark: quote, left: parts[i].(*csvPart).sylk}
			}
			if err := f.CopyTo(to, *buf); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// head is what the next commit begins with: the beginning of the file, or the line end that the last line of an
// earlier run lacks.
func (s *csvFile) head() (head []byte) {
	switch st := s.table.artifact.State(); {
	case s.length() == 0:
		if s.options.bom {
			head = append(head, byteOrderMark...)
		}
		if s.options.headers {
			head = s.format.appendHeader(head, s.table.header.line(s.table.header.names))
		}
	case st.Commits == 0 && s.unended:
		head = append(head, s.format.lineEnd...)
	}
	return head
}

// beginsWithRow reports whether the next row that is written begins the file. A mark may be there already: of a
// connection without rows, or in the file that rows are appended to.
func (s *csvFile) beginsWithRow() bool {
	n := s.length()
	return !s.options.headers && (n == 0 || s.options.bom && n == int64(len(byteOrderMark)))
}
