package config_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// jobWith is a small job with further keys of its own.
func jobWith(keys string) string {
	return `{"id": "j", "query": "select :from, :x", "connections": [{"id": "c", "driver": "sqlite", "dsn": "x"}], "destinations": [{"type": "csv", "filePath": "a.csv"}]` + keys + "}"
}

// What a job says of a run arrives in the job; what it does not say stays for the default.
func TestSettingsOfAJob(t *testing.T) {
	f, err := config.Parse("j.json", []byte(jobWith(`, "retry": {"attempts": 5, "backoff": "2s", "max": "1m"}, "maxDuration": "1h30m", "onOverlap": "skip", "onDrift": "fail",
		"parallelPerHost": 4, "snapshot": true, "$schema": "fanmill.schema.json"`)), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	j := f.Job
	want := pipeline.Retry{Attempts: 5, Backoff: pipeline.Duration(2 * time.Second), Max: pipeline.Duration(time.Minute)}
	if j.Retry != want || j.MaxDuration != pipeline.Duration(90*time.Minute) || j.OnOverlap != pipeline.OverlapSkip || j.OnDrift != pipeline.DriftFail ||
		j.ParallelPerHost != 4 || !j.Snapshot || len(f.Warnings) != 0 {
		t.Errorf("got %+v, warnings %v", j, f.Warnings)
	}
	f, err = config.Parse("j.json", []byte(jobWith(`, "retry": {"backoff": "2m"}`)), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if r := f.Job.Retry; r.Attempts != 3 || r.Max != r.Backoff {
		t.Errorf("a first pause above the default of the longest: %+v, want the longest to be as long", r)
	}
	if f.Job.OnDrift != "" || f.Job.OnOverlap != "" || f.Job.ParallelPerHost != 0 || f.Job.MaxDuration != 0 {
		t.Errorf("defaults: %+v", f.Job)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for keys, want := range map[string]string{
		`"maxDuration": 30`:                                "maxDuration: 30 of what? write the unit",
		`"maxDuration": "half an hour"`:                    `maxDuration: must be a time with its unit, such as`,
		`"maxDuration": "1ms"`:                             "maxDuration: must be from 1s to 168h",
		`"retry": {"backoff": "1m", "max": "2s"}`:          "retry.max: is shorter than backoff",
		`"retry": {"backof": "1m"}`:                        `retry.backof: is not a key fanmill knows here; did you mean "backoff"?`,
		`"onOverlap": "wait"`:                              `onOverlap: must be "queue" or "skip", not "wait"`,
		`"onDrift": true`:                                  `onDrift: must be "union", "fail" or "skip", not true or false`,
		`"snapshot": "yes"`:                                "snapshot: must be true or false, not a text",
		`"parallelPerHost": 0`:                             "parallelPerHost: must be a whole number from 1 to 1000",
		`"onOverlpa": "queue"`:                             `did you mean "onOverlap"?`,
		`"params": {"a b": 1}`:                             "params.a b: is not a name that a query can have",
		`"params": {"x": 1, "x": 2}`:                       "params.x: is here twice",
		`"params": {"x": [1]}`:                             "params.x: must be a text, a number, a date, true, false or null, not a list",
		`"params": ["x"]`:                                  "params: must be an object",
		`"retry": {"attempts": 3, "max": 2, "backoff": 1}`: "retry.max: 2 of what?",
	} {
		_, err := config.Parse("j.json", []byte(jobWith(", "+keys)), options(nil))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", keys, err, want)
		}
	}
}

// A destination's own keys are checked by their table before the destination sees them, so that it says nothing of what was said.
func TestKeysOfDestinations(t *testing.T) {
	for keys, want := range map[string]string{
		`"quoting": "always"`:                  `quoting: must be "minimal", "all" or "nonNumeric", not "always"`,
		`"bom": "yes"`:                         "bom: must be true or false, not a text",
		`"connectionColumn": 1`:                "connectionColumn: must be true or false or a text, not a number",
		`"columns": {"a": {"order": 0}}`:       "columns.a.order: must be a whole number from 1 to 16384",
		`"columns": {"a": {"renmae": "b"}}`:    `columns.a.renmae: is not a key fanmill knows here; did you mean "rename"?`,
		`"columns": ["a"]`:                     "columns: must be an object, not a list",
		`"lineEnd": 1`:                         `lineEnd: must be "crlf" or "lf", not a number`,
		`"delimiter": {"a": 1}`:                "delimiter: must be a text, not an object",
		`"delimiter": ";;", "nullText": false`: "nullText: must be a text, not true or false",
	} {
		text := strings.Replace(jobWith(""), `"a.csv"`, `"a.csv", `+keys, 1)
		_, err := config.Parse("j.json", []byte(text), options(nil))
		if err == nil || !strings.Contains(err.Error(), "destinations[0]."+want) {
			t.Errorf("%s: got %v, want %q", keys, err, want)
		}
	}
	text := strings.Replace(jobWith(""), `"a.csv"`, `"a.csv", "note": "of mine", "connectionColumn": "branch", "columns": {"a": {"order": 2, "hide": false}}`, 1)
	f, err := config.Parse("j.json", []byte(text), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(f.Job.Destinations[0].Options), `{"connectionColumn":"branch","columns":{"a":{"order":2,"hide":false}}}`; got != want {
		t.Errorf("options %s, want %s: a note is no option", got, want)
	}
}

// A secret in a file reads as one in the environment, and never shows in an error.
func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pw"), "p@ss/w:rd ${X}\r\n")
	write(t, filepath.Join(dir, "empty"), "\n")
	lookup := func(string) (string, bool) { return "", false }
	cases := []struct{ in, out, err string }{
		{in: "${file:pw}", out: "p@ss/w:rd ${X}"},
		{in: "u:${file:" + filepath.ToSlash(filepath.Join(dir, "pw")) + "|url}@h", out: "u:p%40ss%2Fw%3Ard%20%24%7BX%7D@h"},
		{in: "${file:none}", err: "${file:none}: there is no such file; put the value there, alone in the file, or correct the path"},
		{in: "${file:empty}", err: "${file:empty}: is empty; put the value there, alone in the file, or correct the path"},
		{in: "${file:.}", err: "${file:.}: is not a file; put the value there, alone in the file, or correct the path"},
		{in: "${file:}", err: "${file:} names no file; write ${file:/run/secrets/branch_password}"},
		{in: "file:pw?mode=ro", out: "file:pw?mode=ro"},
	}
	for _, c := range cases {
		got, err := config.Expand(c.in, lookup, dir)
		if fmt.Sprint(err) != c.err && (err != nil || c.err != "") || got != c.out {
			t.Errorf("%s: got %q, %v; want %q, %q", c.in, got, err, c.out, c.err)
		}
	}
	write(t, filepath.Join(dir, "j.yaml"), "query: q\nconnections: [{id: c, driver: postgres, server: h, user: u, password: \"${file:pw}\"}]\ndestinations: [{type: csv, filePath: "+filepath.ToSlash(dir)+"/a.csv}]\n")
	f, err := config.Load(filepath.Join(dir, "j.yaml"), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	dsn := f.Job.Connections[0].DSN
	if got, err := f.Expand(dsn); dsn != "postgres://u:${file:pw|url}@h" || got != "postgres://u:p%40ss%2Fw%3Ard%20%24%7BX%7D@h" || err != nil {
		t.Errorf("dsn %s is %s, %v", dsn, got, err)
	}
	write(t, filepath.Join(dir, "literal.yaml"), "query: q\nconnections: [{id: c, driver: postgres, server: h, user: u, password: \"file:pw\"}]\ndestinations: [{type: csv, filePath: "+filepath.ToSlash(dir)+"/a.csv}]\n")
	literal, err := config.Load(filepath.Join(dir, "literal.yaml"), options(nil))
	if err != nil || len(literal.Warnings) != 1 || literal.Warnings[0].Path != "connections[0].password" || !strings.Contains(literal.Warnings[0].Text, "write ${file:pw}") {
		t.Errorf("of a password that looks like a file it says %v, %+v", err, literal)
	}
	if ids := config.SecretLiterals(&f.Job, databases()); len(ids) != 0 {
		t.Error("a reference to a file is taken for a password")
	}
}

// A run of some connections needs only what those refer to.
func TestOnlySomeConnections(t *testing.T) {
	text := `{"id": "j", "query": "q", "destinations": [{"type": "csv", "filePath": "a.csv"}], "connections": [
		{"id": "a", "driver": "sqlite", "dsn": "${A}"}, {"id": "b", "driver": "postgres", "server": "h", "password": "${B}", "options": {"x": "${BX}"}}]}`
	o := options(map[string]string{"A": "a.db"})
	_, err := config.Parse("j.json", []byte(text), o)
	if err == nil || !strings.Contains(err.Error(), "${B} is not set") || !strings.Contains(err.Error(), "${BX} is not set") {
		t.Errorf("all: %v", err)
	}
	o.Only = []string{"a"}
	if f, err := config.Parse("j.json", []byte(text), o); err != nil || len(f.Job.Connections) != 2 {
		t.Errorf("only a: %v", err)
	}
	o.Only = []string{"b"}
	if _, err := config.Parse("j.json", []byte(text), o); err == nil {
		t.Error("only b: no error")
	}
}

// What a job refers to for the roles of other processes need not be there; all else that is wrong is said.
func TestReferencesForOthers(t *testing.T) {
	job := `{"id": "j", "query": "q", "connections": [{"id": "c", "driver": "postgres", "dsn": "${DSN}"}, {"id": "d", "driver": "postgres", "server": "h", "database": "x", "user": "u", "password": "${PW}"}],
		"destinations": [{"type": "webhook", "url": "https://h/${HOOK}", "signingSecrets": ["${file:nowhere}"]}, {"type": "csv", "filePath": "${FOLDER}/a.csv"}]}`
	for _, c := range []struct {
		ask, write bool
		want       []string
	}{
		{false, false, []string{"${DSN}", "${PW}", "${HOOK}", "${file:nowhere}", "${FOLDER}"}},
		{true, false, []string{"${HOOK}", "${file:nowhere}", "${FOLDER}"}},
		{false, true, []string{"${DSN}", "${PW}", "${FOLDER}"}},
		{true, true, []string{"${FOLDER}"}},
	} {
		o := options(map[string]string{})
		o.OthersAsk, o.OthersWrite = c.ask, c.write
		_, err := config.Parse("j.json", []byte(job), o)
		for _, name := range []string{"${DSN}", "${PW}", "${HOOK}", "${file:nowhere}", "${FOLDER}"} {
			if got := err != nil && strings.Contains(err.Error(), name); got != slices.Contains(c.want, name) {
				t.Errorf("others ask: %v, others write: %v, and %s is named: %v: %v", c.ask, c.write, name, got, err)
			}
		}
	}
	o := options(map[string]string{})
	o.OthersAsk, o.OthersWrite = true, true
	if _, err := config.Parse("j.json", []byte(strings.Replace(strings.Replace(job, "${FOLDER}/", "", 1), "${PW}", "${P W}", 1)), o); err == nil || !strings.Contains(err.Error(), "is not the name of a variable") {
		t.Errorf("a name that is none: %v", err)
	}
}
