//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fanmill/internal/screen"
)

// unreadable is an output that takes nothing.
type unreadable struct {
	name string
	open func(t *testing.T) *os.File
}

var unreadables = []unreadable{
	{"a pipe whose reader has gone", func(t *testing.T) *os.File {
		r, w := pipe(t)
		r.Close()
		return w
	}},
	{"a full pipe that nobody empties", func(t *testing.T) *os.File {
		_, w := pipe(t)
		fd := int(w.Fd())
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		for _, piece := range [][]byte{make([]byte, 4096), {0}} { // to the last byte
			for {
				if _, err := syscall.Write(fd, piece); err != nil {
					break
				}
			}
		}
		if err := syscall.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
		return w
	}},
	{"a disk that is full", func(t *testing.T) *os.File {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil { // this system has none
			return nil
		}
		t.Cleanup(func() { full.Close() })
		return full
	}},
	{"nothing at all", func(*testing.T) *os.File { return nil }},
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// into makes a command write to an unreadable output. Where there is none its descriptors are closed.
func (w *world) into(out, problems *os.File, args ...string) *exec.Cmd {
	cmd, _ := w.command([]string{"FANMILL_TEST_UNREAD=1"})
	cmd.Args = append([]string{cmd.Args[0]}, args...)
	cmd.Stdout, cmd.Stderr = nil, nil
	if out == nil || problems == nil {
		closed := ""
		if out == nil {
			closed += " >&-"
		}
		if problems == nil {
			closed += " 2>&-"
		}
		cmd.Args = append([]string{"sh", "-c", `exec "$0" "$@"` + closed, cmd.Path}, args...)
		cmd.Path = "/bin/sh"
	}
	if out != nil {
		cmd.Stdout = out
	}
	if problems != nil {
		cmd.Stderr = problems
	}
	return cmd
}

// Output that nobody reads costs nothing: whatever becomes of it, everything is delivered, the log file of the run
// has it all, and the exit code tells of the delivery alone.
func TestOutputThatNobodyReads(t *testing.T) {
	for _, u := range unreadables {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 300, 200, 400)
			data := w.args[:2]
			try := func(want int, args ...string) {
				t.Helper()
				cmd := w.into(u.open(t), u.open(t), append(args, data...)...)
				if _ = cmd.Run(); cmd.ProcessState.ExitCode() != want {
					t.Errorf("%s ended with %v, want %d", strings.Join(args[:1], " "), cmd.ProcessState, want)
				}
			}
			try(exitComplete, "run", w.job())
			w.exact()
			w.tidy()
			logs, _ := filepath.Glob(filepath.Join(w.dir, "logs", "gst", "*.log"))
			if len(logs) != 1 {
				t.Fatalf("the logs are %v", logs)
			}
			log, err := os.ReadFile(logs[0])
			if err != nil || strings.Count(string(log), "Progressive CSV write") != 3 || !strings.Contains(string(log), "ended: complete") {
				t.Errorf("the log of the run has:\n%s%v", log, err)
			}
			try(exitComplete, "run", w.job(), "--json")
			if !strings.HasPrefix(u.name, "a full") { // commands that look wait for their reader as for one who pages
				try(exitComplete, "status")
				try(exitComplete, "status", "--json")
				data = nil
				try(exitComplete, "check", w.job())
				try(exitComplete, "validate", w.job())
				try(exitBadJob, "validate", filepath.Join(w.dir, "none.json"))
				data = w.args[:2]
			}
			w.conns[1].dsn = filepath.ToSlash(filepath.Join(w.dir, "gone.db"))
			w.write()
			try(exitPartial, "run", w.job())
		})
	}
}

// A demo is a delivery, too.
func TestDemoThatNobodyReads(t *testing.T) {
	w := newWorld(t)
	cmd := w.into(nil, nil, "demo", "--branches", "2", "--rows", "20")
	if _ = cmd.Run(); cmd.ProcessState.ExitCode() != exitComplete {
		t.Errorf("it ended with %v", cmd.ProcessState)
	}
	if files, _ := filepath.Glob(filepath.Join(w.dir, "demo", "GST*.xlsx")); len(files) != 1 {
		t.Errorf("it made %v", files)
	}
}

// What can be said is said: a result that does not fit on its disk is told of on standard error, and a command that
// only prints has failed then.
func TestResultThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		full, err = os.Open(os.DevNull) // which takes nothing either: it is open for reading only
	}
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	w := newWorld(t, 30)
	for _, c := range []struct {
		want int
		args []string
	}{{exitComplete, []string{"run", w.job(), "--json", "--quiet", "--data", filepath.Join(w.dir, "data")}}, {exitFailed, []string{"schema"}}} {
		cmd, _ := w.command(nil)
		var said bytes.Buffer
		cmd.Args, cmd.Stdout, cmd.Stderr = append(cmd.Args[:1], c.args...), full, &said
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != c.want || !strings.HasPrefix(said.String(), "fanmill: the result was not written to standard output to its end: ") {
			t.Errorf("%s: exit code %d, want %d; it said %q", c.args[0], code, c.want, said.String())
		}
	}
}

// A process that serves goes on without those who read its lines, and takes triggers.
func TestServeThatNobodyReads(t *testing.T) {
	w := newWorld(t, 300, 200)
	s := w.serve()
	s.stop()                                           // the folder of jobs is there now
	w.env = append(w.env, "FANMILL_TEST_UNANSWERED=1") // nobody reads when it serves: the trigger may be there before it, and is kept
	for _, u := range unreadables[:2] {
		cmd := w.into(u.open(t), u.open(t), append([]string{"serve", "--jobs", filepath.Join(w.dir, "jobs")}, w.args...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		code, out := w.ask("trigger", "gst", "--wait", "--json", "--log-level", "error")
		var v screen.RunView
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitComplete || v.State != "complete" {
			t.Errorf("%s: exit code %d, %v: %s", u.name, code, err, out)
		}
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: it ended with %v", u.name, err)
		}
		w.exact()
	}
}

// A terminal that goes away is a stop in order, as SIGTERM is, also when it is told of twice; under nohup it is
// nothing.
func TestHangUp(t *testing.T) {
	w := newWorld(t, 9000, 200, 3000, 0, 1500)
	child, said := w.frozen("after-publish:2")
	for range 2 { // pending signals of one kind are one
		if err := child.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if code := w.thaw(child); code != exitInterrupted {
		t.Fatalf("exit code %d, want %d; it said:\n%s", code, exitInterrupted, said)
	}
	if !strings.Contains(said.String(), ": interrupted, ") || !strings.Contains(said.String(), "--resume") {
		t.Errorf("it said:\n%s", said)
	}
	w.whole()

	child, said = w.command([]string{"FANMILL_FAILPOINT=after-publish:1:stop"}, "--resume")
	child.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, child.Path}, child.Args[1:]...)
	child.Path = "/bin/sh"
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := awaitStop(child.Process.Pid); err != nil {
		t.Fatalf("%v; it said:\n%s", err, said)
	}
	if err := child.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if code := w.thaw(child); code != exitComplete {
		t.Fatalf("under nohup: exit code %d; it said:\n%s", code, said)
	}
	w.exact()
	w.tidy()
}
