package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// process starts a child that serves with these arguments, and waits until it says so.
func (w *world) process(says string, args ...string) *server {
	w.t.Helper()
	return w.processOn(func(*exec.Cmd) {}, says, args...)
}

// processOn is process, put on some host before it starts.
func (w *world) processOn(host func(*exec.Cmd), says string, args ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(nil)
	cmd.Args = append(append([]string{cmd.Args[0], "serve"}, w.args...), args...)
	host(cmd)
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	s.says(says)
	return s
}

// Sequences 20 and 23: the process that coordinates has none of the variables of its job, nor has one of those that
// ask. The columns are known all the same, and every branch is asked, once, by the process that has what it takes.
func TestVariablesOfOneProcessAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30, 40, 50)
	text, err := os.ReadFile(w.job())
	if err != nil {
		t.Fatal(err)
	}
	job, env := string(text), ""
	for i, c := range w.conns {
		name := "BRANCH_" + itoa(i)
		job = strings.Replace(job, `"`+c.dsn+`"`, `"${`+name+`}"`, 1)
		env += name + "=" + c.dsn + "\n"
	}
	jobs, has, lacks := filepath.Join(w.dir, "jobs"), filepath.Join(w.dir, "has"), filepath.Join(w.dir, "lacks")
	for _, dir := range []string{jobs, has, lacks} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{filepath.Join(jobs, "gst.json"): job, filepath.Join(has, ".env"): env} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	coordinator := w.process("serving 1 job of", "--jobs", jobs, "--roles", "coordinator")
	asker := w.process("serving", "--roles", "query", "--env-dir", lacks)
	w.process("serving", "--roles", "query,sink", "--env-dir", has)
	w.askedSince()
	if code, out := w.ask("trigger", "gst", "--id", "night", "--wait"); code != exitComplete {
		said, _ := coordinator.out.text()
		t.Fatalf("exit code %d: %s\nthe coordinator says:\n%s", code, out, said)
	}
	truth, columns := w.truth()
	w.equal(truth, columns)
	w.tabsInJobOrder()
	said, _ := asker.out.text()
	if strings.Contains(said, "cannot ask connection") && !strings.Contains(said, "${BRANCH_") {
		t.Errorf("the process that lacks the variables says:\n%s", said)
	}
	if found := w.inStore(w.conns[0].dsn); len(found) > 0 {
		t.Errorf("what a variable stands for is in %v", found)
	}
}
