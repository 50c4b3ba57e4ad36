//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Sequence 26, with processes: the coordinator of a run gets a SIGTERM while a worker is in the middle of a branch. The
// other coordinator goes on with the run at once, and no branch is asked twice. A lease is longer than what the test
// waits for anything.
func TestStoppedServeHandsItsRunOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 400, 500, 600)
	jobs := filepath.Join(w.dir, "jobs")
	data, err := os.ReadFile(w.job())
	if err == nil {
		err = os.MkdirAll(jobs, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(jobs, "gst.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	url := natsWith(t, "max_payload: 8MB")
	w.args = append(w.args, "--nats", url, "--lease", "120s")
	first := w.worker(nil, "coordinator", "--jobs", jobs)
	w.worker(nil, "sink")
	asks := w.worker([]string{"FANMILL_FAILPOINT=before-eof:2:stop"}, "query", "--parallel", "1")
	w.trigger("gst", exitComplete, "--id", "night", "--nats", url)
	if err := awaitStop(asks.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	second := w.worker(nil, "coordinator", "--jobs", jobs)
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	second.says("which coordinated run night, is being stopped")
	if err := first.cmd.Wait(); err != nil {
		t.Errorf("the stopped one ends with %v", err)
	}
	if err := asks.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	second.says("run night ended: complete")
	w.exact()
	if asked := w.askedSince(); len(asked) != len(w.conns) {
		t.Errorf("asked %v", asked)
	}
}
