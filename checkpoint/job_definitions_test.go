package checkpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

func jobText(text string) *checkpoint.JobText {
	return &checkpoint.JobText{File: "gst.json", Job: checkpoint.NewTextBody([]byte(text))}
}

func jobVersion(by string) checkpoint.JobVersion {
	return checkpoint.JobVersion{Hand: checkpoint.Hand{By: by, At: time.Date(2026, 4, 1, 9, 0, 0, 0, time.UTC)}, Name: "GST", Connections: 2, Destinations: 1}
}

// put puts a text and returns the version's number.
func put(t *testing.T, s *checkpoint.JobDefinitions, text string) int {
	t.Helper()
	e, err := s.Edit(t.Context(), "gst")
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := e.Put(t.Context(), jobVersion("ada@pc"), jobText(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// text is what the store has of a version; 0 is the one that counts.
func text(t *testing.T, s *checkpoint.JobDefinitions, n int) string {
	t.Helper()
	d, err := s.Get(t.Context(), "gst")
	if err != nil {
		t.Fatal(err)
	}
	_, v, err := d.Version(n)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Text(t.Context(), "gst", v)
	if err != nil {
		t.Fatal(err)
	}
	data, err := got.Job.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Versions count up, the last 50 are kept with their texts byte for byte, and nothing else is.
func TestJobVersions(t *testing.T) {
	kv := &memstore.KV{}
	s := checkpoint.NewJobDefinitions(kv)
	for i := 1; i <= checkpoint.KeptVersions+3; i++ {
		if n := put(t, s, fmt.Sprintf("\ufeff{} \r\n%d", i)); n != i {
			t.Fatalf("version %d of the %dth put", n, i)
		}
	}
	if n := put(t, s, fmt.Sprintf("\ufeff{} \r\n%d", checkpoint.KeptVersions+3)); n != checkpoint.KeptVersions+3 {
		t.Errorf("the same text is version %d", n)
	}
	d, err := s.Get(t.Context(), "gst")
	if err != nil || len(d.Versions) != checkpoint.KeptVersions || d.Numbers()[0] != checkpoint.KeptVersions+3 {
		t.Fatalf("%d versions, %v", len(d.Versions), err)
	}
	if got := text(t, s, 4); got != "\ufeff{} \r\n4" {
		t.Errorf("version 4 is %q", got)
	}
	if _, _, err := d.Version(3); err == nil || !strings.Contains(err.Error(), "no version 3") {
		t.Errorf("version 3: %v", err)
	}
	if len(kv.Entries) != checkpoint.KeptVersions+1 {
		t.Errorf("%d entries are in the store", len(kv.Entries))
	}
	e, err := s.Edit(t.Context(), "gst")
	if err == nil {
		err = e.Remove(t.Context(), checkpoint.Hand{By: "bob@pc"})
	}
	if err != nil {
		t.Fatal(err)
	}
	if d, err = s.Get(t.Context(), "gst"); err != nil || d.Current != 0 {
		t.Errorf("after it was removed: %+v, %v", d, err)
	}
	if _, _, err := d.Version(0); err == nil || !strings.Contains(err.Error(), "removed from the store by bob@pc") {
		t.Errorf("of a removed job: %v", err)
	}
	if n := put(t, s, "again"); n != checkpoint.KeptVersions+4 {
		t.Errorf("the next version is %d", n)
	}
	if err := s.Forget(t.Context(), "gst"); err != nil || len(kv.Entries) != 0 {
		t.Errorf("%d entries are left of a job that was forgotten, %v", len(kv.Entries), err)
	}
}

// Of two puts at the same moment one counts, and the other is told and leaves nothing.
func TestTwoPutsAtOnce(t *testing.T) {
	for _, before := range []int{0, 1} {
		kv := &memstore.KV{}
		s := checkpoint.NewJobDefinitions(kv)
		for range before {
			put(t, s, "first")
		}
		one, err := s.Edit(t.Context(), "gst")
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.Edit(t.Context(), "gst")
		if err != nil {
			t.Fatal(err)
		}
		if n, _, err := one.Put(t.Context(), jobVersion("ada@pc"), jobText("one")); n != before+1 || err != nil {
			t.Fatalf("version %d, %v", n, err)
		}
		if _, _, err := other.Put(t.Context(), jobVersion("bob@pc"), jobText("other")); !errors.Is(err, checkpoint.ErrJobMoved) ||
			!strings.Contains(err.Error(), fmt.Sprintf("(version %d, by ada@pc)", before+1)) {
			t.Fatalf("the slower one ends with %v", err)
		}
		if got := text(t, s, 0); got != "one" || len(kv.Entries) != before+2 {
			t.Errorf("the store has %q, and %d entries", got, len(kv.Entries))
		}
	}
}

// Whichever write of a put is the last that happens, the version is there whole, or not at all; what is left of it goes
// with the next put. An answer that is lost is no conflict with oneself.
func TestPutThatStopsAnywhere(t *testing.T) {
	for writes := range 4 { // the text, the definition, each not done or done unheard
		kv := &memstore.KV{}
		s := checkpoint.NewJobDefinitions(kv)
		put(t, s, "first")
		e, err := s.Edit(t.Context(), "gst")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		n := 0
		kv.Lose = func() (happens, lost bool) {
			if n++; n > writes/2 {
				stop()
				return n == writes/2+1 && writes%2 == 1, true
			}
			return true, false
		}
		_, _, err = e.Put(ctx, jobVersion("ada@pc"), jobText("second"))
		kv.Lose = nil
		if err == nil {
			t.Fatalf("stopped at write %d it has no error", writes)
		}
		want := "first"
		if writes == 3 {
			want = "second"
		}
		if got := text(t, s, 0); got != want {
			t.Errorf("stopped at write %d the store has %q", writes, got)
		}
		put(t, s, "third")
		d, _ := s.Get(t.Context(), "gst")
		if got := text(t, s, 0); got != "third" || len(kv.Entries) != len(d.Versions)+1 {
			t.Errorf("stopped at write %d, the next put leaves %q, %d entries of %d versions", writes, got, len(kv.Entries), len(d.Versions))
		}
	}
	kv := &memstore.KV{}
	s := checkpoint.NewJobDefinitions(kv)
	put(t, s, "first")
	e, err := s.Edit(t.Context(), "gst")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	kv.Lose = func() (bool, bool) { n++; return true, n == 2 }
	if number, fresh, err := e.Put(t.Context(), jobVersion("ada@pc"), jobText("second")); number != 2 || !fresh || err != nil {
		t.Errorf("with a lost answer: version %d, %v, %v", number, fresh, err)
	}
}

// A job that a later version of fanmill has put is left alone, by name; what it added to a record that this one can
// read survives a put.
func TestJobOfALaterVersion(t *testing.T) {
	kv := &memstore.KV{}
	s := checkpoint.NewJobDefinitions(kv)
	put(t, s, "first")
	key := checkpoint.JobDefinitionKey("gst")
	var members map[string]any
	if err := json.Unmarshal(kv.Entries[key].Value, &members); err != nil {
		t.Fatal(err)
	}
	members["approvedBy"] = "eve"
	members["versions"].(map[string]any)["1"].(map[string]any)["reviewed"] = true
	raw, _ := json.Marshal(members)
	if _, err := kv.Put(t.Context(), key, raw); err != nil {
		t.Fatal(err)
	}
	put(t, s, "second")
	if got := kv.Entries[key].Value; !bytes.Contains(got, []byte(`"approvedBy":"eve"`)) || !bytes.Contains(got, []byte(`"reviewed":true`)) {
		t.Errorf("after a put it is %s", got)
	}
	later := []byte(`{"stamp":"x","version":7,"job":"gst"}`)
	if _, err := kv.Put(t.Context(), key, later); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Edit(t.Context(), "gst"); !errors.Is(err, checkpoint.ErrLater) || !strings.Contains(err.Error(), key) {
		t.Errorf("an edit ends with %v", err)
	}
	if err := s.Forget(t.Context(), "gst"); !errors.Is(err, checkpoint.ErrLater) {
		t.Errorf("to forget it ends with %v", err)
	}
	var named []string
	if all, err := s.List(t.Context(), func(job string, _ error) { named = append(named, job) }); err != nil || len(all) != 0 || len(named) != 1 || named[0] != "gst" {
		t.Errorf("the list has %v and names %v, %v", all, named, err)
	}
	if !bytes.Equal(kv.Entries[key].Value, later) {
		t.Errorf("it is %s now", kv.Entries[key].Value)
	}
}

// A text that is long, or no UTF-8, comes back byte for byte; one that is damaged is named.
func TestJobTexts(t *testing.T) {
	kv := &memstore.KV{}
	s := checkpoint.NewJobDefinitions(kv)
	for _, want := range []string{"", "\xff\xfe{\x00}\x00", strings.Repeat("select 1;\r\n", 1<<20)} {
		put(t, s, want)
		if got := text(t, s, 0); got != want {
			t.Errorf("%d bytes come back as %d", len(want), len(got))
		}
	}
	d, err := s.Get(t.Context(), "gst")
	if err != nil {
		t.Fatal(err)
	}
	_, v, _ := d.Version(2)
	v.Digest = "0"
	if _, err := s.Text(t.Context(), "gst", v); !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("another text than was put: %v", err)
	}
}
