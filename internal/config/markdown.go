package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// OptionTable is the table of a destination's options in the page on job files, in Markdown.
func OptionTable(kind *pipeline.SinkKind) string { return optionTable(kind.Options) }

func optionTable(options []pipeline.Option) string {
	var b strings.Builder
	b.WriteString("| key | value | if absent |\n|---|---|---|\n")
	for i := range options {
		if options[i].Each == nil || options[i].Each.Fields == nil { // else it has a table of its own
			optionRows(&b, "", &options[i])
		}
	}
	return b.String()
}

// ColumnTable is the table of what the kinds know of single columns, in Markdown: what all know first.
func ColumnTable(kinds map[string]*pipeline.SinkKind) string {
	type row struct {
		option pipeline.Option
		of     []string
	}
	rows := map[string]*row{}
	names := slices.Sorted(maps.Keys(kinds))
	with := 0
	for _, name := range names {
		o := pipeline.OptionNamed(kinds[name].Options, "columns")
		if o == nil || o.Each == nil {
			continue
		}
		with++
		for _, f := range o.Each.Fields {
			key := f.Name + "\x00" + f.Description // kinds may mean different things by one name
			if rows[key] == nil {
				rows[key] = &row{option: f}
			}
			rows[key].of = append(rows[key].of, name)
		}
	}
	var b strings.Builder
	b.WriteString("| columns of | key | value | if absent |\n|---|---|---|---|\n")
	order := slices.Sorted(maps.Keys(rows))
	slices.SortStableFunc(order, func(a, b string) int { return len(rows[b].of) - len(rows[a].of) })
	for _, name := range order {
		of := strings.Join(rows[name].of, ", ")
		if len(rows[name].of) == with {
			of = "all"
		}
		fmt.Fprintf(&b, "| %s %s\n", of, optionRow("", &rows[name].option))
	}
	return b.String()
}

// optionRows writes a row for an option, and for those within it.
func optionRows(b *strings.Builder, prefix string, o *pipeline.Option) {
	b.WriteString(optionRow(prefix, o) + "\n")
	for i := range o.Fields {
		optionRows(b, prefix+o.Name+".", &o.Fields[i])
	}
}

func optionRow(prefix string, o *pipeline.Option) string {
	value := o.Description
	if o.Enum != nil && !slices.ContainsFunc(o.Enum, func(word string) bool { return strings.Contains(value, "`"+word+"`") }) {
		value = code(o.Enum...) + ": " + value
	}
	if o.Use == pipeline.Secret {
		value += " A reference: `${VAR}`, `${file:PATH}`."
	}
	absent := o.Absent
	switch {
	case absent != "":
	case o.Required:
		absent = "an error"
	case o.Default != nil:
		text, _ := json.Marshal(o.Default) // of a table of options
		absent = code(strings.Trim(string(text), `"`))
	}
	return fmt.Sprintf("| `%s%s` | %s | %s |", prefix, o.Name, cell(value), cell(absent))
}

func code(words ...string) string {
	return "`" + strings.Join(words, "`, `") + "`"
}

// cell keeps a text within its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
