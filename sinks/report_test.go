package sinks_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks"
)

// The report beside a file that takes one query of several counts that query's rows only.
func TestReportOfOneQuery(t *testing.T) {
	for _, kind := range []string{"csv", "excel"} {
		path, second, ctx := filepath.Join(t.TempDir(), "sales.xlsx"), 1, context.Background()
		m := &pipeline.Manifest{Run: "run1", Connections: []pipeline.ManifestConnection{{ID: "c", Name: "Pune", Queries: make([]pipeline.ManifestQuery, 3)}, {ID: "d", Name: "Goa", Queries: make([]pipeline.ManifestQuery, 3)}}}
		s, err := sinks.Kinds()[kind].New(pipeline.SinkSpec{Manifest: m, Destination: &pipeline.ManifestDestination{ID: kind, Type: kind, Path: path, Query: &second}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		claim(t, s, nil)
		all := &pipeline.Report{State: pipeline.RecordFinished, Connections: []pipeline.ReportConnection{{State: pipeline.ReportSettled, Rows: []int64{10, 20, 30}}, {State: pipeline.ReportFailed}}}
		if _, err := s.Release(ctx, nil, all, false); err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			var r pipeline.Report
			raw, err := os.ReadFile(path + ".manifest.json")
			if err != nil || json.Unmarshal(raw, &r) != nil || len(r.Connections) != 2 || !slices.Equal(r.Connections[0].Rows, []int64{20}) || r.Connections[1].Rows != nil {
				t.Errorf("%s: %s (%v)", kind, raw, err)
			}
		}
		check()
		if !slices.Equal(all.Connections[0].Rows, []int64{10, 20, 30}) {
			t.Error("the caller's report has changed")
		}
		if _, err := s.Stage(ctx, nil, 1, all); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path + ".manifest.json"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Release(ctx, nil, all, true); err != nil {
			t.Fatal(err)
		}
		check()
	}
}
