package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// parseJSON reads a file as one JSON value [RFC 8259]. Unlike encoding/json it keeps positions and duplicate keys.
func parseJSON(file string, data []byte) (*node, *Problem) {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, jsonProblem(file, data, err)
	}
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1, column: 1}
	r.dec.UseNumber()
	n, err := r.value()
	if err != nil { // the text was valid a moment ago
		return nil, jsonProblem(file, data, err)
	}
	return n, nil
}

// jsonReader walks a valid text token by token and knows where each begins.
type jsonReader struct {
	data         []byte
	dec          *json.Decoder
	at           int // the byte that line and column tell the place of
	line, column int
}

// next returns a token and its position.
func (r *jsonReader) next() (json.Token, position, error) {
	from := int(r.dec.InputOffset())
	for from < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[from]) >= 0 {
		from++
	}
	for r.at < from {
		c, n := utf8.DecodeRune(r.data[r.at:])
		r.at += n
		r.column++
		if c == '\n' {
			r.line, r.column = r.line+1, 1
		}
	}
	t, err := r.dec.Token()
	return t, position{line: r.line, column: r.column}, err
}

func (r *jsonReader) value() (*node, error) {
	t, at, err := r.next()
	if err != nil {
		return nil, err
	}
	n := &node{position: at}
	switch v := t.(type) {
	case string:
		n.kind, n.text = stringNode, v
	case json.Number:
		n.kind, n.text, n.json = numberNode, v.String(), v.String()
	case bool:
		if n.kind, n.text = boolNode, "false"; v {
			n.text = "true"
		}
	case json.Delim:
		if v == '[' {
			n.kind = listNode
			return n, r.list(n)
		}
		n.kind = objectNode
		return n, r.object(n)
	}
	return n, nil
}

func (r *jsonReader) list(n *node) error {
	for r.dec.More() {
		item, err := r.value()
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.next()
	return err
}

func (r *jsonReader) object(n *node) error {
	for r.dec.More() {
		t, at, err := r.next()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		v, err := r.value()
		if err != nil {
			return err
		}
		n.members = append(n.members, member{at, name, v})
	}
	_, _, err := r.next()
	return err
}

// jsonProblem says where the text stops being JSON, and which of the usual slips it looks like.
func jsonProblem(file string, data []byte, err error) *Problem {
	offset := len(data)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = int(syntax.Offset) - 1
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return &Problem{File: file, Line: 1, Column: 1, Text: "the file is empty; a job needs connections and destinations"}
	}
	text, last := err.Error(), lastByte(data, offset)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "unexpected end"):
		offset, text = len(data), "the JSON ends too early; a closing } or ] is missing"
	case strings.Contains(text, "in string escape code"):
		text = `the text has a backslash that JSON does not know; in paths write / or \\ (D:/Reports or D:\\Reports)`
	case strings.Contains(text, "in string literal"):
		text = "a text goes over the end of its line; write \\n for a line break, or use YAML for long queries"
	case last == ',' && (strings.Contains(text, "'}'") || strings.Contains(text, "']'")):
		text = "the comma before this bracket is one too many; remove it"
	case strings.Contains(text, "invalid character '/'"), strings.Contains(text, "invalid character '#'"):
		text = "JSON has no comments; remove it, or write the job in YAML, which has # comments"
	case strings.Contains(text, "after object key:value pair"), strings.Contains(text, "after array element"):
		text = "a comma is missing before this"
	case strings.Contains(text, "after top-level value"):
		text = "there is more after the end of the job; a file holds one job"
	}
	p := placeOf(data, offset)
	return &Problem{File: file, Line: p.line, Column: p.column, Text: "not valid JSON: " + text}
}

// lastByte is the byte before offset that is not white space.
func lastByte(data []byte, offset int) byte {
	if b := bytes.TrimRight(data[:min(max(offset, 0), len(data))], " \t\r\n"); len(b) > 0 {
		return b[len(b)-1]
	}
	return 0
}
