package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// memJobs are the jobs of a store in memory as a process serves them, and what it says.
type memJobs struct {
	*served
	t    *testing.T
	kv   *memstore.KV
	said *bytes.Buffer
}

func newMemJobs(t *testing.T, dir, envDir string) *memJobs {
	t.Helper()
	said := new(bytes.Buffer)
	s := &settings{env: config.Env{}, envDir: envDir}
	j, err := s.openJobs(dir, true, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	kv := &memstore.KV{}
	show := func(context.Context, *pipeline.Job) error { return nil }
	j.stored.open(kv, show)
	if j.folder != nil {
		j.folder.store = show
	}
	return &memJobs{j, t, kv, said}
}

// put puts a text as whoever may write to the store could.
func (m *memJobs) put(job, text string) {
	m.t.Helper()
	e, err := checkpoint.NewJobDefinitions(m.kv).Edit(m.t.Context(), job)
	if err == nil {
		v := checkpoint.JobVersion{Hand: checkpoint.Hand{By: "ada@pc", At: time.Now()}, Name: job}
		_, _, err = e.Put(m.t.Context(), v, jobText("gst.yaml", []byte(text), nil))
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// heard is what was said since the last call.
func (m *memJobs) heard() string {
	defer m.said.Reset()
	return unquotedLog(m.said.String())
}

func yamlJob(id, query, dsn string) string {
	return "id: " + id + "\nquery: " + query + "\nconnections: [{id: a, driver: sqlite, dsn: '" + dsn + "'}]\ndestinations: [{type: csv, filePath: gst.csv}]\n"
}

// A job of the store counts as it is when a trigger names it. A version that cannot be used keeps the last good one,
// also where this host lacks a variable, until it can be used.
func TestJobsOfTheStore(t *testing.T) {
	env := t.TempDir()
	m := newMemJobs(t, "", env)
	m.look(t.Context())
	if _, err := m.find("gst"); err == nil || !strings.Contains(err.Error(), `there is no job "gst" in the store; there are none`) {
		t.Errorf("of an empty store it says %v", err)
	}
	query := func(want string) {
		t.Helper()
		def, err := m.find("gst")
		if err != nil {
			t.Fatal(err)
		}
		if got := def.Job.Connections[0].Queries[0].SQL; got != want {
			t.Errorf("the job asks %s, want %s", got, want)
		}
	}
	m.put("gst", yamlJob("gst", "select 1", "a.db"))
	query("select 1")
	if got := m.heard(); !strings.Contains(got, "job gst: store:gst (version 1), 1 connection") || m.count() != 1 {
		t.Errorf("%d jobs; it says %s", m.count(), got)
	}
	m.put("gst", yamlJob("gst", "select 2", "a.db"))
	query("select 2")
	m.put("gst", yamlJob("gst", "select 3", "${BRANCH_A}"))
	query("select 2")
	if got := m.heard(); !strings.Contains(got, "${BRANCH_A} is not set") || !strings.Contains(got, "is served as version 2 says") {
		t.Errorf("of a variable that is missing it says %s", got)
	}
	m.look(t.Context())
	if got := m.heard(); got != "" {
		t.Errorf("it says again %s", got)
	}
	if got := m.list()["gst"]; !strings.Contains(got.problem, "BRANCH_A") || got.path != "store:gst (version 3)" {
		t.Errorf("the page has %+v", got)
	}
	if err := os.WriteFile(filepath.Join(env, ".env"), []byte("BRANCH_A=a.db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	query("select 3")
	m.put("gst", yamlJob("other", "select 4", "a.db"))
	query("select 3")
	e, err := checkpoint.NewJobDefinitions(m.kv).Edit(t.Context(), "gst")
	if err == nil {
		err = e.Remove(t.Context(), checkpoint.Hand{By: "bob@pc"})
	}
	if err != nil {
		t.Fatal(err)
	}
	m.heard()
	if _, err := m.find("gst"); err == nil || !strings.Contains(m.heard(), "removed from the store by bob@pc") || m.count() != 0 {
		t.Errorf("%d jobs, a removed one: %v", m.count(), err)
	}
}

// What cannot be read in the store keeps the last good version, or is named to who asks for the job.
func TestDamagedJobsOfTheStore(t *testing.T) {
	for name, c := range map[string]struct{ value, want string }{
		"a later version's": {`{"stamp":"x","version":9,"job":"gst"}`, "a later version of fanmill"},
		"no record":         {`{}`, "cannot be read"},
	} {
		m := newMemJobs(t, "", t.TempDir())
		key := checkpoint.JobDefinitionKey("gst")
		if _, err := m.kv.Put(t.Context(), key, []byte(c.value)); err != nil {
			t.Fatal(err)
		}
		if _, err := m.find("gst"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		_ = m.kv.Delete(t.Context(), key)
		m.put("gst", yamlJob("gst", "select 1", "a.db"))
		if _, err := m.find("gst"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.kv.Put(t.Context(), key, []byte(c.value)); err != nil {
			t.Fatal(err)
		}
		m.heard()
		if _, err := m.find("gst"); err != nil || !strings.Contains(m.heard(), "served as version 1 says") {
			t.Errorf("%s, after a good one: %v", name, err)
		}
	}
	m := newMemJobs(t, "", t.TempDir())
	m.put("gst", yamlJob("gst", "select 1", "a.db"))
	_ = m.kv.RemoveAll(t.Context(), checkpoint.JobDefinitionKey("gst")+".*")
	if _, err := m.find("gst"); err == nil || !strings.Contains(err.Error(), "it is gone") {
		t.Errorf("of a text that is gone it says %v", err)
	}
}

// A store that cannot be asked refuses no trigger: it comes again.
func TestStoreThatDoesNotAnswer(t *testing.T) {
	m := newMemJobs(t, "", t.TempDir())
	m.stored.open(deafKV{m.kv}, nil)
	if _, err := m.find("gst"); !errors.Is(err, pipeline.ErrTransient) {
		t.Errorf("it says %v", err)
	}
}

type deafKV struct{ pipeline.KV }

func (deafKV) Get(context.Context, string) (pipeline.KVEntry, error) {
	return pipeline.KVEntry{}, memstore.ErrLost
}

// A job that stands in the folder and in the store is served from neither, and both are named, once.
func TestJobInFolderAndStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gst.yaml")
	if err := os.WriteFile(path, []byte(yamlJob("gst", "select 1", "a.db")), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMemJobs(t, dir, t.TempDir())
	m.put("gst", yamlJob("gst", "select 2", "a.db"))
	m.put("sales", yamlJob("sales", "select 3", "a.db"))
	m.look(t.Context())
	want := path + ` and store:gst (version 1) both have the id "gst"`
	if got := m.heard(); strings.Count(got, want) != 1 || m.count() != 1 {
		t.Errorf("%d jobs; it says %s", m.count(), got)
	}
	m.look(t.Context())
	if got := m.heard(); got != "" {
		t.Errorf("it says again %s", got)
	}
	if _, err := m.find("gst"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("of the job it says %v", err)
	}
	if _, err := m.find("sales"); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if def, err := m.find("gst"); err != nil || def.Job.Connections[0].Queries[0].SQL != "select 2" {
		t.Errorf("without the file: %v", err)
	}
	for _, id := range []string{"gst", "SALES"} { // no trigger may bring along a job of this id
		if m.serves(id) == "" {
			t.Errorf("%s counts as not served", id)
		}
	}
}

func TestJobsFrom(t *testing.T) {
	for _, c := range []struct {
		values []string
		dir    string
		store  bool
		bad    bool
	}{
		{[]string{"jobs"}, "jobs", false, false}, {[]string{"store"}, "", true, false}, {[]string{"./store"}, "./store", false, false},
		{[]string{`D:\fanmill\jobs`, "store"}, `D:\fanmill\jobs`, true, false}, {[]string{"a", "b"}, "", false, true}, {[]string{""}, "", false, true},
	} {
		if dir, store, err := jobsFrom(c.values); dir != c.dir || store != c.store || (err != nil) != c.bad {
			t.Errorf("%v: %s, %v, %v", c.values, dir, store, err)
		}
	}
}
