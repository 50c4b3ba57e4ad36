package artifact_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// Rule R1 and R2: an owner that stops at any step, finds itself replaced, and goes on, harms nothing. Its next
// operation that counts says pipeline.ErrFenced, and the successor's artifact is exact.
func TestPausedOwnerAtEveryStep(t *testing.T) {
	for _, v := range []struct{ noLinks, appends bool }{{false, false}, {true, false}, {false, true}} {
		t.Run(fmt.Sprintf("links=%t,append=%t", !v.noLinks, v.appends), func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				w := newWorld(t)
				w.noLinks = v.noLinks
				if w.appends = v.appends; w.appends {
					w.base = "last month's file"
				}
				if !pausedAt(w, n) {
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

func pausedAt(w *world, n int) bool {
	w.earlier("last month's file")
	paused, resume, ended := make(chan string, 1), make(chan struct{}), make(chan error, 1)
	old := w.open()
	defer old.Die()
	at := 0
	go func() {
		ended <- w.run(old, w.claim(), func(step string) {
			if at++; at == n {
				paused <- step
				<-resume
			}
		})
	}()
	var step string
	select {
	case step = <-paused:
	case err := <-ended:
		if err != nil {
			w.t.Fatalf("undisturbed: %v", err)
		}
		return false
	}

	// The successor goes up to its first new commit, then the old owner wakes up and runs until it stops; then the
	// successor goes on.
	next := w.open()
	defer next.Die()
	woken := false
	wake := func() {
		if woken = true; w.owner == "token1" {
			w.t.Fatal("no successor")
		}
		close(resume)
		if err := <-ended; err != nil && !errors.Is(err, pipeline.ErrFenced) {
			w.t.Fatalf("paused at step %d (%s), then: %v", n, step, err)
		} else if err == nil && step != "all done" && step != "report" && step != "published" {
			w.t.Fatalf("paused at step %d (%s) it ended as if nothing had happened", n, step)
		}
	}
	err := w.run(next, w.claim(), func(s string) {
		if s == "between commits" && !woken {
			wake()
		}
	})
	if errors.Is(err, pipeline.ErrFenced) && slices.Contains([]string{"locked", "marker written", "marked", "nonce"}, step) {
		// The old owner slept on its way to fence its own predecessors and has fenced its successor. The record still
		// names that one, which therefore claims again.
		if w.owner != "token2" {
			w.t.Fatalf("the record names %s", w.owner)
		}
		_, _, err = w.dieAt(0)
	}
	if err != nil {
		w.t.Fatalf("successor of an owner paused at step %d (%s): %v", n, step, err)
	}
	if !woken {
		wake()
	}
	w.wantFile(w.path, w.whole())
	w.wantFile(w.path+".previous", "last month's file")
	w.wantNames(".fanmill", "sales.csv", "sales.csv.manifest.json", "sales.csv.previous")
	return true
}

// The same, with the old owner waking up at every step of its successor's claim.
func TestPausedOwnerWakesDuringClaim(t *testing.T) {
	for _, stop := range []string{"before cas", "after cas", "linked", "published", "mid-stage", "appended"} {
		for at := 1; at <= 16; at++ {
			w := newWorld(t)
			w.earlier("last month's file")
			paused, resume, ended := make(chan bool, 1), make(chan struct{}), make(chan error, 1)
			old := w.open()
			count := 0
			go func() {
				ended <- w.run(old, w.claim(), func(s string) {
					// The second time: with something committed.
					if s == stop {
						if count++; count == 2 {
							paused <- true
							<-resume
						}
					}
				})
			}()
			select {
			case <-paused:
			case err := <-ended:
				t.Fatalf("%s was not reached twice: %v", stop, err)
			}
			next, steps := w.open(), 0
			err := w.run(next, w.claim(), func(string) {
				if steps++; steps == at {
					close(resume)
					if err := <-ended; err != nil && !errors.Is(err, pipeline.ErrFenced) {
						t.Errorf("paused at %s, woken at step %d: %v", stop, at, err)
					}
				}
			})
			// An owner that sleeps before its compare-and-set, wakes and loses it has fenced nobody: it claimed long
			// ago.
			if err != nil {
				t.Fatalf("successor, old owner paused at %s and woken at step %d: %v", stop, at, err)
			}
			w.wantFile(w.path, w.whole())
			w.wantFile(w.path+".previous", "last month's file")
			w.wantNames(".fanmill", "sales.csv", "sales.csv.manifest.json", "sales.csv.previous")
			old.Die()
			next.Die()
			_ = os.RemoveAll(w.dir)
		}
	}
}

// A claimer that slept before it touched a file and wakes up after its successor's claim costs that one another claim,
// and nothing else.
func TestLateClaimer(t *testing.T) {
	w := newWorld(t)
	if _, dead, err := w.dieAt(20); err != nil || !dead {
		t.Fatal(dead, err)
	}
	stale := *w.record
	staleToken := w.claim()
	next := w.open()
	fenced := false
	err := w.run(next, w.claim(), func(s string) {
		if s != "between commits" || fenced {
			return
		}
		fenced = true
		late := w.open()
		if _, err := late.Claim(context.Background(), staleToken, &stale, nil); !errors.Is(err, pipeline.ErrLost) && !errors.Is(err, pipeline.ErrFenced) {
			t.Errorf("the late claim: %v", err)
		}
		late.Die()
	})
	if err != nil {
		t.Fatalf("the successor: %v", err)
	}
	next.Die()
	w.wantFile(w.path, w.whole())
}

// Rule R11: the lock beside the artifact keeps a second data folder, and a second destination, off the file.
func TestLock(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	a := w.open()
	if _, err := a.Claim(ctx, "first", nil, nil); err != nil {
		t.Fatal(err)
	}
	other := w.rival(artifact.Spec{StoreID: "another", Job: "job", Destination: "csv"})
	_, err := other.Claim(ctx, "second", nil, nil)
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || !strings.Contains(err.Error(), "run1") {
		t.Errorf("a second store: %v", err)
	}
	other = w.rival(artifact.Spec{StoreID: "store", Job: "job2", Destination: "csv"})
	if _, err := other.Claim(ctx, "second", nil, nil); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "job job") {
		t.Errorf("a second job: %v", err)
	}
	if _, err := a.Append(text("rows")); err != nil {
		t.Errorf("after the refused ones: %v", err)
	}
	if _, err := other.Clean(false); err != nil {
		t.Errorf("clean by another: %v", err)
	}
	if err := a.Publish(ctx, nil); err != nil {
		t.Errorf("after another's clean: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.rival(artifact.Spec{StoreID: "another"}).Claim(ctx, "third", nil, nil); err != nil {
		t.Errorf("after the first let go: %v", err)
	}
}

// Whoever works without the lock, because its frozen predecessor held it, takes it as soon as that one is gone.
func TestLockIsTakenLater(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	frozen := w.open()
	s, err := frozen.Claim(ctx, "first", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := w.open()
	if _, err := a.Claim(ctx, "second", &s, nil); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(text("rows")); err != nil {
		t.Fatal(err)
	}
	other := w.rival(artifact.Spec{StoreID: "another"})
	if _, err := other.Claim(ctx, "third", nil, nil); !pipeline.IsPermanent(err) {
		t.Errorf("the lock was free: %v", err)
	}
}

// text writes the same bytes every time.
func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// Parts are fenced too: the owner that was replaced cannot make one, and does not waste its time.
func TestFencedParts(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	old := w.open()
	s, err := old.Claim(ctx, "first", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.open().Claim(ctx, "second", &s, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := old.CreatePart("1"); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("create: %v", err)
	}
	if _, err := old.Append(text("rows")); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("append: %v", err)
	}
	if err := old.Adopted(ctx); !errors.Is(err, pipeline.ErrFenced) && err != nil {
		t.Errorf("adopted: %v", err)
	}
	if !exists(filepath.Join(w.dir, ".fanmill", "sales.csv", "second", "a")) {
		t.Error("the successor's files are gone")
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
