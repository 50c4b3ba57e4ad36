package screen_test

import (
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fanmill/internal/screen"
)

// pty opens a real terminal of a size, and returns its two ends.
func pty(t *testing.T, columns, rows uint16) (outer, inner *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { outer.Close() })
	fd := int(outer.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
	if inner, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	return outer, inner
}

// A real terminal is found to be one, with its size, and is drawn on; one that cannot be drawn on is left alone.
func TestARealTerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	outer, inner := pty(t, 77, 20)
	if p := screen.PageFor(inner); p.Width != 77 || !p.Color {
		t.Errorf("the page is %+v", p)
	}
	p := screen.NewProgress(inner, screen.ScopeOf(sampleJob(3), nil, 1))
	seen := make([]byte, 4096)
	n, err := outer.Read(seen) // waits for the first frame
	if err != nil || !strings.Contains(string(seen[:n]), "0/3 connections") {
		t.Errorf("drawn: %q, %v", seen[:n], err)
	}
	p.Close()

	t.Setenv("TERM", "dumb")
	if p := screen.PageFor(inner); p.Width != 0 || p.Color {
		t.Errorf("a dumb terminal's page is %+v", p)
	}
	p = screen.NewProgress(inner, screen.ScopeOf(sampleJob(3), nil, 1))
	defer p.Close()
	if p.Writer() != inner {
		t.Error("a dumb terminal is drawn on")
	}
}

// A terminal behind an outlet is one, too; and one that stands still (its user has pressed Ctrl-S, or selects text)
// holds nothing up but once.
func TestATerminalBehindAnOutlet(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	outer, inner := pty(t, 77, 20)
	o := screen.NewLog(inner)
	if p := screen.PageFor(o); p.Width != 77 || !p.Color {
		t.Errorf("the page is %+v", p)
	}
	p := screen.NewProgress(o, screen.ScopeOf(sampleJob(3), nil, 1))
	for i := range 3000 { // far more than a terminal holds for one who does not read
		if _, err := io.WriteString(p.Writer(), "line "+strconv.Itoa(i)+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	p.Close()
	var got strings.Builder
	seen := make([]byte, 4096)
	for !strings.Contains(got.String(), "line 2999\r\n") {
		n, err := outer.Read(seen)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(seen[:n])
	}
	o.Close(time.Minute)
}
