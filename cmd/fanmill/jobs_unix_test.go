//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe in the folder of jobs, or a link to one, is passed over: to open it would wait for a writer, and no job
// would be served meanwhile.
func TestPipesAreNoJobs(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "a.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	job := `{"id": "gst", "query": "select 1", "connections": [{"id": "a", "driver": "sqlite", "dsn": "a.db"}], "destinations": [{"type": "csv", "filePath": "gst.csv"}]}`
	if err := os.WriteFile(filepath.Join(dir, "gst.json"), []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	f, said := quietFolder(t, dir)
	f.look(t.Context())
	if n := f.count(); n != 1 || said.Len() > 0 {
		t.Errorf("%d jobs; it said:\n%s", n, said.String())
	}
}
