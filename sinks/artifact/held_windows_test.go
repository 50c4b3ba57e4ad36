package artifact_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"fanmill/pipeline"
)

// hold opens the public file as Excel does: others may read it, and neither write to it nor replace it, under
// whatever name.
func (w *world) hold() (release func()) {
	w.t.Helper()
	name, err := windows.UTF16PtrFromString(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	closed := false
	release = func() {
		if !closed {
			closed = true
			_ = windows.CloseHandle(h)
		}
	}
	w.t.Cleanup(release)
	return release
}

// A file that a program really holds open delays its publication and nothing else, during the run and at its end.
func TestHeldByAProgram(t *testing.T) {
	for _, noLinks := range []bool{false, true} {
		w := newWorld(t)
		w.noLinks = noLinks
		a, _ := claimed(t, w)
		now := time.Now()
		a.SetClock(func() time.Time { now = now.Add(10 * time.Second); return now }) // copies are due, and nobody is waited for
		release := w.hold()
		commit(t, a, "two\r\n")
		commit(t, a, "three\r\n")
		w.wantFile(w.path, "one\r\n")
		release()
		commit(t, a, "four\r\n")
		w.wantFile(w.path, "one\r\ntwo\r\nthree\r\nfour\r\n")

		release = w.hold()
		commit(t, a, "five\r\n")
		if _, err := a.Finish(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := a.PublishFinal(context.Background(), nil, true); !errors.Is(err, pipeline.ErrTransient) {
			t.Fatalf("while it is open: %v", err)
		}
		release()
		if _, err := a.PublishFinal(context.Background(), nil, true); err != nil {
			t.Fatal(err)
		}
		w.wantFile(w.path, "one\r\ntwo\r\nthree\r\nfour\r\nfive\r\n")
		if _, err := a.Clean(false); err != nil {
			t.Fatal(err)
		}
		w.wantNames("sales.csv")
	}
}

// The program may open the file at any time: also after the last publication, when only cleaning up is left. What
// cannot be removed then is removed by a later try, and the file is none the worse.
func TestHeldWhileCleaning(t *testing.T) {
	w := newWorld(t)
	w.earlier("last month's file")
	w.finish()
	release := w.hold()
	first := w.open()
	if _, err := first.Clean(false); err != nil && !errors.Is(err, pipeline.ErrTransient) {
		t.Fatalf("while it is open: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	w.wantFile(w.path, w.whole())
	release()
	w.clean(false)
	w.wantFile(w.path, w.whole())
	w.wantNames("sales.csv", "sales.csv.manifest.json")
}

// An owner that is frozen, with its files open, can delay its successor: Windows does not let anybody take its folder
// away or remove its files. The successor says so and tries again, and what is committed stays in both places until
// it can go on.
func TestFrozenOwnerDelaysItsSuccessor(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	frozen, state := claimed(t, w)
	p, err := frozen.CreatePart("1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append([]byte("rows")); err != nil { // it is open now
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		next := w.open()
		s, err := next.Claim(ctx, w.claim(), &state, nil)
		if err == nil {
			if err := next.Adopted(ctx); err != nil {
				t.Fatal(err)
			}
			if s.Length != state.Length || s.SHA256 != state.SHA256 {
				t.Fatalf("claimed %+v, committed were %+v", s, state)
			}
			if commit(t, next, "two\r\n"); n == 0 { // this system lets folders go
				frozen.Die()
			}
			w.wantFile(w.path, "one\r\ntwo\r\n")
			if err := next.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
		if n > 0 || !errors.Is(err, pipeline.ErrTransient) {
			t.Fatalf("claim %d: %v", n, err)
		}
		next.Die()
		w.wantFile(w.path, "one\r\n")
		frozen.Die() // it ends
	}
	w.clean(false)
	w.wantFile(w.path, "one\r\ntwo\r\n")
	if exists(filepath.Join(w.dir, ".fanmill")) {
		t.Errorf("there still are %q", w.names())
	}
}
