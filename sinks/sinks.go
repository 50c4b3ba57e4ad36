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

// columnOptions are what all files let a user say of a column.
var columnOptions = []pipeline.Option{
	{Name: "rename", Types: []string{"string"}, Description: "The column's name in the file.", Example: "Invoice No"},
	{Name: "hide", Types: []string{"boolean"}, Default: false, Description: "Whether the column is left out of a CSV, or hidden in a workbook."},
	{Name: "order", Types: []string{"integer"}, Min: 1, Max: 16384, Description: "The column's place from the left, from 1. Columns without one follow in the query's order.", Example: 1},
}
