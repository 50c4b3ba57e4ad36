// Package sinks holds the destinations that an artifact can be written to, a small family of files each. A
// destination registers itself in its first file; nothing else has to know it.
package sinks

import "fanmill/pipeline"

// registered are the kinds of destinations.
var registered []pipeline.SinkKind

// Kinds returns the destinations of this build by name.
func Kinds() map[string]*pipeline.SinkKind {
	all := make(map[string]*pipeline.SinkKind, len(registered))
	for _, kind := range registered {
		all[kind.Name] = &kind
	}
	return all
}

// columnsOption is the option that says how single columns are written; more are options of a kind's own columns,
// before those that all have.
func columnsOption(example map[string]any, more ...pipeline.Option) pipeline.Option {
	return pipeline.Option{Name: "columns", Types: []string{"object"}, Description: "Options of columns, by the column's name in the database (exact spelling first, else ignoring case).",
		Absent: "none", Example: example, Each: &pipeline.Option{Types: []string{"object"}, Fields: append(more, columnOptions...)}}
}

// columnOptions are what all files let a user say of a column.
var columnOptions = []pipeline.Option{
	{Name: "rename", Types: []string{"string"}, Description: "The header, or the key.", Absent: "the column's name", Example: "Invoice No"},
	{Name: "hide", Types: []string{"boolean"}, Default: false, Description: "`true`: left out; in a workbook it is there, out of sight and without a total."},
	{Name: "order", Types: []string{"integer"}, Min: 1, Max: 16384, Description: "The place from the left, from 1; columns with one come first.", Absent: "after those, as in the query", Example: 1},
}
