package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// withKinds are the options of tests with these destinations.
func withKinds(vars map[string]string, kinds ...*pipeline.SinkKind) config.Options {
	o := options(vars)
	o.Destinations = map[string]*pipeline.SinkKind{}
	for _, kind := range kinds {
		o.Destinations[kind.Name] = kind
	}
	return o
}

// jobTo is a job with one destination.
func jobTo(destination string) string {
	return `{"query": "q", "connections": [{"id": "a", "driver": "sqlite", "database": "x"}], "destinations": [` + destination + "]}"
}

// schemaOf compiles the schema of these destinations.
func schemaOf(t *testing.T, o config.Options) *jsonschema.Schema {
	t.Helper()
	return compiledSchema(t, config.Schema(o.Databases, o.Destinations, o.Notify))
}

func TestAliasesOfTypes(t *testing.T) {
	o := withKinds(nil, &pipeline.SinkKind{Name: "api", Aliases: []string{"customApi", "custom-api"}, Example: "a"}, &pipeline.SinkKind{Name: "csv", Example: "b"})
	s := schemaOf(t, o)
	for _, typ := range []string{"api", "customApi", "custom-api"} {
		text := jobTo(fmt.Sprintf(`{"type": %q, "filePath": "a"}, {"type": "api", "filePath": "b"}`, typ))
		f, err := config.Parse("j.json", []byte(text), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Job.Destinations; got[0].Type != "api" || got[0].ID != "api" || got[1].ID != "api-2" {
			t.Errorf("%s: type %q, ids %q and %q", typ, got[0].Type, got[0].ID, got[1].ID)
		}
		if err := valid(t, s, "j.json", []byte(text)); err != nil {
			t.Errorf("the schema refuses %s: %v", typ, err)
		}
	}
	for typ, want := range map[string]string{
		"customApis": `"customApis" is not a destination fanmill knows; did you mean "api"?`,
		"custom_api": `did you mean "api"?`,
		"cvs":        `did you mean "csv"?`,
		"parquet":    `"parquet" is not a destination fanmill knows; it knows api, csv`,
	} {
		text := jobTo(fmt.Sprintf(`{"type": %q, "filePath": "a"}`, typ))
		if _, err := config.Parse("j.json", []byte(text), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", typ, err, want)
		}
		if valid(t, s, "j.json", []byte(text)) == nil {
			t.Errorf("the schema takes %s", typ)
		}
	}
}

// hook is a destination that is no file, with every kind of option.
func hook() *pipeline.SinkKind {
	return &pipeline.SinkKind{Name: "hook", Label: "A webhook", TargetKey: "url", Modes: []string{"batch", "stream"}, Traits: pipeline.Traits{Target: pipeline.TargetURL},
		Options: []pipeline.Option{
			{Name: "url", Types: []string{"string"}, Required: true, References: true, Example: "https://example.org/in"},
			{Name: "timeout", Types: []string{"duration"}, Use: pipeline.Free, Default: "30s", Min: 1, Max: 600},
			{Name: "auth", Types: []string{"object"}, Fields: []pipeline.Option{
				{Name: "type", Types: []string{"string"}, Enum: []string{"bearer", "basic"}, Required: true},
				{Name: "token", Types: []string{"string"}, Use: pipeline.Secret},
			}},
			{Name: "headers", Types: []string{"object"}, References: true, Each: &pipeline.Option{Types: []string{"string"}}},
			{Name: "secrets", Types: []string{"array"}, Use: pipeline.Secret, Min: 1, Max: 3, Items: &pipeline.Option{Types: []string{"string"}}},
			{Name: "dedupe", Types: []string{"boolean", "object"}, Fields: []pipeline.Option{
				{Name: "keys", Types: []string{"array"}, Items: &pipeline.Option{Types: []string{"string"}}},
			}},
		}}
}

// Options of every shape are checked by their table, and the schema refuses what the decoder refuses.
func TestOptionsOfEveryShape(t *testing.T) {
	o := withKinds(map[string]string{"TOKEN": "hidden-word", "HOST": "h"}, hook())
	s := schemaOf(t, o)
	dest := func(keys string) string { return jobTo(`{"type": "hook", ` + keys + `}`) }
	const url = `"url": "https://${HOST}/in"`
	for _, keys := range []string{
		url, url + `, "mode": "stream", "timeout": "1m30s", "dedupe": false, "secrets": ["${TOKEN}", "a ${TOKEN}"]`,
		url + `, "auth": {"type": "bearer", "token": "Bearer ${TOKEN}"}, "headers": {"X-Source": "fanmill", "X-Key": "${TOKEN}"}, "dedupe": {"keys": ["a", "b"]}`,
	} {
		f, err := config.Parse("j.json", []byte(dest(keys)), o)
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		if err := valid(t, s, "j.json", []byte(dest(keys))); err != nil {
			t.Errorf("the schema refuses %s: %v", keys, err)
		}
		ds, err := f.Destinations("run", time.Now())
		if err != nil || len(ds) != 1 || ds[0].Where() != "https://${HOST}/in" || ds[0].Path != "" || strings.Contains(string(ds[0].Options), "hidden") {
			t.Errorf("%s: %+v, %v", keys, ds, err)
		}
		if mode := f.Job.Destinations[0].Mode; mode != "stream" && mode != "batch" {
			t.Errorf("%s: mode %q", keys, mode)
		}
	}
	const literal = "is a secret, and a job file holds none: write a reference such as"
	for keys, want := range map[string]string{
		`"mode": "batch"`:                                           `url: is missing; add "url": "https://example.org/in"`,
		url + `, "filePath": "a.csv"`:                               `filePath: A webhook has no file: "url" says where rows go; remove filePath`,
		url + `, "mode": "append"`:                                  `mode: must be "batch" or "stream", not "append"`,
		url + `, "timeout": "20m"`:                                  "timeout: must be from 1s to 10m",
		url + `, "timeout": 5`:                                      "timeout: 5 of what?",
		url + `, "auth": {"token": "${TOKEN}"}`:                     `auth.type: is missing; add "type": "bearer"`,
		url + `, "auth": {"type": "basik"}`:                         `auth.type: must be "bearer" or "basic", not "basik"; did you mean "basic"?`,
		url + `, "auth": {"type": "basic", "token": "hidden-word"}`: "auth.token: " + literal,
		url + `, "auth": {"type": "basic", "token": "$${TOKEN}"}`:   "auth.token: " + literal,
		url + `, "auth": "x"`:                                       "auth: must be an object with type, token, not a text",
		url + `, "secrets": ["${TOKEN}", "hidden-word"]`:            "secrets[1]: " + literal,
		url + `, "secrets": []`:                                     "secrets: must have 1 to 3 items, not 0",
		url + `, "secrets": "${TOKEN}"`:                             "secrets: must be a list, not a text",
		url + `, "headers": {"a": 1}`:                               "headers.a: must be a text, not a number",
		url + `, "headers": {"a": "${OTHER}"}`:                      "headers.a: ${OTHER} is not set",
		url + `, "dedupe": "no"`:                                    "dedupe: must be true or false or an object with keys, not a text",
		url + `, "dedupe": {"kyes": []}`:                            `dedupe.kyes: is not a key fanmill knows here; did you mean "keys"?`,
		url + `, "dedupe": {"keys": ["a", 1]}`:                      "dedupe.keys[1]: must be a text, not a number",
	} {
		_, err := config.Parse("j.json", []byte(dest(keys)), o)
		if err == nil || !strings.Contains(err.Error(), "destinations[0]."+want) || strings.Contains(err.Error(), "hidden-word") {
			t.Errorf("%s: got %v, want %q", keys, err, want)
		}
		onlyLoad := strings.Contains(keys, "OTHER") || strings.Contains(keys, "kyes") || strings.Contains(keys, "20m") || strings.Contains(keys, "$$")
		if !onlyLoad && valid(t, s, "j.json", []byte(dest(keys))) == nil {
			t.Errorf("the schema takes %s", keys)
		}
	}
	bounds, err := config.NewBounds(t.TempDir(), nil, []string{"*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Bounds = bounds
	if _, err := config.Parse("inline job", []byte(dest(`"url": "https://h"`)), o); err == nil || !strings.Contains(err.Error(), "writes files only") {
		t.Errorf("of a job that is brought along: %v", err)
	}
}

// A kind without modes takes none, and its destination needs no file.
func TestDestinationWithoutModes(t *testing.T) {
	kind := hook()
	kind.Modes = nil
	o := withKinds(nil, kind)
	text := jobTo(`{"type": "hook", "url": "https://h", "mode": "replace"}`)
	if _, err := config.Parse("j.json", []byte(text), o); err == nil || !strings.Contains(err.Error(), "mode: A webhook has no modes; remove it") {
		t.Errorf("got %v", err)
	}
	if valid(t, schemaOf(t, o), "j.json", []byte(text)) == nil {
		t.Error("the schema takes a mode")
	}
}
