package config_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// placed are the destinations of a job whose paths are inside of places.
func placed(t *testing.T, destinations string) ([]pipeline.ManifestDestination, error) {
	t.Helper()
	o := withKinds(map[string]string{"AREA": "north"}, &pipeline.SinkKind{Name: "csv", Example: "a.csv"})
	f, err := config.Parse("j.json", []byte(jobTo(destinations)), o)
	if err != nil {
		return nil, err
	}
	return f.Destinations("run", time.Date(2026, 11, 30, 1, 0, 0, 0, time.UTC))
}

// The path of a destination with a place stays relative to that, with / on every system.
func TestPathInsideOfAPlace(t *testing.T) {
	got, err := placed(t, `{"type": "csv", "place": "reports", "filePath": "${AREA}/{date}/./sales {runId}.csv"}, {"type": "csv", "filePath": "sales.csv"}`)
	if err != nil {
		t.Fatal(err)
	}
	if d := got[0]; d.Place != "reports" || d.Path != "north/2026-11-30/sales run.csv" {
		t.Errorf("the destination is at %q in %q", d.Path, d.Place)
	}
	if d := got[1]; d.Place != "" || !filepath.IsAbs(d.Path) {
		t.Errorf("without a place it is at %q in %q", d.Path, d.Place)
	}
}

// What leads out of a place, or cannot be on Windows, is refused on every system.
func TestPathOutOfAPlace(t *testing.T) {
	for path, want := range map[string]string{
		`/srv/a.csv`: "is absolute", `D:/a.csv`: "has a drive", `d:a.csv`: "does not allow", `\\\\host\\share\\a.csv`: "is absolute", `a\\b.csv`: "has a backslash",
		`../a.csv`: "leads out", `a/../../b.csv`: "leads out", `a/../b.csv`: "leads out", `con.csv`: "is a device", `sub/LPT1/a.csv`: "is a device", `a?.csv`: "does not allow", `a:b.csv`: "does not allow",
		`sub./a.csv`: "ends in a dot", `.fanmill/a.csv`: "where fanmill keeps its own", `sub/`: "names a folder",
	} {
		_, err := placed(t, `{"type": "csv", "place": "reports", "filePath": "`+path+`"}`)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestNameOfAPlace(t *testing.T) {
	for name, want := range map[string]string{"reports": "", "Q4_reports-2": "", "a.b": "another name", "-a": "another name", "a b": "another name", "é": "another name"} {
		_, err := placed(t, `{"type": "csv", "place": "`+name+`", "filePath": "a.csv"}`)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	o := withKinds(nil, &pipeline.SinkKind{Name: "hook", Label: "a hook", TargetKey: "url", Example: "x", Traits: pipeline.Traits{Target: pipeline.TargetURL}})
	if _, err := config.Parse("j.json", []byte(jobTo(`{"type": "hook", "place": "reports"}`)), o); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("a destination without a file: %v", err)
	}
}

// Two destinations are not one file of a place, also where its system tells no a from A; in two places they may be.
func TestFilesOfAPlaceClash(t *testing.T) {
	both := func(a, b string) error {
		_, err := placed(t, `{"id": "a", "type": "csv", `+a+`}, {"id": "b", "type": "csv", `+b+`}`)
		return err
	}
	err := both(`"place": "reports", "filePath": "sub/Sales.csv"`, `"place": "reports", "filePath": "sub/./sales.CSV"`)
	if err == nil || !strings.Contains(err.Error(), "is the file of destinations[0] as well") {
		t.Errorf("got %v", err)
	}
	for _, b := range []string{`"place": "others", "filePath": "sub/Sales.csv"`, `"place": "Reports", "filePath": "sub/Sales.csv"`, `"filePath": "sub/Sales.csv"`} {
		if err := both(`"place": "reports", "filePath": "sub/Sales.csv"`, b); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

func TestPlacesOfAProcess(t *testing.T) {
	got, err := config.Places([]string{"reports=out", " more = sub/x=y ", "reports=./out"})
	abs, _ := filepath.Abs("out")
	if err != nil || len(got) != 2 || got["reports"] != abs || !strings.HasSuffix(got["more"], "x=y") {
		t.Errorf("got %v, %v", got, err)
	}
	for offer, want := range map[string]string{"reports": "NAME=FOLDER", "=out": "another name", "a.b=out": "another name", "reports=": "NAME=FOLDER"} {
		if _, err := config.Places([]string{offer}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", offer, err, want)
		}
	}
	if _, err := config.Places([]string{"a=x", "a=y"}); err == nil || !strings.Contains(err.Error(), "is two folders") {
		t.Errorf("two folders of a name: %v", err)
	}
}
