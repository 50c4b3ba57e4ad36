package sinks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"fanmill/pipeline"
)

// linesLayout is what the report on a file of lines has of its layout.
type linesLayout struct {
	Compression string `json:"compression,omitempty"` // gzip or zstd
	Delimiter   string `json:"delimiter,omitempty"`   // of a CSV
	Header      bool   `json:"header,omitempty"`      // the first line names the columns
	// Column is the one with the connection's name: the first. "" if there is none.
	Column  string `json:"connectionColumn,omitempty"`
	Earlier int64  `json:"earlierBytes,omitempty"` // that stood in the file before this run's rows
}

// linesLayout is the layout of what is committed.
func (l *lines) linesLayout() (out linesLayout) {
	if l.codec != nil {
		out.Compression = l.codec.name()
	}
	if b := l.table.artifact.State().Baseline; b != nil {
		out.Earlier = b.Length
	}
	return out
}

func (s *csvFile) layout() any {
	out := s.linesLayout()
	out.Delimiter, out.Column = s.options.delimiter, s.options.connection
	out.Header = s.options.headers && out.Earlier == 0
	return out
}

func (s *jsonlFile) layout() any {
	out := s.linesLayout()
	out.Column = s.options.names.connection
	return out
}

// countCSV counts the records of a CSV file [RFC 4180]. A line end within quotes ends none.
func countCSV(ctx context.Context, f pipeline.CountedFile) (pipeline.Counts, error) {
	var layout linesLayout
	if err := readLayout(f, &layout); err != nil {
		return pipeline.Counts{}, err
	}
	if len(layout.Delimiter) == 0 {
		return pipeline.Counts{}, errors.New("the manifest names no delimiter")
	}
	c := &lineCounter{quoted: true, header: layout.Header, bom: true, name: func(line []byte) (string, int, error) { return csvName(line, layout.Delimiter) }}
	return c.count(ctx, f, layout)
}

// countJSONL counts the lines of a JSON Lines file.
func countJSONL(ctx context.Context, f pipeline.CountedFile) (pipeline.Counts, error) {
	var layout linesLayout
	if err := readLayout(f, &layout); err != nil {
		return pipeline.Counts{}, err
	}
	c := &lineCounter{check: func(line []byte) error {
		if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
			return errors.New("it is no JSON object")
		}
		return nil
	}, name: func(line []byte) (string, int, error) { return jsonName(line, layout.Column) }}
	return c.count(ctx, f, layout)
}

// csvName is the first field of a record; see lineCounter.name.
func csvName(line []byte, delimiter string) (string, int, error) {
	if len(line) == 0 || line[0] != '"' {
		field, _, more := bytes.Cut(line, []byte(delimiter))
		if !more {
			return string(field), 0, nil
		}
		return string(field), len(field) + len(delimiter), nil
	}
	var name []byte
	for rest := line[1:]; ; {
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			return "", 0, errors.New("its first field has no closing quote")
		}
		name = append(name, rest[:end]...)
		rest = rest[end+1:]
		switch {
		case len(rest) == 0:
			return string(name), 0, nil
		case bytes.HasPrefix(rest, []byte(delimiter)):
			return string(name), len(line) - len(rest) + len(delimiter), nil
		case rest[0] != '"':
			return "", 0, errors.New("text follows the closing quote of its first field")
		}
		name, rest = append(name, '"'), rest[1:]
	}
}

// jsonName is the value of the first key of an object; see lineCounter.name.
func jsonName(line []byte, key string) (string, int, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	var got [3]json.Token
	for i := range got {
		var err error
		if got[i], err = d.Token(); err != nil {
			return "", 0, fmt.Errorf("it is no JSON object (%w)", err)
		}
	}
	name, ok := got[2].(string)
	if got[0] != json.Delim('{') || got[1] != key || !ok {
		return "", 0, fmt.Errorf("it does not begin with the key %s", key)
	}
	return name, int(d.InputOffset()) + 1, nil
}

// lineCounter counts the records of a text as it passes.
type lineCounter struct {
	quoted bool // line ends within quotes end no record
	header bool // the first record is none
	bom    bool // the text may begin with a byte order mark
	check  func(line []byte) error
	// name is the connection's name in a record, and how many bytes the record begins with that say so, the one behind
	// the name among them; 0 if nothing follows it.
	name func(line []byte) (string, int, error)

	records int64
	names   *nameCounts // nil without a column of names
	last    []byte      // the beginning of the last record, as long as that says its name
	current string      // its name
	run     int64       // records of that name that are not yet in names
}

// maxLine bounds the record that is held as a whole.
const maxLine = 64 << 20

// count reads the rows of a file behind what earlier runs left.
func (c *lineCounter) count(ctx context.Context, f pipeline.CountedFile, layout linesLayout) (out pipeline.Counts, err error) {
	if layout.Earlier < 0 || layout.Earlier > f.Size {
		return out, fmt.Errorf("it has %d bytes, and its rows begin behind byte %d", f.Size, layout.Earlier)
	}
	if layout.Column != "" {
		c.names = newNameCounts(f.Report)
	}
	var text io.Reader = whileReading(ctx, io.NewSectionReader(f.R, layout.Earlier, f.Size-layout.Earlier))
	if codec := codecOf("", layout.Compression); codec != nil && layout.Earlier < f.Size {
		opened, err := codec.open(text)
		if err != nil {
			return out, fmt.Errorf("it is not compressed with %s: %w", layout.Compression, err)
		}
		defer opened.Close()
		text = opened
	} else if codec == nil && layout.Compression != "" && layout.Compression != "none" {
		return out, fmt.Errorf("this fanmill does not know the compression %q", layout.Compression)
	}
	unended, err := c.read(text)
	if err != nil {
		return out, err
	}
	if c.header {
		c.records = max(0, c.records-1)
	}
	if c.names == nil {
		out = tableCounts(f.Report, c.records, nil, "")
	} else {
		c.names.add(c.current, c.run)
		if c.names.by[""] == 0 {
			delete(c.names.by, "")
		}
		c.unguard(f.Report)
		out = tableCounts(f.Report, c.records, c.names.by, layout.Column)
	}
	if unended {
		out.Faults = append(out.Faults, "its last line has no line end: the file was cut, or edited")
	}
	return out, nil
}

// unguard counts names with the ' that formulaGuard puts in front of them for those without.
func (c *lineCounter) unguard(r *pipeline.Report) {
	own := map[string]bool{}
	for i := range r.Connections {
		own[r.Connections[i].Name] = true
	}
	for name, n := range c.names.by {
		if bare, guarded := strings.CutPrefix(name, "'"); guarded && !own[name] && own[bare] {
			c.names.by[bare] += n
			delete(c.names.by, name)
		}
	}
}

// read counts all records. unended says that the last one has no line end.
func (c *lineCounter) read(text io.Reader) (unended bool, err error) {
	held := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(held)
	buf := *held
	have, first := 0, true
	scanned, inside := 0, false // of buf: no record ends before; whether that is within quotes
	for {
		n, err := text.Read(buf[have:])
		have += n
		ended := err == io.EOF
		if err != nil && !ended {
			return false, err
		}
		from := 0
		if first && c.bom && (have >= len(byteOrderMark) || ended) {
			if bytes.HasPrefix(buf[:have], []byte(byteOrderMark)) {
				from, scanned = len(byteOrderMark), len(byteOrderMark)
			}
			first = false
		}
		for !first || !c.bom {
			at := bytes.IndexByte(buf[scanned:have], '\n')
			if at < 0 {
				if c.quoted && bytes.Count(buf[scanned:have], quoteMark)%2 == 1 {
					inside = !inside
				}
				scanned = have
				break
			}
			if c.quoted && bytes.Count(buf[scanned:scanned+at], quoteMark)%2 == 1 {
				inside = !inside
			}
			scanned += at + 1
			if inside {
				continue
			}
			if err := c.record(buf[from : scanned-1]); err != nil {
				return false, err
			}
			from = scanned
		}
		if ended {
			if inside {
				return false, errors.New("it ends within quotes")
			}
			if from == have {
				return false, nil
			}
			return true, c.record(buf[from:have])
		}
		have = copy(buf, buf[from:have])
		scanned -= from
		if have == len(buf) {
			if len(buf) >= maxLine {
				return false, fmt.Errorf("record %d is longer than %d MB", c.records+1, maxLine>>20)
			}
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

var quoteMark = []byte{'"'}

// record counts one, without its line end.
func (c *lineCounter) record(line []byte) error {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) == 0 { // what ends the last line of an earlier run
		return nil
	}
	c.records++
	if c.check != nil {
		if err := c.check(line); err != nil {
			return fmt.Errorf("line %d: %w", c.records, err)
		}
	}
	if c.names == nil || c.header && c.records == 1 {
		return nil
	}
	// Rows of a connection stand together: most records begin as the one before.
	if c.last != nil && bytes.HasPrefix(line, c.last) {
		c.run++
		return nil
	}
	name, begins, err := c.name(line)
	if err != nil {
		return fmt.Errorf("record %d: %w", c.records, err)
	}
	c.names.add(c.current, c.run)
	c.current, c.run, c.last = name, 1, nil
	if begins > 0 {
		c.last = bytes.Clone(line[:min(begins, len(line))])
	}
	return nil
}

// whileReading is r until ctx ends.
func whileReading(ctx context.Context, r io.Reader) io.Reader { return ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
