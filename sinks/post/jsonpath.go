package post

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// jsonPath points to a value in an answer: "$.id", "$.data[0].url". Steps are names (string) and indexes (int).
type jsonPath []any

var pathStep = regexp.MustCompile(`^(?:\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]{1,6})\])`)

func parsePath(text string) (jsonPath, error) {
	if text == "" {
		return nil, nil
	}
	bad := errors.New(`is not a path of names and indexes, such as "$.id" or "$.data[0].url"`)
	rest, ok := strings.CutPrefix(text, "$")
	if !ok || rest == "" {
		return nil, bad
	}
	var p jsonPath
	for rest != "" {
		m := pathStep.FindStringSubmatch(rest)
		switch {
		case m == nil:
			return nil, bad
		case m[1] != "":
			p = append(p, m[1])
		default:
			n, _ := strconv.Atoi(m[2]) // at most six digits
			p = append(p, n)
		}
		rest = rest[len(m[0]):]
	}
	return p, nil
}

// condition compares one value of an answer with a literal.
type condition struct {
	path jsonPath
	want any // true, false, nil, json.Number or string
	text string
}

func parseCondition(text string) (*condition, error) {
	if text == "" {
		return nil, nil
	}
	left, right, ok := strings.Cut(text, "==")
	path, err := parsePath(strings.TrimSpace(left))
	if !ok || err != nil || path == nil {
		return nil, errors.New(`is not of the form $.PATH == VALUE, such as "$.ok == true"`)
	}
	var want any
	d := json.NewDecoder(strings.NewReader(right))
	d.UseNumber()
	if err := d.Decode(&want); err != nil || d.More() {
		return nil, errors.New(`compares with no single JSON value: true, false, null, a number or a "text"`)
	}
	switch want.(type) {
	case map[string]any, []any:
		return nil, errors.New("compares with an object or a list, which it cannot")
	}
	return &condition{path, want, strings.TrimSpace(text)}, nil
}

// holds reports whether the answer says so; numbers are compared as they are written.
func (c *condition) holds(answer []byte) bool {
	got, ok := c.path.find(answer)
	return ok && got == c.want
}

// find returns the value: a string, json.Number, bool or nil. It reads no further than the value, so that an answer may
// be cut behind it. Of equal names the first counts.
func (p jsonPath) find(answer []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	for _, step := range p {
		var found bool
		switch step := step.(type) {
		case string:
			found = enterName(d, step)
		case int:
			found = enterIndex(d, step)
		}
		if !found {
			return nil, false
		}
	}
	t, err := d.Token()
	if _, container := t.(json.Delim); err != nil || container {
		return nil, false
	}
	return t, true
}

func enterName(d *json.Decoder, name string) bool {
	if !enters(d, '{') {
		return false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		if key == name {
			return true
		}
		if !skip(d) {
			return false
		}
	}
	return false
}

func enterIndex(d *json.Decoder, n int) bool {
	if !enters(d, '[') {
		return false
	}
	for ; n > 0 && d.More(); n-- {
		if !skip(d) {
			return false
		}
	}
	return n == 0 && d.More()
}

func enters(d *json.Decoder, delim json.Delim) bool {
	t, err := d.Token()
	return err == nil && t == delim
}

func skip(d *json.Decoder) bool {
	var value json.RawMessage
	return d.Decode(&value) == nil
}

// receiptText is how a receipt shows a value: at most 512 characters.
func receiptText(v any) string {
	if v == nil {
		return ""
	}
	r := []rune(fmt.Sprint(v))
	return string(r[:min(len(r), 512)])
}
