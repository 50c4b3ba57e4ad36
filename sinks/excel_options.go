package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/xlsx"
)

// excelOptions are the destination's own keys.
type excelOptions struct {
	failOnLoss bool
	summary    bool
	columns    excelColumns
}

// excelColumn is what a job asks for one column, found by the name that the database gives it.
type excelColumn struct {
	name   string
	format string  // number format code; "" is that of the type
	width  float64 // in characters; 0 suits the content
	hide   bool    // there, out of sight
	rename string  // header; "" is the name
	order  int     // place, from 1; 0 is after all that have one
	digits bool    // numbers are texts that have all their digits
}

type excelColumns []excelColumn // by name

// excelTable has the destination's keys beside id, type, filePath and mode.
var excelTable = []pipeline.Option{
	{Name: "onLoss", Types: []string{"string"}, Enum: []string{"count", "fail"}, Default: "count",
		Description: "`count` cuts or rounds what a cell cannot hold, counts and names it; `fail` leaves such a connection out. [A text in a column of numbers](types.md#widening) is counted either way: nothing of it is lost."},
	{Name: "summary", Types: []string{"boolean"}, Default: true,
		Description: "Whether the workbook ends with a sheet Summary: state, rows, attempts, errors and control totals of every connection."},
	columnsOption(map[string]any{"total": map[string]any{"format": "#,##0.00", "width": 16}},
		pipeline.Option{Name: "format", Types: []string{"string"}, Description: "An Excel number format, for numbers, dates and times: `\"#,##0.00\"`, `\"0\\\" kg\\\"\"`.", Absent: "as the type has it", Example: "#,##0.00"},
		pipeline.Option{Name: "width", Types: []string{"number"}, Min: 1, Max: 255, Description: "The width in characters, up to 255.", Absent: "as wide as its values", Example: 16},
		pipeline.Option{Name: "digits", Types: []string{"string"}, Enum: []string{"number", "text"}, Default: "number",
			Description: "`text`: every number of the column is a text with all its digits; `number`: [one with a fraction is rounded to the 15 that Excel keeps](types.md#numbers), and counted."}),
}

// excelKeys are the keys as they stand in a job file.
type excelKeys struct {
	OnLoss  string                `json:"onLoss"`
	Summary bool                  `json:"summary"`
	Columns map[string]columnKeys `json:"columns"`
}

// readExcelOptions reads a destination's options, and reports at once every problem that their table does not show.
func readExcelOptions(raw json.RawMessage) (excelOptions, error) {
	var keys excelKeys
	if err := pipeline.DecodeOptions(raw, excelTable, &keys); err != nil {
		return excelOptions{}, fmt.Errorf("excel %w", err)
	}
	o := excelOptions{failOnLoss: keys.OnLoss == "fail", summary: keys.Summary}
	var p problems
	formats := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(keys.Columns)) {
		c, at := keys.Columns[name], "columns."+name+"."
		out := excelColumn{name: name, width: c.Width, hide: c.Hide, rename: c.header(), order: c.Order, digits: c.Digits == "text"}
		if c.Format != nil {
			if err := xlsx.CheckFormat(*c.Format); err != nil {
				p.add(at+"format", "%w", err)
			}
			out.format, formats[*c.Format] = *c.Format, true
		}
		if c.Rename != nil && (strings.TrimSpace(*c.Rename) == "" || utf8.RuneCountInString(*c.Rename) > xlsx.MaxCellUnits/2) {
			p.add(at+"rename", "rename: give the column a header of up to %d characters", xlsx.MaxCellUnits/2)
		}
		o.columns = append(o.columns, out)
	}
	p.places(keys.Columns)
	if _, err := xlsx.New(xlsx.Properties{}).WithFormats(slices.Collect(maps.Keys(formats))...); err != nil && len(p) == 0 {
		p.add("columns", "%w", err)
	}
	return o, errors.Join(p...)
}

// formats are the number formats that columns have.
func (cs excelColumns) formats() (out []string) {
	for _, c := range cs {
		if c.format != "" {
			out = append(out, c.format)
		}
	}
	return out
}

// find is what is asked for a column of this name; case decides only between names that differ in nothing else.
func (cs excelColumns) find(name string) *excelColumn {
	var found *excelColumn
	for i := range cs {
		switch c := &cs[i]; {
		case c.name == name:
			return c
		case found == nil && strings.EqualFold(c.name, name):
			found = c
		}
	}
	return found
}

// layout places a query's columns: those with an order first, the others after them as the query has them.
func (cs excelColumns) layout(cols []columnar.Column) []xlsx.Layout {
	if len(cs) == 0 {
		return nil
	}
	out := make([]xlsx.Layout, len(cols))
	order := make([]int, len(cols))
	for i, col := range cols {
		out[i].Column, order[i] = i, math.MaxInt
		if c := cs.find(col.Name); c != nil {
			out[i].Header, out[i].Format, out[i].Width, out[i].Hidden, out[i].Digits = c.rename, c.format, c.width, c.hide, c.digits
			if c.order > 0 {
				order[i] = c.order
			}
		}
	}
	slices.SortStableFunc(out, func(a, b xlsx.Layout) int { return order[a.Column] - order[b.Column] })
	return out
}

// unknown are the names that no column of the connection's queries answers to. Where each query has its file, the
// options are those of all the files.
func (cs excelColumns) unknown(o *pipeline.Opening) (out []string) {
	for i := range cs {
		found := false
		for q := range o.Queries {
			found = found || slices.ContainsFunc(o.Queries[q].Columns, func(c pipeline.OpeningColumn) bool { return cs.find(c.Name) == &cs[i] })
		}
		if !found {
			out = append(out, cs[i].name)
		}
	}
	return out
}
