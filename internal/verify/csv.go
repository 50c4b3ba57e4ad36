package verify

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// CSVOptions says how a CSV file is read.
type CSVOptions struct {
	Columns []Column // the truth's
	Key     string   // the column whose values are the tables' names; "" takes the file as one table named ""
	Comma   byte     // 0 is a comma
}

// CSV reads a file strictly by [RFC 4180]: a header, CRLF after every record and so after the last, quotes only
// around whole fields, as many fields in every record, UTF-8. An empty field is NULL, a quoted empty one the empty
// text. The rows of a key must stand together. Anything else is an error that names the line.
func CSV(path string, o CSVOptions) (_ Dataset, err error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out, err := readCSV(f, o)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return out, nil
}

func readCSV(in io.Reader, o CSVOptions) (Dataset, error) {
	r := &csvReader{r: bufio.NewReaderSize(in, 256<<10), comma: o.Comma, line: 1}
	if r.comma == 0 {
		r.comma = ','
	}
	if ok, err := r.record(); err != nil {
		return nil, err
	} else if !ok {
		return nil, errors.New("the file is empty; there should be a header")
	}
	var header []string
	for i := range r.fields {
		header = append(header, string(r.field(i)))
	}
	key := slices.Index(header, o.Key)
	if key < 0 && o.Key != "" {
		return nil, fmt.Errorf("the header has no column %q; it has %s", o.Key, strings.Join(header, ", "))
	}
	out := Dataset{}
	open := map[string]*tally{}
	var t *tally
	var current string
	for {
		start := r.line
		ok, err := r.record()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if len(r.fields) != len(header) {
			return nil, fmt.Errorf("line %d: %d fields, the header has %d", start, len(r.fields), len(header))
		}
		if t == nil || key >= 0 && string(r.field(key)) != current {
			if key >= 0 {
				current = string(r.field(key))
			}
			if open[current] != nil {
				return nil, fmt.Errorf("line %d: rows of %s again, after those of another", start, current)
			}
			t = newTally(header, o.Columns)
			open[current] = t
		}
		for i, f := range r.fields {
			if !f.quoted && f.start == f.end {
				t.null(i)
			} else {
				t.cells[i] = t.cols[i].canonical(t.set(i), r.field(i))
			}
		}
		t.endRow()
	}
	for name, t := range open {
		out[name] = t.table()
	}
	return out, nil
}

// csvReader reads record by record into buffers that it reuses.
type csvReader struct {
	r      *bufio.Reader
	comma  byte
	line   int // of the next byte
	buf    []byte
	fields []csvField
}

type csvField struct {
	start, end int
	quoted     bool
}

func (r *csvReader) field(i int) []byte { return r.buf[r.fields[i].start:r.fields[i].end] }

func (r *csvReader) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: "+format, append([]any{r.line}, args...)...)
}

// record reads the next record; false at the end of the file.
func (r *csvReader) record() (bool, error) {
	r.buf, r.fields = r.buf[:0], r.fields[:0]
	for {
		start := len(r.buf)
		c, err := r.r.ReadByte()
		if err == io.EOF {
			if len(r.fields) == 0 {
				return false, nil
			}
			return false, r.fail("the file ends inside a record")
		}
		if err != nil {
			return false, err
		}
		quoted := c == '"'
		if quoted {
			if err := r.quoted(); err != nil {
				return false, err
			}
			if c, err = r.r.ReadByte(); err == io.EOF {
				return false, r.fail("the file ends without a line end")
			} else if err != nil {
				return false, err
			}
			if c != r.comma && c != '\r' {
				return false, r.fail("%q after a closing quote", c)
			}
		} else if c, err = r.bare(c); err != nil {
			return false, err
		}
		if !utf8.Valid(r.buf[start:]) {
			return false, r.fail("a field is not UTF-8")
		}
		r.fields = append(r.fields, csvField{start, len(r.buf), quoted})
		if c == '\r' {
			if c, err = r.r.ReadByte(); err != nil || c != '\n' {
				return false, r.fail("a CR without LF outside quotes")
			}
			r.line++
			return true, nil
		}
	}
}

// bare reads an unquoted field that begins with c, and returns what ended it.
func (r *csvReader) bare(c byte) (byte, error) {
	for {
		switch c {
		case r.comma, '\r':
			return c, nil
		case '\n':
			return 0, r.fail("an LF without CR outside quotes")
		case '"':
			return 0, r.fail("a quote inside an unquoted field")
		}
		r.buf = append(r.buf, c)
		var err error
		if c, err = r.r.ReadByte(); err == io.EOF {
			return 0, r.fail("the file ends without a line end")
		} else if err != nil {
			return 0, err
		}
	}
}

// quoted reads the rest of a quoted field with its closing quote.
func (r *csvReader) quoted() error {
	for {
		chunk, err := r.r.ReadSlice('"')
		for _, b := range chunk {
			if b == '\n' {
				r.line++
			}
		}
		r.buf = append(r.buf, chunk...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return r.fail("the file ends inside a quoted field")
		}
		if next, err := r.r.Peek(1); err != nil || next[0] != '"' {
			r.buf = r.buf[:len(r.buf)-1]
			return nil
		}
		_, _ = r.r.Discard(1) // a doubled quote stands for one: the first is in the field
	}
}
