package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"fanmill/internal/config"
)

// exampleJobs are the job files that the project shows.
func exampleJobs(t *testing.T) []string {
	t.Helper()
	var jobs []string
	for _, pattern := range []string{"*.json", "*.yaml"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "examples", pattern))
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, found...)
	}
	if len(jobs) < 4 {
		t.Fatalf("only %d examples", len(jobs))
	}
	return jobs
}

// Every example loads without a word, once its variables have values.
func TestExamplesLoad(t *testing.T) {
	inventory := false
	for _, path := range exampleJobs(t) {
		o := options(nil)
		o.Strict = true
		o.Lookup = func(name string) (string, bool) { return "x", regexp.MustCompile(`^[A-Z0-9_]+$`).MatchString(name) }
		f, err := config.Load(path, o)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if _, err := f.Destinations("r-1", started); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := f.Params(nil, started); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		inventory = inventory || len(f.Inputs()) > 2
	}
	if !inventory {
		t.Error("no example has an inventory")
	}
	if left, _ := os.ReadDir("reports"); len(left) != 0 {
		t.Error("loading made files")
	}
}
