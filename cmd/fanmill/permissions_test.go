package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// natsWith runs a NATS server with a part of a configuration, and returns its URL.
func natsWith(t *testing.T, conf string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := natsserver.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.Port, o.NoSigs, o.NoLog, o.JetStream, o.StoreDir = "127.0.0.1", natsserver.RANDOM_PORT, true, true, true, t.TempDir()
	s, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	return s.ClientURL()
}

// context writes a context of the nats CLI.
func (w *world) context(name string, keys map[string]any) (path string) {
	w.t.Helper()
	data, err := json.Marshal(keys)
	if err == nil {
		path = filepath.Join(w.dir, name+".json")
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

// natsUsers are those of examples/nats-server.conf.
var natsUsers = []string{"coordinator", "query", "sink", "observer", "trigger"}

// permitted runs the server of examples/nats-server.conf, and returns the context of each of its users.
func (w *world) permitted() (as map[string]string) {
	w.t.Helper()
	conf, err := os.ReadFile(filepath.Join("..", "..", "examples", "nats-server.conf"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, user := range natsUsers {
		w.t.Setenv(strings.ToUpper(user)+"_PASSWORD", "pw-"+user)
	}
	url := natsWith(w.t, string(conf))
	as = map[string]string{}
	for _, user := range natsUsers {
		as[user] = w.context(user, map[string]any{"url": url, "user": user, "password": "pw-" + user, "inbox_prefix": "_INBOX_" + user})
	}
	return as
}

// The permissions that examples/nats-server.conf gives to each user are enough for what it says, and what another would
// need is named at once.
func TestPermissionsAreAsDocumented(t *testing.T) {
	w := newWorld(t, 30, 40, 50)
	as := w.permitted()
	ask := func(user string, code int, want string, args ...string) {
		t.Helper()
		got, out, problems := call(append(args, "--nats-context", as[user])...)
		if got != code || !strings.Contains(out+problems, want) || code == exitComplete && strings.Contains(problems, "lacks") {
			t.Errorf("%s %v: exit code %d, want %d and %q; it said\n%s%s", user, args, got, code, want, out, problems)
		}
	}
	lacks := func(subject string) string {
		return fmt.Sprintf("lacks the permission to publish to %q; docs/nats.md lists", subject)
	}
	// Nobody has ever run a job.
	ask("observer", exitComplete, "", "runs")
	ask("observer", exitFailed, "there are no runs in", "status")
	ask("observer", exitComplete, "no checkpoints", "checkpoint", "ls")
	ask("trigger", exitFailed, "start fanmill serve first", "trigger", "gst")

	w.args = append(w.args, "--nats-context", as["coordinator"])
	w.queries = map[int]string{2: "select * from nothing"}
	w.write()
	w.mustRun(exitPartial, nil)
	ask("observer", exitComplete, "gst", "runs")
	ask("observer", exitComplete, "state", "status", "gst")
	ask("observer", exitComplete, `"jobId": "gst"`, "checkpoint", "export", "gst")
	ask("coordinator", exitComplete, "is given up", "checkpoint", "rm", "gst")
	w.queries = nil
	w.write()
	if code, out := w.run([]string{"FANMILL_FAILPOINT=after-publish:1"}); code == exitComplete {
		t.Fatalf("the run was to be killed; it said:\n%s", out)
	}
	if out := w.mustRun(exitComplete, nil, "--resume"); strings.Contains(out, "violation") {
		t.Errorf("a run said:\n%s", out)
	}
	w.setSchedule("Asia/Kolkata", "30 1 1 1 *")
	s := w.serve()
	defer s.stop()
	s.says(`job gst runs by itself at "30 1 1 1 *"`)
	ask("observer", exitComplete, "01-01 01:30 IST", "schedule", "ls")
	ask("observer", exitFailed, lacks("$JS.API.STREAM.MSG.GET.KV_fanmill_jobs"), "schedule", "pause", "gst")
	ask("coordinator", exitComplete, "does not run by itself", "schedule", "pause", "gst")
	ask("trigger", exitComplete, "run first of job gst", "trigger", "gst", "--id", "first")
	s.says("run first ended: complete")
	ask("trigger", exitFailed, lacks("fanmill.jobs.cancel.first"), "cancel", "first")
	ask("trigger", exitFailed, lacks("fanmill.jobs.run.other"), "trigger", "other")
	ask("observer", exitComplete, "complete", "status", "first", "--json")

	ask("observer", exitFailed, lacks("fanmill.jobs.run.gst"), "trigger", "gst")
	ask("observer", exitFailed, lacks("fanmill.jobs.cancel.first"), "cancel", "first")
	ask("observer", exitFailed, lacks("$JS.API.INFO"), "run", w.job())
	ask("trigger", exitFailed, lacks("$JS.API.STREAM.INFO.FANMILL_TRIGGERS"), "runs")
	ask("trigger", exitFailed, lacks("$JS.API.STREAM.INFO.KV_fanmill_runs"), "status", "first")
	if text, _ := s.out.text(); strings.Contains(text, "violation") {
		t.Errorf("serve said:\n%s", text)
	}
	w.exact()
}
