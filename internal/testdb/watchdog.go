package testdb

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// A server must not outlive its test binary, which may be killed, time out or panic. A watchdog process, a copy of the
// running executable, holds the read end of a pipe: when the pipe closes, by Stop or because the owner is gone, it stops
// the server and removes the folder. That works the same on every system, and needs no TestMain.

const (
	envWatchdog    = "FANMILL_TESTDB_WATCHDOG"     // the kind of server, a key of stoppers
	envWatchdogBin = "FANMILL_TESTDB_WATCHDOG_BIN" // the folder of its programs
	envWatchdogDir = "FANMILL_TESTDB_WATCHDOG_DIR" // the server's folder
)

// stoppers end a server at once: what it holds is thrown away.
var stoppers = map[string]func(bin, dir string){"postgres": stopPostgres, "mariadb": stopMariaDB}

// stopLimit bounds how long a watchdog tries to stop a server and remove its folder.
const stopLimit = 30 * time.Second

func init() {
	if stop := stoppers[os.Getenv(envWatchdog)]; stop != nil {
		watch(stop, os.Getenv(envWatchdogBin), os.Getenv(envWatchdogDir))
		os.Exit(0)
	}
}

// watch is what the watchdog process does instead of running tests.
func watch(stop func(bin, dir string), bin, dir string) {
	// Ctrl-C, and what ends a job that takes too long, reach the whole process group; the server still has to be stopped.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	_, _ = io.Copy(io.Discard, os.Stdin)
	deadline := time.Now().Add(stopLimit)
	stop(bin, dir)
	for os.RemoveAll(dir) != nil && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond) // Windows: files stay locked until the last server process is gone
	}
}

// watchdog is the owner's end.
type watchdog struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func startWatchdog(kind, bin, dir string) (*watchdog, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envWatchdog+"="+kind, envWatchdogBin+"="+bin, envWatchdogDir+"="+dir)
	cmd.Dir = os.TempDir()
	pipe, err := cmd.StdinPipe()
	if err == nil {
		// No output is inherited: "go test" would wait for it to be closed.
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	return &watchdog{cmd, pipe}, nil
}

// stop returns when the server is down and its folder is gone.
func (w *watchdog) stop() error {
	_ = w.pipe.Close()
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}
