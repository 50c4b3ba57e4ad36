package config

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// optionNamed finds an option; nil if there is none of this name.
func optionNamed(options []pipeline.Option, name string) *pipeline.Option {
	for i := range options {
		if options[i].Name == name {
			return &options[i]
		}
	}
	return nil
}

func optionNames(options []pipeline.Option) []string {
	names := make([]string, len(options))
	for i := range options {
		names[i] = options[i].Name
	}
	return names
}

// wording is what a value of a JSON type is called.
var wording = map[string]string{"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object"}

// value checks a value by its option and reports whether it is good.
func (d *decoder) value(p place, k *pipeline.Option) bool {
	before := d.errorCount()
	switch fits := slices.ContainsFunc(k.Types, func(t string) bool { return isJSONType(p.n, t) }); {
	case !fits:
		words := make([]string, len(k.Types))
		for i, t := range k.Types {
			words[i] = wording[t]
		}
		if k.Enum != nil {
			words = []string{alternatives(k.Enum)}
		}
		d.errorf(p.path, "must be %s, not %s", strings.Join(words, " or "), p.n.kind)
	case k.Enum != nil && !slices.Contains(k.Enum, p.n.text):
		d.errorf(p.path, "%s", notAllowed(p.n.text, k.Enum))
	case k.Max != 0 && !within(p.n.json, k.Min, k.Max):
		d.errorf(p.path, "must be %s from %d to %d", wording[k.Types[0]], k.Min, k.Max)
	case p.n.kind == objectNode && k.Each != nil:
		d.entries(p, func(item place, _ string) { d.optionsEach(item, k.Each) })
	}
	return d.errorCount() == before
}

// optionsEach checks an object that has some of these options. No other program has keys here: one that is not known
// is an error.
func (d *decoder) optionsEach(p place, options []pipeline.Option) {
	names := optionNames(options)
	if p.n.kind != objectNode {
		d.errorf(p.path, "must be an object with %s, not %s", strings.Join(names, ", "), p.n.kind)
		return
	}
	for _, m := range p.n.members {
		if slices.Contains(names, m.name) {
			continue
		}
		hint := "use " + strings.Join(names, ", ")
		if like := Closest(m.name, names); like != "" {
			hint = fmt.Sprintf("did you mean %q?", like)
		}
		d.report(m.position, p.key(m.name), false, "is not a key fanmill knows here; "+hint)
	}
	d.entries(p, func(p place, name string) {
		if o := optionNamed(options, name); o != nil {
			d.value(p, o)
		}
	})
}

// alternatives lists what is allowed.
func alternatives(allowed []string) string {
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = strconv.Quote(a)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// notAllowed says that a word is not one of a few, and which one was likely meant.
func notAllowed(word string, allowed []string) string {
	text := fmt.Sprintf("must be %s, not %q", alternatives(allowed), word)
	if like := Closest(word, allowed); like != "" {
		text += fmt.Sprintf("; did you mean %q?", like)
	}
	return text
}

func isJSONType(n *node, t string) bool {
	switch t {
	case "string":
		return n.kind == stringNode
	case "boolean":
		return n.kind == boolNode
	case "number":
		return n.kind == numberNode
	case "integer":
		return n.kind == numberNode && !strings.ContainsAny(n.json, ".eE")
	default:
		return n.kind == objectNode
	}
}

func within(number string, low, high int) bool {
	v, ok := new(big.Float).SetString(number)
	return ok && v.Cmp(big.NewFloat(float64(low))) >= 0 && v.Cmp(big.NewFloat(float64(high))) <= 0
}
