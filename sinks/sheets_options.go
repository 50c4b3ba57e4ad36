package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/sinks/sheets"
)

// sheetsTable has the destination's keys beside id, type and mode.
var sheetsTable = []pipeline.Option{
	{Name: "spreadsheet", Types: []string{"string"}, Required: true, References: true, Example: "https://docs.google.com/spreadsheets/d/1AbC/edit",
		Description: "The spreadsheet's id, or its address in a browser. It must be there, and [shared](google-sheets.md#setup) with the service account."},
	{Name: "credentials", Types: []string{"string"}, Required: true, Use: pipeline.Secret, Example: "${file:service-account.json}",
		Description: "The key file of a [service account](google-sheets.md#setup): `${file:service-account.json}`, or a variable that has its text."},
	{Name: "endpoint", Types: []string{"string"}, Use: pipeline.Free, References: true, Example: "http://127.0.0.1:9090/",
		Description: "The address of an emulator or a proxy.", Absent: "Google's"},
	{Name: "tab", Types: []string{"string"}, Default: tabOfEach, Example: "All",
		Description: "`each`: a tab for every connection and query; any other text is the title of one tab that has the rows of all connections."},
	{Name: "connectionColumn", Types: []string{"string"}, Example: "branch",
		Description: "With one tab: the header of its first column, which has the connection's name.", Absent: "`_connection`"},
	{Name: "swap", Types: []string{"string"}, Enum: []string{"auto", "cells", "tabs"}, Default: "auto",
		Description: "How rows that do not fit one request [come into sight](google-sheets.md#replace-and-append): `cells` copies them into the tab that is there; `tabs` puts another tab in its place, which breaks formulas that refer to it; `auto` copies up to 2,000,000 cells."},
	{Name: "flushInterval", Types: []string{"duration"}, Use: pipeline.Free, Default: "10s", Min: 1, Max: 600,
		Description: "How long a connection that is there waits for others, so that small ones share a request."},
	{Name: "flushRows", Types: []string{"integer"}, Use: pipeline.Free, Default: 150, Min: 1, Max: 10_000_000,
		Description: "With so many rows waiting, those that are there go out at once, as far as [the quota](google-sheets.md#quotas) allows."},
	{Name: "onLoss", Types: []string{"string"}, Enum: []string{"count", "fail"}, Default: "count",
		Description: "`count` cuts or rounds what a cell cannot hold, counts and names it; `fail` leaves such a connection out."},
	columnsOption(map[string]any{"invoice_no": map[string]any{"rename": "Invoice No", "digits": "text"}},
		pipeline.Option{Name: "digits", Types: []string{"string"}, Enum: []string{"number", "text"}, Default: "number",
			Description: "`text`: every number of the column is a text with all its digits. `number`: [only where a number has more than 15](google-sheets.md#cells)."}),
}

// tabOfEach is the option tab for tabs of each connection.
const tabOfEach = "each"

// sheetsOptions are the destination's own keys.
type sheetsOptions struct {
	spreadsheet string // as it stands in the job file
	credentials string
	endpoint    string
	tab         string // "" gives each connection its own
	swap        sheets.Swap
	gather      pipeline.Gathering
	failOnLoss  bool
	names       csvOptions // what is asked of columns
	digits      []string   // names of columns, as the databases have them, that are texts
}

// sheetsKeys are the keys as they stand in a job file.
type sheetsKeys struct {
	Spreadsheet      string                `json:"spreadsheet"`
	Credentials      string                `json:"credentials"`
	Endpoint         string                `json:"endpoint"`
	Tab              string                `json:"tab"`
	ConnectionColumn *string               `json:"connectionColumn"`
	Swap             string                `json:"swap"`
	FlushInterval    pipeline.Duration     `json:"flushInterval"`
	FlushRows        int64                 `json:"flushRows"`
	OnLoss           string                `json:"onLoss"`
	Columns          map[string]columnKeys `json:"columns"`
}

var sheetsSwaps = map[string]sheets.Swap{"auto": sheets.SwapAuto, "cells": sheets.SwapCells, "tabs": sheets.SwapTabs}

// readSheetsOptions reads options without their references' values, and reports at once every problem that their table
// does not show.
func readSheetsOptions(raw json.RawMessage) (sheetsOptions, error) {
	var keys sheetsKeys
	if err := pipeline.DecodeOptions(raw, sheetsTable, &keys); err != nil {
		return sheetsOptions{}, fmt.Errorf("sheets %w", err)
	}
	return keys.options()
}

func (keys *sheetsKeys) options() (sheetsOptions, error) {
	o := sheetsOptions{spreadsheet: keys.Spreadsheet, credentials: keys.Credentials, endpoint: keys.Endpoint, tab: keys.Tab, swap: sheetsSwaps[keys.Swap],
		gather: pipeline.Gathering{Bytes: 64 << 20, Rows: keys.FlushRows, Time: time.Duration(keys.FlushInterval)}, failOnLoss: keys.OnLoss == "fail"}
	var p problems
	if _, err := sheets.ParseSpreadsheet(keys.Spreadsheet); err != nil && !pipeline.HasReference(keys.Spreadsheet) {
		p.add("spreadsheet", "%w", err)
	}
	if strings.TrimSpace(o.tab) == "" || utf8.RuneCountInString(o.tab) > 100 {
		p.add("tab", `tab %q: give it a title of up to 100 characters, or say "each"`, o.tab)
	}
	if o.tab == tabOfEach {
		o.tab = ""
	}
	switch {
	case keys.ConnectionColumn == nil:
		if o.tab != "" {
			o.names.connection = connectionColumn
		}
	case o.tab == "":
		p.add("connectionColumn", "connectionColumn: each connection has a tab of its own; give all one tab, or leave this out")
	default:
		o.names.connection = p.connectionColumn(*keys.ConnectionColumn)
	}
	for _, name := range slices.Sorted(maps.Keys(keys.Columns)) {
		c := keys.Columns[name]
		p.rename(name, c.Rename)
		o.names.columns = append(o.names.columns, csvColumn{name: name, rename: c.header(), hide: c.Hide, order: c.Order})
		if c.Digits == "text" {
			o.digits = append(o.digits, name)
		}
	}
	o.names.headers = true
	p.places(keys.Columns)
	return o, errors.Join(p...)
}

// asText reports whether the numbers of a column of this name are texts.
func (o *sheetsOptions) asText(name string) bool {
	c := o.names.find(name)
	return c != nil && slices.Contains(o.digits, c.name)
}

// sheetsOptionTwins is the kind's Warn.
func sheetsOptionTwins(d *pipeline.Destination) error {
	o, err := readSheetsOptions(d.Options)
	if err != nil {
		return nil // it is reported elsewhere
	}
	return o.names.optionTwins()
}

// sheetsHeaderTwins is the kind's HeaderTwins.
func sheetsHeaderTwins(d *pipeline.ManifestDestination, queries []pipeline.OpeningQuery) (twins []string) {
	o, err := readSheetsOptions(d.Options)
	if err != nil {
		return nil
	}
	h := csvHeader{options: &o.names}
	for q := range queries {
		if d.Query != nil && *d.Query != q {
			continue
		}
		for _, twin := range headerTwins(h.line(namesOf(o.names.arrange(queries[q].Columns)).names)) {
			if name := queries[q].Name; name != "" && len(queries) > 1 {
				twin = "query " + name + ": " + twin
			}
			twins = append(twins, twin)
		}
	}
	return twins
}
