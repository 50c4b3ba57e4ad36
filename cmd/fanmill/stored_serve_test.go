package main

import (
	"os"
	"path/filepath"
	"testing"
)

// serveStore starts a child that serves the jobs of the store, in a folder of its own that has none.
func (w *world) serveStore(more ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(nil)
	cmd.Args = append(append([]string{cmd.Args[0], "serve", "--jobs", "store"}, w.args...), more...)
	cmd.Dir = w.t.TempDir()
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	s.says("serving ")
	return s
}

// Two processes serve one store: what is put counts for the next trigger, whichever of them carries it out; nobody has
// the folder that it was put from. fanmill run takes the job from there, too.
func TestTwoProcessesServeTheStore(t *testing.T) {
	w := newWorld(t, 30, 40)
	put := func(says ...*server) {
		t.Helper()
		if code, out := w.ask("job", "put", w.job()); code != exitComplete {
			t.Fatalf("job put ends with %d: %s", code, out)
		}
		if err := os.Remove(w.job()); err != nil {
			t.Fatal(err)
		}
		for _, s := range says {
			s.says("its next run is as store:gst")
		}
	}
	exact := func() {
		t.Helper()
		truth, columns := w.truth()
		w.equal(truth, columns)
	}
	one, other := w.serveStore(), w.serveStore()
	put()
	one.says("job gst: store:gst (version 1), 2 connections")
	other.says("job gst: store:gst (version 1), 2 connections")
	if code, out := w.ask("trigger", "gst", "--id", "first", "--wait"); code != exitComplete {
		t.Fatalf("the first run ends with %d: %s", code, out)
	}
	exact()
	w.conns[0].rows = 50
	w.write()
	put(one, other)
	one.stop()
	if code, out := w.ask("trigger", "gst", "--id", "second", "--wait"); code != exitComplete {
		t.Fatalf("the second run ends with %d: %s", code, out)
	}
	exact()
	w.conns[1].rows = 60
	w.write()
	put(other)
	other.stop()
	if code, out := w.ask("run", "store:gst", "-q"); code != exitComplete {
		t.Fatalf("fanmill run store:gst ends with %d: %s", code, out)
	}
	exact()
	for _, command := range []string{"validate", "check", "preview"} {
		if code, out := w.ask(command, "store:gst"); code != exitComplete {
			t.Errorf("fanmill %s store:gst ends with %d: %s", command, code, out)
		}
	}
	if code, out := w.ask("validate", "store:sales"); code != exitBadJob {
		t.Errorf("of a job that is not there it ends with %d: %s", code, out)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "jobs")); err == nil {
		t.Error("there is a folder of jobs")
	}
}
