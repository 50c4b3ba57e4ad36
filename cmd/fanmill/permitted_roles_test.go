package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/nats"
	"fanmill/pipeline"
)

// serveUser starts a child that serves as a user of the NATS server, and waits until it says something.
func (w *world) serveUser(context, says string, args ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(nil)
	cmd.Args = slices.Concat([]string{cmd.Args[0], "serve", "--data", filepath.Join(w.dir, "data"), "--log-level", "debug", "--nats-context", context}, args)
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	s.says(says)
	return s
}

// guest connects as a user of the NATS server.
func guest(t *testing.T, contextFile string) *nats.Conn {
	t.Helper()
	access, _, err := nats.Merge(nats.Access{Context: nats.Given{Value: contextFile, By: "--nats-context"}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Open(t.Context(), nats.Options{Access: access, Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Processes that have one role each, and the permissions of that role alone, carry a run out whole; those that start
// before a coordinator wait for it. Who may only trigger hears nothing of the run but the answer, and reads no records.
func TestRolesWithTheirPermissions(t *testing.T) {
	w := newRequestsWorld(t, receiver.Options{Secrets: []string{signingSecret}},
		map[string]map[string]any{"hook": {"type": "webhook", "signingSecrets": []string{"${HOOK_SECRET}"}, "maxRowsPerRequest": 500}}, 3000, 200, 2500)
	as := w.permitted()
	const waits = "This process waits for one"
	query := w.serveUser(as["query"], waits, "--roles", "query")
	sink := w.serveUser(as["sink"], waits, "--roles", "sink", "--data", filepath.Join(w.dir, "data of the sink"))
	w.args = append(w.args, "--nats-context", as["coordinator"], "--roles", "coordinator")
	coordinator := w.serve()
	query.says("serving as query")
	sink.says("serving as sink")

	for _, topic := range []string{">", "_INBOX.>", "_INBOX_sink.>", "fanmill.rows.>", "fanmill.events.>", "$KV.>"} {
		if _, err := guest(t, as["trigger"]).Bus().Listen(topic, func(pipeline.Inquiry) {}); err == nil || !strings.Contains(err.Error(), `lacks the permission to subscribe to "`+topic+`"`) {
			t.Errorf("the user trigger listens to %s: %v", topic, err)
		}
	}
	small := guest(t, as["trigger"])
	var mu sync.Mutex
	var heard []string
	if _, err := small.Bus().Listen("_INBOX_trigger.>", func(q pipeline.Inquiry) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, string(q.Payload))
	}); err != nil {
		t.Fatal(err)
	}
	code, out, problems := call("trigger", "gst", "--id", "first", "--nats-context", as["trigger"])
	if code != exitComplete {
		t.Fatalf("exit code %d of the trigger; it said:\n%s%s", code, out, problems)
	}
	coordinator.says("run first ended: complete")
	sink.says("what run first kept to itself of destination hook is removed here") // its spool
	if _, err := small.Stores().Runs.Get(t.Context(), "first"); err == nil || !strings.Contains(err.Error(), "lacks the permission to publish") {
		t.Errorf("the user trigger reads the record of a run: %v", err)
	}
	if data, err := guest(t, as["observer"]).Bus().Ask(t.Context(), "fanmill.api.status", "", []byte(`{"run":"first"}`)); err != nil || !strings.Contains(string(data), `"complete"`) {
		t.Errorf("the user observer asks for the status: %s, %v", data, err)
	}
	mu.Lock()
	if len(heard) != 1 || !strings.Contains(heard[0], `"first"`) {
		t.Errorf("the user trigger has heard %q, and there is one answer for it", heard)
	}
	mu.Unlock()
	for _, s := range []*server{coordinator, query, sink} {
		s.stop()
		if text, _ := s.out.text(); strings.Contains(text, "permission") || strings.Contains(text, "iolation") {
			t.Errorf("%s said:\n%s", s.cmd.Args, text)
		}
	}
	w.exactly("hook")
	rows := w.want()
	for name, n := range w.csvRows() {
		if n != rows[name] {
			t.Errorf("the CSV has %d rows of %s, the branch %d", n, name, rows[name])
		}
		delete(rows, name)
	}
	if len(rows) > 0 {
		t.Errorf("the CSV lacks the rows of %v", rows)
	}
}

// A worker that waits for a coordinator ends when it is stopped, as one that works does.
func TestWorkerThatWaitsIsStopped(t *testing.T) {
	w := newWorld(t, 10)
	as := w.permitted()
	query := w.serveUser(as["query"], "start it with: fanmill serve --roles coordinator", "--roles", "query")
	query.stop()
	if code := query.cmd.ProcessState.ExitCode(); code > exitComplete {
		t.Errorf("exit code %d", code)
	}
}
