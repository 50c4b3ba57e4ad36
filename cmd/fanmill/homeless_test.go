package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withoutHome are the variables of a process whose user has no home, as services and cron jobs may have it.
var withoutHome = []string{"HOME=", "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "USERPROFILE=", "LOCALAPPDATA=", "APPDATA=", "FANMILL_DATA="}

// Without a home --data suffices for whoever keeps state, and nothing at all for the others; without it they say so,
// and make no folder.
func TestWithoutAHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30, 20)
	w.env = append(w.env, withoutHome...)
	say := func(want int, args ...string) string {
		t.Helper()
		cmd, out := w.command(nil)
		cmd.Args = append(cmd.Args[:1], args...)
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", strings.Join(args, " "), code, want, out)
		}
		return out.String()
	}
	for _, args := range [][]string{{"run", w.job()}, {"serve", "--jobs", w.dir}, {"status"}, {"runs"}, {"trigger", "gst"}, {"cancel", "x"}, {"checkpoint", "ls"}, {"checkpoint", "rm", "gst"}} {
		if out := say(exitBadJob, args...); !strings.Contains(out, "--data or FANMILL_DATA") {
			t.Errorf("%s: %s", args[0], out)
		}
	}
	for _, args := range [][]string{{"validate", w.job()}, {"check", w.job()}, {"preview", w.job(), "--rows", "1"}, {"schema"}, {"env"}, {"env", "--job", w.job()}, {"version"}, {"--help"}, {"run", "--help"}} {
		say(exitComplete, args...)
	}
	w.askedSince() // what preview has asked
	if entries, err := os.ReadDir(w.dir); err != nil || len(entries) != 1 {
		t.Errorf("beside the job are %v, %v", entries, err)
	}
	say(exitComplete, "demo", "--branches", "2", "--rows", "5")
	say(exitComplete, append([]string{"run", w.job()}, w.args...)...)
	w.exact()
	say(exitComplete, append([]string{"status"}, w.args[:2]...)...)
	w.env = append(w.env, "FANMILL_DATA="+filepath.Join(w.dir, "data"))
	say(exitComplete, "run", w.job())
	s := w.serve()
	w.trigger("gst", exitComplete, "--id", "night")
	s.says("run night ended: complete")
	s.stop()
	w.exact()
}
