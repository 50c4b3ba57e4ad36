package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/screen"
	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// fullSink is a destination whose disk has no room as long as a file is there.
type fullSink struct {
	pipeline.Sink
	while string
}

func (s fullSink) Stage(ctx context.Context, parts []pipeline.Part, round int, final *pipeline.Report) (pipeline.Staged, error) {
	if _, err := os.Stat(s.while); final == nil && !errors.Is(err, fs.ErrNotExist) {
		return pipeline.Staged{}, pipeline.Transient(errors.New("no space left on the test's device"))
	}
	return s.Sink.Stage(ctx, parts, round, final)
}

// withFull is the real destinations; of the one named in "csv=FILE" the disk is full as long as the file is there.
func withFull(what string) func() map[string]*pipeline.SinkKind {
	name, while, _ := strings.Cut(what, "=")
	return func() map[string]*pipeline.SinkKind {
		return wrapped(name, func(sink pipeline.Sink) pipeline.Sink { return fullSink{sink, while} })
	}
}

// ended is what fanmill run --json prints.
type ended struct {
	Run         string
	State       string
	Done, Total int
	Rows        int64
	Resume      string
	Started     string
	Connections []screen.ConnectionView
	Measures    pipeline.Measures
}

// runJSON is mustRun for what is printed on standard output as JSON, and what is said besides.
func (w *world) runJSON(want int, env []string, more ...string) (v ended, said string) {
	w.t.Helper()
	out, said := w.apart(want, env, append(more, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.t.Fatalf("%v in:\n%s\nit said:\n%s", err, out, said)
	}
	return v, said
}

// apart is mustRun with standard output and standard error told apart.
func (w *world) apart(want int, env []string, more ...string) (stdout, stderr string) {
	w.t.Helper()
	cmd, all := w.command(env, more...)
	var out strings.Builder
	cmd.Stdout = &out
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		w.t.Fatalf("exit code %d, want %d; it said:\n%s\n%s", code, want, out.String(), all)
	}
	return out.String(), all.String()
}

// start starts a child that is waited for.
func (w *world) start(env []string, more ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(env, more...)
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	return s
}

// ends waits for the child's end, with this exit code, and returns what it said.
func (s *server) ends(want int) string {
	s.w.t.Helper()
	_ = s.cmd.Wait()
	text, _ := s.out.text()
	if code := s.cmd.ProcessState.ExitCode(); code != want {
		s.w.t.Fatalf("exit code %d, want %d; it said:\n%s", code, want, text)
	}
	return text
}

// A database that delivers nothing for QUERY_TIMEOUT_MS is given up, and nothing of ours is left running on its
// server: the run is partial, and says which setting ended it.
func TestSilentDatabaseIsCancelled(t *testing.T) {
	pg := testdb.Postgres(t)
	dsn := pg.NewDatabase(t)
	w := &world{t: t, dir: t.TempDir()}
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--log-max-mb", "4", "--query-timeout", "500ms"}
	writeJob(t, w.job(), object{"id": "gst", "retry": object{"attempts": 2, "backoff": "10ms"}, "connections": []object{
		{"id": "swift", "driver": "postgres", "dsn": dsn, "query": "select 1 as id, 'swift' as who"},
		{"id": "silent", "driver": "postgres", "dsn": dsn, "query": "select 2 as id, 'silent' || pg_sleep(600)::text as who"},
		// Its rows are large enough for the server to send each, and never come more than the timeout apart: it takes
		// twice that, and is let be.
		{"id": "steady", "driver": "postgres", "dsn": dsn, "query": "select i as id, repeat('x', 10000) || pg_sleep(0.05)::text as who from generate_series(1, 20) i"},
	}, "destinations": []object{csvTo(w.dir, "gst.csv", nil)}})
	v, said := w.runJSON(exitPartial, nil)
	if v.State != "partial" || v.Done != 2 || v.Rows != 21 {
		t.Errorf("the run ended %+v", v)
	}
	if c := v.Connections[1]; c.State != screen.StateFailed || c.Attempts != 2 || len(c.Missing) != 1 || !strings.Contains(c.Missing[0].Error, "delivered nothing for 500ms (QUERY_TIMEOUT_MS=500)") {
		t.Errorf("of the silent database it says %+v", c)
	}
	if !strings.Contains(said, "connection silent failed in attempt 1: ") || !strings.Contains(said, "raise QUERY_TIMEOUT_MS") {
		t.Errorf("it does not say what happened, and what to do:\n%s", said)
	}
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	res, err := conn.Exec(t.Context(), "select query from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if rows := res[0].Rows; len(rows) > 0 {
		t.Errorf("on the server there still runs %s", rows[0][0])
	}
}

// The time that a query waits for our own destinations is not the database's silence: while one holds the row log
// full for several times the timeout, that does not fire.
func TestSlowDestinationIsNotSilence(t *testing.T) {
	const timeout = 500 * time.Millisecond
	w := newWorld(t, 30000, 30000, 30000) // 15 MB in a row log of 4
	hold := filepath.Join(w.dir, "hold")
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	child := w.start([]string{"FANMILL_TEST_SLOW=csv=" + hold}, "--query-timeout", timeout.String(), "--json")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); w.logOnDisk() < 3<<20; {
		select {
		case <-tick.C:
		case <-deadline:
			text, _ := child.out.text()
			t.Fatalf("the row log has %d bytes, its bound is 4 MB; it said:\n%s", w.logOnDisk(), text)
		}
	}
	<-time.After(3 * timeout) // nothing is to happen
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	out := child.ends(exitComplete)
	var v ended
	if err := json.NewDecoder(strings.NewReader(out[strings.Index(out, "{\n"):])).Decode(&v); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	for _, c := range v.Connections {
		if c.Attempts != 1 || strings.Contains(out, "delivered nothing") {
			t.Errorf("the timeout fired for %s:\n%s", c.ID, out)
		}
	}
	if waited := time.Duration(v.Measures.LogWaitMillis) * time.Millisecond; waited < 2*timeout {
		t.Errorf("the query waited %s for the row log, which says nothing of a timeout of %s", waited, timeout)
	}
	w.exact()
}

// A destination that cannot be written for a while is tried again, and completes once it can be.
func TestDestinationThatCanBeWrittenAgain(t *testing.T) {
	w := newWorld(t, 300, 200, 100)
	block := filepath.Join(w.dir, "full")
	if err := os.WriteFile(block, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	child := w.start([]string{"FANMILL_TEST_FULL=csv=" + block})
	child.says("GST.csv failed; trying again from what is committed")
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	out := child.ends(exitComplete)
	for _, want := range []string{"Failed to write CSV progressively for Branch_00", ": no space left on the test's device"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	w.exact()
	w.tidy()
}

// Invariant 8: a destination that cannot be written for destinationTimeout is given up, named, and holds up nobody:
// the other one is whole. A resume brings it what it lacks from the row log, and asks no database.
func TestDestinationThatIsGivenUp(t *testing.T) {
	w := newWorld(t, 300, 200, 100)
	block := filepath.Join(w.dir, "full")
	if err := os.WriteFile(block, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	v, said := w.runJSON(exitPartial, []string{"FANMILL_TEST_FULL=csv=" + block}, "--destination-timeout", "1s")
	if v.State != "partial" || v.Done != 0 || v.Connections[0].State != screen.StatePartial || !strings.Contains(v.Resume, "--resume") {
		t.Errorf("the run ended %+v", v)
	}
	if !strings.Contains(said, "destination csv is given up for this run, a resume brings it what it lacks: no progress for 1s: ") {
		t.Errorf("it does not say that the destination is given up:\n%s", said)
	}
	if n := w.whole(); n != 3 {
		t.Errorf("the workbook has %d of 3 sheets", n)
	}
	if _, err := os.Stat(w.csv()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a CSV: %v", err)
	}
	if asked := w.askedSince(); len(asked) != 3 {
		t.Errorf("the run asked %v", asked)
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	w.mustRun(exitComplete, nil, "--resume")
	if asked := w.askedSince(); len(asked) != 0 {
		t.Errorf("the resume asked %v", asked)
	}
	w.exact()
	w.tidy()
}
