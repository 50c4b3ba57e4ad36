package screen_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"fanmill/internal/screen"
)

// What is written arrives, in order, before Write returns.
func TestOutletWritesThrough(t *testing.T) {
	for name, make := range map[string]func(io.Writer) *screen.Outlet{
		"log":    screen.NewLog,
		"result": func(w io.Writer) *screen.Outlet { return screen.NewResult(w, nil) },
	} {
		var buf bytes.Buffer
		o := make(&buf)
		want := ""
		for i := range 300 {
			text := fmt.Sprintf("%d %s\n", i, strings.Repeat("x", i*300))
			want += text
			if n, err := io.WriteString(o, text); n != len(text) || err != nil || buf.Len() != len(want) {
				t.Fatalf("%s: %d, %v, %d bytes have arrived of %d", name, n, err, buf.Len(), len(want))
			}
		}
		if buf.String() != want || o.Err() != nil || o.Stalled() {
			t.Errorf("%s: something else arrived; %v, stalled %v", name, o.Err(), o.Stalled())
		}
	}
}

// A reader who stops holds the lines up once, gets those that found room when he goes on, and is told how many did not.
func TestOutletOfLinesThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := screen.NewLog(w)
		line := strings.Repeat("x", 1023) + "\n"
		began := time.Now()
		for range 2000 { // a MB finds room
			if n, err := io.WriteString(o, line); n != len(line) || err != nil {
				t.Fatal(n, err)
			}
		}
		if waited := time.Since(began); waited != time.Second || !o.Stalled() {
			t.Errorf("it waited %s, stalled %v", waited, o.Stalled())
		}
		o.Close(5 * time.Second)
		if waited := time.Since(began); waited != 6*time.Second {
			t.Errorf("it closed after %s", waited)
		}
		var got bytes.Buffer
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = io.Copy(&got, r) })
		synctest.Wait()
		_, _ = io.WriteString(o, "the last\n")
		w.Close()
		reading.Wait()
		want := strings.Repeat(line, 1024) + "(976 lines were left out, because they could not be written; the log file of a run has all of its own)\nthe last\n"
		if got.String() != want {
			t.Errorf("%d bytes arrived, want %d; they end with %q", got.Len(), len(want), got.String()[max(0, got.Len()-200):])
		}
	})
}

// flaky fails as often as it is told to.
type flaky struct {
	bytes.Buffer
	fails int
	err   error
	asked int
}

func (f *flaky) Write(p []byte) (int, error) {
	if f.asked++; f.fails != 0 {
		f.fails--
		return 0, f.err
	}
	return f.Buffer.Write(p)
}

// A disk that is full and has room again: the lines in between are counted.
func TestOutletOfLinesThatFail(t *testing.T) {
	f := &flaky{fails: 2, err: syscall.ENOSPC}
	o := screen.NewLog(f)
	for _, line := range []string{"one\n", "two\nthree\n", "four\n", "five\n"} {
		if _, err := io.WriteString(o, line); err != nil {
			t.Fatal(err)
		}
	}
	o.Close(time.Minute)
	if want := "four\n(3 lines were left out, because they could not be written; the log file of a run has all of its own)\nfive\n"; f.String() != want {
		t.Errorf("it has %q, want %q", f.String(), want)
	}
}

// A result ends with its first error: what follows would stand behind a hole.
func TestOutletOfAResultThatFails(t *testing.T) {
	f := &flaky{fails: 1, err: syscall.EPIPE}
	o := screen.NewResult(f, nil)
	for range 3 {
		if n, err := io.WriteString(o, "{}\n"); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if !errors.Is(o.Err(), syscall.EPIPE) || f.asked != 1 || f.Len() != 0 {
		t.Errorf("its error is %v, it was written to %d times, and has %q", o.Err(), f.asked, f.String())
	}
}

// A result waits for its reader: without a bound while he pages, as long as it is said, and a few seconds once the
// program is to end.
func TestOutletOfAResultThatNobodyReads(t *testing.T) {
	for _, c := range []struct {
		within, stop, want time.Duration
	}{{0, time.Hour, time.Hour + 5*time.Second}, {time.Minute, 2 * time.Hour, time.Minute}, {0, 0, 5 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			_, w := io.Pipe()
			hurry := make(chan struct{})
			time.AfterFunc(c.stop, func() { close(hurry) })
			o := screen.NewResult(w, hurry)
			o.Within(c.within)
			began := time.Now()
			_, _ = io.WriteString(o, "{}\n")
			_, _ = io.WriteString(o, "{}\n")
			if waited := time.Since(began); waited != c.want || o.Err() == nil {
				t.Errorf("%v: it waited %s, %v", c, waited, o.Err())
			}
			w.Close()
		})
	}
}

// A slow reader is no stopped one: as long as he takes something, all of it arrives.
func TestOutletOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		o := screen.NewResult(w, nil)
		o.Within(time.Minute)
		var got bytes.Buffer
		var reading sync.WaitGroup
		reading.Go(func() {
			for {
				time.Sleep(50 * time.Second) // by the clock of synctest, which does not wait
				if _, err := io.CopyN(&got, r, 16<<10); err != nil {
					return
				}
			}
		})
		text := strings.Repeat("0123456789abcdef", 16<<10)
		_, _ = io.WriteString(o, text)
		w.Close()
		reading.Wait()
		if got.String() != text || o.Err() != nil {
			t.Errorf("%d of %d bytes arrived, %v", got.Len(), len(text), o.Err())
		}
	})
}
