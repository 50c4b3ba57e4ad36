package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/pipeline/spool"
)

func newRoot(t interface{ TempDir() string }) *spool.Root {
	return &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}}
}

func claim(t testing.TB, r *spool.Root, epoch uint64) *spool.Folder {
	t.Helper()
	f, err := r.Claim("run", "dest", epoch, fmt.Sprint("t", epoch))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rows reads a file's blocks as texts.
func rows(f *spool.Folder, name string, at spool.Mark) (got []string, err error) {
	err = f.Each(context.Background(), name, at, func(b spool.Block) error {
		if b.More {
			return errors.New("a piece was handed over")
		}
		got = append(got, fmt.Sprintf("%d/%d %s", b.Query, b.First, b.Body))
		return nil
	})
	return got, err
}

// What was saved is read back, whatever was appended after it; a later claim goes on from there.
func TestRowsComeBack(t *testing.T) {
	r := newRoot(t)
	rapid.Check(t, func(rt *rapid.T) {
		f, err := r.Claim("run", rapid.StringMatching(`[a-z]{12}`).Draw(rt, "dest"), 1, "a")
		if err != nil {
			rt.Fatal(err)
		}
		w, err := f.Create("c.rows")
		if err != nil {
			rt.Fatal(err)
		}
		var want []string
		put := func(n int) {
			for range n {
				b := spool.Block{Query: rapid.IntRange(-1, 3).Draw(rt, "query"), First: rapid.Int64Range(0, 1<<40).Draw(rt, "first"), Body: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "body")}
				for _, piece := range cut(b, rapid.IntRange(1, 4).Draw(rt, "pieces")) {
					if err := w.Append(rt.Context(), piece); err != nil {
						rt.Fatal(err)
					}
				}
				want = append(want, fmt.Sprintf("%d/%d %s", b.Query, b.First, b.Body))
			}
		}
		put(rapid.IntRange(0, 5).Draw(rt, "saved"))
		at, err := w.Save()
		if err != nil {
			rt.Fatal(err)
		}
		saved := len(want)
		put(rapid.IntRange(0, 3).Draw(rt, "lost"))
		if _, err := w.Save(); err != nil {
			rt.Fatal(err)
		}
		want = want[:saved]
		next, err := r.Claim("run", filepath.Base(filepath.Dir(f.Dir())), 2, "b")
		if err != nil {
			rt.Fatal(err)
		}
		if err := next.Copy("c.rows", at.Length); err != nil {
			rt.Fatal(err)
		}
		if w, err = next.Continue("c.rows", at); err != nil {
			rt.Fatal(err)
		}
		put(rapid.IntRange(0, 3).Draw(rt, "more"))
		if at, err = w.Save(); err != nil {
			rt.Fatal(err)
		}
		if got, err := rows(next, "c.rows", at); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("read %q (%v), want %q", got, err, want)
		}
	})
}

// cut makes n pieces of a block; one with a short body stays whole.
func cut(b spool.Block, n int) (pieces []spool.Block) {
	if len(b.Body) < n {
		return []spool.Block{b}
	}
	size := len(b.Body) / n
	for i := range n - 1 {
		pieces = append(pieces, spool.Block{Query: b.Query, First: int64(len(b.Body)), Body: b.Body[i*size : (i+1)*size], More: true})
	}
	b.Body = b.Body[(n-1)*size:]
	return append(pieces, b)
}

// written makes a file of two blocks, the second in pieces.
func written(t testing.TB, f *spool.Folder) (at spool.Mark) {
	t.Helper()
	w, err := f.Create("c.rows")
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range []string{"first", "second"} {
		for _, piece := range cut(spool.Block{Body: []byte(body)}, 1+2*i) {
			if err := w.Append(t.Context(), piece); err != nil {
				t.Fatal(err)
			}
		}
	}
	if at, err = w.Save(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return at
}

// A file of which a bit rots, or whose end is cut off, is found out at every byte.
func TestDamageIsFound(t *testing.T) {
	f := claim(t, newRoot(t), 1)
	at := written(t, f)
	path := filepath.Join(f.Dir(), "c.rows")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := rows(f, "c.rows", at); !errors.Is(err, spool.ErrDamaged) {
			t.Errorf("%s: read %q (%v)", what, got, err)
		}
	}
	for i := range whole {
		rotten := bytes.Clone(whole)
		rotten[i] ^= 0x10
		try(fmt.Sprint("a bit of byte ", i), rotten)
		try(fmt.Sprint("cut at ", i), whole[:i])
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := rows(f, "c.rows", at); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("gone: %v", err)
	}
}

// A claim that slept through a later one is told, and changes nothing of it.
func TestOldClaimGivesUp(t *testing.T) {
	r := newRoot(t)
	old := claim(t, r, 1)
	at := written(t, old)
	next := claim(t, r, 2)
	if err := next.Keep("c.rows"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Claim("run", "dest", 1, "woke"); !errors.Is(err, spool.ErrNewer) {
		t.Errorf("the old claim got its folder: %v", err)
	}
	if err := old.Sweep(func(string) bool { return false }); err != nil {
		t.Error(err)
	}
	if got, err := rows(next, "c.rows", at); err != nil || len(got) != 2 {
		t.Errorf("the new claim reads %q (%v)", got, err)
	}
}

// An owner that still writes to its own file does not change the copy of a later claim.
func TestSleeperWritesOn(t *testing.T) {
	r := newRoot(t)
	old := claim(t, r, 1)
	at := written(t, old)
	next := claim(t, r, 2)
	if err := next.Copy("c.rows", at.Length); err != nil {
		t.Fatal(err)
	}
	w, err := old.Continue("c.rows", spool.Mark{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(t.Context(), spool.Block{Body: []byte("of the sleeper")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Save(); err != nil {
		t.Fatal(err)
	}
	if got, err := rows(next, "c.rows", at); err != nil || len(got) != 2 {
		t.Errorf("the new claim reads %q (%v)", got, err)
	}
	if err := next.Copy("other.rows", 1); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("a file that nobody has was copied: %v", err)
	}
}

// Sweeping leaves what counts, and what is counted.
func TestSweep(t *testing.T) {
	r := newRoot(t)
	if _, err := r.Place(); err != nil {
		t.Fatal(err)
	}
	before := r.Space.Used()
	written(t, claim(t, r, 1))
	f := claim(t, r, 2)
	at := written(t, f)
	w, err := f.Create("stray.rows")
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Sweep(func(name string) bool { return name == "c.rows" }); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(f.Dir()))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d folders are left (%v)", len(entries), err)
	}
	if entries, err = os.ReadDir(f.Dir()); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left (%v)", len(entries), err)
	}
	if got := r.Space.Used() - before; got != at.Length {
		t.Errorf("%d bytes are counted, %d are there", got, at.Length)
	}
	if err := r.Remove("run", "dest"); err != nil {
		t.Fatal(err)
	}
	if names, err := r.Runs(); err != nil || len(names) != 0 || r.Space.Used() != before {
		t.Errorf("left: %q, %d bytes (%v)", names, r.Space.Used(), err)
	}
}

// A place is one disk: another store's is refused, and a second look finds the same.
func TestPlace(t *testing.T) {
	r := newRoot(t)
	a, err := r.Place()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := (&spool.Root{Dir: r.Dir, Store: "s", Space: &spool.Space{}}).Place(); err != nil || a != b || a.ID == "" || a.Host == "" {
		t.Errorf("the place is %v, then %v (%v)", a, b, err)
	}
	if _, err := (&spool.Root{Dir: r.Dir, Store: "other", Space: &spool.Space{}}).Place(); err == nil {
		t.Error("another store takes the place")
	}
	if c, err := newRoot(t).Place(); err != nil || c.ID == a.ID {
		t.Errorf("two folders are one place: %v (%v)", c, err)
	}
}

// Processes that make the marker at once agree on the place.
func TestPlaceAtOnce(t *testing.T) {
	dir := t.TempDir()
	places := make(chan spool.Place)
	for range 16 {
		go func() {
			p, err := (&spool.Root{Dir: dir, Store: "s", Space: &spool.Space{}}).Place()
			if err != nil {
				t.Error(err)
			}
			places <- p
		}()
	}
	first := <-places
	for range 15 {
		if p := <-places; p != first {
			t.Errorf("%v and %v", first, p)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files are there (%v)", len(entries), err)
	}
}

// Who wants more than there is waits until something is given back, or its context ends; a lone block larger than the
// limit passes.
func TestSpace(t *testing.T) {
	waits := make(chan string, 8)
	s := &spool.Space{Max: 100, Waits: func(why string) { waits <- why }}
	if err := s.Take(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Take(t.Context(), 10) }()
	if why := <-waits; why == "" {
		t.Error("the wait is for nothing")
	}
	s.Give(1000)
	if err := <-done; err != nil || s.Used() != 10 {
		t.Errorf("%v; %d bytes are used", err, s.Used())
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Take(ctx, 95) }()
	<-waits
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || s.Used() != 10 {
		t.Errorf("%v; %d bytes are used", err, s.Used())
	}
}

// The reserve of the disk is kept free for others.
func TestReserve(t *testing.T) {
	free := make(chan int64, 1)
	free <- 50
	waits := make(chan string, 1)
	s := &spool.Space{Reserve: 100, Again: time.Millisecond, Waits: func(why string) { waits <- why }, Free: func() (int64, error) {
		n := <-free
		if n < 100 {
			free <- 1000
		} else {
			free <- n
		}
		return n, nil
	}}
	if err := s.Take(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if why := <-waits; why == "" || s.Used() != 10 {
		t.Errorf("waited for %q; %d bytes are used", why, s.Used())
	}
}

// Processes that share a folder share its room: who wants more than is left waits until another one has removed
// something, of which nobody tells it.
func TestSpaceOfSeveralProcesses(t *testing.T) {
	dir, waits := t.TempDir(), make(chan string, 1)
	process := func() *spool.Space {
		return &spool.Space{Max: 800, Again: time.Millisecond, Look: func() int64 { return spool.Size(dir) }, Waits: func(why string) { waits <- why }}
	}
	a, b := process(), process()
	write := func(s *spool.Space, name string, n int64) {
		t.Helper()
		if err := s.Take(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(b, "small", 10) // b has looked, and has seen nothing
	write(a, "large", 700)
	done := make(chan error, 1)
	go func() { done <- b.Take(t.Context(), 100) }() // an eighth of the bound: it looks again
	if why := <-waits; !strings.Contains(why, "FANMILL_SPOOL_MAX_MB") {
		t.Errorf("it waits for %q", why)
	}
	select {
	case err := <-done:
		t.Fatalf("700 and 10 bytes lie there, and 100 more were given (%v)", err)
	default:
	}
	if err := os.Remove(filepath.Join(dir, "large")); err != nil { // by a process that is not b
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := b.Used(); got != 110 {
		t.Errorf("b counts %d bytes, not 110", got)
	}
}

// A batch of which only pieces are there is gone on with by a later claim, and never handed over before it is whole.
func TestPiecesGoOn(t *testing.T) {
	r := newRoot(t)
	f := claim(t, r, 1)
	w, err := f.Create("c.rows")
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("0123456789"), 30)
	pieces := cut(spool.Block{Query: 2, First: 7, Body: body}, 3)
	for _, p := range pieces[:2] {
		if err := w.Append(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	at, err := w.Save()
	if err != nil || at.Pieces != 200 || at.Largest != 0 {
		t.Fatalf("the mark is %+v (%v)", at, err)
	}
	if got, err := rows(f, "c.rows", at); !errors.Is(err, spool.ErrDamaged) || len(got) > 0 {
		t.Errorf("read %q (%v) of a batch that is not whole", got, err)
	}
	next := claim(t, r, 2)
	if err := next.Copy("c.rows", at.Length); err != nil {
		t.Fatal(err)
	}
	if w, err = next.Continue("c.rows", at); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(t.Context(), pieces[2]); err != nil {
		t.Fatal(err)
	}
	if at, err = w.End(); err != nil || at.Pieces != 0 || at.Largest != 300 {
		t.Fatalf("the mark is %+v (%v)", at, err)
	}
	if got, err := rows(next, "c.rows", at); err != nil || fmt.Sprint(got) != fmt.Sprint([]string{"2/7 " + string(body)}) {
		t.Errorf("read %q (%v)", got, err)
	}
}

// A claim that was killed while it copied has lost nothing: the next one takes the file from before.
func TestKilledWhileCopying(t *testing.T) {
	r := newRoot(t)
	at := written(t, claim(t, r, 1))
	killed := claim(t, r, 2)
	if err := os.WriteFile(filepath.Join(killed.Dir(), "c.rows.copy"), []byte("the beg"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := killed.Copy("c.rows", at.Length+1); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("more was copied than there is: %v", err)
	}
	next := claim(t, r, 3)
	if err := next.Copy("c.rows", at.Length); err != nil {
		t.Fatal(err)
	}
	if got, err := rows(next, "c.rows", at); err != nil || len(got) != 2 {
		t.Errorf("read %q (%v)", got, err)
	}
}

// Asking for room takes none.
func TestRoom(t *testing.T) {
	s := &spool.Space{Max: 100}
	s.Force(60)
	if !s.Room(40) || s.Room(41) || s.Used() != 60 {
		t.Errorf("of 100 bytes, 60 are used: room for 40: %v, for 41: %v, used then: %d", s.Room(40), s.Room(41), s.Used())
	}
}
