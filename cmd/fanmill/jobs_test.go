package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/pipeline"
)

// quietFolder is a folder of jobs whose jobs are stored nowhere, and what it warns of.
func quietFolder(t *testing.T, dir string) (*folder, *bytes.Buffer) {
	t.Helper()
	said := new(bytes.Buffer)
	s := settings{env: config.Env{}}
	f, err := s.openFolder(dir, slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	f.store = func(context.Context, *pipeline.Job) error { return nil }
	return f, said
}

// Reports of artifacts that stand in the folder of jobs are not taken for jobs.
func TestReportsAreNoJobs(t *testing.T) {
	dir := t.TempDir()
	job := `{"id": "gst", "name": "GST", "connections": [{"id": "a", "name": "A", "driver": "sqlite", "dsn": "a.db", "query": "select 1"}],
		"destinations": [{"type": "csv", "filePath": "gst.csv"}]}`
	for name, text := range map[string]string{"gst.json": job, "gst.csv.manifest.json": `{"run": "r", "connections": []}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, said := quietFolder(t, dir)
	f.look(t.Context())
	if n := f.count(); n != 1 || said.Len() > 0 {
		t.Errorf("%d jobs; it said:\n%s", n, said.String())
	}
}

// Of two files with one id neither is served, also where one of them cannot be used any more.
func TestBrokenTwinIsNotServed(t *testing.T) {
	dir := t.TempDir()
	job := `{"id": "gst", "name": "GST", "connections": [{"id": "a", "name": "A", "driver": "sqlite", "dsn": "a.db", "query": "select 1"}],
		"destinations": [{"type": "csv", "filePath": "gst.csv"}]}`
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, said := quietFolder(t, dir)
	write("a.json", job)
	write("b.json", job)
	f.look(t.Context())
	write("a.json", strings.Replace(job, `"query"`, `"qurey"`, 1))
	f.look(t.Context())
	if got := said.String(); !strings.Contains(got, "neither is served") || !strings.Contains(got, "qurey") || strings.Contains(got, "is served as it was") {
		t.Errorf("it said:\n%s", got)
	}
	if _, err := (&served{folder: f}).find("gst"); err == nil {
		t.Error("one of the two is served")
	}
	if n := f.count(); n != 0 {
		t.Errorf("%d jobs count as served", n)
	}
	if _, err := (&served{folder: f}).find("other"); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("of an unknown job it says %v", err)
	}
}
