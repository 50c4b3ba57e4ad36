package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// Option is a key that a destination takes in a job file. What is known of it stands here alone: the check of its
// value, its decoding, what a resume may change, where references are replaced, the schema for editors and the page of
// job files follow from it.
type Option struct {
	Name string
	// Types are the JSON types that its value may have: string, integer, number, boolean, object, array. duration is a
	// string such as 1m30s, which a Duration holds.
	Types    []string
	Use      OptionUse
	Required bool
	// References means that ${VAR} and ${file:PATH} in its texts are replaced: late, by SinkSpec.Expand, and not in
	// what is stored. Secret options have that without it, and so have all options within one that has it.
	References bool
	Enum       []string // the only texts, if it has few
	Min, Max   int      // of numbers, of a duration's seconds, and of how many items an array has; both 0 for no bounds
	Fields     []Option // of an object: its keys. nil, with Each nil, is an object of anything
	Each       *Option  // of an object whose names are the user's own: what each of its values is
	Items      *Option  // of an array: what each of its items is
	Default    any      // what holds if the key is absent; nil if that cannot be said in a value
	// Absent says in words what holds if the key is absent, where Default does not. Markdown, as Description is.
	Absent string
	// Description is for the schema and the page of job files. It is Markdown; the schema has it without its signs.
	Description string
	Example     any
}

// OptionUse says what a value may do between the run that began with it and a resume.
type OptionUse uint8

const (
	// Fixed values decide what is delivered: a resume with another one is refused.
	Fixed OptionUse = iota
	// Free values decide how it is delivered, such as a timeout: they may change.
	Free
	// Secret values may change, too. A job file has references in their place, never the values: see HasReference.
	Secret
)

// OptionNamed finds an option; nil if there is none of this name.
func OptionNamed(table []Option, name string) *Option {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

// within is the option of a member of an object; nil if it has none.
func (o *Option) within(name string) *Option {
	if o == nil {
		return nil
	}
	if f := OptionNamed(o.Fields, name); f != nil {
		return f
	}
	return o.Each
}

// items is the option of the items of an array; nil if it has none.
func (o *Option) items() *Option {
	if o == nil {
		return nil
	}
	return o.Items
}

// DecodeOptions reads a destination's options into a struct with JSON tags, after the defaults of their table, also
// those within objects. The values have been checked by that table when the job was loaded; options that were not fail
// here, without their place in a file. References stay as they are: see SinkSpec.Decode.
func DecodeOptions(raw json.RawMessage, table []Option, into any) error {
	given, err := objectOf(raw)
	if err != nil {
		return err
	}
	full, err := json.Marshal(withDefaults(given, table))
	if err != nil {
		return Permanent(fmt.Errorf("the defaults of the options: %w", err))
	}
	if err := json.Unmarshal(full, into); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return nil
}

// objectOf reads options; numbers keep their digits.
func objectOf(raw json.RawMessage) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	var given map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&given); err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	return given, nil
}

// withDefaults is an object with what it lacks of its table's defaults.
func withDefaults(given map[string]any, table []Option) map[string]any {
	out := make(map[string]any, len(table))
	for _, o := range table {
		if o.Default != nil {
			out[o.Name] = o.Default
		}
	}
	for name, v := range given {
		out[name] = OptionNamed(table, name).filled(v)
	}
	return out
}

// filled is a value of the option with the defaults within it.
func (o *Option) filled(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if o == nil {
			return v
		}
		if o.Each == nil {
			return withDefaults(v, o.Fields)
		}
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = o.within(name).filled(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = o.items().filled(v[i])
		}
		return out
	}
	return v
}

// ChangedOptions names what differs between two texts of options to a resume: free and secret ones do not count, and an
// option that is absent is as its default. The spelling of values does not count either: storing them may have changed
// it.
func ChangedOptions(a, b json.RawMessage, table []Option) (names []string) {
	was, errA := objectOf(a)
	is, errB := objectOf(b)
	if errA != nil || errB != nil {
		if bytes.Equal(a, b) {
			return nil
		}
		return []string{"options that cannot be read"}
	}
	was, is = fixedOf(withDefaults(was, table), table), fixedOf(withDefaults(is, table), table)
	for name := range was {
		if other, ok := is[name]; !ok || !reflect.DeepEqual(plain(was[name]), plain(other)) {
			names = append(names, name)
		}
	}
	for name := range is {
		if _, ok := was[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// plain is a value as JSON has it, whatever Go types it is made of; numbers are equal by their value.
func plain(v any) (out any) {
	text, _ := json.Marshal(v) // from JSON, and the defaults of a table
	_ = json.Unmarshal(text, &out)
	return out
}

// fixedOf is an object without its options that a resume may change.
func fixedOf(given map[string]any, table []Option) map[string]any {
	out := make(map[string]any, len(given))
	for name, v := range given {
		if o := OptionNamed(table, name); o == nil || o.Use == Fixed {
			out[name] = o.fixed(v)
		}
	}
	return out
}

// fixed is a value of a fixed option without what a resume may change within it.
func (o *Option) fixed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		switch {
		case o == nil:
			return v
		case o.Each == nil:
			return fixedOf(v, o.Fields)
		}
		out := make(map[string]any, len(v))
		for name, item := range v {
			if e := o.within(name); e.Use == Fixed {
				out[name] = e.fixed(item)
			} else {
				out[name] = nil // that there is one of this name is fixed
			}
		}
		return out
	case []any:
		if o == nil || o.Items == nil {
			return v
		}
		if o.Items.Use != Fixed {
			return nil
		}
		out := make([]any, len(v))
		for i := range v {
			out[i] = o.Items.fixed(v[i])
		}
		return out
	}
	return v
}
