//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// frozen starts a child that freezes at a failpoint, and returns when it has.
func (w *world) frozen(point string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	w.t.Helper()
	cmd, out := w.command([]string{"FANMILL_FAILPOINT=" + point + ":stop"}, args...)
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if err := awaitStop(cmd.Process.Pid); err != nil {
		w.t.Fatalf("%s was not reached: %v; it said:\n%s", point, err, out)
	}
	return cmd, out
}

// awaitStop returns when a child process stands still.
func awaitStop(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		if err == syscall.EINTR {
			continue
		}
		if err == nil && !status.Stopped() {
			err = fmt.Errorf("it ended with status %v", status)
		}
		return err
	}
}

// thaw lets a frozen child go on and returns how it ended.
func (w *world) thaw(cmd *exec.Cmd) int {
	w.t.Helper()
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		w.t.Fatal(err)
	}
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// external makes the world use a NATS server of its own, which does not stop when a child is frozen.
func (w *world) external() {
	w.t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: w.t.TempDir(), MaxPayload: 8 << 20, NoSigs: true, NoLog: true})
	if err != nil {
		w.t.Fatal(err)
	}
	s.Start()
	w.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		w.t.Fatal("the NATS server does not start")
	}
	u, err := url.Parse(s.ClientURL())
	if err != nil {
		w.t.Fatal(err)
	}
	w.args = append(w.args, "--nats", u.String(), "--lease", "3s")
}

// Invariant 3 with a paused owner (R1, R2): a successor takes over and commits, the owner wakes, changes nothing and
// says why it stops.
func TestFrozenOwner(t *testing.T) {
	for _, point := range []string{"before-cas:2", "mid-stage:2", "before-publish:2", "mid-finish"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 9000, 200, 3000, 0, 1500, 800, 100)
			w.external()
			owner, said := w.frozen(point)
			successor, _ := w.frozen("after-publish:2", "--resume")
			w.whole()
			if code := w.thaw(owner); code != exitInterrupted {
				t.Errorf("the woken owner ended with %d, want %d; it said:\n%s", code, exitInterrupted, said)
			}
			if !strings.Contains(said.String(), "another process has taken over") {
				t.Errorf("the woken owner does not say why it stops:\n%s", said)
			}
			if strings.Contains(said.String(), "--resume") {
				t.Errorf("the woken owner asks for a resume of what its successor goes on with:\n%s", said)
			}
			w.whole()
			if code := w.thaw(successor); code != exitComplete {
				t.Fatalf("the successor ended with %d; it said:\n%s", code, successor.Stdout)
			}
			w.exact()
			w.tidy()
		})
	}
}

// While a run lives, neither a second run nor a resume of the job touches it.
func TestLivingOwnerIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 300, 200)
	w.external()
	owner, said := w.frozen("before-cas")
	if out := w.mustRun(exitFailed, nil); !strings.Contains(out, "already running") {
		t.Errorf("a second run says:\n%s", out)
	}
	if code := w.thaw(owner); code != exitComplete {
		t.Fatalf("the owner ended with %d; it said:\n%s", code, said)
	}
	w.exact()
}

// Invariant 2 against users: what they do to the public files between two commits is not lost, and ours end exact.
func TestUserTouchesArtifacts(t *testing.T) {
	t.Parallel()
	mine := []byte("the user's own work\n")
	for name, touch := range map[string]func(t *testing.T, path string){
		"deletes": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"renames another over it": func(t *testing.T, path string) {
			other := filepath.Join(t.TempDir(), "other")
			if err := os.WriteFile(other, mine, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(other, path); err != nil {
				t.Fatal(err)
			}
		},
		"saves in place": func(t *testing.T, path string) {
			if err := os.WriteFile(path, mine, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 3000, 200, 2000, 100, 1500, 800)
			child, said := w.frozen("after-publish:2")
			touched := map[string]string{}
			for path, aside := range map[string]string{w.xlsx(): "GST (edited).xlsx", w.csv(): "GST (edited).csv"} {
				if _, err := os.Stat(path); err == nil {
					touch(t, path)
					touched[path] = filepath.Join(w.dir, "out", aside)
				}
			}
			if len(touched) == 0 {
				t.Fatal("nothing was public yet")
			}
			if code := w.thaw(child); code != exitComplete {
				t.Fatalf("it ended with %d and said:\n%s", code, said)
			}
			w.exact()
			for path, aside := range touched {
				kept, err := os.ReadFile(aside)
				switch {
				case name == "deletes" && err == nil:
					t.Errorf("%s appeared although %s was only deleted", aside, path)
				case name != "deletes" && string(kept) != string(mine):
					t.Errorf("what the user made of %s is not in %s: %v", path, aside, err)
				}
			}
		})
	}
}

// The same while fanmill is not running: killed, edited, resumed.
func TestUserEditsWhileDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3000, 200, 2000, 100, 1500, 800)
	if code, out := w.run([]string{"FANMILL_FAILPOINT=after-publish:2"}); code != -1 {
		t.Fatalf("exit code %d; it said:\n%s", code, out)
	}
	var asides []string
	for path, aside := range map[string]string{w.xlsx(): "GST (edited).xlsx", w.csv(): "GST (edited).csv"} {
		if _, err := os.Stat(path); err != nil {
			continue // not public yet
		}
		if err := os.WriteFile(path, []byte("mine\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		asides = append(asides, aside)
	}
	if len(asides) == 0 {
		t.Fatal("nothing was public yet")
	}
	w.mustRun(exitComplete, nil, "--resume")
	w.exact()
	for _, aside := range asides {
		if kept, err := os.ReadFile(filepath.Join(w.dir, "out", aside)); err != nil || string(kept) != "mine\n" {
			t.Errorf("the user's %s is %q, %v", aside, kept, err)
		}
	}
}

// SIGTERM, the stop of a service, ends the run in order; a resume goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 9000, 200, 3000, 0, 1500)
	child, said := w.frozen("after-publish:2")
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := w.thaw(child); code != exitInterrupted {
		t.Fatalf("exit code %d, want %d; it said:\n%s", code, exitInterrupted, said)
	}
	if !strings.Contains(said.String(), ": interrupted, ") || !strings.Contains(said.String(), "GST.xlsx") { // how far it has come, and the files
		t.Errorf("it said:\n%s", said)
	}
	if n := w.whole(); n == len(w.conns) {
		t.Log("the run was over before it noticed")
	}
	w.mustRun(exitComplete, nil, "--resume")
	w.exact()
	w.tidy()
}

// A folder that goes away in the middle of a run, as a network drive does, and comes back: nothing is lost, and the
// run completes.
func TestFolderGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3000, 200, 2000, 100, 1500, 800)
	child := w.start([]string{"FANMILL_FAILPOINT=after-publish:2:stop"})
	if err := awaitStop(child.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	out, away := filepath.Join(w.dir, "out"), filepath.Join(w.dir, "away")
	if err := errors.Join(os.Rename(out, away), os.WriteFile(out, nil, 0o600)); err != nil { // a file in its place: nothing can be made below it
		t.Fatal(err)
	}
	if err := child.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	child.says("trying again from what is committed")
	if err := errors.Join(os.Remove(out), os.Rename(away, out)); err != nil {
		t.Fatal(err)
	}
	child.ends(exitComplete)
	w.exact()
	w.tidy()
}
