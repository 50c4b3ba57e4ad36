package checkpoint_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// figures are what a run that began at that minute delivered of n connections.
func figures(run string, minute, n int) map[string]pipeline.Figures {
	all := map[string]pipeline.Figures{}
	for i := range n {
		all[fmt.Sprintf("conn_%04d", i)] = pipeline.Figures{Run: run, At: time.Date(2026, 11, 30, 1, minute, 0, 0, time.UTC), Rows: []int64{int64(1000*minute + i)},
			Sums: []pipeline.Sum{{Column: "total", Value: fmt.Sprintf("%d.50", i)}}}
	}
	return all
}

// What 1,000 connections delivered is remembered with the job, whatever becomes of its runs, in parts that a store
// takes; a branch that a run lacks keeps what is known of it, and a process that slept takes nothing back.
func TestFiguresOutliveRuns(t *testing.T) {
	kv := &memstore.KV{}
	const connections = 1000
	note := func(all map[string]pipeline.Figures) {
		t.Helper()
		if err := checkpoint.NoteFigures(t.Context(), kv, "job.a", all); err != nil {
			t.Fatal(err)
		}
	}
	note(figures("one", 1, connections))
	two := figures("two", 2, connections)
	delete(two, "conn_0007")
	note(two)
	note(two)                              // again, after a crash
	note(figures("one", 1, connections))   // late
	note(map[string]pipeline.Figures(nil)) // of a run that delivered nothing
	if err := kv.RemoveAll(t.Context(), "two.>"); err != nil {
		t.Fatal(err)
	}
	want := maps.Clone(two)
	want["conn_0007"] = figures("one", 1, connections)["conn_0007"]
	got, err := checkpoint.LoadFigures(t.Context(), kv, "job.a")
	if text, wanted := asJSON(t, got), asJSON(t, want); err != nil || text != wanted {
		t.Fatalf("%v, %s, want %s", err, text, wanted)
	}
	if other, err := checkpoint.LoadFigures(t.Context(), kv, "job"); err != nil || len(other) > 0 {
		t.Errorf("another job has %v, %v", other, err)
	}
	if err := checkpoint.StoreBefore(t.Context(), kv, "three", got); err != nil {
		t.Fatal(err)
	}
	note(figures("three", 3, connections))
	before, err := checkpoint.LoadBefore(t.Context(), kv, "three")
	if err != nil || asJSON(t, before) != asJSON(t, want) {
		t.Errorf("the run is compared with %v, %v", before, err)
	}
	largest := 0
	for key, e := range kv.Entries {
		if largest = max(largest, len(e.Value)); !strings.HasPrefix(key, "job.job=2Ea.figures.") && !strings.HasPrefix(key, "three.before.") {
			t.Errorf("there is a key %s", key)
		}
	}
	if largest > 70<<10 {
		t.Errorf("a record has %d bytes", largest)
	}
	if none, err := checkpoint.LoadBefore(t.Context(), kv, "four"); err != nil || none != nil {
		t.Errorf("%v, %v", none, err)
	}
}

// What does not fit goes, the oldest first: connections that a job had once are not kept for ever.
func TestFiguresAreBounded(t *testing.T) {
	wide := func(run string, minute int) map[string]pipeline.Figures {
		all := figures(run, minute, 2000)
		for id, f := range all {
			for i := range 60 {
				f.Sums = append(f.Sums, pipeline.Sum{Column: fmt.Sprint("column ", i), Value: strings.Repeat("9", 38)})
			}
			delete(all, id)
			all[run+id] = f
		}
		return all
	}
	kv := &memstore.KV{}
	for minute, run := range []string{"one", "two", "three"} {
		if err := checkpoint.NoteFigures(t.Context(), kv, "job", wide(run, minute)); err != nil {
			t.Fatal(err)
		}
	}
	for key, e := range kv.Entries {
		if len(e.Value) > 70<<10 {
			t.Errorf("%s has %d bytes", key, len(e.Value))
		}
	}
	got, err := checkpoint.LoadFigures(t.Context(), kv, "job")
	if err != nil || len(got) < 500 {
		t.Fatalf("%d connections are left, %v", len(got), err)
	}
	for id, f := range got {
		if f.Run != "three" {
			t.Errorf("%s is of run %s", id, f.Run)
		}
	}
}

// A part that another program has written over is made anew, and costs the comparison of its connections alone.
func TestFiguresOfAForeignHand(t *testing.T) {
	kv := &memstore.KV{}
	if err := checkpoint.NoteFigures(t.Context(), kv, "job", figures("one", 1, 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "job.job.figures.3", []byte("?")); err != nil {
		t.Fatal(err)
	}
	got, err := checkpoint.LoadFigures(t.Context(), kv, "job")
	if err != nil || len(got) == 0 || len(got) == 100 {
		t.Errorf("%d connections, %v", len(got), err)
	}
	if err := checkpoint.NoteFigures(t.Context(), kv, "job", figures("two", 2, 100)); err != nil {
		t.Fatal(err)
	}
	if got, err := checkpoint.LoadFigures(t.Context(), kv, "job"); err != nil || len(got) != 100 {
		t.Errorf("%d connections, %v", len(got), err)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
