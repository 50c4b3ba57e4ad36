package config_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"fanmill/internal/config"
	"fanmill/internal/notify"
	"fanmill/sinks"
	"fanmill/stages"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	return compiledSchema(t, config.Schema(stages.Kinds(), sinks.Kinds(), notify.Kinds(nil)))
}

func compiledSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("job.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("job.json") // checks it against the meta-schema
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, name string, text []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.TreeJSON(name, text)))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// The schema takes every example, and refuses a file of mistakes.
func TestSchemaOfExamples(t *testing.T) {
	s := compiled(t)
	examples := exampleJobs(t)
	for _, path := range examples {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, s, path, data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, name := range []string{"ten_mistakes.json", "ten_mistakes.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if valid(t, s, name, data) == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// The schema and the decoder refuse the same values, so that an editor and a run agree.
func TestSchemaAndDecoderAgree(t *testing.T) {
	s := compiled(t)
	dest := func(keys string) string { return strings.Replace(jobWith(""), `"a.csv"`, `"a.csv", `+keys, 1) }
	excel := func(keys string) string {
		return strings.Replace(strings.Replace(dest(keys), `"csv"`, `"excel"`, 1), "a.csv", "a.xlsx", 1)
	}
	conn := func(connection string) string {
		return `{"query": "q", "destinations": [{"type": "csv", "filePath": "a.csv"}], "connections": ` + connection + "}"
	}
	good := []string{
		jobWith(""), jobWith(`, "retry": {"attempts": 1, "backoff": "1.5s", "max": "1h30m"}, "maxDuration": "90s"`), jobWith(`, "params": {"from": "{today}", "x": null}, "note": [1]`),
		jobWith(`, "name": 7, "onDrift": "skip", "onOverlap": "queue", "parallelPerHost": 3, "snapshot": false, "$schema": 1`), dest(`"mode": "append", "delimiter": ";", "connectionColumn": true, "nullText": ""`),
		excel(`"summary": false, "onLoss": "fail", "columns": {"a": {"format": "0.00", "width": 12.5, "hide": true, "rename": "A", "order": 3}}`),
		jobWith(`, "schedule": "30 1 * * *"`), jobWith(`, "schedule": {"at": "@daily", "resume": true, "missed": "skip"}`),
		jobWith(`, "params": {"from": "{today}"}, "schedule": ["0 6 * * mon-fri", {"at": "30 1 1 * *", "params": {"from": "{monthStart-1m}"}, "missed": "run", "within": "2h"}]`),
		conn(`[{"id": "a", "driver": "sqlite", "database": "x"}, {"id": "b", "driver": "postgres", "server": "h", "port": "5432", "options": {"a": 1, "b": true}}]`),
	}
	bad := []string{
		jobWith(`, "retry": []`), jobWith(`, "retry": {"attempts": 101}`), jobWith(`, "retry": {"backoff": "1"}`), jobWith(`, "maxDuration": 5`), jobWith(`, "maxDuration": "-5s"`),
		jobWith(`, "maxDuration": "5 s"`), jobWith(`, "params": []`), jobWith(`, "params": {"a-b": 1}`), jobWith(`, "params": {"a": {}}`), jobWith(`, "onDrift": "x"`), jobWith(`, "onOverlap": null`),
		jobWith(`, "parallelPerHost": 1001`), jobWith(`, "snapshot": 1`), jobWith(`, "queries": [{"sql": "q"}]`), jobWith(`, "name": " "`), jobWith(`, "timeZone": true`),
		jobWith(`, "schedule": []`), jobWith(`, "schedule": 5`), jobWith(`, "schedule": {"params": {}}`), jobWith(`, "schedule": [{"at": "@daily", "missed": "x"}]`),
		jobWith(`, "schedule": {"at": "@daily", "within": 5}`), jobWith(`, "schedule": {"at": "@daily", "resume": "yes"}`), jobWith(`, "schedule": [["@daily"]]`),
		dest(`"mode": "x"`), dest(`"quoting": "x"`), dest(`"bom": "x"`), dest(`"columns": {"a": 1}`), dest(`"columns": {"a": {"order": 1.5}}`), dest(`"lineEnd": null`), dest(`"id": ""`), dest(`"connectionColumn": 1`),
		excel(`"summary": 1`), excel(`"columns": {"a": {"width": 256}}`), excel(`"onLoss": "x"`),
		conn(`[]`), conn(`"x"`), conn(`[{"driver": "sqlite", "dsn": "x"}]`), conn(`[{"id": "a", "dsn": "x"}]`), conn(`[{"id": "a", "driver": "sqlite"}]`), conn(`[{"id": "a", "driver": "oracle", "dsn": "x"}]`),
		conn(`[{"id": "a", "driver": "sqlite", "dsn": "x", "database": "y"}]`), conn(`[{"id": "a", "driver": "sqlite", "dsn": "x", "query": "q", "queries": [{"sql": "q"}]}]`), conn(`[{"id": "a", "driver": "sqlite", "dsn": ["x"]}]`),
		conn(`[{"id": "a", "driver": "sqlite", "dsn": "x", "queries": []}]`), conn(`[{"id": "a", "driver": "sqlite", "dsn": "x", "queries": [{"name": "a"}]}]`), conn(`{"driver": "sqlite"}`), conn(`{"file": "b.csv", "overrides": {"a": 1}}`),
		conn(`[{"id": "a", "driver": "postgres", "server": "h", "options": {"a": []}}]`), `{}`, `[]`, `{"connections": 1, "destinations": {}}`,
	}
	for _, text := range good {
		if _, err := config.Parse("j.json", []byte(text), options(nil)); err != nil {
			t.Errorf("Parse refuses %s: %v", text, err)
		}
		if err := valid(t, s, "j.json", []byte(text)); err != nil {
			t.Errorf("the schema refuses %s: %v", text, err)
		}
	}
	for _, text := range bad {
		if _, err := config.Parse("j.json", []byte(text), options(nil)); err == nil {
			t.Errorf("Parse takes %s", text)
		}
		if valid(t, s, "j.json", []byte(text)) == nil {
			t.Errorf("the schema takes %s", text)
		}
	}
}

// Every key that the decoder knows is in the schema, with a description, and no other.
func TestSchemaHasAllKeys(t *testing.T) {
	var schema struct {
		Properties map[string]json.RawMessage
		Defs       map[string]struct{ Properties map[string]json.RawMessage } `json:"$defs"`
	}
	if err := json.Unmarshal(config.Schema(stages.Kinds(), sinks.Kinds(), notify.Kinds(nil)), &schema); err != nil {
		t.Fatal(err)
	}
	// The decoder lists the keys of an object where it finds something else.
	known := func(text, path string) []string {
		_, err := config.Parse("j.json", []byte(text), options(nil))
		m := regexp.MustCompile(regexp.QuoteMeta(path) + `must be an object with ([\w, ]+), not`).FindStringSubmatch(err.Error())
		if m == nil {
			t.Fatalf("%s: %v", text, err)
		}
		keys := strings.Split(m[1], ", ")
		slices.Sort(keys)
		return keys
	}
	keys := func(properties map[string]json.RawMessage, without ...string) (names []string) {
		for name, raw := range properties {
			var p struct{ Description string }
			if err := json.Unmarshal(raw, &p); err != nil || p.Description == "" {
				t.Errorf("%s has no description: %v", name, err)
			}
			if !slices.Contains(without, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	for _, c := range []struct{ have, want []string }{
		{keys(schema.Properties, "$schema"), known("[]", "")},
		{keys(schema.Defs["connection"].Properties), known(`{"connections": [1]}`, "connections[0]: ")},
		{keys(schema.Defs["inventory"].Properties, "file", "select", "overrides"), known(`{"connections": [1]}`, "connections[0]: ")},
		{keys(schema.Defs["destination"].Properties), known(`{"destinations": [1]}`, "destinations[0]: ")},
	} {
		if !slices.Equal(c.have, c.want) {
			t.Errorf("the schema has %v, the decoder %v", c.have, c.want)
		}
	}
	var retry struct{ Properties map[string]json.RawMessage }
	if err := json.Unmarshal(schema.Properties["retry"], &retry); err != nil {
		t.Fatal(err)
	}
	if have, want := keys(retry.Properties), known(`{"retry": 1}`, "retry: "); !slices.Equal(have, want) {
		t.Errorf("retry: the schema has %v, the decoder %v", have, want)
	}
	for name, kind := range sinks.Kinds() {
		for _, o := range kind.Options {
			if o.Description == "" || len(o.Types) == 0 {
				t.Errorf("%s.%s says nothing of itself", name, o.Name)
			}
			if text, ok := o.Default.(string); ok && o.Enum != nil && !slices.Contains(o.Enum, text) {
				t.Errorf("%s.%s: the default %q is not allowed", name, o.Name, text)
			}
		}
	}
}
