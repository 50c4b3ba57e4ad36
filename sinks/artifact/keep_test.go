package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// unfinished is a run of its own that is killed after its n-th commit. Its reports are written at most once a second,
// so that the one on disk is that of the first.
func (w *world) unfinished(run string, commits int) {
	w.t.Helper()
	w.runID, w.record = run, nil
	a := w.open()
	defer a.Die()
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); err != nil {
		w.t.Fatal(err)
	}
	if err := a.Adopted(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	for n := range commits {
		if _, err := a.Append(text(fmt.Sprintf("%s, %d\r\n", run, n))); err != nil {
			w.t.Fatal(err)
		}
		if err := a.Publish(context.Background(), &pipeline.Report{Run: run, State: pipeline.RecordOpen, Connections: make([]pipeline.ReportConnection, 9)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// The last whole file outlives any number of runs that are killed and never resumed, also where their reports lag
// behind their commits, and whether or not somebody cleaned up after them.
func TestPreviousOutlivesKilledRuns(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		for _, cleaned := range []bool{false, true} {
			w := newWorld(t)
			w.noLinks = noLinks
			w.earlier("the last whole file")
			for n := range 4 {
				w.unfinished(fmt.Sprintf("killed%d", n), 1+n)
				w.wantFile(w.path+".previous", "the last whole file")
				if cleaned {
					w.clean(true)
				}
			}
			w.runID = "run9"
			w.finish()
			w.wantFile(w.path+".previous", "the last whole file")
			w.clean(false)
			w.wantFile(w.path, w.whole())
			w.wantNames("sales.csv", "sales.csv.manifest.json")
		}
	}
}

// The same where the second run dies between any two operations on files, and a third one starts over.
func TestPreviousOutlivesDeathAtEveryStep(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.earlier("the last whole file")
		w.unfinished("killed", 3)
		w.runID = "run2"
		step, dead, err := w.dieAt(n)
		if err != nil {
			t.Fatal(err)
		}
		if !dead {
			if n < 30 {
				t.Fatalf("only %d steps were reached", n)
			}
			return
		}
		w.runID, w.record = "run3", nil
		w.finish()
		if step != "all done" && !w.holds("the last whole file") {
			t.Fatalf("died at step %d (%s): the last whole file is gone; there are %q", n, step, w.names())
		}
		w.clean(false)
		w.wantFile(w.path, w.whole())
		w.wantNames("sales.csv", "sales.csv.manifest.json")
		_ = os.RemoveAll(w.dir)
	}
}

// What a user puts in the place of a killed run's file is theirs, and kept.
func TestPreviousAfterAUsersOwn(t *testing.T) {
	w := newWorld(t)
	w.earlier("the last whole file")
	w.unfinished("killed", 2)
	w.put("the user's")
	w.runID = "run2"
	w.finish()
	w.wantFile(filepath.Join(w.dir, "sales (edited).csv"), "the user's")
	w.wantFile(w.path+".previous", "the last whole file")
	w.wantFile(w.path, w.whole())
	w.clean(false)
	w.wantNames("sales (edited).csv", "sales.csv", "sales.csv.manifest.json")
}

// A complete run that nobody cleaned up after is whole: the next one keeps its file, not the one before.
func TestPreviousAfterCompleteRunThatWasNotCleaned(t *testing.T) {
	w := newWorld(t)
	w.earlier("the month before")
	w.finish()
	last := w.whole()
	w.unfinished("run2", 1)
	w.wantFile(w.path+".previous", last)
}

// A file of the user's own that has the kept file's name gets another one.
func TestUsersOwnPrevious(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newWorld(t)
			w.noLinks = noLinks
			w.earlier("last month's file")
			if err := os.WriteFile(w.path+".previous", []byte("the user's own"), 0o666); err != nil {
				t.Fatal(err)
			}
			_, dead, err := w.dieAt(n)
			if err == nil && dead {
				_, _, err = w.dieAt(0)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.wantFile(w.path+".previous", "last month's file")
			w.clean(false)
			if !w.holds("the user's own") {
				t.Fatalf("step %d: the user's own is gone; there are %q", n, w.names())
			}
			if !noLinks { // else a death may leave a name that was reserved for the copy
				w.wantNames("sales.csv", "sales.csv (edited).previous", "sales.csv.manifest.json")
			}
			_ = os.RemoveAll(w.dir)
			if !dead {
				break
			}
		}
	}
}

// A user who renames the public file, or makes a link to it, keeps what they saw: it does not grow under their hands.
func TestRenamedAndLinkedFilesStay(t *testing.T) {
	for name, take := range map[string]func(from, to string) error{"renames": os.Rename, "links": os.Link} {
		w := newWorld(t)
		a, _ := claimed(t, w)
		want := "one\r\n"
		for n := range 4 {
			kept := filepath.Join(w.dir, fmt.Sprintf("kept %d.csv", n))
			if err := take(w.path, kept); err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprintf("%d\r\n", n)
			seen := want
			for range 3 {
				commit(t, a, line)
				want += line
				w.wantFile(kept, seen)
				w.wantFile(w.path, want)
			}
		}
		if _, err := a.Finish(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := a.PublishFinal(context.Background(), nil, true); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Clean(false); err != nil {
			t.Fatal(err)
		}
		w.wantFile(filepath.Join(w.dir, "kept 0.csv"), "one\r\n")
		w.wantFile(w.path, want)
		if got := len(w.names()); got != 5 {
			t.Errorf("a user %s the file: the folder holds %q", name, w.names())
		}
	}
}

// A claim that fails, as on a full disk, leaves no copies: the next one needs no more room than it did.
func TestFailedClaimLeavesNothing(t *testing.T) {
	w := newWorld(t)
	a, state := claimed(t, w)
	a.Die()
	full, cancel := context.WithCancel(context.Background())
	cancel()
	for range 3 {
		next := w.open()
		if _, err := next.Claim(full, w.claim(), &state, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("claim: %v", err)
		}
		next.Die()
		folders, err := filepath.Glob(filepath.Join(w.dir, ".fanmill", "sales.csv", "token*"))
		if err != nil || len(folders) != 1 {
			t.Fatalf("there are %q (%v)", folders, err)
		}
	}
	next := w.open()
	defer next.Die()
	if _, err := next.Claim(context.Background(), w.claim(), &state, nil); err != nil {
		t.Fatal(err)
	}
}

// Artifacts in one folder come and go side by side: that one's cleaning up removes the folder around all does not
// disturb another.
func TestNeighboursComeAndGo(t *testing.T) {
	w := newWorld(t)
	var g errgroup.Group
	for n := range 4 {
		g.Go(func() error {
			for range 100 {
				a := artifact.New(artifact.Spec{Path: filepath.Join(w.dir, fmt.Sprintf("%d.csv", n)), StoreID: "store", Run: "run1"})
				if _, err := a.Claim(context.Background(), "token", nil, nil); err != nil {
					return err
				}
				_, err := a.Clean(false)
				if err = errors.Join(err, a.Close()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	w.wantNames()
}
