package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inStore reports whether any file of the world's data folder has a text in it.
func (w *world) inStore(text string) (found []string) {
	w.t.Helper()
	root := filepath.Join(w.dir, "data")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return found
}

// Invariant 12 and sequence 13: a password stands nowhere in the store, in whatever record, message or index, when it
// is written into an address as such, into an option, or into a param. The run works all the same where it may.
func TestNoPasswordInTheStore(t *testing.T) {
	t.Parallel()
	const password = "hidd3n-w0rd"
	w := newWorld(t, 10, 10)
	w.env = append(w.env, "FANMILL_QUERY_TIMEOUT_MS=2000")
	w.conns[1].dsn = "postgres://app:" + password + "@127.0.0.1:1/sales?connect_timeout=1"
	w.write()
	text, err := os.ReadFile(w.job())
	if err != nil {
		t.Fatal(err)
	}
	job := strings.Replace(string(text), `"id": "gst",`, `"id": "gst", "retry": {"attempts": 1}, "params": {"region": "south", "word": ""},`, 1)
	write := func(old, changed string) {
		t.Helper()
		if !strings.Contains(job, old) {
			t.Fatalf("the job has no %s", old)
		}
		if err := os.WriteFile(w.job(), []byte(strings.Replace(job, old, changed, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("", "")
	for range 2 { // and when it is resumed
		out := w.mustRun(exitPartial, nil, "--resume")
		if !strings.Contains(out, "127.0.0.1:1") {
			t.Errorf("the branch with the password was not asked: %s", out)
		}
	}
	if len(w.inStore("select * from sale order by rowid limit 10")) == 0 {
		t.Error("nothing is found in the store at all")
	}
	w.mustRun(exitBadJob, nil, "--param", "region=password="+password)
	write(`"region": "south"`, `"api_key": "`+password+`"`)
	w.mustRun(exitBadJob, nil)
	write(`"destinations": [`, `"destinations": [{"type": "webhook", "url": "https://127.0.0.1:1", "auth": {"basic": {"user": "u", "password": "`+password+`"}}},`)
	w.mustRun(exitBadJob, nil)
	if found := w.inStore(password); len(found) > 0 {
		t.Errorf("the password stands in %v", found)
	}
}
