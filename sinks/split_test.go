package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/sinks/sinktest"
)

// A file per connection, each with its own columns, whatever the groups they are committed in; a failed one gets a
// report only.
func TestSplit(t *testing.T) {
	for _, group := range []int{1, 3, 10} {
		w := newSplitWorld(t, t.TempDir(), 10, group)
		w.failed = 4
		if err := w.deliver(noStep); err != nil {
			t.Fatal(err)
		}
		w.exact()
		var r pipeline.Report
		raw, err := os.ReadFile(w.path(4) + ".manifest.json")
		if err != nil || json.Unmarshal(raw, &r) != nil || len(r.Connections) != 1 || r.Connections[0].Error != "no route to host" {
			t.Errorf("the report of the failed one: %s, %v", raw, err)
		}
		if _, err := os.Stat(w.path(4)); err == nil {
			t.Error("the failed one has a file")
		}
		w.clean(false)
		if names := w.names(); len(names) != 19 {
			t.Errorf("the folder holds %q", names)
		}
	}
}

// died is what ends a process at a step.
type died struct{}

// A thousand connections that are committed together: the record stays far below a megabyte, and few files are open
// at any time.
func TestSplitThousandConnections(t *testing.T) {
	w := newSplitWorld(t, sinktest.Folder(t), 1000, 1000)
	largest, most := 0, 0
	err := w.deliver(func(string) {
		raw, err := json.Marshal(w.record.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(raw))
		if handles, err := os.ReadDir("/proc/self/fd"); err == nil {
			most = max(most, len(handles))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the largest state has %d bytes; up to %d handles", largest, most)
	if largest > 300<<10 {
		t.Errorf("the largest state has %d bytes", largest)
	}
	if most > 200 {
		t.Errorf("%d handles", most)
	}
	w.exact()
	w.clean(false)
	w.onlyFiles()
}

// What is final is one short line of the record, and its private files are gone while the run goes on.
func TestSplitDoneIsSmall(t *testing.T) {
	w := newSplitWorld(t, t.TempDir(), 6, 1)
	commits := 0
	err := w.deliver(func(step string) {
		if step != "published" {
			return
		}
		if commits++; commits == 5 {
			var st struct {
				Done  map[int]json.RawMessage `json:"done"`
				Files map[int]json.RawMessage `json:"files"`
			}
			if err := json.Unmarshal(w.record.Artifact, &st); err != nil {
				t.Fatal(err)
			}
			if len(st.Done) != 3 || len(st.Files) != 2 || len(st.Done[0]) > 50 {
				t.Errorf("the record: %s", w.record.Artifact)
			}
			for i := range 3 {
				if _, err := os.Stat(filepath.Join(w.dir, "out", ".fanmill", filepath.Base(w.path(i)))); err == nil {
					t.Errorf("the private files of %d are still there", i)
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A user's doings: a file that is not final is published again and the user's kept; one that is final is the user's.
func TestSplitUserActs(t *testing.T) {
	w := newSplitWorld(t, t.TempDir(), 4, 1)
	commits := 0
	err := w.deliver(func(step string) {
		if step != "stage recorded" {
			return
		}
		switch commits++; commits {
		case 2: // 0 is committed and will get its final form now
			if err := os.WriteFile(w.path(0)+".tmp", []byte("mine"), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(w.path(0)+".tmp", w.path(0)); err != nil {
				t.Fatal(err)
			}
		case 3: // 1 is committed
			if err := os.Remove(w.path(1)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.exact()
	if text, err := os.ReadFile(filepath.Join(w.dir, "out", "Branch_000 (edited).csv")); err != nil || string(text) != "mine" {
		t.Errorf("the user's file: %q, %v", text, err)
	}
	w.clean(false)
	w.onlyFiles("Branch_000 (edited).csv")

	w = newSplitWorld(t, t.TempDir(), 4, 1)
	commits = 0
	err = w.deliver(func(step string) {
		if step == "published" {
			if commits++; commits == 3 { // 0 is done
				if err := os.WriteFile(w.path(0), []byte("mine"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(w.path(0)); err != nil || string(text) != "mine" {
		t.Errorf("a final file that the user changed: %q, %v", text, err)
	}
}

// Starting over: the files of the run before are replaced, and kept until the fresh run is complete; appended rows go.
func TestSplitFreshOverAbandoned(t *testing.T) {
	for _, mode := range []string{"replace", "append"} {
		w := newSplitWorld(t, t.TempDir(), 5, 2)
		w.mode = mode
		func() {
			defer func() { _ = recover() }()
			steps := 0
			_ = w.deliver(func(step string) {
				if step == "published" {
					if steps++; steps == 2 {
						panic(died{})
					}
				}
			})
		}()
		w.clean(true)
		w.run, w.record = "run2", splitRecord{}
		if err := w.deliver(noStep); err != nil {
			t.Fatal(err)
		}
		w.exact()
		w.clean(false)
		w.onlyFiles()
	}
}

// Files grow run by run.
func TestSplitAppends(t *testing.T) {
	w := newSplitWorld(t, t.TempDir(), 3, 2)
	w.mode = "append"
	for n := range 3 {
		w.run, w.record = fmt.Sprintf("run%d", n), splitRecord{}
		if err := w.deliver(noStep); err != nil {
			t.Fatal(err)
		}
		w.clean(false)
	}
	for i := range 3 {
		text, err := os.ReadFile(w.path(i))
		if err != nil || strings.Count(string(text), "\r\n") != 7 || strings.Count(string(text), "id,") != 1 {
			t.Errorf("%q, %v", text, err)
		}
	}
	w.onlyFiles()
}

// Trouble with one connection's file is that connection's.
func TestSplitTurnsOneAway(t *testing.T) {
	w := newSplitWorld(t, t.TempDir(), 3, 1)
	w.mode = "append"
	if err := os.Mkdir(filepath.Join(w.dir, "out"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path(1), []byte("something;else\r\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := w.sink()
	claim(t, s, nil)
	defer s.Close()
	o := opening(w.columns(1))
	var turned *pipeline.RejectError
	if _, err := s.Open(context.Background(), pipeline.PartID{Connection: 1, Attempt: 1}, &o, nil, nil); !errors.As(err, &turned) || !strings.Contains(turned.Reason, "Branch_001.csv") {
		t.Errorf("got %v", err)
	}
	o = opening(w.columns(0))
	if _, err := s.Open(context.Background(), pipeline.PartID{Connection: 0, Attempt: 1}, &o, nil, nil); err != nil {
		t.Errorf("the other: %v", err)
	}

	w = newSplitWorld(t, t.TempDir(), 3, 1)
	if err := os.MkdirAll(w.path(1), 0o777); err != nil {
		t.Fatal(err)
	}
	s = w.sink()
	claim(t, s, nil)
	defer s.Close()
	o = opening(w.columns(1))
	if _, err := s.Open(context.Background(), pipeline.PartID{Connection: 1, Attempt: 1}, &o, nil, nil); !errors.As(err, &turned) || !strings.Contains(turned.Reason, "Branch_001.csv is a folder") {
		t.Errorf("a folder of its name: %v", err)
	}
}

// A file that an earlier run left in the place of a connection that is missing stays, and is named: in the log, and
// in the report beside it.
func TestSplitNamesStaleFiles(t *testing.T) {
	for _, mode := range []string{"replace", "append"} {
		w := newSplitWorld(t, t.TempDir(), 4, 2)
		w.mode = mode
		if err := w.deliver(noStep); err != nil {
			t.Fatal(err)
		}
		w.clean(false)
		yesterday, err := os.ReadFile(w.path(2))
		if err != nil {
			t.Fatal(err)
		}
		then := time.Date(2026, 11, 22, 18, 45, 0, 0, time.UTC)
		if err := os.Chtimes(w.path(2), then, then); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		w.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		w.run, w.record, w.failed = "run2", splitRecord{}, 2
		if err := w.deliver(noStep); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(w.path(2)); err != nil || string(text) != string(yesterday) {
			t.Errorf("mode %s: yesterday's file holds %q (%v)", mode, text, err)
		}
		var r pipeline.Report
		raw, err := os.ReadFile(w.path(2) + ".manifest.json")
		want := []string{"the file holds nothing of this run: it was last written 2026-11-22 18:45 UTC"}
		if err != nil || json.Unmarshal(raw, &r) != nil || r.Run != "run2" || !slices.Equal(r.Connections[0].Notes, want) {
			t.Errorf("mode %s: the report beside it: %s (%v)", mode, raw, err)
		}
		if n := strings.Count(log.String(), "Branch_002.csv (last written 2026-11-22 18:45 UTC)"); n != 1 || strings.Contains(log.String(), "Branch_001") {
			t.Errorf("mode %s: the log: %s", mode, log.String())
		}
	}
}

// An owner that was replaced publishes nothing more, and says so.
func TestSplitFenced(t *testing.T) {
	w := newSplitWorld(t, t.TempDir(), 2, 1)
	ctx := context.Background()
	old := w.sink()
	claim(t, old, nil)
	o := opening(w.columns(0))
	p, err := old.Open(context.Background(), pipeline.PartID{Attempt: 1}, &o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.add(p, 0, 0)
	w.add(p, 0, 1)
	if _, err := p.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	staged, err := old.Stage(ctx, []pipeline.Part{p}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := w.sink()
	claim(t, next, staged.State) // publishes what was committed
	defer next.Close()
	if text, err := os.ReadFile(w.path(0)); err != nil || string(text) != w.whole(0) {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := old.Release(ctx, nil, w.report(pipeline.RecordOpen), false); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the old owner: %v", err)
	}
}

// Files and connections belong together; the schema is asked for where there is one file.
func TestSplitTypes(t *testing.T) {
	kinds := sinks.Kinds()
	m := &pipeline.Manifest{Connections: make([]pipeline.ManifestConnection, 2)}
	if _, err := kinds["csv"].New(pipeline.SinkSpec{Manifest: m, Destination: &pipeline.ManifestDestination{Files: []string{"a"}}}); !pipeline.IsPermanent(err) {
		t.Errorf("one file for two connections: %v", err)
	}
	one := func(kind string, files []string) bool {
		return kinds[kind].OneSchema(&pipeline.ManifestDestination{Files: files})
	}
	if !one("csv", nil) || one("csv", []string{"a"}) || one("excel", nil) {
		t.Error("wrong about who has one schema")
	}
}
