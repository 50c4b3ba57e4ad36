package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/internal/screen"
)

// toldJob is a job of two branches, one of which is not there, whose end a webhook and a chat are told of, and the
// receiver of both.
type toldJob struct {
	t   *testing.T
	dir string
	job string
	r   *receiver.Receiver
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newToldJob(t *testing.T) *toldJob {
	t.Helper()
	r, err := receiver.New(receiver.Options{Secrets: []string{hookSecret}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	w := &toldJob{t: t, dir: t.TempDir(), r: r}
	w.job = filepath.Join(w.dir, "jobs", "gst.json")
	if err := os.MkdirAll(filepath.Dir(w.job), 0o700); err != nil {
		t.Fatal(err)
	}
	writeJob(t, w.job, object{"id": "gst", "name": "GST", "query": "select * from sale", "connections": []object{
		{"id": "a", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (id int); insert into sale values (1), (2)")}, {"id": "b", "driver": "sqlite", "dsn": filepath.ToSlash(w.missing())}},
		"destinations": []object{csvTo(w.dir, "out/gst.csv", nil)}, "retry": object{"attempts": 1},
		"notify": []object{{"type": "webhook", "url": "${HOOK}", "secrets": []string{"${HOOK_SECRET}"}, "on": []string{"partial", "recovered"}}}})
	if err := os.WriteFile(filepath.Join(filepath.Dir(w.job), ".env"), []byte("HOOK="+r.URL+"/hook/very-secret-path\nHOOK_SECRET="+hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// missing is the database that is not there.
func (w *toldJob) missing() string { return filepath.Join(w.dir, "b.db") }

func (w *toldJob) command(env []string, args ...string) (*exec.Cmd, *strings.Builder) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.CommandContext(w.t.Context(), self, args...)
	cmd.Env = append(append(os.Environ(), "FANMILL_TEST_CHILD=1", "FANMILL_DATA="+filepath.Join(w.dir, "data"), "FANMILL_TEST_ASKED="+filepath.Join(w.dir, "asked")), env...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, &out, &out
	return cmd, &out
}

func (w *toldJob) run(want int, env []string, args ...string) string {
	w.t.Helper()
	cmd, out := w.command(env, args...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		w.t.Fatalf("exit code %d, want %d; it said:\n%s", code, want, out)
	}
	if strings.Contains(out.String(), "very-secret-path") || strings.Contains(out.String(), hookSecret) {
		w.t.Errorf("it shows a secret:\n%s", out)
	}
	return out.String()
}

// stored has nothing of the secrets.
func (w *toldJob) stored() {
	w.t.Helper()
	for _, secret := range []string{"very-secret-path", hookSecret} {
		err := filepath.WalkDir(filepath.Join(w.dir, "data"), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), secret) {
				w.t.Errorf("%s has the secret", path)
			}
			return nil
		})
		if err != nil {
			w.t.Error(err)
		}
	}
}

// events are those of the webhook's requests, in order.
func (w *toldJob) events() (events []string) {
	w.t.Helper()
	for _, q := range w.r.Stored() {
		if q.Duplicate {
			continue
		}
		var body struct {
			Type string `json:"type"`
			Data struct {
				Event    string           `json:"event"`
				Missing  []map[string]any `json:"missing"`
				Complete int              `json:"complete"`
				Rows     int              `json:"rows"`
			} `json:"data"`
		}
		if err := json.Unmarshal(q.Body, &body); err != nil {
			w.t.Fatal(err)
		}
		events = append(events, body.Data.Event)
		if len(body.Data.Missing) != 2-body.Data.Complete || body.Data.Rows != 1+body.Data.Complete {
			w.t.Errorf("the notice is %s", q.Body)
		}
	}
	return events
}

// A process that runs a job is killed at each place between the run's end and the record that its receiver said yes.
// The next one tells: once, and under the same id where the first had told already.
func TestKilledBeforeSomebodyIsTold(t *testing.T) {
	for _, point := range []string{"before-ended", "after-ended", "after-notice", "before-told-all", "notice-claimed", "notice-sent"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newToldJob(t)
			w.run(-1, []string{"FANMILL_FAILPOINT=" + point}, "run", w.job)
			w.run(exitPartial, nil, "run", w.job, "--resume")
			w.run(exitPartial, nil, "run", w.job, "--resume")
			if events := w.events(); len(events) != 1 || events[0] != "partial" || len(w.r.Violations()) != 0 {
				t.Errorf("the receiver has %q, %q", events, w.r.Violations())
			}
			want := 1
			if point == "notice-sent" {
				want = 2
			}
			if n := len(w.r.Requests()); n != want {
				t.Errorf("there were %d requests", n)
			}
			changeDB(t, w.missing(), "create table sale (id int); insert into sale values (3)")
			w.run(exitComplete, nil, "run", w.job, "--resume")
			w.run(exitComplete, nil, "run", w.job)
			if events := w.events(); len(events) != 2 || events[1] != "recovered" {
				t.Errorf("after the branch is back the receiver has %q", events)
			}
			w.stored()
		})
	}
}

// A receiver that fails holds up no run, and its notice waits; the commands show that, and why.
func TestAFailingReceiverHoldsUpNothing(t *testing.T) {
	w := newToldJob(t)
	w.r.Script(receiver.Say(503, "not now"))
	began := time.Now()
	w.run(exitPartial, nil, "run", w.job)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the run took %s", took)
	}
	if out := w.run(exitComplete, nil, "notify", "ls"); !strings.Contains(out, "waiting") || !strings.Contains(out, "503") {
		t.Errorf("notify ls says\n%s", out)
	}
	if out := w.run(exitComplete, nil, "status", "gst"); !strings.Contains(out, "webhook of partial: waits after 1 attempt") {
		t.Errorf("status says\n%s", out)
	}
	var lines []screen.NoticeLine
	if err := json.Unmarshal([]byte(w.run(exitComplete, nil, "notify", "ls", "gst", "--json")), &lines); err != nil || len(lines) != 1 || lines[0].Tries != 1 {
		t.Errorf("as JSON: %+v, %v", lines, err)
	}
	w.stored()
}

// fanmill serve tells of the runs that it carries out.
func TestServeTells(t *testing.T) {
	w := newToldJob(t)
	reached := make(chan struct{})
	w.r.Script(receiver.Step{Store: true, Reached: reached})
	cmd, out := w.command(nil, "serve", "--jobs", filepath.Dir(w.job), "--http", "off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	trigger, said := w.command(nil, "trigger", "gst")
	if err := trigger.Run(); err != nil { // it waits until somebody serves
		t.Fatal(err, said)
	}
	select {
	case <-reached:
	case <-time.After(60 * time.Second):
		t.Fatalf("nobody was told; serve said\n%s", out)
	}
	if events := w.events(); len(events) != 1 || events[0] != "partial" {
		t.Errorf("the receiver has %q", events)
	}
}

// notify test sends a sample to each target, or to those that are named, and says what they answered.
func TestNotifyTest(t *testing.T) {
	w := newToldJob(t)
	w.r.Script(receiver.Step{Store: true, Status: 200, Body: "thanks"}, receiver.Say(404, "no such hook"))
	if out := w.run(exitComplete, nil, "notify", "test", w.job, "--event", "failed"); !strings.Contains(out, "sent a sample of failed; it answered 200: thanks") {
		t.Errorf("it says\n%s", out)
	}
	if body := string(w.r.Stored()[0].Body); !strings.Contains(body, `"sample":true`) || !strings.Contains(body, "fanmill.job.failed") {
		t.Errorf("the sample is %s", body)
	}
	if out := w.run(exitFailed, nil, "notify", "test", w.job, "--target", "webhook"); !strings.Contains(out, "not sent: ") || !strings.Contains(out, "404") {
		t.Errorf("of a receiver that is not there it says\n%s", out)
	}
	if out := w.run(exitBadJob, nil, "notify", "test", w.job, "--target", "finance"); !strings.Contains(out, `no target "finance"; it has webhook`) {
		t.Errorf("of a target that is not there it says\n%s", out)
	}
	if out := w.run(exitBadJob, nil, "notify", "test", w.job, "--event", "later"); !strings.Contains(out, "--event is") {
		t.Errorf("of an event that is none it says\n%s", out)
	}
	w.r.Stop()
	if out := w.run(exitPartial, nil, "check", w.job); !strings.Contains(out, "notify webhook: ") {
		t.Errorf("check says nothing of a receiver that cannot be reached:\n%s", out)
	}
}
