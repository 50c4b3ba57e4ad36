package sinks

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// problem is a mistake in a destination's options, at a key of theirs.
type problem struct {
	key string
	error
}

// Key is where the mistake is, such as columns.amount.width.
func (e problem) Key() string { return e.key }

// Unwrap implements errors.Is and errors.As.
func (e problem) Unwrap() error { return e.error }

// optionReader reads options and gathers what is wrong with them.
type optionReader struct{ problems []error }

func (r *optionReader) problem(key, format string, args ...any) {
	r.problems = append(r.problems, problem{key, fmt.Errorf(format, args...)})
}

// value reads a key and reports whether it is there and right; what should stand there is said in words.
func (r *optionReader) value(from map[string]json.RawMessage, path, key string, into any, want string) bool {
	raw, ok := from[key]
	if !ok {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil || bytes.Equal(raw, []byte("null")) {
		r.problem(path+key, "%s: %s is not %s", key, raw, want)
		return false
	}
	return true
}
