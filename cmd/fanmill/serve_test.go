package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
)

func itoa(n int) string { return strconv.Itoa(n) }

// server is fanmill serve as a child process.
type server struct {
	w   *world
	cmd *exec.Cmd
	out *lines
}

// lines is what a child says, for those who wait for a line.
type lines struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

func (l *lines) text() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String(), l.changed
}

// serve starts a child that serves the world's job.
func (w *world) serve(more ...string) *server {
	w.t.Helper()
	w.putJob()
	return w.serveFolder("serving 1 job of", more...)
}

// putJob puts the world's job into the folder that is served.
func (w *world) putJob() {
	w.t.Helper()
	jobs := filepath.Join(w.dir, "jobs")
	data, err := os.ReadFile(w.job())
	if err == nil {
		err = os.MkdirAll(jobs, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(jobs, "gst.json"), data, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// serveFolder starts a child that serves the folder of jobs as it is, and waits until it says so.
func (w *world) serveFolder(says string, more ...string) *server {
	w.t.Helper()
	return w.serveAs(nil, says, more...)
}

// serveAs is serveFolder with these variables.
func (w *world) serveAs(env []string, says string, more ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(env)
	cmd.Args = append(append([]string{cmd.Args[0], "serve", "--jobs", filepath.Join(w.dir, "jobs")}, w.args...), more...)
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	s.says(says)
	return s
}

// says waits until the child has said something.
func (s *server) says(want string) {
	s.w.t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		text, changed := s.out.text()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.w.t.Fatalf("it does not say %q:\n%s", want, text)
		}
	}
}

func (s *server) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

func (s *server) stop() {
	s.w.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.kill() // there is no such thing here
		return
	}
	_ = s.cmd.Wait()
}

// ask runs a command against the world's store and returns its exit code and what it printed.
func (w *world) ask(args ...string) (int, string) {
	w.t.Helper()
	cmd, _ := w.command(nil)
	cmd.Args = append(append([]string{cmd.Args[0]}, args...), "--data", filepath.Join(w.dir, "data"))
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String() + problems.String()
}

// trigger asks for a run and returns its id.
func (w *world) trigger(job string, code int, more ...string) string {
	w.t.Helper()
	got, out := w.ask(append([]string{"trigger", job, "--json"}, more...)...)
	if got != code {
		w.t.Fatalf("exit code %d of trigger, want %d: %s", got, code, out)
	}
	var a pipeline.Answer
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&a); err != nil { // standard error follows
		w.t.Fatalf("trigger printed %s", out)
	}
	return a.Run
}

// Triggers are not lost and none is run twice, whatever becomes of the process that serves: it is killed in the
// middle of a run, with others waiting; what is started next goes on with that run, asks no settled connection again,
// and then has the others' turn.
func TestServeKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 400, 500, 600)
	s := w.serve()
	s.stop() // the folder of jobs is there now
	w.env = append(w.env, "FANMILL_FAILPOINT=after-publish:2")
	s = w.serve()
	for i := range 3 {
		w.trigger("gst", exitComplete, "--id", fmt.Sprintf("night-%d", i+1))
	}
	if err := s.cmd.Wait(); err == nil {
		t.Fatal("it was to be killed")
	}
	w.whole()
	if run := w.trigger("gst", exitComplete, "--id", "night-1"); run != "night-1" { // nobody serves: kept, and already there
		t.Errorf("the repeated trigger is run %s", run)
	}
	if code, out := w.ask("runs"); code != 0 || !regexp.MustCompile(`night-3 +gst +queued(?s:.*)night-2 +gst +queued(?s:.*)night-1 +gst +interrupted`).MatchString(out) {
		t.Errorf("fanmill runs says, while two triggers wait:\n%s", out)
	}
	if code, out := w.ask("status", "night-3"); code != 0 || !strings.Contains(out, "queued") || !strings.Contains(out, "fanmill cancel night-3") {
		t.Errorf("fanmill status says of a trigger that waits:\n%s", out)
	}
	w.env = w.env[:len(w.env)-1]
	s = w.serve()
	for i := range 3 {
		s.says(fmt.Sprintf("run night-%d ended: complete", i+1))
	}
	text, _ := s.out.text()
	for i := range 3 {
		if n := strings.Count(text, fmt.Sprintf("run night-%d ended", i+1)); n != 1 {
			t.Errorf("run night-%d ended %d times", i+1, n)
		}
	}
	truth, columns := w.truth()
	w.equal(truth, columns)
	if code, out := w.ask("runs", "--json"); code != 0 || strings.Count(out, `"state": "complete"`) != 3 {
		t.Errorf("fanmill runs says:\n%s", out)
	}
	if code, out := w.ask("status", "night-2"); code != 0 || !strings.Contains(out, "complete") {
		t.Errorf("fanmill status says:\n%s", out)
	}
}

// What is wrong with a trigger, or what it asks for, is said to whoever published it.
func TestTriggerRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	s := w.serve()
	defer s.stop()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"trigger", "nothing"}, "there is no job"},
		{[]string{"trigger", "gst", "--connections", "conn_9"}, "conn_9"},
		{[]string{"trigger", "gst", "--param", "month=4"}, "month"},
		{[]string{"cancel", "nothing"}, "no run"},
	} {
		if code, out := w.ask(c.args...); code != exitFailed || !strings.Contains(out, c.want) {
			t.Errorf("%v: exit code %d, %s", c.args, code, out)
		}
	}
	// A changed job file is what the next run reads; one that is broken is not.
	w.conns[0].rows = 20
	w.write()
	data, err := os.ReadFile(w.job())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "jobs", "gst.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	run := w.trigger("gst", exitComplete)
	s.says("run " + run + " ended: complete")
	truth, columns := w.truth()
	w.equal(truth, columns)
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	run = w.trigger("gst", exitComplete)
	s.says("served as it was before")
	s.says("run " + run + " ended: complete")
	// A job that comes along with its trigger.
	once := filepath.Join(w.dir, "once.json")
	inline := strings.NewReplacer(`"id": "gst"`, `"id": "once"`, `"dsn"`, `"database"`).Replace(string(data))
	if err := os.WriteFile(once, []byte(inline), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := w.ask("trigger", "once", "--file", once); code != exitFailed || !strings.Contains(out, "--inline-jobs") {
		t.Errorf("without --inline-jobs: exit code %d, %s", code, out)
	}
	s.stop()
	s = w.serve("--inline-jobs", "--artifact-root", filepath.Join(w.dir, "out"), "--allow-folder", branchesDir)
	run = w.trigger("once", exitComplete, "--file", once)
	s.says("run " + run + " ended: complete")
	w.equal(truth, columns)
	// It is not a way to a job that is served, nor to the runs of another.
	for id, want := range map[string]string{"GST": "a job that is served", "elsewhere": "must have an id of its own"} {
		text := strings.Replace(inline, `"id": "once"`, `"id": "`+id+`"`, 1)
		if err := os.WriteFile(once, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id == "elsewhere" {
			own := filepath.Join(w.dir, "elsewhere.json")
			if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, out := w.ask("run", own, "-q"); code != exitComplete {
				t.Fatalf("exit code %d: %s", code, out)
			}
		}
		if code, out := w.ask("trigger", id, "--file", once); code != exitFailed || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, %s", id, code, out)
		}
	}
}
