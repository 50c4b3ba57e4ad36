package config

import (
	"fmt"
	"maps"
	"slices"

	"fanmill/pipeline"
)

// connectionProperties are those of a connection in a list, and of what the branches of an inventory share.
func connectionProperties(driver *schema, databases map[string]*pipeline.DatabaseKind) properties {
	examples := func(of func(*pipeline.DatabaseKind) any) []any { return examplesOf(databases, of) }
	return properties{
		{"id", text("Unique in the job, case not counting; keep it from run to run.", "conn_1")},
		{"name", text("The sheet's name, and the name in logs and reports. Without it, the id.", "Branch_001")},
		{"driver", driver},
		{"dsn", text("The database's address in one piece, instead of server, database and so on. May refer to ${VARIABLES} and ${file:PATH}.",
			append([]any{"${BRANCH_001_DSN}"}, examples(exampleDSN)...)...)},
		{"query", text("The SQL for this connection alone.")},
		{"queries", ref("queries", "Several queries for this connection alone, instead of query.")},
		{"server", text("The server's name or address. May refer to ${VARIABLES}.", examples(func(k *pipeline.DatabaseKind) any { return k.Example.Server })...)},
		{"port", &schema{Type: []string{"integer", "string"}, Description: "The server's port. Without it, the database's usual one.",
			Examples: examples(func(k *pipeline.DatabaseKind) any { return k.Port })}},
		{"instance", text("The named instance of a server"+phrase(" (%s)", labels(databases, hasInstances))+".",
			examples(func(k *pipeline.DatabaseKind) any { return k.Example.Instance })...)},
		{"database", text("The database"+phrase("; for %s, the path of its file", labels(databases, isFile))+". May refer to ${VARIABLES}.",
			examples(func(k *pipeline.DatabaseKind) any { return k.Example.Database })...)},
		{"user", text("The login."+withoutUser(databases), "reporting")},
		{"password", text("The password, as it is, without any escaping; better ${VARIABLE} or ${file:PATH}.", "${BRANCH_001_PASSWORD}", "${file:/run/secrets/branch_001}")},
		{"options", &schema{Type: "object", Additional: &schema{Type: []string{"string", "number", "boolean"}}, Description: "Further settings of the driver.",
			Examples: exampleOptions(databases)}},
	}
}

func connectionSchema(databases map[string]*pipeline.DatabaseKind) *schema {
	driver := &schema{Enum: slices.Sorted(maps.Keys(databases)), Description: "The kind of database."}
	return &schema{
		Type: "object", Description: "One database.", Required: []string{"id", "driver"},
		Properties: connectionProperties(driver, databases),
		AnyOf:      []*schema{{Required: []string{"dsn"}}, {Required: []string{"server"}}, {Required: []string{"database"}}},
		Not:        &schema{AnyOf: []*schema{bothOf("query", "queries"), bothOf("dsn", "server"), bothOf("dsn", "database")}},
	}
}

func inventorySchema(databases map[string]*pipeline.DatabaseKind) *schema {
	driver := text("The kind of database, or a template such as {driver}.", examplesOf(databases, func(k *pipeline.DatabaseKind) any { return k.Name })...)
	return &schema{
		Type: "object", Required: []string{"file"},
		Description: "A list of branches in another file. The other keys are those of a connection and hold for all branches; {column} in them stands for what a branch has in that column. " +
			"A column that is called as a key is that key for its branch and wins over what is given here, unless that mentions the column itself.",
		Properties: append(properties{
			{"file", text("The list: a CSV with a header line, or a list of objects in YAML or JSON. A relative path begins in the folder of the job file.", "branches.csv")},
			{"select", text("Which branches: conditions on columns, with commas between those that must all hold.", "region=north", "region in (north, east), state!=KA")},
			{"overrides", &schema{Type: "object", Additional: &schema{Type: "object"}, Description: "What differs for single branches, by id: keys of a connection, or columns.",
				Examples: []any{map[string]any{"conn_7": map[string]any{"port": 1444}}}}},
		}, connectionProperties(driver, databases)...),
	}
}

// examplesOf are what the kinds of databases have as an example of something, each once; "", 0 and nil are none.
func examplesOf(databases map[string]*pipeline.DatabaseKind, of func(*pipeline.DatabaseKind) any) []any {
	var examples []any
	for _, kind := range kindsOf(databases) {
		example := of(kind)
		if example != nil && example != "" && example != 0 && !slices.Contains(examples, example) {
			examples = append(examples, example)
		}
	}
	return examples
}

// exampleDSN is a kind's example in one piece.
func exampleDSN(kind *pipeline.DatabaseKind) any {
	if kind.DSN == nil {
		return kind.Example.Database
	}
	return kind.DSN(&kind.Example, escapeParts)
}

func exampleOptions(databases map[string]*pipeline.DatabaseKind) []any {
	var examples []any
	for _, kind := range kindsOf(databases) {
		if len(kind.Example.Options) == 0 {
			continue
		}
		options := map[string]any{}
		for _, o := range kind.Example.Options {
			options[o.Name] = o.Value
		}
		examples = append(examples, options)
	}
	return examples
}

// withoutUser is what the kinds of databases say of a login without a user.
func withoutUser(databases map[string]*pipeline.DatabaseKind) (sentences string) {
	for _, kind := range kindsOf(databases) {
		sentences += phrase(" %s", kind.WithoutUser)
	}
	return sentences
}

// phrase is a format with a text in it; "" if there is no text.
func phrase(format, text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf(format, text)
}
