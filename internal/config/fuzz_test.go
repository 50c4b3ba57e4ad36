package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/config"
)

// Whatever a job file holds, the answer is a job that can be resolved, or problems with lines.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"testdata/ten_mistakes.json", "testdata/ten_mistakes.yaml", "../../examples/gst.json", "../../examples/gst.yaml", "../../examples/params.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), strings.HasSuffix(name, ".json"))
	}
	f.Fuzz(func(t *testing.T, text string, isJSON bool) {
		name := "j.yaml"
		if isJSON {
			name = "j.json"
		}
		o := options(nil)
		o.OS = "plan9" // rules of a system that this is not: nothing is tried on the disk
		file, err := config.Parse(name, []byte(text), o)
		if err != nil {
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("got %v, want Problems", err)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Text == "" || p.File == "" {
					t.Fatalf("a problem without its place: %+v", p)
				}
			}
			return
		}
		if file.Job.ID == "" || len(file.Job.Connections) == 0 || len(file.Job.Destinations) == 0 {
			t.Fatalf("half a job: %+v", file.Job)
		}
		if _, err := file.Params(nil, started); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever an inventory holds, every connection has an id and stands in the file, or a line is named.
func FuzzInventory(f *testing.F) {
	f.Add(branches, "region in (north, 'a,b')", "${PW_{id}}{{x}}")
	f.Add("id,server\na,h\n", "id!=b", "{server|url}$$")
	f.Add("\ufeffid;\"a\nb\"\n1;2", "a=(", "{")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, list, selection, template string) {
		t.Chdir(dir)
		write(t, "b.csv", list)
		text := `{"query": "q", "destinations": [{"type": "csv", "filePath": "a.csv"}], "connections": {"file": "b.csv", "driver": "sqlite", "select": ` + quote(selection) + `, "dsn": ` + quote(template) + `}}`
		file, err := config.Parse(filepath.Join(dir, "j.json"), []byte(text), options(nil))
		if err != nil {
			return
		}
		for _, c := range file.Job.Connections {
			if c.ID == "" || c.DSN == "" {
				t.Fatalf("half a connection: %+v", c)
			}
		}
	})
}
