package artifact_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// Rule R3: a claim takes exactly the recorded beginning of a part, and an append after it goes on from there.
func TestPartsAcrossClaims(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	a, state := claimed(t, w)
	p, err := a.CreatePart(artifact.PartName(7, "Branch/7", 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append([]byte("recorded,")); err != nil {
		t.Fatal(err)
	}
	part, err := p.Sync()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append([]byte("and not recorded")); err != nil {
		t.Fatal(err)
	}
	a.Die()

	next := w.open()
	state, err = next.Claim(ctx, w.claim(), &state, []artifact.FileState{part})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Adopted(ctx); err != nil {
		t.Fatal(err)
	}
	p, err = next.ReopenPart(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append([]byte(" goes on\r\n")); err != nil {
		t.Fatal(err)
	}
	if state, err = next.Append(func(out io.Writer) error { return p.CopyTo(out, make([]byte, 4)) }, p); err != nil {
		t.Fatal(err)
	}
	if err := next.Publish(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, "one\r\nrecorded, goes on\r\n")

	// The part stays until the Append after next's record, and no longer.
	file := filepath.Join(w.dir, ".fanmill", "sales.csv", state.Dir, part.Name)
	if !exists(file) {
		t.Error("the part went before the next commit")
	}
	commit(t, next, "three\r\n")
	if exists(file) {
		t.Error("the part is still there after the next commit")
	}
	next.Die()
}

// A part with less than was recorded stops loudly; truncation never grows a file.
func TestShortPart(t *testing.T) {
	w := newWorld(t)
	a, state := claimed(t, w)
	p, err := a.CreatePart("1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append([]byte("1234")); err != nil {
		t.Fatal(err)
	}
	part, err := p.Sync()
	if err != nil {
		t.Fatal(err)
	}
	a.Die()
	part.Length++
	if _, err := a.ReopenPart(part); !pipeline.IsPermanent(err) || !errors.Is(err, pipeline.ErrLost) {
		t.Errorf("reopen: %v", err)
	}
	if _, err := w.open().Claim(context.Background(), w.claim(), &state, []artifact.FileState{part}); !pipeline.IsPermanent(err) || !errors.Is(err, pipeline.ErrLost) {
		t.Errorf("claim: %v", err)
	}
	part.Name = "2"
	if _, err := w.open().Claim(context.Background(), w.claim(), &state, []artifact.FileState{part}); !pipeline.IsPermanent(err) || !errors.Is(err, pipeline.ErrLost) {
		t.Errorf("claim of a missing one: %v", err)
	}
}

// A part file that somebody shortened or lengthened before it is appended is found out.
func TestPartChangedBeforeItIsAppended(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	for _, size := range []int64{3, 5} {
		p, err := a.CreatePart("1")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Append([]byte("1234")); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(w.dir, ".fanmill", "sales.csv", w.owner, "1"), size); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Append(func(out io.Writer) error { return p.CopyTo(out, make([]byte, 2)) }, p); !pipeline.IsPermanent(err) {
			t.Errorf("size %d: %v", size, err)
		}
		if err := p.Discard(); err != nil {
			t.Fatal(err)
		}
	}
}

// The claim goes by SHA-256: it takes the second copy when the first was changed, and refuses when both were.
func TestClaimProvesItsSource(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	a, state := claimed(t, w)
	a.Die()
	folder := filepath.Join(w.dir, ".fanmill", "sales.csv")
	spoil := func(token, file string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, token, file), []byte("bad\r\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(w.path)
	spoil(state.Dir, state.Which)
	next := w.open()
	s, err := next.Claim(ctx, w.claim(), &state, nil)
	if err != nil || s.Length != 5 || s.SHA256 != state.SHA256 {
		t.Fatalf("first copy spoilt: %+v, %v", s, err)
	}
	next.Die()
	spoil(s.Dir, "a")
	spoil(s.Dir, "b")
	_, err = w.open().Claim(ctx, w.claim(), &s, nil)
	if !errors.Is(err, pipeline.ErrLost) || !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), w.path) {
		t.Fatalf("both copies spoilt: %v", err)
	}
}

// After complete clean-up the public file is all there is, and a claim (a resume that brings what was missing) goes
// on from it.
func TestClaimFromThePublicFile(t *testing.T) {
	for _, compact := range []bool{false, true} {
		w := newWorld(t)
		w.compact = compact
		ctx := context.Background()
		if _, _, err := w.dieAt(0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.open().Clean(true); err != nil {
			t.Fatal(err)
		}
		w.wantNames("sales.csv", "sales.csv.manifest.json")
		done := *w.record
		a := w.open()
		s, err := a.Claim(ctx, w.claim(), &done, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Rebased != compact || s.Length != int64(len(w.whole())) || s.Final != nil {
			t.Errorf("compact=%t: %+v", compact, s)
		}
		if err := a.Adopted(ctx); err != nil {
			t.Fatal(err)
		}
		commit(t, a, "more\r\n")
		w.wantFile(w.path, w.whole()+"more\r\n")
		a.Die()

		// Edited since then it is no source, and is not touched.
		if err := os.RemoveAll(filepath.Join(w.dir, ".fanmill")); err != nil {
			t.Fatal(err)
		}
		w.put(strings.Repeat("x", len(w.whole())))
		if _, err := w.open().Claim(ctx, w.claim(), &done, nil); !errors.Is(err, pipeline.ErrLost) {
			t.Errorf("an edited one: %v", err)
		}
		w.wantFile(w.path, strings.Repeat("x", len(w.whole())))
	}
}

// The run's first publication stays the first, whatever is lost after it: a second start within the run keeps a
// changed file as edited, not in place of the previous one.
func TestPreviousIsKeptOncePerRun(t *testing.T) {
	w := newWorld(t)
	w.earlier("last month's file")
	a, _ := claimed(t, w)
	a.Die()
	w.put("the user's")
	next := w.open() // the record was emptied: its bytes were lost
	defer next.Die()
	if _, err := next.Claim(context.Background(), w.claim(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := next.Adopted(context.Background()); err != nil {
		t.Fatal(err)
	}
	commit(t, next, "anew\r\n")
	w.wantFile(w.path+".previous", "last month's file")
	w.wantFile(filepath.Join(w.dir, "sales (edited).csv"), "the user's")
	w.wantFile(w.path, "anew\r\n")
}

// Before the run's first commit nothing public changes; missing folders are made.
func TestNothingPublicBeforeTheFirstCommit(t *testing.T) {
	w := newWorld(t)
	w.path = filepath.Join(w.dir, "new", "folder", "sales.csv")
	a := w.open()
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Adopted(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(context.Background(), &pipeline.Report{}); err != nil {
		t.Fatal(err)
	}
	if exists(w.path) {
		t.Error("an empty file was published")
	}
	if !exists(w.path + ".manifest.json") {
		t.Error("no report was written")
	}
	if _, err := a.Clean(false); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(w.dir, "new", "folder", ".fanmill")) {
		t.Error("the working folder is still there")
	}
}

// Afterwards the public file has one name: nothing private is left that a later write could reach it through.
func TestCleanLeavesOneFile(t *testing.T) {
	w := newWorld(t)
	w.earlier("last month's file")
	a, _ := claimed(t, w)
	if _, err := a.Finish(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.PublishFinal(context.Background(), nil, true); err != nil {
		t.Fatal(err)
	}
	w.wantNames(".fanmill", "sales.csv", "sales.csv.manifest.json", "sales.csv.previous")
	for range 2 { // it can be repeated
		if _, err := a.Clean(false); err != nil {
			t.Fatal(err)
		}
		w.wantNames("sales.csv", "sales.csv.manifest.json")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := artifact.NamesOf(w.path); n != 1 || err != nil {
		t.Errorf("the public file has %d names (%v)", n, err)
	}
}

// The artifact's place may be a symbolic link of the user's: it stays, and the file behind it is the artifact.
func TestSymbolicLink(t *testing.T) {
	w := newWorld(t)
	target := filepath.Join(w.dir, "share")
	if err := os.Mkdir(target, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(target, "real.csv"), []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(target, "real.csv"), w.path); err != nil {
		t.Skip("symbolic links cannot be made here:", err)
	}
	if info, err := os.Lstat(w.path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Skip("symbolic links are not shown as such here") // by Wine
	}
	claimed(t, w)
	w.wantFile(filepath.Join(target, "real.csv"), "one\r\n")
	w.wantFile(filepath.Join(target, "real (not from fanmill).csv"), "old")
	if info, err := os.Lstat(w.path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
}

// A folder of the artifact's name is nothing that could be replaced: the claim says so, before anybody is asked for
// rows, and so does a publication that finds one.
func TestPublicNameIsAFolder(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(w.path, 0o777); err != nil {
		t.Fatal(err)
	}
	a := w.open()
	defer a.Die()
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("claim: %v", err)
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Claim(context.Background(), w.claim(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Append(text("rows")); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish(context.Background(), nil); !pipeline.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}
