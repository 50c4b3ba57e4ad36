package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A destination with a place is written in the folder that the process offers by that name. Without one, or where there
// is no folder, the job is refused before anything is asked. A run that was killed there, at any of the steps of a
// claim, goes on though another process offers the folder by another path.
func TestRunIntoAPlace(t *testing.T) {
	t.Parallel()
	w := newJob(t, object{"id": "gst", "query": "select * from sale order by id", "connections": branches(t), "destinations": []object{
		{"type": "csv", "place": "reports", "filePath": "daily/gst.csv"}, {"id": "each", "type": "csv", "place": "reports", "filePath": "each/{connection}.csv"}}})
	folder := filepath.Join(w.dir, "out")
	offers := []string{"--place", "reports=" + folder}
	if out := w.mustRun(exitBadJob, nil); !strings.Contains(out, "destination csv is written at the place reports, which this process does not offer; --place reports=FOLDER does") {
		t.Errorf("without the place: %s", out)
	}
	if out := w.mustRun(exitBadJob, nil, offers...); !strings.Contains(out, "is no folder on this host") {
		t.Errorf("without its folder: %s", out)
	}
	if out := w.mustRun(exitBadJob, nil, "--place", "reports"); !strings.Contains(out, "write NAME=FOLDER") {
		t.Errorf("without a folder: %s", out)
	}
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"locked", "nonce", "copied", "place-recorded", "before-cas"} {
		env := []string{"FANMILL_FAILPOINT=" + step, "RESUME_JOBS=true", "FANMILL_PLACES=other=.;reports=" + folder}
		if code, out := w.run(env); code != -1 {
			t.Fatalf("%s was not reached: exit code %d, %s", step, code, out)
		}
	}
	moved := filepath.Join(w.dir, "moved")
	if err := os.Rename(folder, moved); err != nil {
		t.Fatal(err)
	}
	w.mustRun(exitComplete, nil, "--resume", "--place", "reports="+moved)
	for name, lines := range map[string]int{"daily/gst.csv": 7, "each/Delhi.csv": 3, "each/Pune.csv": 3, "each/Agra.csv": 3} {
		text, err := os.ReadFile(filepath.Join(moved, filepath.FromSlash(name)))
		if err != nil || strings.Count(string(text), "\n") != lines {
			t.Errorf("%s has %q, want %d lines: %v", name, text, lines, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(moved, "*", ".fanmill")); err != nil || left != nil {
		t.Errorf("there is left %q: %v", left, err)
	}
}

// check says which folders the process offers, and looks whether files can be written there; a place that others may
// offer is a warning.
func TestCheckOfPlaces(t *testing.T) {
	w := newJob(t, object{"id": "gst", "query": "select * from sale order by id", "connections": branches(t), "destinations": []object{
		{"type": "csv", "place": "reports", "filePath": "daily/gst.csv"}}})
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitComplete, "destination csv is written at the place reports, which this process does not offer; --place reports=FOLDER does. Nobody has looked whether it can be written"},
		{[]string{"--place", "reports=" + w.dir}, exitComplete, "place reports: " + w.dir + " can be written"},
		{[]string{"--place", "reports=" + filepath.Join(w.dir, "none")}, exitPartial, "is no folder on this host"},
	} {
		code, out, problems := call(append([]string{"check", w.job()}, c.args...)...)
		if code != c.code || !strings.Contains(out+problems, c.want) {
			t.Errorf("check %q: exit code %d, want %d and %q:\n%s%s", c.args, code, c.code, c.want, out, problems)
		}
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, ".fanmill-probe-*")); err != nil || left != nil {
		t.Errorf("there is left %q: %v", left, err)
	}
}
