package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

func optionNames(options []pipeline.Option) []string {
	names := make([]string, len(options))
	for i := range options {
		names[i] = options[i].Name
	}
	return names
}

// The bounds of a duration whose option gives none.
const (
	minOptionDuration = time.Millisecond
	maxOptionDuration = 168 * time.Hour
)

// durationType is the type of an option that is a text such as 1m30s.
const durationType = "duration"

// wording is what a value of a type is called.
var wording = map[string]string{"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object",
	"array": "a list", durationType: `a time with its unit, such as "30s"`}

// value checks a value by its option and reports whether it is good.
func (d *decoder) value(p place, o *pipeline.Option) bool { return d.valueWithin(p, o, false, false) }

// valueWithin checks a value that stands within one that is secret, or whose references are replaced.
func (d *decoder) valueWithin(p place, o *pipeline.Option, secret, references bool) bool {
	secret = secret || o.Use == pipeline.Secret
	references = references || o.References || secret
	before := d.errorCount()
	scalar := p.n.kind != objectNode && p.n.kind != listNode
	switch {
	case !slices.ContainsFunc(o.Types, func(t string) bool { return isJSONType(p.n, t) }):
		d.errorf(p.path, "must be %s, not %s", expected(o), p.n.kind)
	case secret && scalar && p.n.kind != boolNode && !(p.n.kind == stringNode && pipeline.HasReference(p.n.text)):
		d.errorf(p.path, "%s", literalText)
	case o.Enum != nil && scalar && p.n.kind != boolNode && !slices.Contains(o.Enum, p.n.text):
		d.errorf(p.path, "%s", notAllowed(p.n.text, o.Enum))
	case references && p.n.kind == stringNode && pipeline.HasReference(p.n.text):
		_, err := d.expand(p.n.text)
		d.missing(p.path, err, d.o.OthersWrite)
	case slices.Contains(o.Types, durationType) && (p.n.kind == stringNode || p.n.kind == numberNode):
		var v pipeline.Duration
		d.duration(p, max(time.Duration(o.Min)*time.Second, minOptionDuration), cmp.Or(time.Duration(o.Max)*time.Second, maxOptionDuration), &v)
	case o.Max != 0 && p.n.kind == numberNode && !within(p.n.json, o.Min, o.Max):
		d.errorf(p.path, "must be %s from %d to %d", wording[o.Types[0]], o.Min, o.Max)
	case p.n.kind == listNode:
		d.optionItems(p, o, secret, references)
	case p.n.kind == objectNode && o.Each != nil:
		d.entries(p, func(item place, _ string) { d.valueWithin(item, o.Each, secret, references) })
	case p.n.kind == objectNode && o.Fields != nil:
		d.optionFields(p, o.Fields, secret, references)
	}
	return d.errorCount() == before
}

// literalText refuses a secret that stands in the job file as such.
const literalText = `is a secret, and a job file holds none: write a reference such as "${NAME}" and set NAME in the environment or in the .env file beside the job, ` +
	`or "${file:PATH}" for what a file holds`

// expected says what a value of the option is.
func expected(o *pipeline.Option) string {
	if o.Enum != nil && len(o.Types) == 1 {
		return alternatives(o.Enum)
	}
	words := make([]string, len(o.Types))
	for i, t := range o.Types {
		words[i] = wording[t]
		if t == "object" && o.Fields != nil {
			words[i] += " with " + strings.Join(optionNames(o.Fields), ", ")
		}
	}
	return strings.Join(words, " or ")
}

// optionItems checks an array.
func (d *decoder) optionItems(p place, o *pipeline.Option, secret, references bool) {
	d.pos[p.path] = p.n.position
	if n := len(p.n.items); o.Max != 0 && (n < o.Min || n > o.Max) {
		d.errorf(p.path, "must have %d to %d items, not %d", o.Min, o.Max, n)
	}
	if o.Items == nil {
		return
	}
	for i, item := range p.n.items {
		path := fmt.Sprintf("%s[%d]", p.path, i)
		d.pos[path] = item.position
		d.valueWithin(place{path, item}, o.Items, secret, references)
	}
}

// optionFields checks an object that has some of these options. No other program has keys here: one that is not known
// is an error.
func (d *decoder) optionFields(p place, options []pipeline.Option, secret, references bool) {
	names := optionNames(options)
	for _, m := range p.n.members {
		if slices.Contains(names, m.name) {
			continue
		}
		hint := "use " + strings.Join(names, ", ")
		if like := Closest(m.name, names); like != "" {
			hint = fmt.Sprintf("did you mean %q?", like)
			d.slips[p.key(like)] = true
		}
		d.report(m.position, p.key(m.name), false, "is not a key fanmill knows here; "+hint)
	}
	d.entries(p, func(p place, name string) {
		if o := pipeline.OptionNamed(options, name); o != nil {
			d.valueWithin(p, o, secret, references)
		}
	})
	d.needOptions(p, options)
}

// needOptions reports required options that are absent.
func (d *decoder) needOptions(p place, options []pipeline.Option) {
	for i := range options {
		if o := &options[i]; o.Required {
			d.need(p, o.Name, exampleText(o))
		}
	}
}

// exampleText shows a value of the option in a message.
func exampleText(o *pipeline.Option) string {
	example := o.Example
	if example == nil && o.Enum != nil {
		example = o.Enum[0]
	}
	if example == nil {
		return "..."
	}
	text, err := json.Marshal(example)
	if err != nil {
		return "..."
	}
	return string(text)
}

func isJSONType(n *node, t string) bool {
	switch t {
	case "string":
		return n.kind == stringNode
	case durationType: // of a number, the unit is missing, and reported
		return n.kind == stringNode || n.kind == numberNode
	case "boolean":
		return n.kind == boolNode
	case "number":
		return n.kind == numberNode
	case "integer":
		return n.kind == numberNode && !strings.ContainsAny(n.json, ".eE")
	case "array":
		return n.kind == listNode
	default:
		return n.kind == objectNode
	}
}

func within(number string, low, high int) bool {
	v, ok := new(big.Float).SetString(number)
	return ok && v.Cmp(big.NewFloat(float64(low))) >= 0 && v.Cmp(big.NewFloat(float64(high))) <= 0
}
