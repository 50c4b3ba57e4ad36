package config_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/internal/notify"
	"fanmill/pipeline"
	"fanmill/sinks"
)

// The page on job files has the options that the destinations are registered with: go test ./internal/config -update
// writes them. A destination without its table in the page fails.
func TestPageHasTheOptionsOfDestinations(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "job-file.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(data), "\r\n", "\n")
	kinds := sinks.Kinds()
	tables := map[string]string{"columns": config.ColumnTable(kinds)}
	for name, kind := range kinds {
		tables["options of "+name] = config.OptionTable(kind)
	}
	targets := notify.Kinds(nil)
	for _, name := range []string{"slack", "webhook", "email"} {
		tables["notify "+name] = config.NotifyTable(targets[name])
	}
	for _, name := range []string{"discord", "teams", "teams-card"} { // share a table
		if config.NotifyTable(targets[name]) != strings.ReplaceAll(tables["notify slack"], "`https://hooks.slack.com/services/...`", exampleOf(targets[name])) {
			t.Errorf("the options of %s are not those of slack", name)
		}
	}
	now := page
	for _, what := range slices.Sorted(maps.Keys(tables)) {
		begin, end := "<!-- table: "+what+" -->\n", "<!-- end of table -->\n"
		before, rest, found := strings.Cut(now, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Errorf("%s has no place for the table of the %s: write the lines %q and %q where it belongs", path, what, begin, end)
			continue
		}
		now = before + begin + tables[what] + end + after
	}
	if now == page {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the options that the destinations have; go test ./internal/config -update writes it", path)
	}
	if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
}

// exampleOf is the example of an address of a kind, as its table has it.
func exampleOf(kind *pipeline.NotifyKind) string {
	return regexp.MustCompile("`https:[^`]*`").FindString(kind.Options[0].Description)
}

// A table names nested options by their path, and says what a secret needs.
func TestOptionTable(t *testing.T) {
	kind := &pipeline.SinkKind{Options: []pipeline.Option{
		{Name: "url", Required: true, Description: "Where."},
		{Name: "auth", Description: "Who.", Fields: []pipeline.Option{{Name: "token", Use: pipeline.Secret, Description: "A | B."}}},
		{Name: "keep", Enum: []string{"first", "last"}, Default: "first", Description: "Which."},
		{Name: "columns", Each: &pipeline.Option{Fields: []pipeline.Option{{Name: "rename"}}}},
	}}
	want := "| key | value | if absent |\n|---|---|---|\n" +
		"| `url` | Where. | an error |\n| `auth` | Who. |  |\n" +
		"| `auth.token` | A \\| B. A reference: `${VAR}`, `${file:PATH}`. |  |\n" +
		"| `keep` | `first`, `last`: Which. | `first` |\n"
	if got := config.OptionTable(kind); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
