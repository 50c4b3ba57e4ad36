package config

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// Key is a key that a destination of one type takes in a job file. The decoder checks values by it, and Schema publishes it.
type Key struct {
	Name        string
	Types       []string // JSON types of its value: string, integer, number, boolean, object
	Enum        []string // the only texts, if it has few
	Min, Max    int      // of numbers; both 0 for no bounds
	Each        []Key    // of an object whose names are the user's own: the keys of each of its values
	Default     any      // what holds if the key is absent; nil if that cannot be said in a value
	Description string
	Example     any
}

// destinationType is what is known of one type of destination.
type destinationType struct {
	description string
	example     string // of a filePath
	oneQuery    bool   // a file takes the rows of one query: with several, there is a file for each
	keys        []Key
}

// columnKeys are what both kinds of files let a user say of a column.
var columnKeys = []Key{
	{Name: "rename", Types: []string{"string"}, Description: "The column's name in the file.", Example: "Invoice No"},
	{Name: "hide", Types: []string{"boolean"}, Default: false, Description: "Whether the column is left out of a CSV, or hidden in a workbook."},
	{Name: "order", Types: []string{"integer"}, Min: 1, Max: 16384, Description: "The column's place from the left, from 1. Columns without one follow in the query's order.", Example: 1},
}

// destinationTypes are the destinations by type, with their own keys beside id, type, filePath and mode.
var destinationTypes = map[string]destinationType{
	"excel": {
		description: "An Excel workbook with a sheet for every connection and query.",
		example:     "D:/Reports/{jobName} {date}.xlsx",
		keys: []Key{
			{Name: "onLoss", Types: []string{"string"}, Enum: []string{"count", "fail"}, Default: "count",
				Description: "What happens to a value that a cell cannot hold in full: count cuts or rounds it, counts it and names the column; fail leaves its connection out."},
			{Name: "summary", Types: []string{"boolean"}, Default: true,
				Description: "Whether the workbook ends with a sheet Summary: state, rows, attempts, errors and control totals of every connection."},
			{Name: "columns", Types: []string{"object"}, Description: "Options of columns, by the column's name in the query.",
				Example: map[string]any{"total": map[string]any{"format": "#,##0.00", "width": 16}},
				Each: append([]Key{
					{Name: "format", Types: []string{"string"}, Description: "A number format of Excel's.", Example: "#,##0.00"},
					{Name: "width", Types: []string{"number"}, Min: 1, Max: 255, Description: "The column's width in characters.", Example: 16},
					{Name: "digits", Types: []string{"string"}, Enum: []string{"number", "text"}, Default: "number",
						Description: "What numbers are that have more than the 15 digits of Excel: number rounds those with a fraction, and counts them; text writes every number of the column as a text with all its digits."},
				}, columnKeys...)},
		},
	},
	"csv": {
		description: "A CSV file with the rows of one query of all connections. With several queries there is a file for each.",
		example:     "D:/Exports/{jobName} {date}.csv",
		oneQuery:    true,
		keys: []Key{
			{Name: "delimiter", Types: []string{"string"}, Default: ",", Description: "One character between values; not a quote or a line end.", Example: ";"},
			{Name: "includeHeaders", Types: []string{"boolean"}, Default: true, Description: "Whether the first line has the columns' names."},
			{Name: "nullText", Types: []string{"string"}, Default: "", Description: "What stands for NULL. An equal text of the database is quoted, so that they differ.", Example: `\N`},
			{Name: "bom", Types: []string{"boolean"}, Default: false, Description: "Whether the file begins with a UTF-8 byte order mark, by which Excel knows the encoding."},
			{Name: "formulaGuard", Types: []string{"boolean"}, Default: false,
				Description: "Whether texts that a spreadsheet would take for a formula (that begin with = + - @, a tab or a carriage return) get a ' in front."},
			{Name: "connectionColumn", Types: []string{"boolean", "string"}, Default: false,
				Description: "Whether the first column holds the connection's name: true calls it _connection, a text gives it another name.", Example: "branch"},
			{Name: "quoting", Types: []string{"string"}, Enum: []string{"minimal", "all", "nonNumeric"}, Default: "minimal",
				Description: "Which values stand in quotes: those that must, all, or all but numbers."},
			{Name: "lineEnd", Types: []string{"string"}, Enum: []string{"crlf", "lf"}, Default: "crlf", Description: "How lines end."},
			{Name: "columns", Types: []string{"object"}, Description: "Options of columns, by the column's name in the query.",
				Example: map[string]any{"invoice_no": map[string]any{"rename": "Invoice No"}}, Each: columnKeys},
		},
	},
}

// driverNames are the databases by the name that a connection gives, with what they are.
var driverNames = []struct{ name, description string }{
	{"postgres", "PostgreSQL"}, {"postgresql", "PostgreSQL"}, {"sqlserver", "Microsoft SQL Server"}, {"mssql", "Microsoft SQL Server"},
	{"mysql", "MySQL"}, {"mariadb", "MariaDB"}, {"sqlite", "SQLite, a file"},
}

// DestinationTypes are the types that Schema describes.
func DestinationTypes() []string { return slices.Sorted(maps.Keys(destinationTypes)) }

// DestinationKeys are the keys of a type's own that Schema describes, in its order.
func DestinationKeys(typ string) []Key { return slices.Clone(destinationTypes[typ].keys) }

// DriverNames are the drivers that Schema describes.
func DriverNames() []string {
	var names []string
	for _, d := range driverNames {
		names = append(names, d.name)
	}
	return names
}

// keyNamed finds a key; nil if a type has none of this name.
func keyNamed(typ, name string) *Key {
	keys := destinationTypes[typ].keys
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}

// wording is what a value of a JSON type is called.
var wording = map[string]string{"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "an object"}

// value checks a value by its key and reports whether it is good.
func (d *decoder) value(p place, k *Key) bool {
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
		d.entries(p, func(item place, _ string) {
			fields := make([]field, len(k.Each))
			for i := range k.Each {
				fields[i] = field{k.Each[i].Name, func(p place) { d.value(p, &k.Each[i]) }}
			}
			d.object(item, nil, fields...)
		})
	}
	return d.errorCount() == before
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
