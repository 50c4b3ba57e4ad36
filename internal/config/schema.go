package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"fanmill/pipeline"
)

// schema is a JSON Schema, or part of one [JSON Schema 2020-12], its keywords in the order in which people read them.
type schema struct {
	Dialect       string     `json:"$schema,omitempty"`
	Title         string     `json:"title,omitempty"`
	Description   string     `json:"description,omitempty"`
	Type          any        `json:"type,omitempty"`
	Const         any        `json:"const,omitempty"`
	Enum          []string   `json:"enum,omitempty"`
	Pattern       string     `json:"pattern,omitempty"`
	Minimum       *int       `json:"minimum,omitempty"`
	Maximum       *int       `json:"maximum,omitempty"`
	MinItems      int        `json:"minItems,omitempty"`
	MaxItems      int        `json:"maxItems,omitempty"`
	Default       any        `json:"default,omitempty"`
	Examples      []any      `json:"examples,omitempty"`
	Ref           string     `json:"$ref,omitempty"`
	Required      []string   `json:"required,omitempty"`
	Properties    properties `json:"properties,omitempty"`
	PropertyNames *schema    `json:"propertyNames,omitempty"`
	Additional    *schema    `json:"additionalProperties,omitempty"`
	Items         *schema    `json:"items,omitempty"`
	If            *schema    `json:"if,omitempty"`
	Then          *schema    `json:"then,omitempty"`
	AllOf         []*schema  `json:"allOf,omitempty"`
	AnyOf         []*schema  `json:"anyOf,omitempty"`
	OneOf         []*schema  `json:"oneOf,omitempty"`
	Not           *schema    `json:"not,omitempty"`
	Defs          properties `json:"$defs,omitempty"`
}

// property is a key of an object and what its value must be.
type property struct {
	name string
	*schema
}

type properties []property

// MarshalJSON keeps the order.
func (ps properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", p.name)
		if err := plainEncoder(&b).Encode(p.schema); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Schema is the JSON Schema of a job file, for editors and for whoever makes job files by program. Files in YAML have
// the same keys. What it refuses, Load refuses too; Load finds more, as it looks at variables, folders and at the
// values beside each other.
func Schema(databases map[string]*pipeline.DatabaseKind, destinations map[string]*pipeline.SinkKind, notify map[string]*pipeline.NotifyKind) []byte {
	var b bytes.Buffer
	e := plainEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(jobSchema(databases, destinations, notify)); err != nil {
		panic(err) // tables alone, which tests encode
	}
	return b.Bytes()
}

// plainEncoder leaves < and > as people read them.
func plainEncoder(b *bytes.Buffer) *json.Encoder {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e
}

func jobSchema(databases map[string]*pipeline.DatabaseKind, destinations map[string]*pipeline.SinkKind, notify map[string]*pipeline.NotifyKind) *schema {
	return &schema{
		Dialect: "https://json-schema.org/draft/2020-12/schema", Title: "fanmill job",
		Description: "Connections x queries -> destinations. Texts may refer to variables as ${NAME} where their description says so.",
		Type:        "object", Required: []string{"connections", "destinations"},
		Not: bothOf("query", "queries"),
		Properties: properties{
			{"$schema", &schema{Description: "Where an editor finds this schema. fanmill does not read it."}},
			{"id", text("Names the job in the store, in logs and for --resume; keep it from run to run. Without it, the file's name without its ending.", "job_gst_data")},
			{"name", text("What people call the job; {jobName} in paths. Without it, the id.", "GST Sale Data - All Branches")},
			{"timeZone", text("IANA name of the zone in which timestamps with a zone are shown, and of {date} and of dates in params. Without it, UTC.", "Asia/Kolkata")},
			{"schedule", scheduleSchema()},
			{"query", text("The SQL for all connections that have none of their own. :name stands for a parameter.", "select * from sale where invoice_date >= :from")},
			{"queries", ref("queries", "Several queries with names, instead of query.")},
			{"params", paramsSchema()},
			{"connections", &schema{Description: "The databases: a list, or an inventory that holds them.",
				OneOf: []*schema{{Type: "array", MinItems: 1, Items: &schema{Ref: "#/$defs/connection"}}, {Ref: "#/$defs/inventory"}}}},
			{"destinations", &schema{Description: "Where the rows go.", Type: "array", MinItems: 1, Items: &schema{Ref: "#/$defs/destination"}}},
			{"notify", &schema{Description: "Who is told how runs end.", Type: "array", MinItems: 1, MaxItems: maxNotify, Items: &schema{Ref: "#/$defs/notify"}}},
			{"retry", retrySchema()},
			{"maxDuration", duration("The longest time for one attempt at a connection. Without it, there is no limit.", "", "30m")},
			{"onOverlap", choice("What a trigger does that finds the job running: queue waits for that run to end, skip drops the trigger.", pipeline.OverlapQueue, pipeline.OverlapSkip)},
			{"onUnfinished", choice("What a new run does where the job's unfinished one has sent some of its rows: resume goes on with that, startOver gives it up and sends them again. Without it, the new run is refused.",
				pipeline.UnfinishedResume, pipeline.UnfinishedStartOver)},
			{"onDrift", choice("What happens where connections return different columns to a file that has one set: union has them all, fail ends the run, skip leaves out connections that differ from most.",
				pipeline.DriftUnion, pipeline.DriftFail, pipeline.DriftSkip)},
			{"parallelPerHost", between(1, maxParallelPerHost, pipeline.DefaultParallelPerHost, "How many connections are asked at a time on one server.")},
			{"snapshot", boolean("Whether all queries of a connection see one state of its database. A database that cannot promise it refuses.", false)},
			{"verify", verifySchema()},
			{"alert", alertSchema()},
		},
		Defs: properties{
			{"queries", queriesSchema()},
			{"connection", connectionSchema(databases)},
			{"inventory", inventorySchema(databases)},
			{"destination", destinationSchema(destinations)},
			{"notify", notifySchema(notify)},
		},
	}
}

// text is a text with something in it; a number stands for the text that it is written as.
func text(description string, examples ...any) *schema {
	return &schema{Type: []string{"string", "number"}, Pattern: `\S`, Description: description, Examples: examples}
}

func boolean(description string, byDefault bool) *schema {
	return &schema{Type: "boolean", Default: byDefault, Description: description}
}

func between(low, high, byDefault int, description string) *schema {
	return &schema{Type: "integer", Minimum: &low, Maximum: &high, Default: byDefault, Description: description}
}

// choice is one of a few words, the first of which holds by default.
func choice(description string, words ...string) *schema {
	return &schema{Enum: words, Default: words[0], Description: description}
}

func duration(description, byDefault string, example any) *schema {
	s := &schema{Type: "string", Pattern: durationForm.String(), Description: description, Examples: []any{example}}
	if byDefault != "" {
		s.Default = byDefault
	}
	return s
}

func ref(name, description string) *schema {
	return &schema{Ref: "#/$defs/" + name, Description: description}
}

// bothOf is an object with both of two keys.
func bothOf(a, b string) *schema { return &schema{Required: []string{a, b}} }

func queriesSchema() *schema {
	return &schema{Type: "array", MinItems: 1, Items: &schema{
		Type: "object", Required: []string{"sql"},
		Properties: properties{
			{"name", text("Names the query; with several, each needs its own. Sheets and files are named after it.", "sales")},
			{"sql", text("The SQL. :name stands for a parameter.", "select * from sale")},
			{"verify", verifySchema()},
		},
	}}
}

func paramsSchema() *schema {
	return &schema{
		Type: "object", PropertyNames: &schema{Pattern: paramName.String()},
		Description: "Values for :name in queries, bound as parameters, never pasted into SQL. A trigger may give others. A text that is a day (2024-04-01) is a date, and so are " +
			"{today}, {yesterday}, {weekStart}, {monthStart}, {monthEnd}, {lastMonthStart}, {lastMonthEnd}, {yearStart} and {fiscalYearStart}, also with an offset: {today-7d}, {monthStart-1m}.",
		Additional: &schema{Type: []string{"string", "number", "boolean", "null"}},
		Examples:   []any{map[string]any{"from": "{monthStart}", "to": "{yesterday}", "min": 100, "region": "north"}},
	}
}

func retrySchema() *schema {
	return &schema{
		Type: "object", Description: "How a connection is tried again whose failure may pass.",
		Properties: properties{
			{"attempts", between(1, maxAttempts, DefaultAttempts, "How often a connection is tried, in all.")},
			{"backoff", duration("The pause before the second attempt; it doubles from attempt to attempt.", plainDuration(time.Duration(pipeline.DefaultBackoff)), "2s")},
			{"max", duration("The longest pause.", plainDuration(time.Duration(pipeline.DefaultBackoffMax)), "1m")},
		},
	}
}

// severalPartitions is what only some types may have.
var severalPartitions = 2

func destinationSchema(kinds map[string]*pipeline.SinkKind) *schema {
	names := slices.Sorted(maps.Keys(kinds))
	var spellings []string
	for _, name := range names {
		spellings = append(append(spellings, name), kinds[name].Aliases...)
	}
	s := &schema{
		Type: "object", Description: "Where rows go.", Required: []string{"type"},
		Properties: properties{
			{"id", text("Unique in the job; keep it from run to run. Without it, the type; csv-2, csv-3 for further ones.", "csv")},
			{"type", &schema{Enum: spellings, Description: "What is written."}},
			{"filePath", text("Path of the file; folders are made. Tokens: {jobName}, {jobId}, {runId}, {date}, {connection} (a file per connection), {query} (a file per query). May refer to ${VARIABLES}.",
				"D:/Reports/{jobName} {date}.xlsx")},
			{"place", text("Name of a folder that the processes which write it offer (--place NAME=FOLDER). filePath is a path inside of it then.", "reports")},
			{"mode", &schema{Type: "string", Description: "What becomes of what an earlier run left; its type says which modes there are."}},
			{"partitions", between(1, pipeline.MaxPartitions, 1, "How many workers may write it side by side, each its share of the connections. Of a webhook or an api in mode \"stream\".")},
		},
	}
	for _, name := range names {
		kind := kinds[name]
		own := &schema{Description: plainText(kind.Description)}
		var refused []*schema
		if takesFile(kind) {
			own.Required = []string{"filePath"}
		} else {
			refused = append(refused, &schema{Required: []string{"filePath"}}, &schema{Required: []string{"place"}})
		}
		if kind.Modes != nil {
			own.Properties = properties{{"mode", &schema{Enum: kind.Modes, Default: kind.Modes[0]}}}
		} else {
			refused = append(refused, &schema{Required: []string{"mode"}})
		}
		if kind.Partitions == nil {
			refused = append(refused, &schema{Required: []string{"partitions"}, Properties: properties{{"partitions", &schema{Minimum: &severalPartitions}}}})
		}
		if refused != nil {
			own.Not = &schema{AnyOf: refused}
		}
		own.withFields(kind.Options)
		is := &schema{Const: name}
		if kind.Aliases != nil {
			is = &schema{Enum: append([]string{name}, kind.Aliases...)}
		}
		s.AllOf = append(s.AllOf, &schema{If: &schema{Required: []string{"type"}, Properties: properties{{"type", is}}}, Then: own})
	}
	return s
}

// withFields adds the options as properties.
func (s *schema) withFields(options []pipeline.Option) {
	for i := range options {
		o := &options[i]
		s.Properties = append(s.Properties, property{o.Name, optionSchema(o, false)})
		if o.Required {
			s.Required = append(s.Required, o.Name)
		}
	}
}

// optionSchema is that of an option's values. within means that it stands within one that is secret.
func optionSchema(o *pipeline.Option, within bool) *schema {
	s := &schema{Description: plainText(o.Description), Enum: o.Enum, Default: o.Default}
	types := make([]string, len(o.Types))
	for i, t := range o.Types {
		if types[i] = t; t == durationType {
			types[i], s.Pattern = "string", durationForm.String()
		}
	}
	if within = within || o.Use == pipeline.Secret; within && slices.Contains(types, "string") {
		s.Pattern = `\$\{`
	}
	if s.Type = types; len(types) == 1 {
		s.Type = types[0]
	}
	if o.Max != 0 && !slices.Contains(o.Types, durationType) {
		if slices.Contains(types, "array") {
			s.MinItems, s.MaxItems = o.Min, o.Max
		} else {
			s.Minimum, s.Maximum = &o.Min, &o.Max
		}
	}
	if o.Example != nil {
		s.Examples = []any{o.Example}
	}
	if o.Items != nil {
		s.Items = optionSchema(o.Items, within)
	}
	if o.Each != nil {
		s.Additional = optionSchema(o.Each, within)
	}
	s.withFields(o.Fields)
	return s
}

// markdownSigns are what a description has for the page of job files and a schema has not.
var markdownSigns = regexp.MustCompile("\\[([^\\]]+)\\]\\([^)]*\\)|`+")

// plainText is Markdown without its signs.
func plainText(markdown string) string { return markdownSigns.ReplaceAllString(markdown, "$1") }
