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

// maxExcelWidth is the widest that Excel makes a column, in characters.
const maxExcelWidth = 255

// excelReader reads the options of a workbook.
type excelReader struct{ optionReader }

// readExcelOptions reads a destination's options, and reports every problem at once.
func readExcelOptions(raw json.RawMessage) (excelOptions, error) {
	o := excelOptions{summary: true}
	var r excelReader
	var keys, columns map[string]json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &keys); err != nil {
			return o, fmt.Errorf("excel options: %w", err)
		}
	}
	var onLoss string
	if r.value(keys, "", "onLoss", &onLoss, `"count" or "fail"`); onLoss != "" && onLoss != "count" && onLoss != "fail" {
		r.problem("onLoss", "onLoss %q: use \"count\" to cut or round what a cell cannot hold and report it, or \"fail\" to leave such a connection out", onLoss)
	}
	o.failOnLoss = onLoss == "fail"
	r.value(keys, "", "summary", &o.summary, "true or false")
	r.value(keys, "", "columns", &columns, `an object such as {"amount": {"format": "#,##0.00"}}`)
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		if c, ok := r.column(name, columns[name]); ok {
			o.columns = append(o.columns, c)
		}
	}
	r.compare(o.columns)
	return o, errors.Join(r.problems...)
}

// column reads what is asked for one column.
func (r *excelReader) column(name string, raw json.RawMessage) (c excelColumn, ok bool) {
	at := "columns." + name
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil || keys == nil {
		r.problem(at, `%s is not what can be asked for a column: give an object such as {"width": 14}`, raw)
		return c, false
	}
	known := []string{"format", "width", "digits", "hide", "rename", "order"}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(known, key) {
			r.problem(at+"."+key, "%q is nothing that can be asked for a column: use %s", key, strings.Join(known, ", "))
		}
	}
	at += "."
	c.name = name
	if r.value(keys, at, "format", &c.format, `a number format such as "#,##0.00"`); keys["format"] != nil {
		if err := xlsx.CheckFormat(c.format); err != nil {
			r.problem(at+"format", "%w", err)
		}
	}
	if r.value(keys, at, "width", &c.width, "a number of characters"); keys["width"] != nil && !(c.width > 0 && c.width <= maxExcelWidth) {
		r.problem(at+"width", "width %v: Excel's columns are up to %d characters wide; to hide one, say \"hide\": true", c.width, maxExcelWidth)
	}
	var digits string
	if r.value(keys, at, "digits", &digits, `"number" or "text"`) && digits != "number" && digits != "text" {
		r.problem(at+"digits", `digits %q: use "number" to round numbers with a fraction to the 15 digits that Excel keeps, or "text" to write every number of the column as a text with all its digits`, digits)
	}
	c.digits = digits == "text"
	r.value(keys, at, "hide", &c.hide, "true or false")
	if r.value(keys, at, "rename", &c.rename, "a text"); keys["rename"] != nil && (strings.TrimSpace(c.rename) == "" || utf8.RuneCountInString(c.rename) > xlsx.MaxCellUnits/2) {
		r.problem(at+"rename", "rename: give the column a header of up to %d characters", xlsx.MaxCellUnits/2)
	}
	var order float64
	r.value(keys, at, "order", &order, "a whole number from 1")
	if c.order = int(order); keys["order"] != nil && (order < 1 || order != math.Trunc(order) || order > xlsx.MaxColumns) {
		r.problem(at+"order", "order %v: give the column's place, a whole number from 1", order)
		c.order = 0
	}
	return c, true
}

// compare looks for what is wrong between columns.
func (r *excelReader) compare(columns excelColumns) {
	places := map[int]string{}
	formats := map[string]bool{}
	for _, c := range columns {
		if first, taken := places[c.order]; taken && c.order > 0 {
			r.problem("columns."+c.name+".order", "order %d is that of %q already", c.order, first)
		} else {
			places[c.order] = c.name
		}
		if c.format != "" {
			formats[c.format] = true
		}
	}
	if _, err := xlsx.New(xlsx.Properties{}).WithFormats(slices.Collect(maps.Keys(formats))...); err != nil && len(r.problems) == 0 {
		r.problem("columns", "%w", err)
	}
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

// unknown are the names that no column of the connection's queries answers to. Where each query has its file, the options are those of all
// the files.
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
