package verify

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// JSONL reads a JSON Lines file strictly: an object a line, the same keys in the same order in each, a line end after
// the last. key is the one whose values are the tables' names; the rows of each must stand together. null is NULL.
// Anything else is an error that names the line.
func JSONL(path string, columns []Column, key string) (_ Dataset, err error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out, err := readJSONL(f, columns, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return out, nil
}

func readJSONL(in io.Reader, columns []Column, key string) (Dataset, error) {
	r := bufio.NewReaderSize(in, 256<<10)
	out, open := Dataset{}, map[string]*tally{}
	var header []string
	var t *tally
	var o object
	current, at := "", 0
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := o.read(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if header == nil {
			for _, k := range o.keys {
				header = append(header, string(k))
			}
			at = slices.Index(header, key)
		}
		if at < 0 || !slices.EqualFunc(o.keys, header, func(k []byte, name string) bool { return string(k) == name }) {
			return nil, fmt.Errorf("line %d: its keys are %q, the first line's %q", n, o.keys, header)
		}
		if !o.values[at].quoted {
			return nil, fmt.Errorf("line %d: %s is %s, which is no name", n, key, o.values[at].text)
		}
		if name := o.values[at].text; t == nil || string(name) != current {
			if current = string(name); open[current] != nil {
				return nil, fmt.Errorf("line %d: rows of %s again, after those of another", n, name)
			}
			t = newTally(header, columns)
			open[current] = t
		}
		for i, v := range o.values {
			if v.null {
				t.null(i)
				continue
			}
			if (t.cols[i].Kind == Timestamp || t.cols[i].Kind == Instant) && len(v.text) > 10 && v.text[10] == 'T' {
				v.text[10] = ' '
			}
			t.cells[i] = t.cols[i].canonical(t.set(i), v.text)
		}
		t.endRow()
	}
	for name, t := range open {
		out[name] = t.table()
	}
	return out, nil
}

// value is what stands behind a key: the text of a string without its quotes and escapes, else the token as written.
type value struct {
	text         []byte
	null, quoted bool
}

// object is a line taken apart. Its slices are used again for the next line.
type object struct {
	keys   [][]byte
	values []value
}

// read takes apart a line that is one object of plain values. What the library calls valid JSON needs no second look
// at its grammar: this keeps files of millions of rows from taking minutes. The texts are parts of line.
func (o *object) read(line []byte) error {
	o.keys, o.values = o.keys[:0], o.values[:0]
	rest := bytes.TrimLeft(line, " \t\r\n")
	if len(rest) == 0 || rest[0] != '{' {
		return errors.New("no object")
	}
	if !json.Valid(line) {
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("no object, or more follows it: %w", err)
		}
	}
	if !utf8.Valid(line) {
		return errors.New("not UTF-8")
	}
	for rest = blank(rest[1:]); rest[0] != '}'; {
		key, after, err := token(rest)
		if err != nil {
			return err
		}
		v, behind, err := token(blank(blank(after)[1:])) // after the colon
		if err != nil {
			return fmt.Errorf("%s: %w", key.text, err)
		}
		o.keys, o.values = append(o.keys, key.text), append(o.values, v)
		if rest = blank(behind); rest[0] == ',' {
			rest = blank(rest[1:])
		}
	}
	return nil
}

func blank(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// token cuts a plain value from the front of valid JSON.
func token(b []byte) (v value, rest []byte, err error) {
	switch b[0] {
	case '{', '[':
		return v, nil, errors.New("the value is none of a column")
	case '"':
		end := 1
		for escaped := false; b[end] != '"' || escaped; end++ {
			escaped = b[end] == '\\' && !escaped
		}
		v = value{text: b[1:end], quoted: true}
		if bytes.IndexByte(v.text, '\\') >= 0 {
			var text string
			if err := json.Unmarshal(b[:end+1], &text); err != nil {
				return v, nil, err
			}
			v.text = []byte(text)
		}
		return v, b[end+1:], nil
	}
	end := bytes.IndexAny(b, ",} \t\r\n")
	return value{text: b[:end], null: b[0] == 'n'}, b[end:], nil
}
