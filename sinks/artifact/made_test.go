package artifact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/outfile"
)

// aside is the n-th name of a file that fanmill did not make.
func (w *world) aside(n string) string {
	return filepath.Join(w.dir, "sales (not from fanmill"+n+").csv")
}

// night is a complete run from its start to its tidying up.
func (w *world) night(run string) {
	w.t.Helper()
	w.runID, w.record = run, nil
	w.finish()
	w.clean(false)
}

// A file that fanmill did not make is kept, wherever the run dies: once, under one name, and for good. The nights
// that follow keep no copies.
func TestForeignFileIsKept(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newWorld(t)
			w.noLinks = noLinks
			w.put("a budget of somebody's")
			_, dead, err := w.dieAt(n)
			if err == nil && dead {
				if n%2 == 0 {
					w.record, w.runID = nil, "again" // given up, and begun anew
				}
				_, _, err = w.dieAt(0)
			}
			if err != nil {
				t.Fatalf("links %t, step %d: %v", !noLinks, n, err)
			}
			w.clean(false)
			if n%6 == 1 {
				w.night("run2")
			}
			w.wantFile(w.aside(""), "a budget of somebody's")
			w.wantFile(w.path, w.whole())
			w.wantNames("sales (not from fanmill).csv", "sales.csv", "sales.csv.manifest.json")
			_ = os.RemoveAll(w.dir)
			if !dead {
				break
			}
		}
	}
}

// What fanmill made and nobody changed is the earlier file, and goes after success, whatever happened to its report's
// neighbours: another place, a run that delivered nothing and wrote its report, one that was killed between the file
// and its report, one that was given up.
func TestOwnFileIsNotForeign(t *testing.T) {
	for name, between := range map[string]func(w *world){
		"nothing": func(*world) {},
		"a failed run": func(w *world) {
			a := w.open()
			w.runID, w.record = "failed", nil
			if _, err := a.Claim(context.Background(), w.claim(), nil, nil); err != nil {
				w.t.Fatal(err)
			}
			r := w.finalReport()
			r.Connections[0].State = pipeline.ReportFailed
			if err := errors.Join(a.Publish(context.Background(), r), a.Close()); err != nil {
				w.t.Fatal(err)
			}
		},
		"a killed run":   func(w *world) { w.unfinished("killed", 2) },
		"a run given up": func(w *world) { w.unfinished("killed", 2); w.clean(true) },
		"a failed run given up": func(w *world) {
			w.unfinished("failed", 0)
			w.clean(true)
		},
		"another folder": func(w *world) {
			from := w.dir
			w.dir = w.t.TempDir()
			for _, name := range []string{"sales.csv", "sales.csv.manifest.json"} {
				if err := os.Rename(filepath.Join(from, name), filepath.Join(w.dir, name)); err != nil {
					w.t.Fatal(err)
				}
			}
			w.path = filepath.Join(w.dir, "sales.csv")
		},
	} {
		for _, compact := range []bool{false, true} {
			w := newWorld(t)
			w.compact = compact
			w.night("run1")
			between(w)
			for _, run := range []string{"run2", "run3"} {
				w.night(run)
				if names := strings.Join(w.names(), ", "); names != "sales.csv, sales.csv.manifest.json" {
					t.Errorf("%s, compact %t: after %s there are %s", name, compact, run, names)
				}
			}
		}
	}
}

// A file that somebody changed between two runs holds their work: it is kept as one that is changed during a run. So
// is one that was put over ours while our report stayed. An empty file holds the place only.
func TestChangedBetweenRuns(t *testing.T) {
	w := newWorld(t)
	w.night("run1")
	users := w.saveInto("a note", "")
	w.night("run2")
	w.wantFile(filepath.Join(w.dir, "sales (edited).csv"), users)
	w.put(users) // the same once more needs no second name
	w.night("run3")
	w.put("another's")
	w.night("run4")
	w.wantFile(filepath.Join(w.dir, "sales (edited 2).csv"), "another's")
	w.put("")
	w.night("run5")
	w.wantNames("sales (edited).csv", "sales (edited 2).csv", "sales.csv", "sales.csv.manifest.json")
}

// A report that is no report, and one that speaks of other bytes, vouch for nothing.
func TestForeignBesideStrangeReports(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "{", "something else's": `{"sha256": "x"}`, "empty": "", "a list": "[]",
	} {
		w := newWorld(t)
		w.put("theirs")
		if err := os.WriteFile(w.path+".manifest.json", []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		w.night("run1")
		if got, err := os.ReadFile(w.aside("")); err != nil || string(got) != "theirs" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Rows are appended to whatever file it is: that one stays, as what comes first.
func TestAppendKeepsForeignFile(t *testing.T) {
	w := newWorld(t)
	w.appends, w.base = true, "theirs\r\n"
	w.put("theirs\r\n")
	w.finish()
	w.clean(false)
	w.wantFile(w.path, w.whole())
	w.wantNames("sales.csv", "sales.csv.manifest.json")
}

// The longest name that validate lets through has room for all that stands beside the file.
func TestLongestName(t *testing.T) {
	for _, ext := range []string{".csv", ""} {
		w := newWorld(t)
		w.path = filepath.Join(w.dir, strings.Repeat("n", outfile.MaxName-outfile.Companions-len(ext))+ext)
		w.put("theirs")
		w.night("run1")
		w.saveInto("x", "")
		w.night("run2")
		if err := os.WriteFile(w.path+".previous", []byte("the user's own"), 0o666); err != nil {
			t.Fatal(err)
		}
		w.night("run3")
		w.wantFile(w.path, w.whole())
		for _, content := range []string{"theirs", "the user's own", "x" + w.whole()} {
			if !w.holds(content) {
				t.Errorf("%q is not kept; there are %q", content, w.names())
			}
		}
	}
}
