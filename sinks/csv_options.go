package sinks

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fanmill/pipeline"
)

// csvOptions are the destination's own keys, with what is absent filled in.
type csvOptions struct {
	delimiter  string // one character
	headers    bool
	nullText   string
	bom        bool
	guard      bool   // against formulas
	connection string // name of the column that holds the connection's; "" if there is none
	quoting    csvQuoting
	lineEnd    string
	columns    []csvColumn // by name
}

// csvQuoting says which fields stand in quotes though they need not. NULL never does: that is how it differs from a text.
type csvQuoting uint8

const (
	quoteMinimal    csvQuoting = iota
	quoteNonNumeric            // all but numbers
	quoteAll
)

var (
	csvQuotings = map[string]csvQuoting{"minimal": quoteMinimal, "nonNumeric": quoteNonNumeric, "all": quoteAll}
	csvLineEnds = map[string]string{"crlf": "\r\n", "lf": "\n"}
)

// csvColumn is what a job asks for one column, found by the name that the database gives it.
type csvColumn struct {
	name   string
	rename string // in the header; "" is the name
	hide   bool   // left out
	order  int    // place, from 1; 0 is after all that have one
}

// connectionColumn is the column's name where the job gives none.
const connectionColumn = "_connection"

// csvReader reads the options of a CSV file.
type csvReader struct{ optionReader }

// readCSVOptions reads a destination's options, and reports every problem at once.
func readCSVOptions(raw json.RawMessage) (csvOptions, error) {
	o := csvOptions{delimiter: ",", headers: true, lineEnd: csvLineEnds["crlf"]}
	var r csvReader
	var keys map[string]json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &keys); err != nil {
			return o, fmt.Errorf("csv options: %w", err)
		}
	}
	r.delimiter(keys, &o)
	r.value(keys, "", "includeHeaders", &o.headers, "true or false")
	r.value(keys, "", "bom", &o.bom, "true or false")
	r.value(keys, "", "formulaGuard", &o.guard, "true or false")
	if r.value(keys, "", "nullText", &o.nullText, `a text such as "NULL"`) && strings.ContainsAny(o.nullText, "\"\r\n\x00"+o.delimiter) {
		r.problem("nullText", "nullText %q: it stands without quotes, so use no quote, line end or delimiter in it", o.nullText)
	}
	choice(&r, keys, "quoting", csvQuotings, &o.quoting)
	choice(&r, keys, "lineEnd", csvLineEnds, &o.lineEnd)
	r.connection(keys, &o)
	r.columns(keys, &o)
	if !o.headers && o.connection == "" && strings.HasPrefix(o.nullText, string(sylk)) {
		r.problem("nullText", "nullText %q: a file that began with it would be taken for SYLK, another format, by Excel; use another text, or let the file have a header", o.nullText)
	}
	return o, errors.Join(r.problems...)
}

func (r *csvReader) delimiter(keys map[string]json.RawMessage, o *csvOptions) {
	const want = `one character other than a quote or a line end, such as ",", ";", "|" or "\t"`
	var d string
	if !r.value(keys, "", "delimiter", &d, want) {
		return
	}
	if c, size := utf8.DecodeRuneInString(d); c == utf8.RuneError || size != len(d) || strings.ContainsRune("\"\r\n\x00", c) {
		r.problem("delimiter", "delimiter %q: use %s", d, want)
		return
	}
	o.delimiter = d
}

// choice reads a key that takes one of several words.
func choice[T any](r *csvReader, keys map[string]json.RawMessage, key string, words map[string]T, into *T) {
	want := `"` + strings.Join(slices.Sorted(maps.Keys(words)), `" or "`) + `"`
	var word string
	if !r.value(keys, "", key, &word, want) {
		return
	}
	v, ok := words[word]
	if !ok {
		r.problem(key, "%s %q: use %s", key, word, want)
		return
	}
	*into = v
}

func (r *csvReader) connection(keys map[string]json.RawMessage, o *csvOptions) {
	const key = "connectionColumn"
	var yes bool
	if json.Unmarshal(keys[key], &yes) == nil && keys[key] != nil && string(keys[key]) != "null" {
		if yes {
			o.connection = connectionColumn
		}
		return
	}
	if r.value(keys, "", key, &o.connection, "true, false or the column's name") && strings.TrimSpace(o.connection) == "" {
		r.problem(key, "connectionColumn: give the column a name, or say true for %q", connectionColumn)
	}
}

func (r *csvReader) columns(keys map[string]json.RawMessage, o *csvOptions) {
	var columns map[string]json.RawMessage
	r.value(keys, "", "columns", &columns, `an object such as {"amount": {"rename": "Amount"}}`)
	places := map[int]string{}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		at := "columns." + name
		var asked map[string]json.RawMessage
		if err := json.Unmarshal(columns[name], &asked); err != nil || asked == nil {
			r.problem(at, `%s is not what can be asked for a column: give an object such as {"rename": "Amount"}`, columns[name])
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(asked)) {
			if !slices.Contains([]string{"rename", "hide", "order"}, key) {
				r.problem(at+"."+key, "%q is nothing that can be asked for a column of a CSV: use rename, hide, order", key)
			}
		}
		c := csvColumn{name: name}
		r.value(asked, at+".", "hide", &c.hide, "true or false")
		if r.value(asked, at+".", "rename", &c.rename, "a text") && strings.TrimSpace(c.rename) == "" {
			r.problem(at+".rename", "rename: give the column a name, or leave this out")
		}
		const want = "a whole number from 1"
		if r.value(asked, at+".", "order", &c.order, want) {
			if first, taken := places[c.order]; c.order < 1 {
				r.problem(at+".order", "order %d: give the column's place, %s", c.order, want)
			} else if taken {
				r.problem(at+".order", "order %d is that of %q already", c.order, first)
			} else {
				places[c.order] = name
			}
		}
		o.columns = append(o.columns, c)
	}
}

// find is what is asked for a column of this name; case decides only between names that differ in nothing else. nil is nothing.
func (o *csvOptions) find(name string) *csvColumn {
	var found *csvColumn
	for i := range o.columns {
		switch c := &o.columns[i]; {
		case c.name == name:
			return c
		case found == nil && strings.EqualFold(c.name, name):
			found = c
		}
	}
	return found
}

// csvOutput is a column of the database as the file has it.
type csvOutput struct {
	name string
	from string // the name that the database gives it
	at   int    // index among the database's columns
}

// arrange names and orders a query's columns as the job asks: those with an order first, the others after them as the query
// has them, the hidden ones not at all.
func (o *csvOptions) arrange(columns []pipeline.OpeningColumn) []csvOutput {
	out := make([]csvOutput, 0, len(columns))
	var order []int
	for i, col := range columns {
		place, name := len(o.columns)+1<<20, col.Name
		if c := o.find(col.Name); c != nil {
			if c.hide {
				continue
			}
			if c.order > 0 {
				place = c.order
			}
			name = cmp.Or(c.rename, name)
		}
		at := len(order)
		for at > 0 && order[at-1] > place {
			at--
		}
		order, out = slices.Insert(order, at, place), slices.Insert(out, at, csvOutput{name, col.Name, i})
	}
	return out
}

// unknown are the names that the job has options for and that none of these columns has.
func (o *csvOptions) unknown(columns []pipeline.OpeningColumn) (names []string) {
	for i := range o.columns {
		if !slices.ContainsFunc(columns, func(c pipeline.OpeningColumn) bool { return o.find(c.Name) == &o.columns[i] }) {
			names = append(names, o.columns[i].name)
		}
	}
	return names
}

// format is what of the options decides how a field is written.
func (o *csvOptions) format(loc *time.Location) *csvFormat {
	return &csvFormat{delimiter: o.delimiter, lineEnd: o.lineEnd, nullText: o.nullText, guard: o.guard, quoting: o.quoting, location: loc,
		// Conservative: which letters the texts of values that are no texts are made of.
		inValues: strings.Contains("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-.: ", o.delimiter) ||
			o.nullText != "" && strings.Trim(o.nullText, "0123456789abcdefxNnItruslyiT+-.: ") == ""}
}
