package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/checkpoint"
	"fanmill/internal/config"
)

// jobStore calls fanmill with a data folder.
type jobStore struct {
	t    *testing.T
	dir  string
	data string
}

func newJobStore(t *testing.T) *jobStore {
	dir := t.TempDir()
	return &jobStore{t, dir, filepath.Join(dir, "data")}
}

// call runs a command on the store and expects an exit code.
func (s *jobStore) call(code int, args ...string) (stdout, stderr string) {
	s.t.Helper()
	got, stdout, stderr := call(append(args, "--data", s.data)...)
	if got != code {
		s.t.Fatalf("fanmill %s ends with %d, want %d: %s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// file writes a file and returns its path.
func (s *jobStore) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

const smallJob = `{"id": "gst", "name": "GST", "connections": {"file": "b.csv", "driver": "sqlite", "dsn": "{id}.db"}, "query": "select 1 as one",
  "destinations": [{"type": "csv", "filePath": "D:/Reports/gst.csv"}]}
`

// What is put comes back byte for byte, with its inventory; versions are listed, compared, put again and removed.
func TestJobCommands(t *testing.T) {
	s := newJobStore(t)
	job := s.file("gst.json", smallJob)
	s.file("b.csv", "id\r\na\r\n")
	if out, _ := s.call(exitComplete, "job", "ls"); !strings.Contains(out, "no jobs") {
		t.Errorf("of an empty store it lists %s", out)
	}
	if out, _ := s.call(exitComplete, "job", "put", job, "-m", "the first"); out != "job gst: version 1, 1 connection, 1 destination\n" {
		t.Errorf("it says %s", out)
	}
	if out, _ := s.call(exitComplete, "job", "put", job); !strings.Contains(out, "version 1 says already") {
		t.Errorf("of the same text it says %s", out)
	}
	s.file("b.csv", "id\r\na\r\nb\r\n")
	s.file("gst.json", strings.Replace(smallJob, "as one", "as uno", 1))
	if _, problems := s.call(exitFailed, "job", "put", job, "--if-version", "2"); !strings.Contains(problems, "the version that counts is 1") {
		t.Errorf("of another version it says %s", problems)
	}
	s.call(exitComplete, "job", "put", job, "--if-version", "1")
	if out, _ := s.call(exitComplete, "job", "get", "gst", "--version", "1"); out != smallJob {
		t.Errorf("version 1 is %q", out)
	}
	copied := filepath.Join(s.dir, "copy", "gst.json")
	if err := os.Mkdir(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	s.call(exitComplete, "job", "get", "gst", "-o", copied)
	if list, err := os.ReadFile(filepath.Join(s.dir, "copy", "b.csv")); err != nil || string(list) != "id\r\na\r\nb\r\n" {
		t.Errorf("the inventory is %q, %v", list, err)
	}
	out, _ := s.call(exitComplete, "job", "diff", "gst")
	for _, want := range []string{"--- gst.json (version 1)\n+++ gst.json (version 2)\n", `"select 1 as uno"`, "--- b.csv (version 1)\n", "\n+b\r\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the diff does not have %q:\n%s", want, out)
		}
	}
	s.call(exitComplete, "job", "rollback", "gst", "1")
	if out, _ := s.call(exitComplete, "job", "diff", "gst", "1", "3"); out != "" {
		t.Errorf("from version 1 to what puts it again differs\n%s", out)
	}
	out, _ = s.call(exitComplete, "job", "history", "gst")
	for _, want := range []string{"the first", "version 1 again", hand().By} {
		if !strings.Contains(out, want) {
			t.Errorf("the history does not have %q:\n%s", want, out)
		}
	}
	if out, _ := s.call(exitComplete, "job", "ls", "--json"); !strings.Contains(out, `"version": 3`) || !strings.Contains(out, `"name": "GST"`) {
		t.Errorf("the list is %s", out)
	}
}

// To remove a job is asked for first; its versions stay until they are removed, too.
func TestJobRemoved(t *testing.T) {
	s := newJobStore(t)
	job := s.file("gst.json", smallJob)
	s.file("b.csv", "id\na\n")
	s.call(exitComplete, "job", "put", job)
	answer := func(text string) {
		askedAt = func() io.Reader {
			if text == "" {
				return nil
			}
			return strings.NewReader(text)
		}
	}
	before := askedAt
	t.Cleanup(func() { askedAt = before })
	answer("")
	if _, problems := s.call(exitBadJob, "job", "rm", "gst"); !strings.Contains(problems, "--yes") {
		t.Errorf("without a terminal it says %s", problems)
	}
	answer("n\n")
	if _, problems := s.call(exitFailed, "job", "rm", "gst"); !strings.Contains(problems, "Remove job gst (version 1)") || !strings.Contains(problems, "nothing was removed") {
		t.Errorf("after a no it says %s", problems)
	}
	answer("y\n")
	if out, _ := s.call(exitComplete, "job", "rm", "gst"); !strings.Contains(out, "fanmill job rollback gst 1") {
		t.Errorf("after a yes it says %s", out)
	}
	if _, problems := s.call(exitBadJob, "job", "get", "gst"); !strings.Contains(problems, "was removed from the store by "+hand().By) {
		t.Errorf("of a removed job it says %s", problems)
	}
	if out, _ := s.call(exitComplete, "job", "ls", "--all"); !strings.Contains(out, "removed") {
		t.Errorf("the list of all is %s", out)
	}
	s.call(exitComplete, "job", "rollback", "gst", "1")
	s.call(exitComplete, "job", "rm", "gst", "--history", "--yes")
	if _, problems := s.call(exitBadJob, "job", "history", "gst"); !strings.Contains(problems, `has no job "gst"`) {
		t.Errorf("of a job without history it says %s", problems)
	}
}

// Of several files all are put or none, and all that is wrong is said at once.
func TestJobsAreNotPut(t *testing.T) {
	s := newJobStore(t)
	s.file("b.csv", "id\na\n")
	good := s.file("gst.json", smallJob)
	bad := s.file("bad.json", strings.NewReplacer(`"gst"`, `"bad"`, `"csv"`, `"cvs"`, `"select 1 as one"`, `"select * from u where password = 'hunter2'"`).Replace(smallJob))
	twin := s.file("twin.json", smallJob)
	_, problems := s.call(exitBadJob, "job", "put", good, bad, twin)
	for _, want := range []string{"bad.json:2:29: destinations[0].type", "a query has no variables", `both have the id "gst"`} {
		if !strings.Contains(problems, want) {
			t.Errorf("it does not say %q:\n%s", want, problems)
		}
	}
	if strings.Contains(problems, "hunter2") {
		t.Errorf("it says\n%s", problems)
	}
	if _, problems := s.call(exitBadJob, "job", "put", good, "-m", "login sa, password=hunter2"); !strings.Contains(problems, "--message") || strings.Contains(problems, "hunter2") {
		t.Errorf("of the note it says\n%s", problems)
	}
	if out, _ := s.call(exitComplete, "job", "ls", "--all", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("the store has %s", out)
	}
}

// A put that is killed between its two writes leaves the store as it was; the next one takes the number.
func TestPutKilled(t *testing.T) {
	s := newJobStore(t)
	job := s.file("gst.json", smallJob)
	s.file("b.csv", "id\na\n")
	w := &world{t: t, dir: s.dir}
	put := func(env ...string) {
		cmd, _ := w.command(env)
		cmd.Args = []string{cmd.Args[0], "job", "put", job, "--data", s.data}
		if err := cmd.Run(); (err == nil) != (len(env) == 0) {
			t.Fatalf("it ends with %v", err)
		}
	}
	put("FANMILL_FAILPOINT=job-text-stored")
	if out, _ := s.call(exitComplete, "job", "ls", "--all", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("after the kill the store has %s", out)
	}
	put()
	s.file("gst.json", strings.Replace(smallJob, "as one", "as uno", 1))
	put("FANMILL_FAILPOINT=job-text-stored")
	if out, _ := s.call(exitComplete, "job", "get", "gst"); out != smallJob {
		t.Errorf("after the kill the store has %s", out)
	}
	put()
	if out, _ := s.call(exitComplete, "job", "history", "gst", "--json"); strings.Count(out, `"version"`) != 2 || !strings.Contains(out, `"version": 2`) {
		t.Errorf("the history is %s", out)
	}
	if err := (&settings{env: config.Env{Data: s.data, MemoryThresholdMB: 1024}, parallel: 1, logMB: 4, lease: defaultLease, workDir: s.dir}).with(t.Context(), slog.New(slog.DiscardHandler), func(sys *system) error {
		keys, err := sys.node.Stores.Jobs.Keys(t.Context(), ">")
		if len(keys) != 3 {
			t.Errorf("the store has %v", keys)
		}
		_, err2 := checkpoint.NewJobDefinitions(sys.node.Stores.Jobs).Get(t.Context(), "gst")
		if err == nil {
			err = err2
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
