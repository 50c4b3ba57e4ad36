package sinks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
	"fanmill/sinks/parquet"
)

// assemble joins the parts once, into a file of what the commit adds: row groups and a footer that names those before,
// too. The commit copies that file, twice: so the bytes are the same.
func (s *parquetFile) assemble(ctx context.Context, parts []pipeline.Part) (*assembly, error) {
	book, err := s.take()
	if err != nil {
		return nil, err
	}
	joint, err := s.table.artifact.CreatePart(fmt.Sprintf("joint.%d", s.table.artifact.State().Commits))
	if err != nil {
		return nil, err
	}
	files := []*artifact.Part{joint}
	for _, p := range parts {
		files = append(files, p.(*parquetPart).file)
	}
	if err := s.join(ctx, book, joint, files[1:]); err != nil {
		return nil, errors.Join(err, joint.Discard())
	}
	return &assembly{files: files, write: func(w io.Writer) error { return copyParts(w, files[:1]) }, staged: func() { s.book = book }}, nil
}

// take is the committed file, to be appended to. It is read again next time unless the commit succeeds.
func (s *parquetFile) take() (book *parquet.File, err error) {
	book, s.book = s.book, nil
	switch {
	case book != nil:
	case s.table.artifact.State().Length > 0:
		return s.load(s.table.artifact.State())
	default:
		if book, err = parquet.Start(s.schema); err != nil {
			return nil, pipeline.Permanent(err)
		}
	}
	return book, nil
}

// join appends parts to a file, whose new bytes go into joint.
func (s *parquetFile) join(ctx context.Context, book *parquet.File, joint *artifact.Part, parts []*artifact.Part) error {
	out, in := newPartWriter(ctx, joint), &openFile{}
	defer in.close()
	sources := make([]parquet.Part, len(parts))
	for i, p := range parts {
		sources[i] = parquet.Part{R: partReader{in, p}, Size: p.Length()}
	}
	err := book.Append(out, s.options.encoding, sources...)
	if err == nil {
		err = book.Finish(out, s.meta())
	}
	switch {
	case in.err != nil:
		return in.err
	case err != nil:
		return out.cause(err)
	}
	if err := out.flush(); err != nil {
		return err
	}
	return joint.Close()
}

// openFile is the one part file that is open: a thousand may be joined, one after the other.
type openFile struct {
	part *artifact.Part
	f    *os.File
	err  error
}

func (o *openFile) close() {
	if o.f != nil {
		_ = o.f.Close()
	}
	o.f, o.part = nil, nil
}

// partReader reads a part file, which it opens where it is not open.
type partReader struct {
	in   *openFile
	part *artifact.Part
}

func (r partReader) ReadAt(b []byte, at int64) (int, error) {
	if r.in.part != r.part {
		r.in.close()
		f, err := r.part.Open()
		if err != nil {
			r.in.err = err
			return 0, err
		}
		r.in.f, r.in.part = f, r.part
	}
	return r.in.f.ReadAt(b, at)
}

// final joins the committed file anew: without older footers, and with what is known only now.
func (s *parquetFile) final(r *pipeline.Report) func(io.Writer, io.ReaderAt, int64) error {
	if s.table.artifact.State().Length == 0 {
		return nil
	}
	return func(w io.Writer, committed io.ReaderAt, length int64) error {
		meta, err := s.lastMeta(r)
		if err != nil {
			return err
		}
		if err := s.fixSchema(); err != nil {
			return pipeline.Permanent(err)
		}
		book, err := parquet.Start(s.schema)
		if err != nil {
			return pipeline.Permanent(err)
		}
		out := bufio.NewWriterSize(w, 1<<20)
		if err := book.Append(out, s.options.encoding, parquet.Part{R: committed, Size: length}); err != nil {
			return err
		}
		if err := book.Finish(out, meta); err != nil {
			return err
		}
		return out.Flush()
	}
}

// meta are the keys and values of every footer.
func (s *parquetFile) meta() map[string]string {
	return map[string]string{"fanmill.run": s.table.manifest.Run, "fanmill.jobId": s.table.manifest.JobID, "fanmill.job": s.table.manifest.JobName}
}

// parquetTotals is what the finished file says of its rows, in the key fanmill.totals.
type parquetTotals struct {
	Rows        int64               `json:"rows"`
	Connections []parquetConnection `json:"connections"`
}

type parquetConnection struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	Rows  int64  `json:"rows"`
}

// lastMeta are those of the finished file's.
func (s *parquetFile) lastMeta(r *pipeline.Report) (map[string]string, error) {
	totals := parquetTotals{Connections: []parquetConnection{}}
	for _, c := range r.Connections {
		t := parquetConnection{ID: c.ID, Name: c.Name, State: c.State}
		if s.table.query < len(c.Rows) && c.State == pipeline.ReportSettled {
			t.Rows = c.Rows[s.table.query]
		}
		totals.Rows += t.Rows
		totals.Connections = append(totals.Connections, t)
	}
	text, err := json.Marshal(totals)
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	meta := s.meta()
	meta["fanmill.totals"] = string(text)
	return meta, nil
}
