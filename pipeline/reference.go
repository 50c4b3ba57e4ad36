package pipeline

import (
	"encoding/json"
	"errors"
	"strings"
)

// A reference, ${VAR} or ${file:PATH}, stands in a text for a value that is stored nowhere. $$ is the sign $ itself.

// Missing names what an error says is not there in this process and may be there in another one: each error within it
// that has a method Missing() string, such as that of a variable that is not set. nil is an error of another kind.
func Missing(err error) (names []string) {
	if m, ok := err.(interface{ Missing() string }); ok {
		return []string{m.Missing()}
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return Missing(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range err.Unwrap() {
			names = append(names, Missing(e)...)
		}
	}
	return names
}

// HasReference reports whether a text has a reference in it.
func HasReference(text string) bool {
	found := false
	eachPiece(text, func(_ string, reference bool) { found = found || reference })
	return found
}

// eachPiece takes a text apart into references and what stands between them.
func eachPiece(text string, take func(piece string, reference bool)) {
	begin := 0
	for i := 0; i < len(text)-1; i++ {
		if text[i] != '$' {
			continue
		}
		end := -1
		if text[i+1] == '{' {
			end = strings.IndexByte(text[i:], '}')
		}
		switch {
		case text[i+1] == '$':
			i++
		case end >= 0:
			if begin < i {
				take(text[begin:i], false)
			}
			take(text[i:i+end+1], true)
			i += end
			begin = i + 1
		}
	}
	if begin < len(text) {
		take(text[begin:], false)
	}
}

// expandPieces replaces the references of a text one by one, and hands each value to keep.
func expandPieces(text string, expand func(string) (string, error), keep func(value string)) (string, error) {
	var b strings.Builder
	var bad []error
	eachPiece(text, func(piece string, reference bool) {
		v, err := expand(piece)
		if err != nil {
			bad = append(bad, err)
			return
		}
		if reference {
			keep(v)
			if bare, ok := strings.CutSuffix(piece, "|url}"); ok { // a text may have the value as it is, too
				if v, err := expand(bare + "}"); err == nil {
					keep(v)
				}
			}
		}
		b.WriteString(v)
	})
	if len(bad) > 0 {
		return "", errors.Join(bad...)
	}
	return b.String(), nil
}

// WithoutSecrets is a destination's options as they may be stored: a secret option keeps its references, and a value
// that stands there as such is blanked. Loading a job refuses such values; this is for jobs that come another way.
func WithoutSecrets(raw json.RawMessage, table []Option) json.RawMessage {
	given, err := objectOf(raw)
	if err != nil {
		return nil // nobody can say what is in it
	}
	changed := false
	blank := func(o *Option, text string) string {
		if !HasReference(text) && text != "" {
			changed = true
			return ""
		}
		return text
	}
	out := eachText(given, &Option{Fields: table}, func(o *Option) bool { return o.Use == Secret }, false, blank)
	if !changed {
		return raw
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return text
}

// expandOptions is options with the references in their texts replaced, where their table says so.
func expandOptions(raw json.RawMessage, table []Option, expand func(string) (string, error)) (json.RawMessage, error) {
	given, err := objectOf(raw)
	if err != nil || given == nil {
		return raw, err
	}
	var bad []error
	out := eachText(given, &Option{Fields: table}, func(o *Option) bool { return o.References || o.Use == Secret }, false, func(_ *Option, text string) string {
		v, err := expand(text)
		if err != nil {
			bad = append(bad, err)
		}
		return v
	})
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return json.Marshal(out)
}

// LacksReferences is the error of a process in which something is not there that options of a destination refer to,
// where their table has references replaced; see Missing. nil is none.
func LacksReferences(raw json.RawMessage, table []Option, expand func(string) (string, error)) error {
	if _, err := expandOptions(raw, table, expand); Missing(err) != nil {
		return err
	}
	return nil
}

// eachText is a value with change applied to the texts in it whose option, or one around it, is of those that are
// meant.
func eachText(v any, o *Option, meant func(*Option) bool, within bool, change func(o *Option, text string) string) any {
	within = within || o != nil && meant(o)
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = eachText(item, o.within(name), meant, within, change)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = eachText(v[i], o.items(), meant, within, change)
		}
		return out
	case string:
		if within {
			return change(o, v)
		}
	case json.Number:
		if within && o != nil && o.Use == Secret {
			return change(o, v.String())
		}
	}
	return v
}
