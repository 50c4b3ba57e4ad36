package screen_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// stage is a run on a terminal, with a clock that stands until it is moved.
type stage struct {
	vt  *vt
	p   *screen.Progress
	now time.Time
}

func newStage(t *testing.T, columns, rows, connections, parallel int) *stage {
	s := &stage{vt: newVT(t, columns, rows), now: at}
	s.p = screen.Manual(s.vt, screen.ScopeOf(sampleJob(connections), nil, parallel), false, func() time.Time { return s.now })
	t.Cleanup(s.p.Close)
	return s
}

func (s *stage) pass(d time.Duration) { s.now = s.now.Add(d) }

func (s *stage) see() string {
	s.p.Refresh()
	return s.vt.screen()
}

func (s *stage) connected(n, attempt int) {
	s.p.Observe(pipeline.Event{Kind: pipeline.EventConnected, Connection: conn(n), Attempt: attempt})
}

func (s *stage) delivered(n int, rows, millis int64) {
	s.p.Observe(pipeline.Event{Kind: pipeline.EventDelivered, Connection: conn(n), Rows: rows, Millis: millis})
}

func (s *stage) committed(n int, rows int64, destinations ...string) {
	for _, d := range destinations {
		s.p.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Connection: conn(n), Destination: d, Rows: rows})
	}
}

func (s *stage) log(text string) { fmt.Fprintln(s.p.Writer(), text) }

func conn(n int) string { return "conn_" + strconv.Itoa(n) }

// A run looks as it was looked at: its beginning, its middle with everything that can be seen, its end.
func TestProgressLooksAsLookedAt(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {160, 30}, {40, 16}, {80, 7}} {
		var seen strings.Builder
		s := newStage(t, size[0], size[1], 56, 6)
		show := func(what string) { fmt.Fprintf(&seen, "--- %s\n%s", what, s.see()) }
		show("before anything")
		for n := 1; n <= 6; n++ {
			s.connected(n, 1)
		}
		s.p.Memory(200<<20, 512<<20)
		show("six are asked")
		for step := range 20 {
			s.pass(250 * time.Millisecond)
			for n := range 5 {
				s.p.Rows(conn(n+1), int64(step+1)*int64(n+1)*3000)
			}
			s.p.Refresh()
		}
		s.log("19:11:17 INF ▶️ Executing connection: Branch_007")
		s.delivered(1, 60000, 5000)
		s.committed(1, 60000, "csv", "excel")
		s.connected(7, 1)
		s.delivered(2, 120000, 5000)
		s.committed(2, 120000, "csv")
		s.p.Observe(pipeline.Event{Kind: pipeline.EventRetry, Connection: conn(4), Attempt: 1, Error: "open: connect to postgres: dial tcp 10.3.7.12:5432:\nconnect: connection refused"})
		s.connected(5, 2)
		s.p.Observe(pipeline.Event{Kind: pipeline.EventFailed, Connection: conn(8), Attempt: 3, Millis: 4, Error: "no"})
		s.p.Memory(250<<20, 512<<20)
		show("one done, one written to csv, one tried again, one asked again, one missing")
		s.p.Memory(530<<20, 512<<20)
		s.pass(2 * time.Minute)
		show("over the threshold")
		for n := 1; n <= 56; n++ {
			s.committed(n, 1_000_000, "csv", "excel")
		}
		show("all done")
		s.p.Close()
		fmt.Fprintf(&seen, "--- closed\n%s", s.vt.screen())
		golden(t, fmt.Sprintf("progress-%dx%d", size[0], size[1]), []byte(seen.String()))
	}
}

// Whatever happens, in whatever window, the frame is never higher than the window, no line of it wraps, and what stays when it is gone is
// every log line, once, in order, and nothing else.
func TestFrameLeavesNothingBehind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &stage{vt: newVT(t, rapid.IntRange(1, 100).Draw(rt, "columns"), rapid.IntRange(1, 20).Draw(rt, "rows")), now: at}
		s.p = screen.Manual(s.vt, screen.ScopeOf(sampleJob(30), nil, 4), rapid.Bool().Draw(rt, "color"), func() time.Time { return s.now })
		defer s.p.Close()
		var logged strings.Builder
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			n := rapid.IntRange(1, 30).Draw(rt, "n")
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0, 1:
				s.connected(n, rapid.IntRange(1, 3).Draw(rt, "attempt"))
			case 2:
				s.delivered(n, int64(n)*1_000_000_000, 1000)
			case 3:
				s.committed(n, 1000, "csv", "excel")
			case 4:
				s.p.Observe(pipeline.Event{Kind: pipeline.EventRetry, Connection: conn(n), Attempt: 1, Error: rapid.String().Draw(rt, "error")})
			case 5:
				s.p.Observe(pipeline.Event{Kind: pipeline.EventFailed, Connection: conn(n)})
			case 6:
				s.p.Memory(rapid.Int64Range(0, 1<<40).Draw(rt, "resident"), 1<<30)
			case 7:
				line := strconv.Itoa(i) // as short as the narrowest window
				line = line[len(line)-1:]
				s.log(line)
				logged.WriteString(line + "\n")
			case 8:
				s.p.Rows(conn(n), rapid.Int64().Draw(rt, "rows"))
			case 9:
				s.pass(time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(rt, "d")))
			}
			s.p.Refresh()
			if seen := strings.Count(s.vt.screen(), "\n"); seen > s.vt.rows {
				rt.Fatalf("the screen has %d lines, the window %d", seen, s.vt.rows)
			}
		}
		s.p.Close()
		if s.vt.wrapped > 0 {
			rt.Fatalf("%d lines wrapped", s.vt.wrapped)
		}
		want := logged.String()
		if want == "" {
			want = "\n"
		}
		if got := s.vt.transcript(); got != want {
			rt.Fatalf("what stays is\n%s\nwant\n%s", got, want)
		}
	})
}

// A window that becomes narrower breaks the lines of the frame; nothing of them stays, as long as they do not scroll out.
func TestFrameSurvivesANarrowerWindow(t *testing.T) {
	for _, columns := range []int{79, 41, 23} {
		s := newStage(t, 80, 40, 10, 4)
		for n := 1; n <= 7; n++ {
			s.connected(n, 1)
		}
		s.p.Memory(1, 2)
		s.log("a")
		s.p.Refresh()
		s.vt.resize(columns)
		s.p.Refresh()
		s.log("b")
		s.p.Close()
		if got := s.vt.transcript(); got != "a\nb\n" {
			t.Errorf("80 to %d leaves\n%s", columns, got)
		}
	}
}

// Lines that arrive in pieces are shown whole, and the last one also without its end.
func TestWriterKeepsLinesWhole(t *testing.T) {
	s := newStage(t, 80, 24, 3, 1)
	w := s.p.Writer()
	for _, piece := range []string{"on", "e\ntw", "o\nthree\n", "four"} {
		s.p.Refresh()
		if n, err := io.WriteString(w, piece); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
		if seen := s.see(); strings.Contains(seen, "tw0/3") || strings.Contains(seen, "four") {
			t.Errorf("a part of a line is shown:\n%s", seen)
		}
	}
	s.p.Close()
	s.p.Close() // again: nothing happens
	if _, err := io.WriteString(w, "after\n"); err != nil {
		t.Fatal(err)
	}
	if got := s.vt.transcript(); got != "one\ntwo\nthree\nfour\nafter\n" {
		t.Errorf("what stays is\n%s", got)
	}
}

// Off a terminal nothing is drawn, and log lines go where they went.
func TestOffATerminalNothingIsDrawn(t *testing.T) {
	var file bytes.Buffer
	p := screen.NewProgress(&file, screen.ScopeOf(sampleJob(3), nil, 1))
	if p.Writer() != io.Writer(&file) {
		t.Error("log lines are wrapped")
	}
	p.Observe(pipeline.Event{Kind: pipeline.EventConnected, Connection: conn(1)})
	p.Rows(conn(1), 5)
	p.Memory(1, 2)
	p.Checkpoint(pipeline.PublicCheckpoint{})
	p.Close()
	if file.Len() > 0 {
		t.Errorf("drawn: %q", file.String())
	}
}

// Colours are for terminals whose user has not asked for none.
func TestNoColorIsRespected(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	if !screen.Colors(newVT(t, 80, 24)) || screen.Colors(&bytes.Buffer{}) {
		t.Error("a terminal has no colours, or a file has")
	}
	t.Setenv("NO_COLOR", "1")
	if screen.Colors(newVT(t, 80, 24)) {
		t.Error("NO_COLOR is not respected")
	}
	if p := screen.PageFor(newVT(t, 77, 24)); p.Width != 77 || p.Color {
		t.Errorf("the page is %+v", p)
	}
	if p := screen.PageFor(&bytes.Buffer{}); p.Width != 0 || p.Color {
		t.Errorf("the page of a file is %+v", p)
	}
}

// A frame is one Write, so that nothing else comes in between, and it is drawn by the clock and log lines only, not by events.
func TestFramesAreDrawnByTheClock(t *testing.T) {
	s := newStage(t, 80, 24, 56, 4)
	s.p.Refresh()
	before := s.vt.writes
	for n := 1; n <= 56; n++ {
		s.connected(n, 1)
		s.p.Rows(conn(n), 5)
		s.p.Memory(int64(n), 100)
	}
	if s.vt.writes != before {
		t.Errorf("%d writes without a tick", s.vt.writes-before)
	}
	s.p.Refresh()
	s.log("a line")
	if n := s.vt.writes - before; n != 2 {
		t.Errorf("a frame and a log line are %d writes, want 2", n)
	}
}

// stuck is a terminal that takes nothing until it is released.
type stuck struct {
	entered, release chan struct{}
	once             sync.Once
}

func (s *stuck) Size() (int, int, error) { return 80, 24, nil }

func (s *stuck) Write(b []byte) (int, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.release
	return len(b), nil
}

// A terminal that its user has stopped does not stop the run: events, rows and readings are taken in all the same.
func TestAStoppedTerminalStopsNothing(t *testing.T) {
	s := &stuck{entered: make(chan struct{}), release: make(chan struct{})}
	p := screen.Manual(s, screen.ScopeOf(sampleJob(3), nil, 1), false, time.Now)
	drawn := make(chan struct{})
	go func() { defer close(drawn); p.Refresh() }()
	<-s.entered
	p.Observe(pipeline.Event{Kind: pipeline.EventConnected, Connection: conn(1)}) // would wait for ever
	p.Rows(conn(1), 5)
	p.Memory(1, 2)
	p.Checkpoint(pipeline.PublicCheckpoint{})
	close(s.release)
	<-drawn
	p.Close()
}

// broken is a terminal that is gone.
type broken struct{}

func (broken) Size() (int, int, error)   { return 80, 24, nil }
func (broken) Write([]byte) (int, error) { return 0, errors.New("input/output error") }

// A terminal that is gone costs its log lines, which say so, and nothing else.
func TestATerminalThatIsGone(t *testing.T) {
	p := screen.Manual(broken{}, screen.ScopeOf(sampleJob(3), nil, 1), false, time.Now)
	p.Refresh()
	if _, err := io.WriteString(p.Writer(), "line\n"); err == nil {
		t.Error("a line is lost silently")
	}
	p.Close()
}

// Everything may be called at once, with the real clock ticking.
func TestProgressIsConcurrent(t *testing.T) {
	v := newVT(t, 80, 24)
	p := screen.NewProgress(v, screen.ScopeOf(sampleJob(56), nil, 8))
	log := slog.New(slog.NewTextHandler(p.Writer(), nil))
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := 1 + w; n <= 56; n += 8 {
				p.Observe(pipeline.Event{Kind: pipeline.EventConnected, Connection: conn(n), Attempt: 1})
				for r := range 100 {
					p.Rows(conn(n), int64(r))
				}
				p.Memory(int64(n), 100)
				log.Info("line", "n", n)
				p.Checkpoint(pipeline.PublicCheckpoint{CompletedConnectionIDs: []string{conn(n)}, TotalConnections: 56})
			}
		})
	}
	all.Wait()
	p.Close()
	if n := strings.Count(v.transcript(), "msg=line"); n != 56 || strings.Contains(v.transcript(), "connections") {
		t.Errorf("%d of 56 lines stay, in\n%s", n, v.transcript())
	}
}

// The estimate follows from what finished connections took and how many are asked at a time.
func TestEstimate(t *testing.T) {
	s := newStage(t, 100, 24, 56, 4)
	if seen := s.see(); strings.Contains(seen, "left") {
		t.Errorf("an estimate without any ground:\n%s", seen)
	}
	for n := 1; n <= 4; n++ {
		s.connected(n, 1)
	}
	s.pass(60 * time.Second)
	for n := 1; n <= 4; n++ {
		s.delivered(n, 1000, 60_000)
		s.committed(n, 1000, "csv", "excel")
	}
	if seen := s.see(); !strings.Contains(seen, "~13m left") { // 52 minutes of work, four at a time
		t.Errorf("52 of a minute each, 4 at a time:\n%s", seen)
	}
	for n := 5; n <= 8; n++ {
		s.connected(n, 1)
	}
	s.pass(45 * time.Second)
	if seen := s.see(); !strings.Contains(seen, "~12m left") { // 4 x 15 s + 48 minutes
		t.Errorf("and 45 s later:\n%s", seen)
	}
	for n := 5; n <= 55; n++ {
		s.committed(n, 1000, "csv", "excel")
	}
	s.connected(56, 1)
	s.pass(50 * time.Second)
	if seen := s.see(); !strings.Contains(seen, "~10s left") { // the last one alone: other slots do not help it
		t.Errorf("the last one, 50 s old:\n%s", seen)
	}
	s.committed(56, 1000, "csv", "excel")
	if seen := s.see(); strings.Contains(seen, "left") || !strings.Contains(seen, "56/56") {
		t.Errorf("all done:\n%s", seen)
	}
}

// A resume begins with what is delivered already, and a destination that is given up holds no connection back.
func TestWhatCountsAsDone(t *testing.T) {
	total := func(s *stage) string {
		seen := s.see()
		return strings.TrimSpace(strings.TrimLeft(seen, "━─x "))
	}
	s := newStage(t, 80, 24, 56, 4)
	var ids []string
	for n := 1; n <= 40; n++ {
		ids = append(ids, conn(n))
	}
	s.p.Checkpoint(pipeline.PublicCheckpoint{CompletedConnectionIDs: ids, FailedConnectionIDs: nil, TotalConnections: 57})
	if got := total(s); !strings.HasPrefix(got, "40/57 connections") {
		t.Errorf("after a checkpoint of 40: %s", got)
	}
	s.p.Checkpoint(pipeline.PublicCheckpoint{CompletedConnectionIDs: ids[:30], TotalConnections: 57}) // an older one
	s.committed(41, 10, "csv")
	if got := total(s); !strings.HasPrefix(got, "40/57 connections") {
		t.Errorf("one destination has it, the other has not: %s", got)
	}
	s.committed(41, 10, "csv") // told twice
	s.p.Observe(pipeline.Event{Kind: pipeline.EventRejected, Connection: conn(42), Destination: "excel"})
	s.p.Observe(pipeline.Event{Kind: pipeline.EventDetached, Destination: "excel", Error: "disk full"})
	if got := total(s); !strings.HasPrefix(got, "41/57 connections · 1 missing") { // 41 has all that it gets, and excel lacks it
		t.Errorf("excel is given up: %s", got)
	}
	s.committed(42, 10, "csv")
	if got := total(s); !strings.HasPrefix(got, "42/57 connections · 2 missing") {
		t.Errorf("turned away by excel, in csv: %s", got)
	}
	s.committed(43, 10, "csv")
	if got := total(s); !strings.HasPrefix(got, "43/57 connections · 3 missing") { // excel lacks it
		t.Errorf("after excel was given up: %s", got)
	}
	s.p.Observe(pipeline.Event{Kind: pipeline.EventFailed, Connection: conn(44)})
	if got := total(s); !strings.HasPrefix(got, "44/57 connections · 4 missing") {
		t.Errorf("failed: %s", got)
	}
	s.connected(44, 4) // the run delivers anew what was lost
	if got := s.see(); !strings.Contains(got, "43/57 connections · 3 missing") {
		t.Errorf("asked again:\n%s", got)
	}
}
