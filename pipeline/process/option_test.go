package process_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// hook is a table with every kind of option.
var hook = []pipeline.Option{
	{Name: "url", Types: []string{"string"}, Required: true, References: true},
	{Name: "timeout", Types: []string{"duration"}, Use: pipeline.Free, Default: "30s"},
	{Name: "perSecond", Types: []string{"number"}, Use: pipeline.Free},
	{Name: "auth", Types: []string{"object"}, Fields: []pipeline.Option{
		{Name: "type", Types: []string{"string"}, Default: "bearer"},
		{Name: "token", Types: []string{"string"}, Use: pipeline.Secret},
	}},
	{Name: "headers", Types: []string{"object"}, Use: pipeline.Free, References: true, Each: &pipeline.Option{Types: []string{"string"}}},
	{Name: "secrets", Types: []string{"array"}, Use: pipeline.Secret, Items: &pipeline.Option{Types: []string{"string"}}},
	{Name: "dedupe", Types: []string{"boolean", "object"}, Default: false, Fields: []pipeline.Option{
		{Name: "keys", Types: []string{"array"}, Items: &pipeline.Option{Types: []string{"string"}}},
		{Name: "keep", Types: []string{"string"}, Enum: []string{"first", "last"}, Default: "first"},
	}},
}

// hookKind is a destination that the table belongs to; its rows go to the disk of the world.
func hookKind(w *world) *pipeline.SinkKind {
	kind := w.disk.kind(pipeline.Traits{Target: pipeline.TargetURL})
	kind.Name, kind.Label, kind.Options, kind.TargetKey = "hook", "webhook", hook, "url"
	return kind
}

type hookOptions struct {
	URL       string            `json:"url"`
	Timeout   pipeline.Duration `json:"timeout"`
	PerSecond json.Number       `json:"perSecond"`
	Auth      struct {
		Type  string `json:"type"`
		Token string `json:"token"`
	} `json:"auth"`
	Headers map[string]string `json:"headers"`
	Secrets []string          `json:"secrets"`
	Dedupe  json.RawMessage   `json:"dedupe"`
}

// Defaults hold at every depth, numbers keep their digits, and references are replaced where the table says so alone.
func TestDecodeOptions(t *testing.T) {
	var got hookOptions
	raw := json.RawMessage(`{"url": "${HOST}/in", "perSecond": 0.10000000000000000001, "auth": {"token": "a ${TOKEN}"}, "headers": {"X-Key": "${TOKEN}"},
		"secrets": ["${A}", "${B}"], "dedupe": {"keys": ["${TOKEN}"]}}`)
	spec := pipeline.SinkSpec{Destination: &pipeline.ManifestDestination{Options: raw}, Expand: func(s string) (string, error) {
		return strings.NewReplacer("${HOST}", "https://h", "${TOKEN}", "tok", "${A}", "aa", "${B}", "bb").Replace(s), nil
	}}
	if err := spec.Decode(hook, &got); err != nil {
		t.Fatal(err)
	}
	want := hookOptions{URL: "https://h/in", Timeout: pipeline.Duration(30 * time.Second), PerSecond: "0.10000000000000000001",
		Headers: map[string]string{"X-Key": "tok"}, Secrets: []string{"aa", "bb"}, Dedupe: json.RawMessage(`{"keep":"first","keys":["${TOKEN}"]}`)}
	want.Auth.Type, want.Auth.Token = "bearer", "a tok"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	got = hookOptions{}
	if err := pipeline.DecodeOptions(nil, hook, &got); err != nil || string(got.Dedupe) != "false" || got.Timeout.String() != "30s" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]bool{"${A}": true, "Bearer ${A}": true, "$$${A}": true, "$${A}": false, "$A": false, "": false, "${": false, "a$": false, "${file:/x}": true} {
		if got := pipeline.HasReference(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Stored options keep references; a secret that stands there as such is blanked, at every depth.
func TestOptionsWithoutSecrets(t *testing.T) {
	for raw, want := range map[string]string{
		`{"url":"u","auth":{"token":"hidden"},"secrets":["${A}","hidden",7]}`: `{"auth":{"token":""},"secrets":["${A}","",7],"url":"u"}`,
		`{"headers": {"a": "b"}, "auth": {"token": "Bearer ${A}"}}`:           `{"headers": {"a": "b"}, "auth": {"token": "Bearer ${A}"}}`,
		`{"secrets": "hidden"`: ``, ``: ``,
	} {
		if got := string(pipeline.WithoutSecrets(json.RawMessage(raw), hook)); got != want {
			t.Errorf("%s: got %s, want %s", raw, got, want)
		}
	}
}

// A resume compares what decides on the rows: fixed options, by their meaning. What it may change is that of the job
// now.
func TestResumeComparesFixedOptions(t *testing.T) {
	for change, want := range map[string]string{
		`{"url": "https://h", "timeout": "5m", "perSecond": 2, "auth": {"token": "${OTHER}"}, "headers": {"X": "y"}, "secrets": ["${A}"]}`: "",
		`{"url": "https:\u002f/h", "auth": {"type": "bearer"}, "dedupe": false}`:                                                           "",
		`{"url": "https://other:443", "auth": {"type": "basic"}}`:                                                                          "destination d has other values of auth, url",
		`{"url": "https://h", "auth": {}, "dedupe": {"keys": ["a"]}}`:                                                                      "destination d has other values of dedupe",
	} {
		w := newWorld(t, 8*mb)
		w.node.Sinks["hook"] = hookKind(w)
		bad := of(5, 10)
		bad.open = func(int) error { return pipeline.Permanent(errBroken) }
		w.connect("a", of(5, 10))
		w.connect("bad", bad)
		w.deliverTo("d")
		d := &w.job.Destinations[0]
		d.Type, d.FilePath, d.Options = "hook", "", json.RawMessage(`{"url": "https://h", "auth": {"token": "hidden-word"}}`)
		out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
		stored := w.stored(t)
		if strings.Contains(stored, "hidden-word") || !strings.Contains(stored, "https://h") {
			t.Errorf("the store has %s", stored)
		}
		d.Options = json.RawMessage(change)
		_, err := w.run(t.Context(), pipeline.Trigger{Resume: true})
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want+". Undo that") {
				t.Errorf("%s: got %v, want %s", change, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", change, err)
			continue
		}
		m, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, out.Run)
		if err != nil || !reflect.DeepEqual(meaningOf(t, m.Destinations[0].Options), meaningOf(t, json.RawMessage(change))) {
			t.Errorf("%s: the manifest has %s (%v)", change, m.Destinations[0].Options, err)
		}
	}
}

// Another target is refused on resume, and the way on is said, unless somebody says that the receiver is the same; then
// it counts for the run, and for nothing else that makes the bytes.
func TestResumeAtAnotherTarget(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Sinks["hook"] = hookKind(w)
	bad := of(5, 10)
	bad.open = func(int) error { return pipeline.Permanent(errBroken) }
	w.connect("a", of(5, 10))
	w.connect("bad", bad)
	w.deliverTo("d")
	d := &w.job.Destinations[0]
	d.Type, d.FilePath, d.Options = "hook", "", json.RawMessage(`{"url": "https://old"}`)
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	refused := func(trigger pipeline.Trigger, want string, hint bool) {
		t.Helper()
		_, err := w.run(t.Context(), trigger)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "--target-moved") != hint {
			t.Errorf("%v", err)
		}
	}
	d.Options = json.RawMessage(`{"url": "https://new", "dedupe": {"keys": ["a"]}}`)
	refused(pipeline.Trigger{Resume: true}, "destination d has other values of dedupe, url", false)
	refused(pipeline.Trigger{Resume: true, TargetMoved: true}, "destination d has other values of dedupe. Undo that", false)
	d.Options = json.RawMessage(`{"url": "https://new"}`)
	refused(pipeline.Trigger{Resume: true}, "destination d has other values of url", true)
	w.mustRun(pipeline.Trigger{Resume: true, TargetMoved: true}, pipeline.RunPartial)
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial) // it is the run's by now
	d.Options = json.RawMessage(`{"url": "https://old"}`)
	refused(pipeline.Trigger{Resume: true}, "destination d has other values of url", true)
}

func meaningOf(t *testing.T, raw json.RawMessage) (v any) {
	t.Helper()
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
