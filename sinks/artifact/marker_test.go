package artifact_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/oslock"
	"fanmill/sinks/artifact"
)

// A path is that of many hosts: what is cleaned after a run is that run's, of that store. Everything else stays, and
// whoever asked is told that nothing was seen.
func TestCleanTouchesItsOwnRunAlone(t *testing.T) {
	for _, appends := range []bool{false, true} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprintf("appends=%t,keep=%t", appends, keep), func(t *testing.T) {
				w := newWorld(t)
				w.home = "here"
				if w.appends = appends; appends {
					w.base = lastMonth
					w.put(lastMonth)
				}
				if _, dead, err := w.dieAt(30); err != nil || !dead {
					t.Fatal(dead, err)
				}
				private := filepath.Join(w.dir, ".fanmill", "sales.csv")
				before, err := os.ReadDir(private)
				if err != nil {
					t.Fatal(err)
				}
				for _, spec := range []artifact.Spec{
					{StoreID: "another", Job: "job", Destination: "csv", Run: w.runID},
					{StoreID: "store", Job: "job", Destination: "csv", Run: "another"},
				} {
					spec.Path, spec.Home = w.path, "here"
					if appends {
						spec.Mode = "append"
					}
					a := artifact.New(spec)
					if homes, err := a.Clean(keep); err != nil || homes != nil {
						t.Errorf("cleaning after run %s of store %s saw %q: %v", spec.Run, spec.StoreID, homes, err)
					}
					if err := a.Close(); err != nil {
						t.Fatal(err)
					}
				}
				after, err := os.ReadDir(private)
				if err != nil || len(after) != len(before) {
					t.Fatalf("there were %v, and are %v: %v", before, after, err)
				}
				w.home = "there" // which sees the same disk
				w.finish()
				w.wantFile(w.path, w.whole())
				a := w.open()
				homes, err := a.Clean(keep)
				if err = errors.Join(err, a.Close()); err != nil || !slices.Equal(homes, []string{"here", "there"}) {
					t.Errorf("cleaning saw the claims of %q: %v", homes, err)
				}
			})
		}
	}
}

// A run that claims the file while another host cleans after the one before loses nothing by it, with locks that do not
// reach from one to the other.
func TestClaimWhileTheRunBeforeIsCleaned(t *testing.T) {
	w := newWorld(t)
	if _, dead, err := w.dieAt(30); err != nil || !dead {
		t.Fatal(dead, err)
	}
	cleaner := w.open()
	var next *artifact.Artifact
	var state artifact.State
	cleaner.OnStep(func(step string) {
		if step != "listed" || next != nil {
			return
		}
		w.runID, w.record = "run2", nil
		next = w.open()
		var err error
		if state, err = next.Claim(t.Context(), w.claim(), nil, nil); err != nil {
			t.Errorf("the claim: %v", err)
		}
	})
	if homes, err := cleaner.Clean(true); err != nil || homes == nil {
		t.Fatalf("cleaning saw %q: %v", homes, err)
	}
	cleaner.Die()
	if next == nil {
		t.Fatal("nobody claimed")
	}
	w.record = &state
	next.Die()
	if _, err := os.Stat(filepath.Join(w.dir, ".fanmill", "sales.csv", state.Dir)); err != nil {
		t.Errorf("the folder of the new claim is gone: %v", err)
	}
	w.finish()
	w.wantFile(w.path, w.whole())
}

// What became of an earlier run was decided on another host: the run that claims the file goes by what it was told, not
// by the marks and reports that nobody could write here, or that somebody has removed.
func TestEarlierRunsDecideTheBaseline(t *testing.T) {
	for _, state := range []pipeline.RunState{pipeline.RunAbandoned, pipeline.RunComplete} {
		for _, reported := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,reported=%t", state, reported), func(t *testing.T) {
				w := appending(t)
				w.finish()
				if !reported {
					if err := os.Remove(w.path + ".manifest.json"); err != nil {
						t.Fatal(err)
					}
				}
				if state == pipeline.RunComplete {
					w.base = w.whole()
				}
				w.before = []pipeline.EarlierRun{{Run: "run0", State: pipeline.RunComplete}, {Run: w.runID, State: state}}
				w.runID, w.record = "run2", nil
				w.finish()
				w.wantFile(w.path, w.whole())
			})
		}
	}
}

// A Clean that was killed at its very end leaves a folder without a marker: the next one removes it, unless somebody
// works there.
func TestCleanAfterAKillAtItsEnd(t *testing.T) {
	for _, left := range [][]string{nil, {"lock"}, {"lock", "run.json.token"}} {
		for _, held := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q,held=%t", left, held), func(t *testing.T) {
				w := newWorld(t)
				private := filepath.Join(w.dir, ".fanmill", "sales.csv")
				if err := os.MkdirAll(private, 0o777); err != nil {
					t.Fatal(err)
				}
				for _, name := range left {
					if err := os.WriteFile(filepath.Join(private, name), nil, 0o666); err != nil {
						t.Fatal(err)
					}
				}
				if held {
					f, err := os.OpenFile(filepath.Join(private, "lock"), os.O_RDWR|os.O_CREATE, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					if taken, err := oslock.Try(f); err != nil || !taken {
						t.Fatal(taken, err)
					}
					if _, err := f.WriteString(`{"storeId":"another","job":"j","destination":"d"}`); err != nil {
						t.Fatal(err)
					}
				}
				a := w.open()
				homes, err := a.Clean(false)
				if err = errors.Join(err, a.Close()); err != nil || homes != nil {
					t.Errorf("cleaning saw the claims of %q: %v", homes, err)
				}
				_, err = os.Stat(private)
				if stays := held || len(left) > 1; stays != (err == nil) {
					t.Errorf("stays: %t; %v", stays, err)
				}
			})
		}
	}
}
