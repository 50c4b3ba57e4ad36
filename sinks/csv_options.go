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
	delimiter   string // one character
	headers     bool
	nullText    string
	bom         bool
	guard       bool   // against formulas
	connection  string // name of the column that holds the connection's; "" if there is none
	quoting     csvQuoting
	lineEnd     string
	compression string      // "" if the file's ending decides
	columns     []csvColumn // by name
}

// csvQuoting says which fields stand in quotes though they need not. NULL never does: that is how it differs from a
// text.
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

// csvTable has the destination's keys beside id, type, filePath and mode.
var csvTable = []pipeline.Option{
	{Name: "delimiter", Types: []string{"string"}, Default: ",",
		Description: "One character between values, not a quote or a line end: `\",\"`, `\";\"`, `\"|\"`, `\"\\t\"`.", Example: ";"},
	{Name: "includeHeaders", Types: []string{"boolean"}, Default: true, Description: "Whether the first line names the columns."},
	{Name: "nullText", Types: []string{"string"}, Default: "", Absent: "nothing: `a,,b`",
		Description: "What stands for NULL, such as `\\N`. An equal text of the database is quoted, so that they differ.", Example: `\N`},
	{Name: "bom", Types: []string{"boolean"}, Default: false, Description: "`true`: the file begins with a UTF-8 byte order mark, by which Excel knows the encoding."},
	{Name: "formulaGuard", Types: []string{"boolean"}, Default: false,
		Description: "`true`: texts (not numbers) that begin with `=` `+` `-` `@`, a tab or a carriage return get a `'` in front, and are counted in the manifest."},
	{Name: "connectionColumn", Types: []string{"boolean", "string"}, Default: false,
		Description: "`true`: the first column is `_connection`, the connection's name; a text is the column's name.", Example: "branch"},
	{Name: "quoting", Types: []string{"string"}, Enum: []string{"minimal", "all", "nonNumeric"}, Default: "minimal",
		Description: "`minimal`: what must be quoted; `nonNumeric`: all but numbers; `all`. NULL never is."},
	{Name: "lineEnd", Types: []string{"string"}, Enum: []string{"crlf", "lf"}, Default: "crlf", Description: "How lines end."},
	compressionOption,
	columnsOption(map[string]any{"invoice_no": map[string]any{"rename": "Invoice No"}}),
}

// csvKeys are the keys as they stand in a job file.
type csvKeys struct {
	Delimiter        string                `json:"delimiter"`
	IncludeHeaders   bool                  `json:"includeHeaders"`
	NullText         string                `json:"nullText"`
	BOM              bool                  `json:"bom"`
	FormulaGuard     bool                  `json:"formulaGuard"`
	ConnectionColumn any                   `json:"connectionColumn"`
	Quoting          string                `json:"quoting"`
	LineEnd          string                `json:"lineEnd"`
	Compression      string                `json:"compression"`
	Columns          map[string]columnKeys `json:"columns"`
}

// csvColumn is what a job asks for one column, found by the name that the database gives it.
type csvColumn struct {
	name   string
	rename string // in the header; "" is the name
	hide   bool   // left out
	order  int    // place, from 1; 0 is after all that have one
}

// connectionColumn is the column's name where the job gives none.
const connectionColumn = "_connection"

// readCSVOptions reads a destination's options, and reports at once every problem that their table does not show.
func readCSVOptions(raw json.RawMessage) (csvOptions, error) {
	var keys csvKeys
	if err := pipeline.DecodeOptions(raw, csvTable, &keys); err != nil {
		return csvOptions{}, fmt.Errorf("csv %w", err)
	}
	o := csvOptions{delimiter: keys.Delimiter, headers: keys.IncludeHeaders, nullText: keys.NullText, bom: keys.BOM, guard: keys.FormulaGuard,
		quoting: csvQuotings[keys.Quoting], lineEnd: csvLineEnds[keys.LineEnd], compression: keys.Compression}
	var p problems
	if c, size := utf8.DecodeRuneInString(o.delimiter); c == utf8.RuneError || size != len(o.delimiter) || strings.ContainsRune("\"\r\n\x00", c) {
		p.add("delimiter", `delimiter %q: use one character other than a quote or a line end, such as ",", ";", "|" or "\t"`, o.delimiter)
		o.delimiter = ","
	}
	if strings.ContainsAny(o.nullText, "\"\r\n\x00"+o.delimiter) {
		p.add("nullText", "nullText %q: it stands without quotes, so use no quote, line end or delimiter in it", o.nullText)
	}
	o.connection = p.connectionColumn(keys.ConnectionColumn)
	for _, name := range slices.Sorted(maps.Keys(keys.Columns)) {
		c := keys.Columns[name]
		p.rename(name, c.Rename)
		o.columns = append(o.columns, csvColumn{name: name, rename: c.header(), hide: c.Hide, order: c.Order})
	}
	p.places(keys.Columns)
	if !o.headers && o.connection == "" && strings.HasPrefix(o.nullText, string(sylk)) {
		p.add("nullText", "nullText %q: a file that began with it would be taken for SYLK, another format, by Excel; use another text, or let the file have a header", o.nullText)
	}
	return o, errors.Join(p...)
}

// find is what is asked for a column of this name; case decides only between names that differ in nothing else. nil
// is nothing.
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

// arrange names and orders a query's columns as the job asks: those with an order first, the others after them as the
// query has them, the hidden ones not at all.
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
