package config_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// A parameter has the type of its value, in JSON as in YAML.
func TestParamsAreTypedByTheirValues(t *testing.T) {
	type arg = pipeline.Arg
	want := map[string]pipeline.Arg{
		"from": arg{Type: pipeline.ArgDate, Text: "{monthStart}"}, "day": arg{Type: pipeline.ArgDate, Text: "2024-02-29"}, "min": arg{Type: pipeline.ArgInt, Text: "100"},
		"rate": arg{Type: pipeline.ArgDecimal, Text: "12.50"}, "big": arg{Type: pipeline.ArgDecimal, Text: "12345678901234567890"}, "exp": arg{Type: pipeline.ArgDecimal, Text: "-0.00125"},
		"kilo": arg{Type: pipeline.ArgDecimal, Text: "1250"}, "on": arg{Type: pipeline.ArgBool, Text: "true"}, "none": arg{Type: pipeline.ArgNull},
		"region": arg{Type: pipeline.ArgText, Text: "north"}, "empty": arg{Type: pipeline.ArgText}, "code": arg{Type: pipeline.ArgText, Text: "007"}, "braces": arg{Type: pipeline.ArgText, Text: `{"a":1}`},
	}
	query := `"select :from :day :min :rate :big :exp :kilo :on :none :region :empty :code :braces"`
	jsonText := strings.Replace(jobWith(`, "params": {"from": "{monthStart}", "day": "2024-02-29", "min": 100, "rate": 12.50, "big": 12345678901234567890, "exp": -1.25e-3, "kilo": 1.25e3,
		"on": true, "none": null, "region": "north", "empty": "", "code": "007", "braces": "{\"a\":1}"}`), `"select :from, :x"`, query, 1)
	yamlText := `
query: ` + query + `
connections: [{id: c, driver: sqlite, dsn: x}]
destinations: [{type: csv, filePath: a.csv}]
params: {from: "{monthStart}", day: 2024-02-29, min: 100, rate: 12.50, big: 12345678901234567890, exp: -1.25e-3, kilo: 1.25e3, on: true, none: null, region: north, empty: "", code: "007", braces: '{"a":1}'}
`
	for name, text := range map[string]string{"j.json": jsonText, "j.yaml": yamlText} {
		f, err := config.Parse(name, []byte(text), options(nil))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(f.Job.Params, want) || len(f.Warnings) != 0 {
			t.Errorf("%s: %+v, warnings %v", name, f.Job.Params, f.Warnings)
		}
	}
}

func TestParamsThatNoQueryHas(t *testing.T) {
	f, err := config.Parse("j.json", []byte(jobWith(`, "params": {"form": "{today}", "x": 1, "y": 2}`)), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range f.Warnings {
		got = append(got, w.Path+": "+w.Text)
	}
	want := []string{"params.form: no query has :form; did you mean :from?", "params.y: no query has :y; it has no effect"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each token is the day people mean by it, in the job's zone.
func TestDatesOfParams(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	cases := []struct{ at, token, want string }{
		{"2024-03-31T20:00:00Z", "{today}", "2024-04-01"}, // in Kolkata
		{"2024-03-31T18:00:00Z", "{today}", "2024-03-31"},
		{"2024-03-31T20:00:00Z", "{yesterday}", "2024-03-31"},
		{"2024-03-31T20:00:00Z", "{today-7d}", "2024-03-25"},
		{"2024-03-31T20:00:00Z", "{today+1w}", "2024-04-08"},
		{"2024-02-15T00:00:00Z", "{monthStart}", "2024-02-01"},
		{"2024-02-15T00:00:00Z", "{monthEnd}", "2024-02-29"},
		{"2024-02-15T00:00:00Z", "{lastMonthStart}", "2024-01-01"},
		{"2024-01-15T00:00:00Z", "{lastMonthStart}", "2023-12-01"},
		{"2024-03-31T00:00:00Z", "{lastMonthEnd}", "2024-02-29"},
		{"2024-12-31T00:00:00Z", "{monthEnd}", "2024-12-31"},
		{"2024-04-15T00:00:00Z", "{monthEnd-1m}", "2024-03-31"}, // the end of a month stays one
		{"2024-03-15T00:00:00Z", "{lastMonthEnd-1y}", "2023-02-28"},
		{"2024-04-15T00:00:00Z", "{monthEnd-1m-1d}", "2024-03-30"},
		{"2024-03-31T00:00:00Z", "{today-1m}", "2024-02-29"},
		{"2024-02-29T00:00:00Z", "{today-1y}", "2023-02-28"},
		{"2024-02-29T00:00:00Z", "{monthStart-1m}", "2024-01-01"},
		{"2024-07-04T00:00:00Z", "{yearStart}", "2024-01-01"},
		{"2024-07-04T00:00:00Z", "{weekStart}", "2024-07-01"}, // a Thursday
		{"2024-07-07T00:00:00Z", "{weekStart}", "2024-07-01"}, // a Sunday
		{"2024-07-08T00:00:00Z", "{weekStart}", "2024-07-08"}, // a Monday
		{"2024-03-31T00:00:00Z", "{fiscalYearStart}", "2023-04-01"},
		{"2024-03-31T20:00:00Z", "{fiscalYearStart}", "2024-04-01"},
		{"2024-07-04T00:00:00Z", "{fiscalYearStart-1y}", "2023-04-01"},
		{"2024-07-04T00:00:00Z", "2020-05-06", "2020-05-06"},
	}
	for _, c := range cases {
		job := &pipeline.Job{TimeZone: "Asia/Kolkata", Params: map[string]pipeline.Arg{"d": {Type: pipeline.ArgDate, Text: c.token}}}
		args, err := config.ResolveParams(job, nil, at(c.at))
		if want := []pipeline.Arg{{Name: "d", Type: pipeline.ArgDate, Text: c.want}}; err != nil || !reflect.DeepEqual(args, want) {
			t.Errorf("%s at %s: %v, %v; want %s", c.token, c.at, args, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"{todya}": "did you mean {today}?", "{now}": "it knows {fiscalYearStart}", "{today-7}": `"-7" is not an offset; write -7d`, "{today-7x}": "is not an offset",
		"2024-13-01": "is not a day of the calendar", "{Monthstart}": "did you mean {monthStart}?",
	} {
		_, err := config.Parse("j.json", []byte(jobWith(`, "params": {"x": "`+text+`"}`)), options(nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

// A trigger's values take the place of the job's and keep their types; nothing is guessed, and all mistakes are said at once.
func TestParamsOfATrigger(t *testing.T) {
	job := &pipeline.Job{Params: map[string]pipeline.Arg{
		"from": {Type: pipeline.ArgDate, Text: "{monthStart}"}, "min": {Type: pipeline.ArgInt, Text: "100"}, "rate": {Type: pipeline.ArgDecimal, Text: "1.5"},
		"region": {Type: pipeline.ArgText, Text: "north"}, "on": {Type: pipeline.ArgBool, Text: "true"}, "any": {Type: pipeline.ArgNull},
	}}
	at := time.Date(2024, 4, 15, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		name  string
		given any
		want  pipeline.Arg
	}{
		{"from", "2024-01-02", pipeline.Arg{Type: pipeline.ArgDate, Text: "2024-01-02"}},
		{"from", "{yesterday}", pipeline.Arg{Type: pipeline.ArgDate, Text: "2024-04-14"}},
		{"from", nil, pipeline.Arg{Type: pipeline.ArgNull}},
		{"min", json.Number("5"), pipeline.Arg{Type: pipeline.ArgInt, Text: "5"}},
		{"min", json.Number("5.25"), pipeline.Arg{Type: pipeline.ArgDecimal, Text: "5.25"}},
		{"min", "-7", pipeline.Arg{Type: pipeline.ArgInt, Text: "-7"}},
		{"min", float64(1e6), pipeline.Arg{Type: pipeline.ArgInt, Text: "1000000"}},
		{"rate", int64(3), pipeline.Arg{Type: pipeline.ArgInt, Text: "3"}},
		{"region", "2024-01-02", pipeline.Arg{Type: pipeline.ArgText, Text: "2024-01-02"}},
		{"region", "{today}", pipeline.Arg{Type: pipeline.ArgText, Text: "{today}"}},
		{"region", json.Number("7"), pipeline.Arg{Type: pipeline.ArgText, Text: "7"}},
		{"region", "", pipeline.Arg{Type: pipeline.ArgText}},
		{"on", false, pipeline.Arg{Type: pipeline.ArgBool, Text: "false"}},
		{"on", "false", pipeline.Arg{Type: pipeline.ArgBool, Text: "false"}},
		{"any", "2024-01-02", pipeline.Arg{Type: pipeline.ArgDate, Text: "2024-01-02"}},
		{"any", json.Number("1"), pipeline.Arg{Type: pipeline.ArgInt, Text: "1"}},
	}
	for _, c := range cases {
		args, err := config.ResolveParams(job, map[string]any{c.name: c.given}, at)
		if err != nil {
			t.Errorf("%s=%v: %v", c.name, c.given, err)
			continue
		}
		c.want.Name = c.name
		found := false
		for i, a := range args {
			if i > 0 && args[i-1].Name >= a.Name {
				t.Errorf("not sorted: %v", args)
			}
			if a.Name == c.name {
				if found = true; a != c.want {
					t.Errorf("%s=%v: got %+v, want %+v", c.name, c.given, a, c.want)
				}
			}
		}
		if !found || len(args) != len(job.Params) {
			t.Errorf("%s=%v: got %v, want all of the job's", c.name, c.given, args)
		}
	}
	_, err := config.ResolveParams(job, map[string]any{"form": "x", "weather": 1, "from": "soon", "min": "many", "on": "perhaps", "rate": true, "region": false, "any": []any{}}, at)
	for _, want := range []string{
		`param form: the job has no such param; did you mean "from"?`, "param weather: the job has no such param; it has any, from, min, on, rate, region",
		`param from: "soon" is not a date`, `param min: "many" is not a number`, `param on: "perhaps" is not true or false`, `param rate: "true" is not a number`,
		"param region: false is not a text", "param any: must be a text, a number",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	secret := &pipeline.Job{Params: map[string]pipeline.Arg{"api_key": {Type: pipeline.ArgText}, "note": {Type: pipeline.ArgText}, "pin": {Type: pipeline.ArgInt, Text: "4"}}}
	if _, err := config.ResolveParams(secret, map[string]any{"note": "paid by token, region=south"}, at); err != nil {
		t.Errorf("no secret: %v", err)
	}
	for name, value := range map[string]string{"api_key": "hidden1", "note": "password=hidden1"} {
		if _, err := config.ResolveParams(secret, map[string]any{name: value}, at); !errors.Is(err, pipeline.ErrSecret) || strings.Contains(err.Error(), "hidden1") || !strings.Contains(err.Error(), "param "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config.ResolveParams(&pipeline.Job{}, map[string]any{"a": 1}, at); err == nil || !strings.Contains(err.Error(), "the job has no params") {
		t.Errorf("a job without params: %v", err)
	}
}
