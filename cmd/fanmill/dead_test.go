package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/dead"
)

// refusing is a job of two branches for an API that refuses the rows of the second until refuse is false.
func refusing(t *testing.T) (job, data string, refuse *atomic.Bool, keys *[]string) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir) // logs go there
	refuse, keys = new(atomic.Bool), new([]string)
	refuse.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if refuse.Load() && strings.Contains(string(text), `"branch":"second"`) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, "no such branch")
			return
		}
		*keys = append(*keys, r.Header.Get("Idempotency-Key"))
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"inv-7"}`)
	}))
	t.Cleanup(server.Close)
	connections := []any{}
	for _, name := range []string{"first", "second"} {
		path := sqliteDB(t, "create table sale (branch text); insert into sale values ('"+name+"')")
		connections = append(connections, object{"id": name, "name": "Branch " + name, "driver": "sqlite", "dsn": path})
	}
	job = writeJob(t, filepath.Join(dir, "job.json"), object{"id": "job", "query": "select branch from sale", "connections": connections,
		"destinations": []any{object{"id": "erp", "type": "api", "mode": "stream", "url": server.URL + "/rows", "receipt": "$.id"}}})
	return job, filepath.Join(dir, "data"), refuse, keys
}

// What a user sees of a request that is refused, from the run to the replay, on the command line.
func TestDeadRequest(t *testing.T) {
	job, data, refuse, keys := refusing(t)
	code, out, problems := call("run", job, "--data", data)
	for _, want := range []string{"owing", "owes 1 of 2 connections", "fanmill dead ls", "no such branch", "refused"} {
		if code != exitPartial || !strings.Contains(out, want) {
			t.Fatalf("exit code %d, %q is not in\n%s\n%s", code, want, out, problems)
		}
	}
	if _, err := os.Stat(pipeline.ReportPath(filepath.Join(data, "reports"), "job", "erp")); err != nil {
		t.Error(err)
	}
	code, out, problems = call("dead", "ls", "--data", data, "--json")
	var letters []dead.Standing
	if err := json.Unmarshal([]byte(out), &letters); code != 0 || err != nil || len(letters) != 1 || letters[0].Connection != "second" || letters[0].Status != 422 || letters[0].State != dead.Refused {
		t.Fatalf("%d: %v: %s%s", code, err, out, problems)
	}
	key := letters[0].Key
	if code, out, _ = call("dead", "ls", "--data", data); code != 0 || !strings.Contains(out, key[:12]) {
		t.Errorf("%d: %s", code, out)
	}
	if code, out, _ = call("dead", "show", key[:8], "--data", data); code != 0 || !strings.Contains(out, `"branch":"second"`) || !strings.Contains(out, "no such branch") {
		t.Errorf("%d: %s", code, out)
	}
	if code, _, problems = call("run", job, "--data", data); code != exitFailed || !strings.Contains(problems, "--start-over") {
		t.Errorf("a new run over one that is half sent: %d: %s", code, problems)
	}
	refuse.Store(false)
	if code, out, problems = call("dead", "replay", key[:8], "--data", data); code != 0 || !strings.Contains(out, "to be sent") || !strings.Contains(out, "--resume") {
		t.Errorf("%d: %s%s", code, out, problems)
	}
	if code, out, problems = call("run", job, "--data", data, "--resume"); code != 0 {
		t.Fatalf("%d: %s%s", code, out, problems)
	}
	if len(*keys) != 3 || (*keys)[2] != key {
		t.Errorf("the keys %q came, the last was to be %s", *keys, key)
	}
	if code, out, _ = call("dead", "ls", "--data", data); code != 0 || !strings.Contains(out, "no dead requests") {
		t.Errorf("%d: %s", code, out)
	}
}

// One that is given up leaves a run that can finish, and says so.
func TestDropADeadRequest(t *testing.T) {
	job, data, _, _ := refusing(t)
	if code, out, problems := call("run", job, "--data", data); code != exitPartial {
		t.Fatalf("%d: %s%s", code, out, problems)
	}
	_, out, _ := call("dead", "ls", "--data", data, "--json")
	var letters []dead.Standing
	if err := json.Unmarshal([]byte(out), &letters); err != nil || len(letters) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if code, _, problems := call("dead", "drop", "nosuchkey", "--data", data); code != exitFailed || !strings.Contains(problems, "dead ls") {
		t.Errorf("%d: %s", code, problems)
	}
	if code, out, problems := call("dead", "drop", letters[0].Key, "--data", data, "--json"); code != 0 || !strings.Contains(out, `"to be dropped"`) {
		t.Errorf("%d: %s%s", code, out, problems)
	}
	code, out, problems := call("run", job, "--data", data, "--resume")
	if code != exitPartial || !strings.Contains(out, "dropped by hand") || strings.Contains(out, "owing") {
		t.Errorf("%d: %s%s", code, out, problems)
	}
}

// Words for what cannot be: flags that belong together, a letter whose run has given way.
func TestReplaySuperseded(t *testing.T) {
	job, data, refuse, keys := refusing(t)
	if code, out, problems := call("run", job, "--data", data); code != exitPartial {
		t.Fatalf("%d: %s%s", code, out, problems)
	}
	refuse.Store(false)
	if code, out, problems := call("run", job, "--data", data, "--start-over"); code != 0 {
		t.Fatalf("%d: %s%s", code, out, problems)
	}
	_, out, _ := call("dead", "ls", "--data", data, "--json")
	var letters []dead.Standing
	if err := json.Unmarshal([]byte(out), &letters); err != nil || len(letters) != 1 || letters[0].State != dead.Superseded {
		t.Fatalf("%v: %s", err, out)
	}
	key := letters[0].Key
	if code, _, problems := call("dead", "replay", key, "--data", data); code != exitFailed || !strings.Contains(problems, "--superseded --job") {
		t.Errorf("%d: %s", code, problems)
	}
	if code, _, problems := call("dead", "replay", key, "--data", data, "--superseded"); code != exitBadJob || !strings.Contains(problems, "belong together") {
		t.Errorf("%d: %s", code, problems)
	}
	code, out, problems := call("dead", "replay", key, "--data", data, "--superseded", "--job", job)
	if code != 0 || !strings.Contains(out, "is sent") || (*keys)[len(*keys)-1] != key {
		t.Errorf("%d: %s%s %q", code, out, problems, *keys)
	}
}
