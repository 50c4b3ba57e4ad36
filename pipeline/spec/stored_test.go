package spec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// world is a job, the manifest of its run, and the store that has both.
type world struct {
	t   *testing.T
	kv  *memstore.KV
	job *pipeline.Job
	m   *pipeline.Manifest
}

func newWorld(t *testing.T, connections int) *world {
	w := &world{t: t, kv: &memstore.KV{}}
	w.job = &pipeline.Job{ID: "job", Name: "Job", TimeZone: "Asia/Kolkata", Retry: pipeline.Retry{Attempts: 4, Backoff: 5, Max: 6}, MaxDuration: 7, OnOverlap: pipeline.OverlapSkip,
		OnUnfinished: pipeline.UnfinishedResume, OnDrift: pipeline.DriftSkip, ParallelPerHost: 8, Snapshot: true,
		Destinations: []pipeline.Destination{{ID: "d", Type: "memory", FilePath: "{date}.csv", Mode: "append", Options: json.RawMessage(`{"a":1}`)}}}
	for i := range connections {
		id := fmt.Sprintf("c%d", i)
		w.job.Connections = append(w.job.Connections, pipeline.Connection{ID: id, Name: strings.ToUpper(id), Driver: "fake", DSN: "${DSN_" + id + "}",
			Queries: []pipeline.Query{{Name: "one", SQL: "select <1> & 'é'"}, {Name: "two", SQL: "select '" + id + "'"}}})
	}
	w.manifest()
	return w
}

// manifest makes that of a run of the job as it is.
func (w *world) manifest() {
	w.t.Helper()
	var err error
	w.m, err = pipeline.NewManifest(w.job, "r", time.Unix(1, 0).UTC(), 1<<20, nil, []pipeline.ManifestDestination{{ID: "d", Type: "memory", Path: "2026.csv", Mode: "append", Options: json.RawMessage(`{"a":1}`)}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.m.Params = []pipeline.Arg{{Name: "from", Type: pipeline.ArgDate, Text: "2026-11-30"}}
}

func (w *world) store(incarnation int, epoch uint64, held func(*pipeline.Connection) bool) error {
	w.t.Helper()
	s, err := spec.New(w.job, w.m, held)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.Store(w.t.Context(), w.kv, "r", incarnation, epoch)
}

func (w *world) mustStore(incarnation int, epoch uint64) {
	w.t.Helper()
	if err := w.store(incarnation, epoch, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) load(incarnation int) *spec.Stored {
	w.t.Helper()
	s, err := spec.Load(w.t.Context(), w.kv, "r", incarnation)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// What is stored is all that the run needs of its job: who resumes by it resumes what ran.
func TestStoredSpecificationIsTheJob(t *testing.T) {
	w := newWorld(t, 3)
	w.mustStore(0, 1)
	jobs := &spec.Jobs{}
	def := w.load(0).Definition(w.m, jobs)
	want := *w.job
	want.Destinations = []pipeline.Destination{{ID: "d", Type: "memory", FilePath: "2026.csv", Mode: "append", Options: json.RawMessage(`{"a":1}`)}}
	if !reflect.DeepEqual(def.Job, &want) {
		t.Errorf("the job was %+v, is %+v", &want, def.Job)
	}
	paths, err := def.Resolve("r", time.Now())
	if err != nil || !reflect.DeepEqual(paths, w.m.Destinations) {
		t.Errorf("destinations are %+v, %v", paths, err)
	}
	params, err := def.Params(map[string]any{"from": "1999-01-01"}, time.Now())
	if err != nil || !reflect.DeepEqual(params, w.m.Params) {
		t.Errorf("params are %+v, %v", params, err)
	}
	kinds := map[string]*pipeline.SinkKind{"memory": {Name: "memory"}}
	merged, changed, err := spec.Merge(def, w.m, pipeline.Trigger{Connections: []string{"c1"}}, kinds, []checkpoint.CommitRecord{{Settled: map[int]pipeline.Settlement{0: {}}}})
	if err != nil || len(changed) > 0 || !reflect.DeepEqual(merged, w.m) {
		t.Errorf("resumed it is %+v, %v, %v", merged, changed, err)
	}
}

// R8: 1,000 connections with texts of 4 KB that differ fit, in values that every server takes; one text of all is
// stored once. A resume that changes nothing writes a head, and one that changes a query little more.
func TestSpecificationOfManyConnections(t *testing.T) {
	w := newWorld(t, 1000)
	random := rand.New(rand.NewPCG(1, 2))
	common := "select 'common' " + strings.Repeat("x", 4<<10)
	for i := range w.job.Connections {
		var own strings.Builder
		for own.Len() < 4<<10 {
			fmt.Fprintf(&own, "%x", random.Uint64())
		}
		w.job.Connections[i].Queries = []pipeline.Query{{Name: "one", SQL: common}, {Name: "two", SQL: own.String()}}
	}
	w.manifest()
	w.mustStore(0, 1)
	bytes, times := 0, 0
	for key, e := range w.kv.Entries {
		bytes += len(e.Value)
		times += strings.Count(string(e.Value), common)
		if len(e.Value) > 100<<10 {
			t.Errorf("%s has %d bytes", key, len(e.Value))
		}
	}
	if times != 1 {
		t.Errorf("the common text stands there %d times", times)
	}
	if writes := w.kv.Rev; writes > 80 || bytes > 5<<20 {
		t.Errorf("%d writes of %d bytes", writes, bytes)
	}
	loaded := w.load(0)
	for i, c := range w.job.Connections {
		got, held, err := loaded.Connection(c.ID)
		if err != nil || held || !reflect.DeepEqual(got.Queries, c.Queries) || got.DSN != c.DSN {
			t.Fatalf("connection %d is %+v, %v, %v", i, got, held, err)
		}
	}
	before := w.kv.Rev
	w.mustStore(1, 2)
	if n := w.kv.Rev - before; n != 1 {
		t.Errorf("a resume that changes nothing writes %d keys", n)
	}
	w.job.Connections[500].Queries[1].SQL = "select 'changed'"
	w.manifest()
	before = w.kv.Rev
	w.mustStore(2, 3)
	if n := w.kv.Rev - before; n > 70 {
		t.Errorf("a resume that changes a query writes %d keys", n)
	}
	if c, _, err := w.load(2).Connection("c500"); err != nil || c.Queries[1].SQL != "select 'changed'" || c.Queries[0].SQL != common {
		t.Errorf("%+v, %v", c, err)
	}
	if c, _, err := w.load(1).Connection("c500"); err != nil || c.Queries[1].SQL == "select 'changed'" {
		t.Errorf("the earlier incarnation has %+v, %v", c, err)
	}
}

// Of two that resume a run at once, the one that owns it has the last word, in whatever order they write, and whatever
// answers get lost. Who wakes later changes nothing.
func TestOwnersSpecificationStays(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := newWorld(t, 2)
		if lost {
			n := 0
			w.kv.Lose = func() (happens, lost bool) { n++; return n%3 != 1, n%2 == 1 }
		}
		put := func(incarnation int, epoch uint64) (err error) {
			for range 5 { // parts are written again by who resumes again
				if err = w.store(incarnation, epoch, nil); err == nil || errors.Is(err, pipeline.ErrFenced) {
					return err
				}
			}
			return err
		}
		w.job.Retry.Attempts = 1
		if err := put(1, 5); err != nil { // and ended before the run's record said so
			t.Fatal(err)
		}
		w.job.Retry.Attempts = 2
		if err := put(1, 7); err != nil {
			t.Fatal(err)
		}
		w.job.Retry.Attempts = 3
		if err := put(1, 6); !errors.Is(err, pipeline.ErrFenced) {
			t.Errorf("the former owner answers %v", err)
		}
		if got := w.load(1).Retry().Attempts; got != 2 {
			t.Errorf("the specification is that of %d", got)
		}
	}
}

// A resume that ended between its manifest and the run's record: who goes on by itself takes the specification that is
// the manifest's.
func TestSpecificationOfTheManifest(t *testing.T) {
	w := newWorld(t, 2)
	w.mustStore(0, 1)
	old := w.m
	w.job.Connections = append(w.job.Connections, pipeline.Connection{ID: "new", Driver: "fake", Queries: []pipeline.Query{{SQL: "select"}}})
	w.manifest()
	w.mustStore(1, 2)
	for name, c := range map[string]struct {
		m    *pipeline.Manifest
		want int
	}{"its manifest was not written": {old, 2}, "its manifest was": {w.m, 3}} {
		s, err := spec.LoadFor(t.Context(), w.kv, c.m, 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := len(s.Definition(c.m, &spec.Jobs{}).Job.Connections); n != c.want {
			t.Errorf("%s: %d connections", name, n)
		}
	}
	w.job.Connections[0].Queries[0].SQL = "another"
	w.manifest()
	if _, err := spec.LoadFor(t.Context(), w.kv, w.m, 0); !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("a manifest that no specification fits: %v", err)
	}
	if _, err := spec.LoadFor(t.Context(), w.kv, w.m, 5); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("no specification at all: %v", err)
	}
}

// Another program damages or removes what it likes: that is said, and a resume by the job makes it whole.
func TestDamagedSpecification(t *testing.T) {
	w := newWorld(t, 2)
	w.mustStore(0, 1)
	whole := map[string][]byte{}
	for key, e := range w.kv.Entries {
		whole[key] = e.Value
	}
	for key := range whole {
		for _, value := range []string{"", "{}", `{"version":1,"texts":["x"]}`, "gone"} {
			if value == "gone" {
				_ = w.kv.Delete(t.Context(), key)
			} else if _, err := w.kv.Put(t.Context(), key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			if _, err := spec.Load(t.Context(), w.kv, "r", 0); err != nil && !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, pipeline.ErrNoKey) {
				t.Errorf("%s is %q: %v", key, value, err)
			}
			w.mustStore(0, 1)
			s, err := spec.LoadFor(t.Context(), w.kv, w.m, 0)
			if err != nil || !reflect.DeepEqual(s.Definition(w.m, &spec.Jobs{}).Job.Connections, w.job.Connections) {
				t.Errorf("%s was %q: %v", key, value, err)
			}
		}
	}
}

// What a later version of fanmill wrote beside what this one knows survives an incarnation that goes by it, and a
// specification of a higher version is left alone.
func TestUnknownMembersOfASpecification(t *testing.T) {
	w := newWorld(t, 1)
	w.mustStore(0, 1)
	key := checkpoint.SpecKey("r", 0)
	text := strings.Replace(string(w.kv.Entries[key].Value), `{`, `{"later":{"a":1},`, 1)
	if _, err := w.kv.Put(t.Context(), key, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.load(0).StoreAgain(t.Context(), w.kv, "r", 1, 2); err != nil {
		t.Fatal(err)
	}
	if got := string(w.kv.Entries[checkpoint.SpecKey("r", 1)].Value); !strings.Contains(got, `"later":{"a":1}`) || !strings.Contains(got, `"epoch":2`) {
		t.Errorf("it is %s", got)
	}
	if _, err := w.kv.Put(t.Context(), key, []byte(`{"version":9}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.store(0, 3, nil); !errors.Is(err, checkpoint.ErrLater) {
		t.Errorf("it answers %v", err)
	}
}

// An address that is held is nowhere in the store, and comes from the jobs that a process holds: the run's own first.
func TestHeldAddresses(t *testing.T) {
	w := newWorld(t, 2)
	w.job.Connections[1].DSN = "user:hidden@host"
	if err := w.store(0, 1, func(c *pipeline.Connection) bool { return c.ID == "c1" }); err != nil {
		t.Fatal(err)
	}
	for key, e := range w.kv.Entries {
		if strings.Contains(string(e.Value), "hidden") {
			t.Errorf("%s has the password: %s", key, e.Value)
		}
	}
	c, held, err := w.load(0).Connection("c1")
	if err != nil || !held || c.DSN != "" {
		t.Errorf("%+v, %v, %v", c, held, err)
	}
	jobs := &spec.Jobs{}
	if _, known := jobs.DSN("job", "c1"); known {
		t.Error("a process that does not hold the job has its address")
	}
	served := *w.job
	served.Connections = append([]pipeline.Connection(nil), w.job.Connections...)
	served.Connections[1].DSN = "served"
	jobs.Served = func(string) *spec.Definition { return &spec.Definition{Job: &served} }
	if dsn, _ := jobs.DSN("job", "c1"); dsn != "served" {
		t.Errorf("the address is %q", dsn)
	}
	letGo := jobs.Hold(&spec.Definition{Job: w.job})
	if dsn, _ := jobs.DSN("job", "c1"); dsn != "user:hidden@host" {
		t.Errorf("the address is %q", dsn)
	}
	if got := w.load(0).Definition(w.m, jobs).Job.Connections[1].DSN; got != "user:hidden@host" {
		t.Errorf("the definition has %q", got)
	}
	letGo()
	if dsn, _ := jobs.DSN("job", "c1"); dsn != "served" {
		t.Errorf("the address is %q", dsn)
	}
}

// A worker reads a run once; what stands in its place later is another run.
func TestCacheOfRuns(t *testing.T) {
	w := newWorld(t, 1)
	keep := func() {
		t.Helper()
		w.mustStore(0, 1)
		if err := checkpoint.StoreManifest(t.Context(), w.kv, w.m, func(string) []pipeline.Option { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	cache := &spec.Cache{Runs: w.kv}
	if _, err := cache.Run(t.Context(), "r", 0); !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("no run: %v", err)
	}
	keep()
	first, err := cache.Run(t.Context(), "r", 0)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := cache.Run(t.Context(), "r", 0); err != nil || again != first {
		t.Errorf("it is read again: %v", err)
	}
	w.job.Connections[0].Queries[0].SQL = "another"
	w.manifest()
	keep()
	second, err := cache.Run(t.Context(), "r", 0)
	if err != nil || second == first || second.Manifest.Birth != w.m.Birth {
		t.Errorf("%+v, %v", second, err)
	}
	_ = w.kv.RemoveAll(t.Context(), "r.>")
	if again, err := cache.Run(t.Context(), "r", 0); err != nil || again != second {
		t.Errorf("what was removed: %v", err)
	}
	for i := range 20 {
		_, _ = cache.Run(t.Context(), "r", i+1)
	}
	if _, err := cache.Run(t.Context(), "r", 0); !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("the cache has no end: %v", err)
	}
}
