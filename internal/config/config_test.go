package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/stages"
)

var update = flag.Bool("update", false, "write the golden files")

// options is what the tests take for the program's own wiring.
func options(vars map[string]string) config.Options {
	return config.Options{
		Databases:    databases(),
		Destinations: sinks.Kinds(),
		Lookup: func(name string) (string, bool) {
			v, ok := vars[name]
			return v, ok
		},
	}
}

// databases are the real ones, whose DSNs and queries nobody looks at, but for a DSN that says itself that it is bad.
func databases() map[string]*pipeline.DatabaseKind {
	all := stages.Kinds()
	for _, kind := range all {
		kind.CheckQuery = nil
		kind.CheckDSN = func(dsn string) error {
			if strings.Contains(dsn, "bad") {
				return errors.New("the dsn is bad")
			}
			return nil
		}
	}
	return all
}

// inTestdata makes paths in problems the same on every machine.
func inTestdata(t *testing.T) {
	t.Helper()
	t.Chdir("testdata")
}

// Every mistake of a file is named at once, with line, column and what to do.
func TestTenMistakesAreOneAnswer(t *testing.T) {
	inTestdata(t)
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ten_mistakes.yaml", "ten_mistakes.json"} {
		_, err := config.Load(name, options(nil))
		var problems config.Problems
		if !errors.As(err, &problems) {
			t.Fatalf("%s: got %v, want Problems", name, err)
		}
		got := strings.ReplaceAll(filepath.ToSlash(strings.ReplaceAll(err.Error(), root, "DIR")), `\`, "/") + "\n"
		golden := name + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
		errorsFound := 0
		for _, p := range problems {
			if !p.Warning {
				errorsFound++
			}
		}
		if errorsFound < 10 {
			t.Errorf("%s: %d errors, want ten or more", name, errorsFound)
		}
	}
}

const goodJSON = `{"id": "job_gst_data", "name": "GST Sale Data - All Branches", "timeZone": "Asia/Kolkata",
 "query": "select * from sale",
 "connections": [{"id": "conn_1", "name": "Branch_001", "driver": "postgres", "dsn": "${BRANCH_001_DSN}"},
                 {"id": 7, "driver": "sqlite", "dsn": "seven.db", "query": "select 7"}],
 "destinations": [{"type": "excel", "filePath": "OUT/{jobName}.xlsx", "mode": "replace"},
                  {"type": "csv", "filePath": "OUT/{jobName}.csv", "delimiter": ",", "includeHeaders": true},
                  {"type": "csv", "filePath": "OUT/second.csv"}]}`

const goodYAML = `
id: job_gst_data
name: GST Sale Data - All Branches
timeZone: Asia/Kolkata
query: select * from sale
defaults: &defaults {driver: sqlite}
connections:
  - {id: conn_1, name: Branch_001, driver: postgres, dsn: "${BRANCH_001_DSN}"}
  - <<: *defaults
    id: 7
    dsn: seven.db
    query: |-
      select 7
destinations:
  - {type: excel, filePath: "OUT/{jobName}.xlsx", mode: replace}
  - type: csv
    filePath: OUT/{jobName}.csv
    delimiter: ","
    includeHeaders: true
  - type: csv
    filePath: OUT/second.csv
`

// JSON and YAML are one schema: the same job comes of both, its defaults filled in.
func TestJSONAndYAMLGiveTheSameJob(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	want := pipeline.Job{
		ID: "job_gst_data", Name: "GST Sale Data - All Branches", TimeZone: "Asia/Kolkata", Retry: pipeline.Retry{Attempts: 3},
		Connections: []pipeline.Connection{
			{ID: "conn_1", Name: "Branch_001", Driver: "postgres", DSN: "${BRANCH_001_DSN}", Queries: []pipeline.Query{{SQL: "select * from sale"}}},
			{ID: "7", Name: "7", Driver: "sqlite", DSN: "seven.db", Queries: []pipeline.Query{{SQL: "select 7"}}},
		},
		Destinations: []pipeline.Destination{
			{ID: "excel", Type: "excel", FilePath: dir + "/{jobName}.xlsx", Mode: "replace"},
			{ID: "csv", Type: "csv", FilePath: dir + "/{jobName}.csv", Mode: "replace", Options: json.RawMessage(`{"delimiter":",","includeHeaders":true}`)},
			{ID: "csv-2", Type: "csv", FilePath: dir + "/second.csv", Mode: "replace"},
		},
	}
	for name, text := range map[string]string{"job.json": goodJSON, "job.yaml": goodYAML, "inline": goodJSON, "\ufeff": "\ufeff" + goodJSON} {
		o := options(map[string]string{"BRANCH_001_DSN": "postgres://x"})
		f, err := config.Parse(name, []byte(strings.ReplaceAll(text, "OUT", dir)), o)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(f.Job, want) {
			t.Errorf("%q:\n%+v\nwant:\n%+v", name, f.Job, want)
		}
		if name == "job.yaml" != (len(f.Warnings) == 1) {
			t.Errorf("%q: warnings %v; the YAML has one, for the key defaults", name, f.Warnings)
		}
	}
}

// A key that nobody knows does not stop a job unless the user asked for it; one close to a known key always does.
func TestUnknownKeys(t *testing.T) {
	text := strings.Replace(goodJSON, `"id": "conn_1"`, `"id": "conn_1", "region": "north"`, 1)
	text = strings.ReplaceAll(text, "OUT", filepath.ToSlash(t.TempDir()))
	o := options(map[string]string{"BRANCH_001_DSN": "x"})
	f, err := config.Parse("job.json", []byte(text), o)
	if err != nil || len(f.Warnings) != 1 || f.Warnings[0].Path != "connections[0].region" || f.Warnings[0].Line != 3 {
		t.Errorf("lenient: %v, warnings %v", err, f)
	}
	o.Strict = true
	if _, err := config.Parse("job.json", []byte(text), o); err == nil {
		t.Error("strict: no error")
	}
	o.Strict = false
	for _, slip := range []string{"time_zone", "Timezone", "timezon", "tmieZone"} {
		_, err := config.Parse("job.json", []byte(strings.Replace(text, "timeZone", slip, 1)), o)
		if err == nil || !strings.Contains(err.Error(), `did you mean "timeZone"?`) {
			t.Errorf("%s: got %v", slip, err)
		}
	}
	both := strings.Replace(text, `"timeZone"`, `"timezone": "UTC", "timeZone"`, 1)
	if _, err := config.Parse("job.json", []byte(both), o); err == nil || !strings.Contains(err.Error(), `so close to "timeZone", which is here too`) {
		t.Errorf("beside the key that it is close to: %v", err)
	}
}

// What does not parse is answered with its place and the slip it looks like.
func TestSyntaxErrorsPointAtThePlace(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"job.json", "{\n  \"id\": \"a\",\n}", "job.json:3:1: not valid JSON: the comma before this bracket is one too many; remove it"},
		{"job.json", "{\n  \"id\": \"a\"\n  \"name\": 1}", "job.json:3:3: not valid JSON: a comma is missing before this"},
		{"job.json", "{\"p\": \"D:\\Reports\"}", `job.json:1:11: not valid JSON: the text has a backslash that JSON does not know; in paths write / or \\ (D:/Reports or D:\\Reports)`},
		{"job.json", "{\"id\": \"a\"", "job.json:1:11: not valid JSON: the JSON ends too early; a closing } or ] is missing"},
		{"job.json", "{\"naïve\": 1} x", "job.json:1:14: not valid JSON: there is more after the end of the job; a file holds one job"},
		{"job.json", " \n", "job.json:1:1: the file is empty; a job needs connections and destinations"},
		{"job.json", "[]", "job.json:1:1: must be an object with id, name, connections, destinations, query, queries, notify, params, timeZone, schedule, retry, maxDuration, onOverlap, onUnfinished, onDrift, parallelPerHost, snapshot, verify, alert, not a list"},
		{"job.json", "{\"id\": \"caf\xe9\"}", "job.json:1:12: this is not UTF-8, but perhaps Windows-1252, where the byte 0xE9 is é; save the file with the encoding UTF-8"},
		{"job.json", "\xff\xfe{\x00\n\x00\"", "job.json:2:1: the file is UTF-16, and ends in the middle of a character; save the file with the encoding UTF-8"},
		{"job.yaml", "", "job.yaml:1:1: the file is empty; a job needs connections and destinations"},
		{"job.yaml", "a: *x", "job.yaml:1:4: not valid YAML: *x refers to nothing; write &x before the value it stands for, above this line"},
		{"job.yaml", "id: a\n---\nid: b\n", "job.yaml:3:1: not valid here: a second document begins; a file holds one job"},
	}
	for _, c := range cases {
		_, err := config.Parse(c.name, []byte(c.text), options(nil))
		if err == nil || err.Error() != c.want {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
	_, err := config.Parse("job.yaml", []byte("id: a\nconnections:\n  - id: x\n   name: y\n"), options(nil))
	if err == nil || !strings.HasPrefix(err.Error(), "job.yaml:4:") {
		t.Errorf("bad indentation: %v", err)
	}
}

// The .env file beside the job fills in what the environment lacks, and never replaces what it has.
func TestDotEnvBesideTheJob(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(".env", "BRANCH_001_DSN='postgres://u:p$x@h/db'\nOTHER=file\n")
	path := write("job.json", strings.ReplaceAll(goodJSON, "OUT", filepath.ToSlash(dir)))
	f, err := config.Load(path, options(map[string]string{"OTHER": "environment"}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Expand("${BRANCH_001_DSN} ${OTHER}")
	if want := "postgres://u:p$x@h/db environment"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if f.Job.Connections[0].DSN != "${BRANCH_001_DSN}" {
		t.Errorf("the job holds %q; a secret must stay a reference", f.Job.Connections[0].DSN)
	}
	if _, set := os.LookupEnv("BRANCH_001_DSN"); set {
		t.Error("the .env file was loaded into the process")
	}
	if got, want := f.Inputs(), []string{path, filepath.Join(dir, ".env")}; !reflect.DeepEqual(got, want) {
		t.Errorf("read from %v, want %v", got, want)
	}
	write(".env", "this is: not\n=an env file with SECRET\n")
	if _, err := config.Load(path, options(nil)); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a broken .env: got %v, want an error without its lines", err)
	}
}

// A file no destination can be made at is found before a run begins.
func TestDestinationFiles(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	job := func(paths ...string) string {
		var ds []string
		for _, p := range paths {
			b, _ := json.Marshal(p)
			ds = append(ds, fmt.Sprintf(`{"type": "csv", "filePath": %s}`, b))
		}
		return `{"id": "j", "query": "q", "connections": [{"id": "c", "driver": "sqlite", "dsn": "x"}], "destinations": [` + strings.Join(ds, ",") + "]}"
	}
	cases := []struct {
		os, want string
		paths    []string
	}{
		{"", "is the file of destinations[0] as well", []string{dir + "/a.csv", dir + "/x/../a.csv"}},
		{"windows", "is the file of destinations[0] as well", []string{"D:/Reports/a.csv", `d:\reports\A.CSV`}},
		{"windows", `the file name "a?.csv" has a ?`, []string{"D:/Reports/a?.csv"}},
		{"windows", "is a device on Windows", []string{"D:/Reports/aux.csv"}},
		{"", "names a folder", []string{dir + "/out/"}},
		{"", "is a folder", []string{dir}},
		{"", "a backslash in a quoted text begins an escape", []string{"D:\temp\new.csv"}},
	}
	for _, c := range cases {
		o := options(nil)
		o.OS = c.os
		_, err := config.Parse("j.json", []byte(job(c.paths...)), o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.paths, err, c.want)
		}
	}
	if _, err := config.Parse("j.json", []byte(job(dir+"/deep/er/a.csv", dir+"/A.csv")), options(nil)); err != nil {
		t.Errorf("good paths: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("checking left %v behind", entries)
	}
}

// Loading stays quick for the largest jobs: every connection spelled out, in YAML.
func BenchmarkLoadThousandConnections(b *testing.B) {
	var t strings.Builder
	t.WriteString("id: j\nquery: select 1\ndestinations: [{type: csv, filePath: a.csv}]\nconnections:\n")
	for i := range 1000 {
		fmt.Fprintf(&t, "  - id: conn_%d\n    name: Branch_%d\n    driver: sqlite\n    dsn: branch_%d.db\n", i, i, i)
	}
	for b.Loop() {
		if _, err := config.Parse("j.yaml", []byte(t.String()), options(nil)); err != nil {
			b.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
