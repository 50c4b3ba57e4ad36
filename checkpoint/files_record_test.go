package checkpoint_test

import (
	"errors"
	"testing"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// Where a job's files are is known by destination and folder, whatever system's slashes the job writes; what nobody can
// read is as if there were nothing, and is written over.
func TestFilesOfAJob(t *testing.T) {
	kv := &memstore.KV{}
	var passed error
	load := func() checkpoint.FilesRecord {
		t.Helper()
		rec, err := checkpoint.LoadFiles(t.Context(), kv, "job", func(err error) { passed = err })
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	keep := func(destination, folder, home string) {
		t.Helper()
		if err := checkpoint.ChangeFiles(t.Context(), kv, "job", func(r *checkpoint.FilesRecord) {
			r.Keep(destination, folder, checkpoint.FilesHome{Home: home})
		}); err != nil {
			t.Fatal(err)
		}
	}
	folder := checkpoint.FolderOf(&pipeline.Destination{FilePath: `D:\Reports\{date}\a.csv`})
	if folder != "D:/Reports/{date}" {
		t.Errorf("the folder is %q", folder)
	}
	keep("csv", folder, "one 1")
	keep("csv", "E:/", "two 1")
	keep("xlsx", folder, "one 1")
	if err := checkpoint.ChangeFiles(t.Context(), kv, "job", func(r *checkpoint.FilesRecord) { r.Forget("xlsx") }); err != nil {
		t.Fatal(err)
	}
	rec := load()
	at, ok := rec.Of("csv", folder)
	_, other := rec.Of("xlsx", folder)
	if !ok || at.Home != "one 1" || other || len(rec.Destinations["csv"]) != 2 {
		t.Errorf("%+v", rec)
	}
	if _, err := kv.Put(t.Context(), checkpoint.FilesKey("job"), []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	if rec := load(); len(rec.Destinations) != 0 || !errors.Is(passed, pipeline.ErrForeign) {
		t.Errorf("%+v, passed %v", rec, passed)
	}
	keep("csv", folder, "three 1")
	rec = load()
	if at, _ := rec.Of("csv", folder); at.Home != "three 1" {
		t.Errorf("%+v", rec)
	}
}
