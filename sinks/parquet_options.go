package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"fanmill/pipeline"
	"fanmill/sinks/parquet"
)

// parquetTable has the destination's keys beside id, type, filePath and mode.
var parquetTable = []pipeline.Option{
	{Name: "compression", Types: []string{"string"}, Enum: []string{"zstd", "snappy", "gzip", "none"}, Default: "zstd",
		Description: "How pages are compressed. Old tools read snappy only."},
	{Name: "onLoss", Types: []string{"string"}, Enum: []string{"count", "fail"}, Default: "count",
		Description: "`count`: [what a column cannot hold](types.md#parquet) is NULL, rounded or cut, counted and named; `fail` leaves such a connection out."},
	{Name: "connectionColumn", Types: []string{"boolean", "string"}, Default: false,
		Description: "`true`: the first column is `_connection`, the connection's name; a text is the column's name. With a folder such as `branch={connection}` in `filePath`, readers make that column of it.", Example: "branch"},
	columnsOption(map[string]any{"invoice_no": map[string]any{"rename": "invoiceNo"}},
		pipeline.Option{Name: "form", Types: []string{"string"}, Enum: []string{"text", "uuid", "json"}, Default: "text",
			Description: "What the texts of a column are besides texts: `uuid` makes 16 bytes of each, which Spark refuses to read; `json` has DuckDB take them for JSON."}),
}

// parquetForms are the values of the column option "form".
var parquetForms = map[string]parquet.Form{"text": parquet.Plain, "uuid": parquet.UUID, "json": parquet.JSON}

// parquetOptions are the destination's own keys.
type parquetOptions struct {
	encoding   parquet.Options
	failOnLoss bool
	names      csvOptions              // what is asked of columns in any file
	forms      map[string]parquet.Form // by the name that the options have for a column
}

func readParquetOptions(raw json.RawMessage) (parquetOptions, error) {
	var keys struct {
		Compression      string                `json:"compression"`
		OnLoss           string                `json:"onLoss"`
		ConnectionColumn any                   `json:"connectionColumn"`
		Columns          map[string]columnKeys `json:"columns"`
	}
	if err := pipeline.DecodeOptions(raw, parquetTable, &keys); err != nil {
		return parquetOptions{}, fmt.Errorf("parquet %w", err)
	}
	o := parquetOptions{encoding: parquet.Options{Compression: keys.Compression}, failOnLoss: keys.OnLoss == "fail", forms: map[string]parquet.Form{}}
	o.names.headers = true
	var p problems
	o.names.connection = p.connectionColumn(keys.ConnectionColumn)
	for _, name := range slices.Sorted(maps.Keys(keys.Columns)) {
		c := keys.Columns[name]
		p.rename(name, c.Rename)
		o.names.columns = append(o.names.columns, csvColumn{name: name, rename: c.header(), hide: c.Hide, order: c.Order})
		o.forms[name] = parquetForms[c.Form]
	}
	p.places(keys.Columns)
	return o, errors.Join(p...)
}

// form is that of a column, by the database's name.
func (o *parquetOptions) form(name string) parquet.Form {
	if c := o.names.find(name); c != nil {
		return o.forms[c.name]
	}
	return parquet.Plain
}
