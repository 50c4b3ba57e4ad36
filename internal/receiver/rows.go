package receiver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Row is a row of a body; numbers are json.Number, as they were written.
type Row = map[string]any

// Rows returns the rows of all stored requests, in the order in which they were stored. A body is NDJSON by its
// Content-Type; else it is a list of rows, or an object whose "rows" are a list or lists by query.
func (r *Receiver) Rows() ([]Row, error) {
	var rows []Row
	for _, q := range r.Stored() {
		of, err := q.Rows()
		if err != nil {
			return nil, err
		}
		rows = append(rows, of...)
	}
	return rows, nil
}

// Rows returns the rows of one request.
func (q Request) Rows() ([]Row, error) {
	if strings.Contains(q.Header.Get("Content-Type"), "ndjson") {
		return q.lines()
	}
	var body any
	if err := parse(q.Body, &body); err != nil {
		return nil, fmt.Errorf("body of %s: %w", q.Key, err)
	}
	rows, err := rowsOf(body)
	if err != nil {
		return nil, fmt.Errorf("body of %s: %w", q.Key, err)
	}
	return rows, nil
}

func rowsOf(v any) ([]Row, error) {
	switch v := v.(type) {
	case []any:
		rows := make([]Row, len(v))
		for i, row := range v {
			of, ok := row.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("row %d is a %T", i, row)
			}
			rows[i] = of
		}
		return rows, nil
	case map[string]any:
		if lists, ok := v["rows"].(map[string]any); ok {
			return rowsByQuery(lists)
		}
		if list, ok := v["rows"].([]any); ok {
			return rowsOf(list)
		}
		return nil, nil // a closing message
	}
	return nil, fmt.Errorf("it is a %T", v)
}

func rowsByQuery(lists map[string]any) ([]Row, error) {
	var rows []Row
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		of, err := rowsOf(lists[name])
		if err != nil {
			return nil, fmt.Errorf("rows of %s: %w", name, err)
		}
		rows = append(rows, of...)
	}
	return rows, nil
}

func (q Request) lines() ([]Row, error) {
	var rows []Row
	in := bufio.NewScanner(bytes.NewReader(q.Body))
	in.Buffer(nil, len(q.Body)+1)
	for in.Scan() {
		var row Row
		if err := parse(in.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("line %d of %s: %w", len(rows)+1, q.Key, err)
		}
		rows = append(rows, row)
	}
	return rows, in.Err()
}

// parse reads one JSON value and nothing behind it.
func parse(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("there is more behind the first value")
	}
	return nil
}
