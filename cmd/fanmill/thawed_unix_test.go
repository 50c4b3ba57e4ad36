//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"fanmill/internal/soak"
)

// Facts of roles 1.1 #1: a process that serves stands still for more than three leases, in the middle of what it has in
// hand. Another one takes it for dead, and ends its run. When it wakes nothing that it does changes a file, or how the
// run ended. It serves on, as another process.
func TestThawedServerChangesNothing(t *testing.T) {
	points := []string{"before-eof:3", "before-cas:2", "before-publish:2"}
	for _, point := range points[:soak.Rounds(1, len(points))] {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 900, 200, 3000, 0, 1500)
			w.external()
			nats := w.args[slices.Index(w.args, "--nats")+1]
			w.putJob()
			first := w.serveAs([]string{"FANMILL_FAILPOINT=" + point + ":stop"}, "serving 1 job of")
			w.trigger("gst", exitComplete, "--id", "night", "--nats", nats)
			if err := awaitStop(first.cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
			second := w.serveFolder("serving 1 job of")
			second.says("run night ended: complete")
			w.exact()
			before, status := w.bytes(), w.statusOf("night", nats)
			if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			first.says("it serves on as another process")
			second.kill()
			if after := w.bytes(); !slices.EqualFunc(before, after, bytes.Equal) {
				t.Error("the files have changed")
			}
			if after := w.statusOf("night", nats); after != status {
				t.Errorf("the run was\n%s, is\n%s", status, after)
			}
			w.trigger("gst", exitComplete, "--id", "morning", "--nats", nats)
			first.says("run morning ended: complete")
			w.exact()
			w.tidy()
		})
	}
}

// bytes are those of the files that readers see.
func (w *world) bytes() (all [][]byte) {
	w.t.Helper()
	for _, name := range w.files() {
		if name == ".fanmill" { // which the frozen one has locked
			continue
		}
		data, err := os.ReadFile(filepath.Join(w.dir, "out", name))
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, []byte(name), data)
	}
	return all
}

// statusOf is what fanmill says of a run.
func (w *world) statusOf(run, nats string) string {
	w.t.Helper()
	code, out := w.ask("status", run, "--json", "--nats", nats)
	if code != exitComplete {
		w.t.Fatalf("exit code %d of status: %s", code, out)
	}
	return out
}
