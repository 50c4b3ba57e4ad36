package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline"
)

var (
	paramName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	paramInSQL = regexp.MustCompile(`(?:^|[^:\w]):([A-Za-z_]\w*)`)
	numberForm = regexp.MustCompile(`^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$`) // [RFC 8259] 6
)

// paramValues reads the job's params; the type of each follows from its value.
func (d *decoder) paramValues(p place) {
	if p.n.kind != objectNode {
		d.errorf(p.path, `must be an object such as {"from": "{monthStart}"}, not %s`, p.n.kind)
		return
	}
	d.out.Params = map[string]pipeline.Arg{}
	d.entries(p, func(p place, name string) {
		if !paramName.MatchString(name) {
			d.errorf(p.path, "is not a name that a query can have as :name; use letters, digits and _")
			return
		}
		arg, err := p.n.arg()
		if err != nil {
			d.errorf(p.path, "%s", err)
			return
		}
		if arg.Name = name; secretArg(arg) && !d.o.Elsewhere { // else all that looks like a secret is found together
			d.errorf(p.path, "%s", secretParam)
			return
		}
		arg.Name = ""
		d.out.Params[name] = arg
	})
}

// secretParam is what is wrong with a param whose value looks like a secret.
const secretParam = "looks like a secret, and params are stored and shown: keep the login on the database's server, or give the param another name if its value is none"

// secretArg reports whether a param looks like a secret, by its name or its value.
func secretArg(arg pipeline.Arg) bool {
	return arg.Type == pipeline.ArgText && (secretUnder(arg.Name, arg.Text) || SecretText(arg.Text))
}

// arg is a value of a job file as an argument.
func (n *node) arg() (pipeline.Arg, error) {
	switch n.kind {
	case nullNode:
		return pipeline.Arg{Type: pipeline.ArgNull}, nil
	case boolNode:
		return pipeline.Arg{Type: pipeline.ArgBool, Text: n.text}, nil
	case numberNode:
		return numberArg(n.text)
	case stringNode:
		return textArg(n.text)
	}
	return pipeline.Arg{}, fmt.Errorf("must be a text, a number, a date, true, false or null, not %s", n.kind)
}

// textArg is a date if the text is one.
func textArg(text string) (pipeline.Arg, error) {
	if date, err := isDate(text); date {
		return pipeline.Arg{Type: pipeline.ArgDate, Text: text}, err
	}
	return pipeline.Arg{Type: pipeline.ArgText, Text: text}, nil
}

// maxDigits is more than any database's numbers have.
const maxDigits = 100

// numberArg is an integer if the number has neither fraction nor exponent and fits 64 bits, else a decimal, written out.
func numberArg(text string) (pipeline.Arg, error) {
	m := numberForm.FindStringSubmatch(text)
	if m == nil {
		return pipeline.Arg{}, fmt.Errorf("%s could be a number or a text; write a text in quotes, or a number without leading zeros or signs", text)
	}
	sign, whole, fraction := m[1], m[2], m[3]
	if fraction == "" && m[4] == "" {
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			return pipeline.Arg{Type: pipeline.ArgInt, Text: strconv.FormatInt(v, 10)}, nil
		}
	}
	exponent, _ := strconv.Atoi(m[4]) // "" is 0
	if max(exponent, -exponent)+len(whole)+len(fraction) > maxDigits {
		return pipeline.Arg{}, fmt.Errorf("%s has more digits than a database can take", text)
	}
	for ; exponent > 0; exponent-- {
		if fraction == "" {
			whole += "0"
		} else {
			whole, fraction = whole+fraction[:1], fraction[1:]
		}
	}
	for ; exponent < 0; exponent++ {
		if whole == "" {
			whole = "0"
		}
		whole, fraction = whole[:len(whole)-1], whole[len(whole)-1:]+fraction
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return pipeline.Arg{Type: pipeline.ArgDecimal, Text: sign + whole + fraction}, nil
}

// params warns of params that no query has.
func (d *decoder) params() {
	if len(d.out.Params) == 0 {
		return
	}
	used, seen := map[string]bool{}, map[string]bool{}
	for i := range d.out.Connections {
		for _, q := range d.out.Connections[i].Queries {
			if seen[q.SQL] {
				continue
			}
			seen[q.SQL] = true
			for _, m := range paramInSQL.FindAllStringSubmatch(q.SQL+controlSQL(&q), -1) {
				used[m[1]] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.out.Params)) {
		if used[name] {
			continue
		}
		if like := Closest(name, slices.Sorted(maps.Keys(used))); like != "" {
			d.warnf("params."+name, "no query has :%s; did you mean :%s?", name, like)
		} else {
			d.warnf("params."+name, "no query has :%s; it has no effect", name)
		}
	}
}

// ResolveParams gives every parameter of a job its value in a run that begins at this moment, sorted by name: that of the job, or in
// its place the one given by a trigger, which may be a string, a number (json.Number, or of Go's), a bool or nil. A given value keeps
// to the type of the job's: a number may be given as a text and the other way round, and a text is a date where the job's is one.
// Dates are resolved in the job's time zone. All that is wrong is in the error.
func ResolveParams(job *pipeline.Job, given map[string]any, at time.Time) ([]pipeline.Arg, error) {
	loc, err := time.LoadLocation(job.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("params: time zone %q: %w", job.TimeZone, err)
	}
	known := slices.Sorted(maps.Keys(job.Params))
	var bad []error
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := job.Params[name]; !ok {
			bad = append(bad, unknownParam(name, known))
		}
	}
	args := make([]pipeline.Arg, 0, len(known))
	for _, name := range known {
		arg := job.Params[name]
		if v, ok := given[name]; ok {
			if arg, err = givenArg(v, arg); err != nil {
				bad = append(bad, fmt.Errorf("param %s: %w", name, err))
				continue
			}
		}
		if arg.Name = name; secretArg(arg) {
			bad = append(bad, pipeline.OfKind(pipeline.ErrSecret, fmt.Errorf("param %s %s", name, secretParam)))
			continue
		}
		if arg.Type == pipeline.ArgDate {
			arg.Text = resolveDate(arg.Text, at.In(loc))
		}
		args = append(args, arg)
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return args, nil
}

func unknownParam(name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("param %s: the job has no params; add it to the job's, with the value that it has otherwise", name)
	}
	if like := Closest(name, known); like != "" {
		return fmt.Errorf("param %s: the job has no such param; did you mean %q?", name, like)
	}
	return fmt.Errorf("param %s: the job has no such param; it has %s", name, strings.Join(known, ", "))
}

// givenArg is a trigger's value in place of the job's.
func givenArg(v any, job pipeline.Arg) (pipeline.Arg, error) {
	switch v := v.(type) {
	case nil:
		return pipeline.Arg{Type: pipeline.ArgNull}, nil
	case bool:
		if job.Type != pipeline.ArgBool && job.Type != pipeline.ArgNull {
			return pipeline.Arg{}, mismatch(strconv.FormatBool(v), job)
		}
		return pipeline.Arg{Type: pipeline.ArgBool, Text: strconv.FormatBool(v)}, nil
	case string:
		return givenText(v, job)
	case json.Number:
		return givenNumber(v.String(), job)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return pipeline.Arg{}, mismatch(fmt.Sprint(v), job)
		}
		return givenNumber(strconv.FormatFloat(v, 'f', -1, 64), job)
	case int:
		return givenNumber(strconv.Itoa(v), job)
	case int64:
		return givenNumber(strconv.FormatInt(v, 10), job)
	}
	return pipeline.Arg{}, errors.New("must be a text, a number, a date, true, false or null")
}

func givenNumber(text string, job pipeline.Arg) (pipeline.Arg, error) {
	switch job.Type {
	case pipeline.ArgText:
		return pipeline.Arg{Type: pipeline.ArgText, Text: text}, nil
	case pipeline.ArgInt, pipeline.ArgDecimal, pipeline.ArgNull:
		return numberArg(text)
	}
	return pipeline.Arg{}, mismatch(text, job)
}

func givenText(text string, job pipeline.Arg) (pipeline.Arg, error) {
	switch job.Type {
	case pipeline.ArgText:
		return pipeline.Arg{Type: pipeline.ArgText, Text: text}, nil
	case pipeline.ArgNull:
		return textArg(text)
	case pipeline.ArgDate:
		date, err := isDate(text)
		if err == nil && !date {
			err = mismatch(text, job)
		}
		return pipeline.Arg{Type: pipeline.ArgDate, Text: text}, err
	case pipeline.ArgBool:
		if text != "true" && text != "false" {
			return pipeline.Arg{}, mismatch(text, job)
		}
		return pipeline.Arg{Type: pipeline.ArgBool, Text: text}, nil
	}
	if !numberForm.MatchString(text) {
		return pipeline.Arg{}, mismatch(text, job)
	}
	return numberArg(text)
}

func mismatch(text string, job pipeline.Arg) error {
	switch job.Type {
	case pipeline.ArgDate:
		return fmt.Errorf("%q is not a date, which it is in the job; write one such as 2024-04-01 or {yesterday}", text)
	case pipeline.ArgBool:
		return fmt.Errorf("%q is not true or false, which it is in the job", text)
	case pipeline.ArgText:
		return fmt.Errorf("%s is not a text, which it is in the job; write it in quotes", text)
	}
	return fmt.Errorf("%q is not a number, which it is in the job", text)
}
