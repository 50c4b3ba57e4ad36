package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// waiting is fanmill trigger --wait as a child process.
func (w *world) waiting(args ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(nil)
	cmd.Args = append(append([]string{cmd.Args[0], "trigger", "gst", "--wait"}, args...), w.args[:2]...)
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	return s
}

// Who waits for a run sees its end as fanmill run shows it, and has its exit code: of one that is complete, was so
// before, is partial, and of what resumes it.
func TestTriggerWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 200)
	s := w.serve()
	out := w.waiting("--id", "one").ends(exitComplete)
	for _, want := range []string{"run one of job gst: running", "Connection", "run one: complete, 2 of 2 connections, 500 rows in ", "GST.xlsx"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	w.exact()
	if out := w.waiting("--id", "one").ends(exitComplete); !strings.Contains(out, "was asked for before: complete") || !strings.Contains(out, "500 rows") {
		t.Errorf("of a run that has ended it says:\n%s", out)
	}
	if out := w.waiting("--connections", "conn_9").ends(exitFailed); !strings.Contains(out, `refused: job gst has no connection "conn_9"`) {
		t.Errorf("of one that was refused it says:\n%s", out)
	}
	gone := w.conns[1].dsn
	path := filepath.Join(w.dir, "moved.db")
	w.conns[1].dsn = filepath.ToSlash(path)
	w.write()
	s.stop()
	s = w.serve()
	var v screen.RunView
	code, text := w.ask("trigger", "gst", "--wait", "--json", "--id", "two", "--log-level", "error")
	if err := json.Unmarshal([]byte(text), &v); err != nil || code != exitPartial || v.Run != "two" || v.State != pipeline.RunPartial || !strings.Contains(v.Resume, "fanmill trigger gst --data ") {
		t.Errorf("exit code %d, %v: %s", code, err, text)
	}
	data, err := os.ReadFile(gone)
	if err = errors.Join(err, os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	if out := w.waiting("--resume", "--id", "three").ends(exitComplete); !strings.Contains(out, "run two: complete") {
		t.Errorf("of a resume it says:\n%s", out)
	}
	s.stop()
	w.exact()
}

// The end of the process that serves is not the end of the run: who waits goes on waiting, until what serves next has
// finished it. Of a run that is cancelled he is told, and of one that was cancelled before it began.
func TestTriggerWaitsForTheNextServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9000, 200, 300)
	s := w.serve()
	s.stop() // the folder of jobs is there now
	w.env = append(w.env, "FANMILL_FAILPOINT=after-publish:1")
	s = w.serve()
	waits := w.waiting("--id", "long")
	if err := s.cmd.Wait(); err == nil {
		t.Fatal("it was to be killed")
	}
	w.env = w.env[:len(w.env)-1]
	s = w.serve()
	if out := waits.ends(exitComplete); !strings.Contains(out, "run long: complete, 3 of 3 connections") {
		t.Errorf("it says:\n%s", out)
	}
	w.exact()
	s.stop()

	w.query = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) as id from n" // never ends
	w.write()
	s = w.serve()
	first := w.waiting("--id", "first")
	first.says("run first of job gst: running")
	second := w.waiting("--id", "second")
	second.says("run second of job gst: queued")
	for _, run := range []string{"second", "first"} {
		if code, out := w.ask("cancel", run); code != exitComplete {
			t.Fatalf("exit code %d: %s", code, out)
		}
	}
	if out := first.ends(exitInterrupted); !strings.Contains(out, "run first: interrupted") || !strings.Contains(out, "--resume --wait") {
		t.Errorf("of a cancelled run it says:\n%s", out)
	}
	if out := second.ends(exitFailed); !strings.Contains(out, "cancelled before it began") {
		t.Errorf("of one that had not begun it says:\n%s", out)
	}
	s.stop()
}

// Where several runs go on, a line of serve's says of which job it is.
func TestServeNamesTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	s := w.serve()
	s.stop() // the folder of jobs is there now
	endless, err := os.ReadFile(w.job())
	if err != nil {
		t.Fatal(err)
	}
	endless = bytes.Replace(endless, []byte(`"gst"`), []byte(`"endless"`), 1)
	endless = bytes.Replace(endless, []byte(w.conns[0].query()), []byte("with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"), 1)
	endless = bytes.ReplaceAll(endless, []byte("{jobName}"), []byte("endless"))
	if err := os.WriteFile(filepath.Join(w.dir, "jobs", "endless.json"), endless, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, _ := w.command(nil)
	cmd.Args = append([]string{cmd.Args[0], "serve", "--jobs", filepath.Join(w.dir, "jobs")}, w.args...)
	s = &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.says("serving 2 jobs")
	w.trigger("endless", exitComplete, "--id", "e")
	s.says("▶️ Executing connection: " + w.conns[0].name + "\n") // alone: nothing to tell apart
	w.trigger("gst", exitComplete, "--id", "g")
	s.says("run g ended: complete job=gst\n")
	s.says("▶️ Executing connection: " + w.conns[0].name + " job=gst\n")
	s.says("💾 Progressive CSV write: " + w.conns[0].name + " (30 rows) appended job=gst\n")
	if code, out := w.ask("cancel", "e"); code != exitComplete {
		t.Fatalf("exit code %d: %s", code, out)
	}
	s.stop()
}
