package artifact_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// A user deletes, replaces and edits the public file at every point of a run that goes on: nothing of theirs is lost,
// ours ends exact, and what was published before a deletion comes back.
func TestUserActsAtEveryStep(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		for name, act := range meanwhile {
			for n, last := 1, false; !last; n++ {
				w := newWorld(t)
				w.noLinks = noLinks
				w.earlier("last month's file")
				var users, step string
				a, at, parts := w.open(), 0, 0
				err := w.run(a, w.claim(), func(s string) {
					if s == "part" {
						parts++
					}
					if at++; at == n {
						step, users = s, act(w)
						last = parts == len(w.commits) // one publication is still to come
					}
				})
				if errors.Is(err, pipeline.ErrLost) && name == "saves all of it" { // between publication and the second copy
					a.Die()
					w.record = nil
					_, _, err = w.dieAt(0)
				}
				if err != nil {
					t.Fatalf("links=%t, user %s at step %d (%s): %v", !noLinks, name, n, step, err)
				}
				w.wantFile(w.path, w.whole())
				if users != "" && !w.holds(users) {
					t.Fatalf("links=%t, user %s at step %d (%s): gone; there are %q", !noLinks, name, n, step, w.names())
				}
				a.Die()
				_ = os.RemoveAll(w.dir)
			}
		}
	}
}

// claimed is an artifact with its first commit public.
func claimed(t *testing.T, w *world) (*artifact.Artifact, artifact.State) {
	t.Helper()
	a := w.open()
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Die)
	return a, commit(t, a, "one\r\n")
}

// commit appends and publishes.
func commit(t *testing.T, a *artifact.Artifact, s string) artifact.State {
	t.Helper()
	state, err := a.Append(text(s))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return state
}

// A program that opened the file before a commit replaced it, and saves into what it has open, writes to a file that is
// private by then: it gets a name, and the artifact another file.
func TestProgramSavesIntoReplacedFile(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newWorld(t)
		a, _ := claimed(t, w)
		f, err := os.OpenFile(w.path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, a, "two\r\n")
		if late { // the replaced file has been appended to meanwhile, and is public again
			commit(t, a, "three\r\n")
			commit(t, a, "four\r\n")
		}
		if _, err := f.WriteAt([]byte("MINE\r\nMINE\r\nMINE\r\nMINE\r\nMINE\r\n"), 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		commit(t, a, "five\r\n")
		want := "one\r\ntwo\r\nfive\r\n"
		if late {
			want = "one\r\ntwo\r\nthree\r\nfour\r\nfive\r\n"
		}
		w.wantFile(w.path, want)
		got, err := os.ReadFile(filepath.Join(w.dir, "sales (edited).csv"))
		if err != nil || !strings.HasPrefix(string(got), "MINE\r\n") {
			t.Errorf("late=%t: what the program saved: %q, %v", late, got, err)
		}
		commit(t, a, "six\r\n")
		w.wantFile(w.path, want+"six\r\n")
		w.wantNames(".fanmill", "sales (edited).csv", "sales.csv")
	}
}

// The last look: what was saved into a replaced file before the end of the run is kept, too.
func TestProgramSavesBeforeTheEnd(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	f, err := os.OpenFile(w.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, a, "two\r\n")
	if _, err := a.Finish(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("saved by a program"), 0); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := a.PublishFinal(context.Background(), nil, true); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Clean(false); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\ntwo\r\n")
	w.wantFile(filepath.Join(w.dir, "sales (edited).csv"), "saved by a program")
	w.wantNames("sales (edited).csv", "sales.csv")
}

// Every file a user puts there gets its own name; none is overwritten, also not one that was there before the run.
func TestEditedNamesAreNeverReused(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "sales (edited).csv"), []byte("from last year"), 0o666); err != nil {
		t.Fatal(err)
	}
	a, _ := claimed(t, w)
	w.put("user's first")
	commit(t, a, "two\r\n")
	w.put("user's second")
	commit(t, a, "three\r\n")
	w.wantFile(filepath.Join(w.dir, "sales (edited).csv"), "from last year")
	w.wantFile(filepath.Join(w.dir, "sales (edited 2).csv"), "user's first")
	w.wantFile(filepath.Join(w.dir, "sales (edited 3).csv"), "user's second")
	w.wantFile(w.path, "one\r\ntwo\r\nthree\r\n")
}

// Publish repeated changes nothing, and repairs what a user has done since.
func TestPublishAgain(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	before, _ := os.Stat(w.path)
	if err := a.Publish(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(w.path); !os.SameFile(before, after) {
		t.Error("publishing twice replaced the file")
	}
	_ = os.Remove(w.path)
	if err := a.Publish(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\n")
	w.saveInto("", "mine")
	if err := a.Publish(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\n")
	w.wantFile(filepath.Join(w.dir, "sales (edited).csv"), "one\r\nmine")
}

// A file that a program holds open (Windows) delays its publication and nothing else: commits go on, all of them
// appear once it is closed, and the final publication insists.
func TestHeldOpen(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	held := true
	a.HoldOpen(w.path, func() bool { return held })
	for _, s := range []string{"", "two\r\n", "three\r\n", "", "four\r\n"} {
		commit(t, a, s)
		w.wantFile(w.path, "one\r\n")
	}
	state := a.State()
	held = false
	s5 := commit(t, a, "five\r\n")
	w.wantFile(w.path, "one\r\ntwo\r\nthree\r\nfour\r\nfive\r\n")
	commit(t, a, "six\r\n")
	w.wantFile(w.path, "one\r\ntwo\r\nthree\r\nfour\r\nfive\r\nsix\r\n")
	if state.Length != 23 || s5.Length != 29 {
		t.Errorf("lengths %d and %d", state.Length, s5.Length)
	}

	held = true
	if _, err := a.Finish(nil); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a.SetClock(func() time.Time { now = now.Add(10 * time.Second); return now })
	if _, err := a.PublishFinal(context.Background(), nil, true); err != nil { // the last commit is public already: nothing is replaced
		t.Errorf("final: %v", err)
	}
}

// The final publication of a held file ends with an error that says what to do, and works afterwards.
func TestHeldOpenAtTheEnd(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	held := true
	a.HoldOpen(w.path, func() bool { return held })
	commit(t, a, "two\r\n")
	if _, err := a.Finish(nil); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a.SetClock(func() time.Time { now = now.Add(10 * time.Second); return now })
	_, err := a.PublishFinal(context.Background(), nil, true)
	if !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "close it") {
		t.Fatalf("while it is open: %v", err)
	}
	held = false
	if _, err := a.PublishFinal(context.Background(), nil, true); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\ntwo\r\n")
}

// A claim after commits that could not be published finds them all.
func TestClaimAfterHeldOpen(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	a.HoldOpen(w.path, func() bool { return true })
	commit(t, a, "two\r\n")
	state := commit(t, a, "three\r\n")
	a.Die()
	next := w.open()
	defer next.Die()
	if _, err := next.Claim(context.Background(), w.claim(), &state, nil); err != nil {
		t.Fatal(err)
	}
	if err := next.Adopted(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\ntwo\r\nthree\r\n")
	w.wantNames(".fanmill", "sales.csv")
}

// Without hard links a publication is a copy: spaced out, and always made at the end.
func TestCopiesAreSpacedOut(t *testing.T) {
	w := newWorld(t)
	w.noLinks = true
	now := time.Now()
	a := w.open()
	a.SetClock(func() time.Time { return now })
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); err != nil {
		t.Fatal(err)
	}
	defer a.Die()
	commit(t, a, "one\r\n")
	w.wantFile(w.path, "one\r\n")
	commit(t, a, "two\r\n")
	w.wantFile(w.path, "one\r\n")
	now = now.Add(time.Minute)
	commit(t, a, "three\r\n")
	w.wantFile(w.path, "one\r\ntwo\r\nthree\r\n")
	commit(t, a, "four\r\n")
	if _, err := a.Finish(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.PublishFinal(context.Background(), nil, true); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\ntwo\r\nthree\r\nfour\r\n")
}

// The report names what is committed; while connections settle by the hundred it is written once a second, and the
// newest one is on disk after Close.
func TestReport(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	now := time.Now()
	a.SetClock(func() time.Time { return now })
	name := w.path + ".manifest.json"
	read := func() pipeline.Report {
		t.Helper()
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r pipeline.Report
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	publish := func(job string) {
		t.Helper()
		if err := a.Publish(context.Background(), &pipeline.Report{JobName: job, State: pipeline.RecordOpen}); err != nil {
			t.Fatal(err)
		}
	}
	publish("first")
	if r := read(); r.JobName != "first" || r.Length != 5 || r.SHA256 != a.State().SHA256 || r.Artifact != w.path {
		t.Errorf("%+v", r)
	}
	publish("second")
	if r := read(); r.JobName != "first" {
		t.Errorf("written again at once: %+v", r)
	}
	now = now.Add(2 * time.Second)
	publish("third")
	if r := read(); r.JobName != "third" {
		t.Errorf("not written after two seconds: %+v", r)
	}
	publish("fourth")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if r := read(); r.JobName != "fourth" {
		t.Errorf("not written at the end: %+v", r)
	}
}

// A commit whose second writing differs from its first is a mistake in an encoder, and loud.
func TestSecondWritingDiffers(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	n := 0
	_, err := a.Append(func(out io.Writer) error {
		n++
		_, err := io.WriteString(out, strings.Repeat("x", n))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(context.Background(), nil); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "differ") {
		t.Errorf("got %v", err)
	}
	w.wantFile(w.path, "one\r\nx")
}
