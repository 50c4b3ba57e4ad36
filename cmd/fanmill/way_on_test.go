package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// The way on that a partial run names is a whole command: it finds the store of that run again, and goes on with it.
func TestWayOnFindsTheRun(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	missing := filepath.ToSlash(filepath.Join(dir, "late.db"))
	job := writeJob(t, "", object{"id": "gst", "query": "select * from sale", "destinations": []object{csvTo(dir, "gst.csv", nil)}, "connections": []object{
		{"id": "a", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (id integer); insert into sale values (1)")},
		{"id": "late", "driver": "sqlite", "dsn": missing}}})
	data := filepath.Join(dir, "a folder of its own")
	code, out, problems := call("run", job, "--data", data, "-q")
	way := "fanmill run " + shellQuote(job) + " --data " + shellQuote(data) + " --resume"
	if code != exitPartial || !strings.Contains(out, way) {
		t.Fatalf("exit code %d, want %d and %q: %s%s", code, exitPartial, way, out, problems)
	}
	if _, out, _ := call("status", "--data", data); !strings.Contains(out, "--data "+shellQuote(data)+" --resume") {
		t.Errorf("status says\n%s", out)
	}
	changeDB(t, missing, "create table sale (id integer); insert into sale values (2)")
	if code, out, problems := call("run", job, "--data", data, "--resume"); code != exitComplete || !strings.Contains(problems, "⏭️ Skipping already-completed connection: a") {
		t.Errorf("exit code %d: %s%s", code, out, problems)
	}
}

// A command that is stopped and that no resume goes on with does not say that one would.
func TestStoppedCheckSaysNothingOfResume(t *testing.T) {
	job := writeJob(t, "", object{"id": "gst", "query": "select 1 as id", "connections": []object{{"id": "a", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (id integer)")}},
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, problems bytes.Buffer
	if code := execute(ctx, []string{"check", job}, &out, &problems); code != exitInterrupted || strings.Contains(problems.String(), "resume") || problems.Len() == 0 {
		t.Errorf("exit code %d, want %d: %s%s", code, exitInterrupted, out.String(), problems.String())
	}
}
