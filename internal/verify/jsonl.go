package verify

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
	current := ""
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		keys, values, err := readObject(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if header == nil {
			header = keys
		}
		at := slices.Index(header, key)
		if at < 0 || !slices.Equal(keys, header) {
			return nil, fmt.Errorf("line %d: its keys are %q, the first line's %q", n, keys, header)
		}
		name, ok := values[at].(string)
		if !ok {
			return nil, fmt.Errorf("line %d: %s is %v", n, key, values[at])
		}
		if t == nil || name != current {
			if current = name; open[name] != nil {
				return nil, fmt.Errorf("line %d: rows of %s again, after those of another", n, name)
			}
			t = newTally(header, columns)
			open[name] = t
		}
		for i, v := range values {
			if v == nil {
				t.null(i)
				continue
			}
			text := []byte(fmt.Sprint(v))
			if (t.cols[i].Kind == Timestamp || t.cols[i].Kind == Instant) && len(text) > 10 && text[10] == 'T' {
				text[10] = ' '
			}
			t.cells[i] = t.cols[i].canonical(t.set(i), text)
		}
		t.endRow()
	}
	for name, t := range open {
		out[name] = t.table()
	}
	return out, nil
}

// readObject reads a line that is one object of plain values.
func readObject(line []byte) (keys []string, values []any, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, fmt.Errorf("no object: %v %w", t, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		value, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		if _, nested := value.(json.Delim); nested {
			return nil, nil, fmt.Errorf("the value of %v is none of a column", key)
		}
		keys, values = append(keys, key.(string)), append(values, value)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, errors.New("more follows the object")
	}
	return keys, values, nil
}
