package config_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

var started = time.Date(2024, 3, 31, 20, 0, 0, 0, time.UTC)

// outputJob is a job of three connections, two of which have names that only case tells apart.
func outputJob(t *testing.T, dir, queries string, destinations ...string) (*config.File, error) {
	t.Helper()
	return config.Parse("j.json", []byte(fmt.Sprintf(`{"id": "j", "name": "GST: Sale", "timeZone": "Asia/Kolkata", %s, "connections": [
		{"id": "a", "name": "Delhi/North", "driver": "sqlite", "dsn": "x"}, {"id": "b", "name": "Pune", "driver": "sqlite", "dsn": "x"}, {"id": "c", "name": "PUNE", "driver": "sqlite", "dsn": "x"}],
		"destinations": [%s]}`, queries, strings.ReplaceAll(strings.Join(destinations, ","), "DIR", filepath.ToSlash(dir)))), options(nil))
}

const (
	oneQuery   = `"query": "select 1"`
	twoQueries = `"queries": [{"name": "sales", "sql": "select 1"}, {"name": "by/place", "sql": "select 2"}]`
)

// shown is a destination without what is not looked at.
type shown struct {
	id, path string
	query    int // -1 for all
	files    []string
}

func expanded(t *testing.T, dir string, f *config.File) (out []shown) {
	t.Helper()
	ds, err := f.Destinations("r-7", started)
	if err != nil {
		t.Fatal(err)
	}
	under := func(path string) string {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.ToSlash(rel)
	}
	for _, d := range ds {
		s := shown{id: d.ID, path: under(d.Path), query: -1}
		if d.Query != nil {
			s.query = *d.Query
		}
		for _, file := range d.Files {
			s.files = append(s.files, under(file))
		}
		out = append(out, s)
	}
	return out
}

// A destination becomes the files that its path and its queries ask for, under names that every system keeps apart.
func TestDestinationsOfARun(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		queries, destination string
		want                 []shown
	}{
		{oneQuery, `{"type": "csv", "filePath": "DIR/{jobName} {date}.csv"}`, []shown{{id: "csv", path: "GST_ Sale 2024-04-01.csv", query: -1, files: nil}}},
		{twoQueries, `{"type": "excel", "filePath": "DIR/{jobId}.xlsx"}`, []shown{{id: "excel", path: "j.xlsx", query: -1, files: nil}}},
		{twoQueries, `{"type": "csv", "filePath": "DIR/v1.2/{jobId}.csv"}`, []shown{{id: "csv.sales", path: "v1.2/j-sales.csv", query: 0, files: nil}, {id: "csv.by/place", path: "v1.2/j-by_place.csv", query: 1, files: nil}}},
		{twoQueries, `{"type": "csv", "filePath": "DIR/v1.2/plain"}`, []shown{{id: "csv.sales", path: "v1.2/plain-sales", query: 0, files: nil}, {id: "csv.by/place", path: "v1.2/plain-by_place", query: 1, files: nil}}},
		{twoQueries, `{"type": "excel", "id": "x", "filePath": "DIR/{query}/{runId}.xlsx"}`, []shown{{id: "x.sales", path: "sales/r-7.xlsx", query: 0, files: nil}, {id: "x.by/place", path: "by_place/r-7.xlsx", query: 1, files: nil}}},
		{`"queries": [{"name": "sales", "sql": "select 1"}]`, `{"type": "csv", "filePath": "DIR/{query}.csv"}`, []shown{{id: "csv.sales", path: "sales.csv", query: 0, files: nil}}},
		{twoQueries, `{"type": "csv", "filePath": "DIR/{jobId}.csv.gz"}`, []shown{{id: "csv.sales", path: "j-sales.csv.gz", query: 0, files: nil}, {id: "csv.by/place", path: "j-by_place.csv.gz", query: 1, files: nil}}},
		{`"queries": [{"name": "sales", "sql": "select 1"}]`, `{"type": "csv", "filePath": "DIR/a.csv"}`, []shown{{id: "csv", path: "a.csv", query: -1, files: nil}}},
		{oneQuery, `{"type": "excel", "filePath": "DIR/{connection}.xlsx"}`,
			[]shown{{id: "excel", path: "{connection}.xlsx", query: -1, files: []string{"Delhi_North.xlsx", "Pune.xlsx", "PUNE (2).xlsx"}}}},
		{twoQueries, `{"type": "csv", "filePath": "DIR/{connection}/{date}.csv"}`, []shown{
			{id: "csv.sales", path: "{connection}/2024-04-01-sales.csv", query: 0, files: []string{"Delhi_North/2024-04-01-sales.csv", "Pune/2024-04-01-sales.csv", "PUNE (2)/2024-04-01-sales.csv"}},
			{id: "csv.by/place", path: "{connection}/2024-04-01-by_place.csv", query: 1, files: []string{"Delhi_North/2024-04-01-by_place.csv", "Pune/2024-04-01-by_place.csv", "PUNE (2)/2024-04-01-by_place.csv"}}}},
	}
	for _, c := range cases {
		f, err := outputJob(t, dir, c.queries, c.destination)
		if err != nil {
			t.Errorf("%s: %v", c.destination, err)
			continue
		}
		if got := expanded(t, dir, f); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.destination, got, c.want)
		}
	}
}

// Names that no file could have are cut, between letters, and stay different.
func TestLongNamesOfFiles(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("शाखा", 40)
	var connections []string
	for i, name := range []string{long + "1", long + "2", "Goa"} {
		connections = append(connections, fmt.Sprintf(`{"id": "c%d", "name": %q, "driver": "sqlite", "dsn": "x"}`, i, name))
	}
	text := `{"query": "q", "name": "` + long + `", "connections": [` + strings.Join(connections, ",") + `], "destinations": [{"type": "csv", "filePath": "` + filepath.ToSlash(dir) + `/{jobName}/{connection}.csv"}]}`
	f, err := config.Parse("j.json", []byte(text), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	outs, err := f.Destinations("r", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range outs[0].Files {
		for _, part := range strings.Split(strings.TrimPrefix(path, filepath.ToSlash(dir)+"/"), "/") {
			if len(part) > 130 || !utf8.ValidString(part) {
				t.Errorf("a part of a path is %q", part)
			}
		}
		seen[path] = true
	}
	if len(seen) != 3 {
		t.Errorf("the files are %q", outs[0].Files)
	}
}

// What a destination's files need of the queries, and of each other, is found before a run.
func TestDestinationsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	own := `"query": "q", "connections": [{"id": "a", "driver": "sqlite", "dsn": "x"}, {"id": "b", "driver": "sqlite", "dsn": "x",
		"queries": [{"name": "sales", "sql": "s"}, {"name": "stock", "sql": "s"}]}], "note": [{}]`
	cases := []struct {
		queries      string
		destinations []string
		want         string
	}{
		{oneQuery, []string{`{"type": "csv", "filePath": "DIR/{query}.csv"}`}, "destinations[0].filePath: {query} needs queries with names"},
		{twoQueries, []string{`{"type": "csv", "filePath": "DIR/a.csv"}`, `{"type": "excel", "filePath": "DIR/a-sales.csv"}`}, "destinations[1].filePath: is the file of destinations[0] as well"},
		{oneQuery, []string{`{"type": "csv", "filePath": "DIR/Pune.csv"}`, `{"type": "csv", "filePath": "DIR/{connection}.csv"}`}, "destinations[1].filePath: is the file of destinations[0] as well"},
		{twoQueries, []string{`{"type": "csv", "filePath": "DIR/a.csv"}`, `{"type": "excel", "id": "csv.sales", "filePath": "DIR/a.xlsx"}`}, `one of its files for a query has the id "csv.sales", which destinations[0] has as well`},
		{twoQueries, []string{`{"type": "csv", "filePath": "DIR/{connection}{query}.csv"}`, `{"type": "excel", "filePath": "DIR/Punesales.csv"}`}, "is the file of destinations[0] as well"},
	}
	for _, c := range cases {
		_, err := outputJob(t, dir, c.queries, c.destinations...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.destinations, err, c.want)
		}
	}
	_, err := config.Parse("j.json", []byte(`{`+own+`, "destinations": [{"type": "csv", "filePath": "`+filepath.ToSlash(dir)+`/a.csv"}, {"type": "excel", "filePath": "`+filepath.ToSlash(dir)+`/a.xlsx"}]}`), options(nil))
	want := "destinations[0].filePath: a file for each query needs the same queries in the same order in all connections; connection a has one without a name, connection b has sales, stock; make them equal, or use Excel without {query}"
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "destinations[1]") {
		t.Errorf("different queries: got %v, want %q, and nothing of the workbook", err, want)
	}
}

// A thousand connections have a thousand files, all different, and looking at them is quick and leaves nothing.
func TestFilesOfAThousandConnections(t *testing.T) {
	dir := t.TempDir()
	job := pipeline.Job{ID: "j", Destinations: []pipeline.Destination{}}
	for i := range 1000 {
		job.Connections = append(job.Connections, pipeline.Connection{ID: fmt.Sprint("c", i), Name: []string{"Branch?", "branch*", "CON", "Branch_ (2)"}[i%4], Driver: "sqlite", DSN: "x", Queries: []pipeline.Query{{SQL: "q"}}})
	}
	type connection struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Driver string `json:"driver"`
		DSN    string `json:"dsn"`
	}
	list := []connection{}
	for _, c := range job.Connections {
		list = append(list, connection{ID: c.ID, Name: c.Name, Driver: c.Driver, DSN: c.DSN})
	}
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	text := `{"query": "q", "connections": ` + string(b) + `, "destinations": [{"type": "csv", "filePath": "` + filepath.ToSlash(dir) + `/{connection}.csv"}]}`
	f, err := config.Parse("j.json", []byte(text), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse("j.json", []byte(text), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	files := expanded(t, dir, f)[0].files
	for _, file := range files {
		if seen[strings.ToLower(file)] {
			t.Fatalf("%s is there twice", file)
		}
		seen[strings.ToLower(file)] = true
	}
	if len(files) != 1000 || !reflect.DeepEqual(files, expanded(t, dir, again)[0].files) {
		t.Errorf("%d files, or other ones the second time", len(files))
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("checking left %v behind", left)
	}
}

// A path with a drive is no file of another system than Windows: no run writes into a folder of that name. The job may
// be loaded there, for a Windows host.
func TestPathOfAnotherSystem(t *testing.T) {
	job := func(path string) string {
		return fmt.Sprintf(`{"id": "j", "query": "q", "connections": [{"id": "c", "driver": "sqlite", "dsn": "x"}], "destinations": [{"id": "d", "type": "csv", "filePath": %q}]}`, path)
	}
	for _, path := range []string{"D:/Reports/a.csv", `d:\Reports\{jobName}.csv`, "${REPORTS}/a.csv"} {
		o := options(nil)
		o.OS = "linux"
		o.Lookup = func(string) (string, bool) { return "D:/Reports", true }
		f, err := config.Parse("j.json", []byte(job(path)), o)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if w := fmt.Sprint(f.Warnings); !strings.Contains(w, "is a path of Windows") {
			t.Errorf("%s: nothing is said when the job is loaded: %s", path, w)
		}
		if ds, err := f.Destinations("r", started); err == nil || !strings.Contains(err.Error(), "destination d: ") || !strings.Contains(err.Error(), "run the job on a Windows host") {
			t.Errorf("%s: a run has the destinations %+v, %v", path, ds, err)
		}
	}
}
