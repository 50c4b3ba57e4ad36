package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

const lastMonth = "last month's rows\r\n"

// appending is a world whose run appends to lastMonth.
func appending(t *testing.T) *world {
	w := newWorld(t)
	w.appends, w.base = true, lastMonth
	w.put(lastMonth)
	return w
}

func (w *world) clean(keepPrevious bool) {
	w.t.Helper()
	a := w.open()
	if _, err := a.Clean(keepPrevious); err != nil {
		w.t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// finish takes the run to its end.
func (w *world) finish() {
	w.t.Helper()
	if step, _, err := w.dieAt(0); err != nil {
		w.t.Fatalf("at %q: %v", step, err)
	}
}

// marked reports whether the run's baseline is fixed.
func (w *world) marked() bool {
	return exists(filepath.Join(w.dir, ".fanmill", "sales.csv", "baseline.json"))
}

// old makes the public file old enough for its time to prove that nobody has changed it.
func (w *world) old() {
	w.t.Helper()
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(w.path, then, then); err != nil {
		w.t.Fatal(err)
	}
}

// Complete runs one after the other: each one's file is what the next one's rows follow.
func TestAppendRunAfterRun(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		w := newWorld(t)
		w.appends, w.noLinks = true, noLinks // no file yet: the first run's baseline is empty
		for n := range 3 {
			w.runID, w.record = fmt.Sprintf("run%d", n), nil
			w.finish()
			w.clean(false)
			w.base = w.whole()
			w.wantFile(w.path, w.base)
			w.wantNames("sales.csv", "sales.csv.manifest.json")
			w.old()
		}
		if got, want := len(w.base), 3*len(newWorld(t).whole()); got != want {
			t.Errorf("%d bytes, want %d", got, want)
		}
	}
}

// Until the first commit is public readers see the baseline; it is kept beside the file until the run is complete.
func TestAppendPublishesWithTheFirstCommit(t *testing.T) {
	w := appending(t)
	a := w.open()
	ctx := context.Background()
	state, err := a.Claim(ctx, w.claim(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if state.Baseline == nil || state.Length != int64(len(lastMonth)) || *state.Baseline != (artifact.Print{Length: state.Length, SHA256: state.SHA256}) {
		t.Fatalf("state %+v", state)
	}
	if err := a.Adopted(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, lastMonth)
	commit(t, a, "one\r\n")
	w.wantFile(w.path, lastMonth+"one\r\n")
	w.wantFile(w.path+".previous", lastMonth)
	a.Die()
}

// Invariants 2 and 3 for a run that appends, with a death between any two operations on files, whatever a user does then: the
// resumed run ends with baseline and rows, each once, and the next run goes on after them.
func TestAppendDeathThenResume(t *testing.T) {
	appendDeaths(t, [][2]bool{{false, false}, {false, true}, {true, false}}, func(w *world, _ string) {})
}

// Starting over after such a death returns to the baseline, whether or not the abandoned run could be cleaned up.
func TestAppendDeathThenFreshStart(t *testing.T) {
	for _, cleaned := range []bool{true, false} {
		t.Run(fmt.Sprintf("cleaned=%t", cleaned), func(t *testing.T) {
			appendDeaths(t, [][2]bool{{false, cleaned}}, func(w *world, step string) {
				complete := step == "all done" // as far as this file is concerned
				if cleaned {
					w.clean(true)
				} else if complete {
					text, _ := os.ReadFile(w.path)
					w.base = string(text)
				}
				w.runID, w.record = "run2", nil
			})
		})
	}
}

// appendDeaths dies at every step on file systems without links and with a compact final form, as each of variants says.
func appendDeaths(t *testing.T, variants [][2]bool, then func(w *world, step string)) {
	for _, v := range variants {
		for name, act := range meanwhile {
			t.Run(fmt.Sprintf("links=%t,compact=%t,user %s", !v[0], v[1], name), func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					w := appending(t)
					w.noLinks, w.compact = v[0], v[1]
					if !appendDeathAt(w, n, act, then, name == "saves all of it") {
						if n < 30 {
							t.Fatalf("only %d steps were reached", n)
						}
						return
					}
					_ = os.RemoveAll(w.dir)
				}
			})
		}
	}
}

func appendDeathAt(w *world, n int, act func(*world) string, then func(*world, string), inPlace bool) bool {
	step, dead, err := w.dieAt(n)
	if err != nil {
		w.t.Fatalf("before step %d: %v", n, err)
	}
	if !dead {
		return false
	}
	w.wantReadable(lastMonth)
	users := act(w)
	if !w.marked() { // nothing is begun: whatever stands there now is the baseline
		text, _ := os.ReadFile(w.path)
		w.base = string(text)
	}
	then(w, step)
	_, _, err = w.dieAt(0)
	if errors.Is(err, pipeline.ErrLost) && inPlace {
		w.record = nil
		_, _, err = w.dieAt(0)
	}
	if err != nil {
		w.t.Fatalf("after step %d (%s): %v", n, step, err)
	}
	w.wantFile(w.path, w.whole())
	if users != "" && !strings.HasPrefix(w.base, users) && !w.holds(users) {
		w.t.Fatalf("step %d (%s): the user's file is gone; there are %q", n, step, w.names())
	}
	w.clean(false)
	want := []string{"sales.csv", "sales.csv.manifest.json"}
	if users != "" && w.base != users {
		want = append(want, "sales (edited).csv")
	}
	w.wantNames(want...)
	return true
}

// Any number of unfinished runs one over the other, and their baseline is still the first one's.
func TestAppendAbandonedAgainAndAgain(t *testing.T) {
	w := appending(t)
	for n := range 12 {
		w.runID, w.record = fmt.Sprintf("run%d", n), nil
		if _, dead, err := w.dieAt(25 + n); err != nil || !dead {
			t.Fatal(dead, err)
		}
		if n%2 == 0 {
			w.clean(true)
		}
	}
	w.runID, w.record = "last", nil
	w.finish()
	w.clean(false)
	w.wantFile(w.path, w.whole())
	w.wantNames("sales.csv", "sales.csv.manifest.json")
}

// A complete run that could not be cleaned up is never undone.
func TestAppendAfterCompleteRunThatWasNotCleaned(t *testing.T) {
	w := appending(t)
	w.finish()
	w.base, w.runID, w.record = w.whole(), "run2", nil
	w.finish()
	w.wantFile(w.path, w.whole())
}

// A baseline is taken in one piece: what changes while it is copied is not one.
func TestAppendBaselineChangesWhileCopied(t *testing.T) {
	w := appending(t)
	a := w.open()
	n := 0
	a.OnStep(func(step string) {
		if step == "copying baseline" {
			n++
			w.saveInto("", fmt.Sprint(n))
		}
	})
	_, err := a.Claim(context.Background(), w.claim(), nil, nil)
	if !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "another program") || n < 2 {
		t.Errorf("after %d changes: %v", n, err)
	}
	a.Die()
	if w.marked() {
		t.Error("a baseline was fixed")
	}
}

// The sink sees the baseline before anything follows it, once, and may refuse it: then everything stays as it is.
func TestAppendInspect(t *testing.T) {
	w := appending(t)
	foreign := errors.New("not ours")
	var saw []string
	w.inspect = func(r io.ReaderAt, size int64) error {
		b := make([]byte, size)
		if _, err := r.ReadAt(b, 0); err != nil && err != io.EOF {
			t.Error(err)
		}
		saw = append(saw, string(b))
		return pipeline.Permanent(foreign)
	}
	a := w.open()
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); !errors.Is(err, foreign) || !pipeline.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	a.Die()
	w.wantFile(w.path, lastMonth)
	if w.marked() {
		t.Error("a refused baseline was fixed")
	}
	w.clean(true)
	w.wantNames("sales.csv")

	inner := w.inspect
	w.inspect = func(r io.ReaderAt, size int64) error { _ = inner(r, size); return nil }
	if _, _, err := w.dieAt(30); err != nil {
		t.Fatal(err)
	}
	w.finish()
	if len(saw) != 2 || saw[0] != lastMonth || saw[1] != lastMonth {
		t.Errorf("it saw %q", saw)
	}
}

// A baseline that somebody removed or changed is missed loudly, and nothing is guessed.
func TestAppendBaselineGone(t *testing.T) {
	for _, spoil := range []func(path string) error{os.Remove, func(path string) error { return os.WriteFile(path, []byte("x"), 0o666) }} {
		w := appending(t)
		if _, _, err := w.dieAt(35); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(w.dir, ".fanmill", "sales.csv", "baseline.????????????????"))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		if err := spoil(files[0]); err != nil {
			t.Fatal(err)
		}
		w.runID, w.record = "run2", nil
		before, _ := os.ReadFile(w.path)
		if _, _, err := w.dieAt(0); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "sales.csv.previous") {
			t.Errorf("got %v", err)
		}
		w.wantFile(w.path, string(before))
		w.wantFile(w.path+".previous", lastMonth)
	}
}

// A run that replaces the file has nothing to do with what an unfinished one appended to.
func TestReplaceAfterUnfinishedAppend(t *testing.T) {
	w := appending(t)
	if _, _, err := w.dieAt(35); err != nil {
		t.Fatal(err)
	}
	w.appends, w.base, w.runID, w.record = false, "", "run2", nil
	if _, dead, err := w.dieAt(35); err != nil || !dead {
		t.Fatal(dead, err)
	}
	if w.marked() {
		t.Error("there is still a baseline")
	}
	w.finish()
	w.clean(false)
	w.wantFile(w.path, w.whole())
	w.wantNames("sales.csv", "sales.csv.manifest.json")
}
