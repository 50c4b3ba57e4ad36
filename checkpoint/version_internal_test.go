package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// strange is a record of each kind with members that this program does not know, everywhere.
var strange = map[string]string{
	"run":        `{"stamp":"s","version":1,"job":"j","state":"running","owner":{"token":"a","boot":"b1"},"generation":1,"resumes":0,"started":"2026-11-30T00:00:00Z","window":{"of":3}}`,
	"connection": `{"stamp":"s","version":1,"attempt":1,"attempts":1,"owner":"a","leaseMs":1,"state":"running","started":"2026-11-30T00:00:00Z","lapses":2}`,
	"commit": `{"stamp":"s","version":1,"state":"open","log":{"stream":"S","generation":1,"created":"2026-11-30T00:00:00Z","place":"p"},"seq":4,"commits":1,` +
		`"settled":{"0":{"r":[1],"a":1,"t":1,"ms":1,"receipt":"x"},"1":{"r":[2],"a":1,"t":1,"ms":1,"receipt":"y"}},"artifact":{"n":1},"partition":7}`,
	"pointer": `{"stamp":"s","version":1,"run":"r","places":["p"]}`,
	"note":    `{"version":1,"job":"j","cancelled":true,"by":"me"}`,
}

// change loads the document, applies f, and returns its members as they are stored then.
func change[T any](t *testing.T, doc string, f func(*T)) map[string]any {
	t.Helper()
	kv := &memstore.KV{Entries: map[string]pipeline.KVEntry{"k": {Key: "k", Value: []byte(doc), Revision: 1}}, Rev: 1}
	c, err := LoadDocument[T](t.Context(), kv, "k")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // what a write has kept, the next one keeps, too
		next := c.Value()
		f(&next)
		if err := c.Write(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := LoadDocument[T](t.Context(), kv, "k"); err != nil || again.stamp != c.stamp {
		t.Fatalf("it is read again with the stamp %q, want %q: %v", again.stamp, c.stamp, err)
	}
	var out map[string]any
	if err := json.Unmarshal(kv.Entries["k"].Value, &out); err != nil {
		t.Fatal(err)
	}
	if out["version"] != 1.0 {
		t.Errorf("its version is %v", out["version"])
	}
	return out
}

// at is what stands at a path of members.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// Sequence 12: what this program does not know of a record survives its writes, at any depth, as long as the value that
// it belongs to has not changed. An owner's unknown members do not pass to the next one.
func TestUnknownMembersSurvive(t *testing.T) {
	run := change(t, strange["run"], func(r *RunRecord) { r.Resumes = 4 })
	if at(run, "window", "of") != 3.0 || at(run, "owner", "boot") != "b1" || run["resumes"] != 4.0 {
		t.Errorf("the run's record is %v", run)
	}
	run = change(t, strange["run"], func(r *RunRecord) { r.Owner = pipeline.Owner{Token: "b"} })
	if at(run, "window", "of") != 3.0 || at(run, "owner", "boot") != nil || at(run, "owner", "token") != "b" {
		t.Errorf("with another owner it is %v", run)
	}
	conn := change(t, strange["connection"], func(r *ConnRecord) { r.Attempt++ })
	if conn["lapses"] != 2.0 || conn["attempt"] != 3.0 {
		t.Errorf("the connection's record is %v", conn)
	}
	commit := change(t, strange["commit"], func(r *CommitRecord) {
		r.Settled = map[int]pipeline.Settlement{0: r.Settled[0], 1: {Rows: []int64{5}, Attempt: 2}, 2: {Rows: []int64{3}, Attempt: 1}}
	})
	if commit["partition"] != 7.0 || at(commit, "log", "place") != "p" || at(commit, "settled", "0", "receipt") != "x" ||
		at(commit, "settled", "1", "receipt") != nil || at(commit, "settled", "1", "a") != 2.0 || at(commit, "settled", "2", "a") != 1.0 {
		t.Errorf("the commit record is %v", commit)
	}
	if commit = change(t, strange["commit"], func(r *CommitRecord) { r.Settled = nil }); commit["settled"] != nil {
		t.Errorf("what was removed has come back: %v", commit)
	}
	if pointer := change(t, strange["pointer"], func(r *JobRun) { r.Run = "r2" }); pointer["places"] == nil || pointer["run"] != "r2" {
		t.Errorf("the pointer is %v", pointer)
	}
}

// A resume writes the manifest anew, with what it does not know of it.
func TestUnknownMembersOfAManifestSurvive(t *testing.T) {
	doc := `{"version":1,"run":"r","jobId":"j","jobName":"J","created":"2026-11-30T00:00:00Z","logMaxBytes":1,"partitions":[1],` +
		`"connections":[{"id":"a","name":"A","driver":"d","queries":[{"digest":"0"}]}],"destinations":[]}`
	kv := &memstore.KV{Entries: map[string]pipeline.KVEntry{"r.manifest": {Key: "r.manifest", Value: []byte(doc), Revision: 1}}}
	m, err := LoadManifest(t.Context(), kv, "r")
	if err != nil {
		t.Fatal(err)
	}
	merged := *m
	merged.OnDrift = "fail"
	if err := StoreManifest(t.Context(), kv, &merged, func(string) []pipeline.Option { return nil }); err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(kv.Entries["r.manifest"].Value, &out); err != nil || out["partitions"] == nil || out["onDrift"] != "fail" || out["version"] != 1.0 {
		t.Errorf("it is %v, %v", out, err)
	}
}

// Sequence 12: a record of a later version is neither written nor taken for damage, however little of it can be
// understood, and the message names it and what to do.
func TestLaterRecordIsNamed(t *testing.T) {
	doc := []byte(`{"version":2,"state":["a","list"],"run":{}}`)
	for name, load := range map[string]func(pipeline.KV) error{
		"run":        func(kv pipeline.KV) error { _, err := LoadDocument[RunRecord](t.Context(), kv, "k"); return err },
		"connection": func(kv pipeline.KV) error { _, err := LoadConn(t.Context(), kv, "k", "c"); return err },
		"commit": func(kv pipeline.KV) error {
			_, err := ReadCommitRecord(pipeline.KVEntry{Key: "k", Value: doc})
			return err
		},
		"pointer":  func(kv pipeline.KV) error { _, err := LoadDocument[JobRun](t.Context(), kv, "k"); return err },
		"manifest": func(kv pipeline.KV) error { _, err := LoadManifest(t.Context(), kv, "k"); return err },
		"note":     func(kv pipeline.KV) error { _, err := LoadTriggerNote(t.Context(), kv, "k"); return err },
	} {
		kv := &memstore.KV{Entries: map[string]pipeline.KVEntry{}}
		for _, key := range []string{"k", "k.manifest", "k.trigger", "k.conn.c"} {
			kv.Entries[key] = pipeline.KVEntry{Key: key, Value: doc, Revision: 1}
		}
		err := load(kv)
		if !errors.Is(err, ErrLater) || errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrConflict) || pipeline.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, word := range []string{"the record k", "its version is 2", "this program knows 1", "update fanmill on this host"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not say %q", name, err, word)
			}
		}
	}
}

// A write that finds a record of a later version says so at once, and leaves it alone; so does one in place of damage.
func TestLaterRecordIsNotOverwritten(t *testing.T) {
	kv := &memstore.KV{}
	c, err := CreateDocument(t.Context(), kv, "k", JobRun{Run: "r"})
	if err != nil {
		t.Fatal(err)
	}
	doc := []byte(`{"version":2,"run":"r"}`)
	if _, err := kv.Update(t.Context(), "k", doc, c.Revision()); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), JobRun{Run: "q"}); !errors.Is(err, ErrLater) {
		t.Errorf("a write: %v", err)
	}
	if err := c.Overwrite(t.Context(), JobRun{Run: "q"}); !errors.Is(err, ErrLater) {
		t.Errorf("a write in its place: %v", err)
	}
	if got := kv.Entries["k"].Value; !bytes.Equal(got, doc) {
		t.Errorf("it has become %s", got)
	}
}
