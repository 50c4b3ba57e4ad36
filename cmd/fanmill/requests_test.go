package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/internal/soak"
)

// requestsWorld is a job whose destinations are receivers of requests in the test's process, beside a CSV.
type requestsWorld struct {
	*world
	targets map[string]*target // by destination
	killer  killer
}

// target is a receiver behind an address of its own.
type target struct {
	*receiver.Receiver
	url    string
	killer *killer

	mu       sync.Mutex
	conns    map[net.Conn]bool
	every    int // it restarts at each so many requests; 0 is never
	seen     int
	restarts int
}

// killer kills a process around a request, whichever receiver gets it.
type killer struct {
	mu     sync.Mutex
	left   int // requests until then; 0 is never
	victim *exec.Cmd
	before bool // the request is stored
}

func (k *killer) arm(victim *exec.Cmd, left int, before bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.victim, k.left, k.before = victim, left, before
}

// passes counts a request, once before and once after it is stored.
func (k *killer) passes(before bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if before != k.before || k.left == 0 {
		return
	}
	if k.left--; k.left == 0 {
		_ = k.victim.Process.Kill()
	}
}

func newTarget(t *testing.T, k *killer, o receiver.Options) *target {
	t.Helper()
	return newTargetAt(t, "127.0.0.1", k, o)
}

// newTargetAt is newTarget at an address of this machine.
func newTargetAt(t *testing.T, address string, k *killer, o receiver.Options) *target {
	t.Helper()
	r, err := receiver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	to := &target{Receiver: r, killer: k, conns: map[net.Conn]bool{}}
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	to.url = "http://" + l.Addr().String()
	server := &http.Server{Handler: to, ErrorLog: receiver.Quiet, ConnState: to.see}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	return to
}

// see keeps the connections that are open.
func (to *target) see(c net.Conn, s http.ConnState) {
	to.mu.Lock()
	defer to.mu.Unlock()
	switch s {
	case http.StateNew:
		to.conns[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(to.conns, c)
	}
}

// ServeHTTP takes a request.
func (to *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to.killer.passes(true)
	to.restart()
	to.mu.Lock()
	takes := to.Receiver
	to.mu.Unlock()
	takes.ServeHTTP(w, r)
	to.killer.passes(false)
}

// restart ends the receiver's process, so to say, at every so many requests, and starts it again at the same address:
// all connections are gone, also that of this request. What it has stored it keeps. The listener stays: another process
// could get its port in between.
func (to *target) restart() {
	to.mu.Lock()
	defer to.mu.Unlock()
	if to.seen++; to.every == 0 || to.seen%to.every != 0 {
		return
	}
	for c := range to.conns {
		_ = c.Close()
	}
	to.restarts++
	panic(http.ErrAbortHandler)
}

const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// newRequestsWorld makes the job; destinations are options by id.
func newRequestsWorld(t *testing.T, o receiver.Options, destinations map[string]map[string]any, rows ...int) *requestsWorld {
	t.Helper()
	return sendingTo(newWorld(t, rows...), o, destinations)
}

// sendingTo adds receivers to a world.
func sendingTo(of *world, o receiver.Options, destinations map[string]map[string]any) *requestsWorld {
	of.t.Helper()
	w := &requestsWorld{world: of, targets: map[string]*target{}}
	for id := range destinations {
		w.targets[id] = newTarget(w.t, &w.killer, o)
	}
	w.env = append(w.env, "HOOK_SECRET="+signingSecret, "API_TOKEN=tok-1234567890")
	w.store(destinations)
	return w
}

// store adds the receivers to the job file: to every kind of file, or to the CSV alone.
func (w *requestsWorld) store(destinations map[string]map[string]any) {
	w.t.Helper()
	w.edit(func(all []any) []any {
		if !w.all {
			all = []any{map[string]any{"type": "csv", "filePath": filepath.ToSlash(filepath.Join(w.dir, "out", "{jobName}.csv"))}}
		}
		for _, id := range slices.Sorted(maps.Keys(destinations)) {
			d := map[string]any{"id": id, "url": w.targets[id].url + "/in"}
			maps.Copy(d, destinations[id])
			all = append(all, d)
		}
		return all
	})
}

// edit changes the destinations of the job file.
func (w *requestsWorld) edit(change func([]any) []any) {
	w.t.Helper()
	text, err := os.ReadFile(w.job())
	if err != nil {
		w.t.Fatal(err)
	}
	var job map[string]any
	if err := json.Unmarshal(text, &job); err != nil {
		w.t.Fatal(err)
	}
	job["destinations"] = change(job["destinations"].([]any))
	if text, err = json.Marshal(job); err == nil {
		err = os.WriteFile(w.job(), text, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// want are the rows of all branches as texts, and how often each is there.
func (w *requestsWorld) want() map[string]int {
	w.t.Helper()
	truth, _ := w.truth()
	rows := map[string]int{}
	for _, c := range w.conns {
		if table, ok := truth[c.name]; ok {
			rows[c.name] = int(table.Count)
		}
	}

	return rows
}

// exactly compares what a receiver stored with the databases: every row of a branch once.
func (w *requestsWorld) exactly(id string) {
	w.t.Helper()
	to := w.targets[id]
	for _, v := range to.Violations() {
		w.t.Errorf("%s: %s", id, v)
	}
	rows, err := to.Rows()
	if err != nil {
		w.t.Fatal(err)
	}
	got, seen := map[string]int{}, map[string]bool{}
	for _, row := range rows {
		branch, _ := row["_connection"].(string)
		text, err := json.Marshal(row)
		if err != nil {
			w.t.Fatal(err)
		}
		if seen[string(text)] {
			w.t.Errorf("%s has a row twice: %.200s", id, text)
		}
		seen[string(text)] = true
		got[branch]++
	}
	want := w.want()
	maps.DeleteFunc(want, func(_ string, n int) bool { return n == 0 })
	if !maps.Equal(got, want) {
		w.t.Errorf("%s has rows of %v, want %v", id, got, want)
	}
}

// A webhook in one body and one connection by connection get every row once: killed again and again around requests
// that fail, are stored without an answer, time out or are throttled, by a receiver that restarts. One key is always
// the same bytes, and signatures fit.
func TestRequestsThroughKills(t *testing.T) {
	t.Parallel()
	kills := soak.Rounds(6, 20)
	w := newRequestsWorld(t, receiver.Options{Seed: 7, Percent: receiver.Percent{Fail: 10, Drop: 10, Hang: 2, Throttle: 8}, Secrets: []string{signingSecret}},
		map[string]map[string]any{
			"hook":   {"type": "webhook", "signingSecrets": []string{"${HOOK_SECRET}"}, "maxRowsPerRequest": 100, "timeout": "1s"},
			"stream": {"type": "webhook", "mode": "stream", "signingSecrets": []string{"${HOOK_SECRET}"}, "format": "ndjson", "gzip": true, "maxRowsPerRequest": 100, "timeout": "1s"},
		}, 3000, 200, 1500, 0, 2500)
	for _, to := range w.targets {
		to.every = 11
	}
	random := rand.New(rand.NewPCG(3, 4))
	for n := range kills {
		var args []string
		if n > 0 {
			args = []string{"--resume"}
		}
		cmd, out := w.command(nil, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.killer.arm(cmd, 1+random.IntN(3), n%2 == 0)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != -1 && !blamed(code, out.String()) {
			t.Fatalf("exit code %d after %d kills; it said:\n%s", code, n, out)
		}
	}
	w.killer.arm(nil, 0, false)
	w.complete()
	for id, to := range w.targets {
		to.mu.Lock()
		if to.restarts < soak.Rounds(1, 2) {
			t.Errorf("%s restarted %d times only", id, to.restarts)
		}
		to.mu.Unlock()
	}
	w.exactly("hook")
	w.exactly("stream")
	w.nothingLeft()
}

// Killed after any answer is noted, and before the record says what it settles, also after the last one, when
// nothing is left to be sent: a resume settles it.
func TestKilledAfterEachAnswer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"batch", "stream"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				w := newRequestsWorld(t, receiver.Options{}, map[string]map[string]any{"hook": {"type": "webhook", "mode": mode, "maxRowsPerRequest": 40}}, 90, 30, 0)
				code, out := w.run([]string{fmt.Sprintf("FANMILL_FAILPOINT=after-answer:%d", n)})
				if code != -1 && code != exitComplete {
					t.Fatalf("exit code %d; it said:\n%s", code, out)
				}
				if code == -1 {
					w.mustRun(exitComplete, nil, "--resume")
				}
				w.exactly("hook")
				w.nothingLeft()
				if code == exitComplete {
					if n < 4 {
						t.Errorf("there were %d answers only", n-1)
					}
					return
				}
			}
		})
	}
}

// nothingLeft checks that a complete run leaves nothing in the spool.
func (w *requestsWorld) nothingLeft() {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.args[1], "spool"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "place.json" {
			w.t.Errorf("left in the spool: %s", path)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// An API gets the token, answers with an id, and is named without secrets everywhere; the run tells what it said.
func TestAPIReceipt(t *testing.T) {
	w := newRequestsWorld(t, receiver.Options{}, map[string]map[string]any{
		"erp": {"type": "customApi", "auth": map[string]any{"bearer": "${API_TOKEN}"}, "receipt": "$.id", "headers": map[string]string{"X-Tenant": "t1"}},
	}, 40, 0)
	w.targets["erp"].Script(receiver.Step{Store: true, Status: 201, Body: `{"id":"upload-17"}`})
	out := w.mustRun(exitComplete, nil, "--json")
	stored := w.targets["erp"].Stored()
	if len(stored) != 1 || stored[0].Header.Get("Authorization") != "Bearer tok-1234567890" || stored[0].Header.Get("X-Tenant") != "t1" || stored[0].Method != http.MethodPost {
		t.Fatalf("%d requests were stored: %+v", len(stored), stored)
	}
	var body struct {
		JobID, JobName, RunID string
		Connections           []struct {
			ID, Name, State string
			Rows            int
		}
		Rows    []map[string]any
		Request int
		Last    bool
	}
	if err := json.Unmarshal(stored[0].Body, &body); err != nil {
		t.Fatal(err)
	}
	if body.JobID != "gst" || len(body.Rows) != 40 || len(body.Connections) != 2 || body.Connections[0].State != "included" || body.Connections[1].Rows != 0 || !body.Last || body.Request != 1 {
		t.Errorf("the body says %+v", body)
	}
	w.exactly("erp")
	if strings.Contains(out, "tok-1234567890") {
		t.Error("the token is in what the run says")
	}
}

// A refused token ends the run as owing, without a letter; with a new one a resume sends, and asks nobody.
func TestRevokedToken(t *testing.T) {
	t.Parallel()
	w := newRequestsWorld(t, receiver.Options{}, map[string]map[string]any{
		"erp": {"type": "api", "mode": "stream", "auth": map[string]any{"bearer": "${API_TOKEN}"}},
	}, 40, 30)
	for range 200 {
		w.targets["erp"].Script(receiver.Say(http.StatusUnauthorized, "no"))
	}
	w.args = append(w.args, "--destination-timeout", "1s")
	out := w.mustRun(exitPartial, nil)
	if !strings.Contains(out, "401") {
		t.Errorf("the run does not say why:\n%s", out)
	}
	w.askedSince()
	if n := len(w.targets["erp"].Stored()); n != 0 {
		t.Fatalf("%d requests were stored", n)
	}
	erp, next := w.targets["erp"], newTarget(t, &w.killer, receiver.Options{}).Receiver
	erp.mu.Lock()
	erp.Receiver = next // the address is the same, and takes what comes
	erp.mu.Unlock()
	w.mustRun(exitComplete, []string{"API_TOKEN=tok-of-today-1"}, "--resume")
	if asked := w.askedSince(); len(asked) > 0 {
		t.Errorf("the resume asked %v", asked)
	}
	w.exactly("erp")
}

// Rows of two branches that are equal in the keys are sent once, and the report says how many were not.
func TestEqualRowsAreSentOnce(t *testing.T) {
	w := newRequestsWorld(t, receiver.Options{}, map[string]map[string]any{
		"hook": {"type": "webhook", "connectionColumn": false, "dedupe": map[string]any{"keys": []string{"invoice_no"}, "keep": "last"}},
	}, 50, 20)
	w.conns[1].dsn = w.conns[0].dsn // the second has the first 20 rows of the first
	w.write()
	w.store(map[string]map[string]any{"hook": {"type": "webhook", "connectionColumn": false, "dedupe": map[string]any{"keys": []string{"invoice_no"}, "keep": "last"}}})
	w.mustRun(exitComplete, nil)
	stored := w.targets["hook"].Stored()
	if len(stored) != 1 {
		t.Fatalf("%d requests", len(stored))
	}
	rows, err := stored[0].Rows()
	if err != nil || len(rows) != 50 {
		t.Fatalf("%d rows were sent (%v), want 50", len(rows), err)
	}
	var body struct{ Connections []struct{ Rows int } }
	if err := json.Unmarshal(stored[0].Body, &body); err != nil || fmt.Sprint(body.Connections) != "[{30} {20}]" {
		t.Errorf("by connection %v (%v)", body.Connections, err)
	}
}
