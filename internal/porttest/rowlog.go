package porttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fanmill/pipeline"
)

// RowLogs runs the suite of row logs; open gives a store without any.
func RowLogs(t *testing.T, open func(t *testing.T) pipeline.RowLogs) {
	for name, check := range map[string]func(*testing.T, pipeline.RowLogs){
		"a frame sent again": retryIsStoredOnce, "fence": fencedAttempts, "fence after a trim": fenceTrimmed, "trim": trimStopsAtTheEnd,
		"generations": generations, "gap": gapIsAnError, "frames": framesAsStored, "some connections": framesOfSome, "nothing of some": passedBySome,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

// A reader gets the frames as they were stored, in their order; who asks for a connection's newest frame gets no body.
func framesAsStored(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	publish(t, l, rows("a", 0, 100), rows("b", 0, 10), rows("a", 1, 50))
	r, err := l.Reader(t.Context(), "test", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	got := read(t, r, 2, 1<<20)
	for i, want := range []*pipeline.Frame{rows("b", 0, 10), rows("a", 1, 50)} {
		if f := got[i]; f.Seq != uint64(i+2) || f.Kind != want.Kind || f.Connection != want.Connection || f.Attempt != 1 || f.Number != want.Number || f.Rows != want.Rows || !bytes.Equal(f.Body, want.Body) {
			t.Errorf("frame %d is %+v", i+2, f)
		}
	}
	if f := sure(l.LastFrame(t.Context(), "a", 1))(t); f == nil || f.Seq != 3 || f.Number != 1 || f.Body != nil {
		t.Errorf("the newest frame of a is %+v", f)
	}
	if f := sure(l.LastFrame(t.Context(), "c", 1))(t); f != nil {
		t.Errorf("c, of which there is none, has %+v", f)
	}
	waits, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { _, err := r.Fetch(waits, 1<<20); done <- err }()
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for a frame and is stopped gets %v", err)
	}
}

// A reader of some connections gets their frames alone, in their order, wherever it begins.
func framesOfSome(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	publish(t, l, rows("a", 0, 10), rows("b", 0, 10), rows("c", 0, 10), rows("a", 1, 10))
	if err := l.Fence(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	publish(t, l, rows("b", 1, 10), rows("c", 1, 10), attempt(2, rows("a", 0, 10)))
	for from, want := range map[uint64][]string{1: {"1 a0", "3 c0", "4 a1", "7 c1", "8 a0"}, 4: {"4 a1", "7 c1", "8 a0"}} {
		r := sure(l.Reader(t.Context(), fmt.Sprint("some-", from), from, []string{"a", "c"}))(t)
		var got []string
		for len(got) < len(want) {
			for _, f := range sure(r.Fetch(t.Context(), 1<<20))(t) {
				if f.Kind != pipeline.FramePassed {
					got = append(got, fmt.Sprintf("%d %s%d", f.Seq, f.Connection, f.Number))
				}
			}
			r.Acked(4)
		}
		if strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("from %d: %v, want %v", from, got, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A reader of some connections that has nothing to read says so once the log waits for it; what comes then it gets.
func passedBySome(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	r := sure(l.Reader(t.Context(), "some", 1, []string{"b"}))(t)
	defer func() { _ = r.Close() }()
	for n := range uint64(30) {
		publish(t, l, rows("a", n, 20_000)) // more than half of the log
	}
	if f := sure(r.Fetch(t.Context(), 1<<20))(t); len(f) != 1 || f[0].Kind != pipeline.FramePassed || f[0].Seq != 30 {
		t.Fatalf("got %+v", f[0])
	}
	if err := l.Trim(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	publish(t, l, rows("a", 30, 10), rows("b", 0, 10))
	for {
		f := sure(r.Fetch(t.Context(), 1<<20))(t)
		if f[0].Kind == pipeline.FramePassed {
			continue
		}
		if len(f) != 1 || f[0].Connection != "b" || f[0].Seq != 32 {
			t.Errorf("then it got %+v", f[0])
		}
		return
	}
}

// A frame that is published again because its answer was lost is in the log once, and its position is found.
func retryIsStoredOnce(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	first := sure(l.Append(t.Context(), rows("a", 1, 100)))(t)
	if again := sure(l.Append(t.Context(), rows("a", 1, 100)))(t); again != first {
		t.Errorf("sent again it is at %d, was at %d", again, first)
	}
	publish(t, l, rows("b", 1, 100))
	second := sure(l.Append(t.Context(), rows("a", 2, 100)))(t)
	if err := l.Fence(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if again := sure(l.Append(t.Context(), rows("a", 2, 100)))(t); again != second {
		t.Errorf("sent again when its attempt is fenced it is at %d, was at %d", again, second)
	}
	if st := sure(l.State(t.Context()))(t); st.Last != 4 || st.First != 1 {
		t.Errorf("state %+v; three frames and a fence were published", st)
	}
}

func attempt(n int, f *pipeline.Frame) *pipeline.Frame { f.Attempt = n; return f }

// What an attempt has not stored when it is fenced is refused, whoever sends it. Attempts above it, and other
// connections, store what they have.
func fencedAttempts(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	publish(t, l, attempt(1, rows("a", 0, 100)), attempt(1, rows("b", 0, 100)))
	for range 2 { // again it changes nothing
		if err := l.Fence(t.Context(), "a", 3); err != nil {
			t.Fatal(err)
		}
	}
	for what, f := range map[string]*pipeline.Frame{"the next frame": attempt(1, rows("a", 1, 100)), "the first one of another": attempt(2, rows("a", 0, 100))} {
		if _, err := l.Append(t.Context(), f); !errors.Is(err, pipeline.ErrOvertaken) || !strings.Contains(err.Error(), fmt.Sprintf("attempt %d", f.Attempt)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	publish(t, l, attempt(3, rows("a", 0, 100)), attempt(1, rows("b", 1, 100)))
	if err := l.Fence(t.Context(), "c", 1); err != nil { // the first attempt has none before it
		t.Fatal(err)
	}
	r := sure(l.Reader(t.Context(), "test", 1, nil))(t)
	defer func() { _ = r.Close() }()
	var got []string
	for _, f := range read(t, r, 6, 1<<20) {
		got = append(got, fmt.Sprintf("%s%d %s", f.Connection, f.Attempt, f.Kind))
	}
	if want := "a1 rows,b1 rows,a1 fence,a2 fence,a3 rows,b1 rows"; strings.Join(got, ",") != want {
		t.Errorf("the log has %v, want %s", got, want)
	}
	if st := sure(l.State(t.Context()))(t); st.Last != 6 {
		t.Errorf("state %+v; six messages were taken", st)
	}
}

// Whose fence was trimmed stores frames again. They hide no frame of a higher attempt.
func fenceTrimmed(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	if err := l.Fence(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	publish(t, l, attempt(2, rows("a", 7, 100)))
	if err := l.Trim(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	publish(t, l, attempt(1, rows("a", 1, 100)))
	if f := sure(l.LastFrame(t.Context(), "a", 2))(t); f == nil || f.Attempt != 2 || f.Number != 7 || f.Body != nil {
		t.Errorf("the newest frame of the highest attempt is %+v", f)
	}
	if err := l.Trim(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if f := sure(l.LastFrame(t.Context(), "a", 2))(t); f != nil {
		t.Errorf("the newest frame of an empty log is %+v", f)
	}
}

// Trim never reaches past the end, where it would delete frames that are yet to come, and repeats harmlessly.
func trimStopsAtTheEnd(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	if err := l.Trim(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	publish(t, l, rows("a", 1, 10), rows("a", 2, 10), rows("a", 3, 10))
	for _, seq := range []uint64{0, 1, 1, 1000, 1000} {
		if err := l.Trim(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := l.State(t.Context()); err != nil || st.First != 4 || st.Last != 3 || st.Bytes != 0 {
		t.Fatalf("an emptied log is %+v, %v", st, err)
	}
	publish(t, l, rows("a", 4, 10))
	if st, err := l.State(t.Context()); err != nil || st.First != 4 || st.Last != 4 {
		t.Errorf("after the next frame it is %+v, %v", st, err)
	}
}

// A new generation replaces the log; whoever still writes the old one is refused and does not reach the new one.
func generations(t *testing.T, logs pipeline.RowLogs) {
	old := newLog(t, logs)
	publish(t, old, rows("a", 1, 100))
	again, err := logs.Create(t.Context(), manifest(), 1)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := old.State(t.Context())
	b, err := again.State(t.Context())
	if err != nil || !a.ID.Same(b.ID) || b.Last != 1 {
		t.Errorf("adopting gives %+v, %v; the log is %+v", b, err, a)
	}
	young, err := logs.Create(t.Context(), manifest(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Append(t.Context(), rows("a", 2, 100)); !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("publishing to generation 1: %v", err)
	}
	if err := old.Trim(t.Context(), 1); !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("trimming generation 1: %v", err)
	}
	if _, err := logs.Open(t.Context(), "r", 1); !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("opening generation 1: %v", err)
	}
	if _, err := logs.Create(t.Context(), manifest(), 1); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("making generation 1 after 2: %v", err)
	}
	if err := logs.Delete(t.Context(), "r", 1); err != nil { // as one that was overtaken does
		t.Error(err)
	}
	if st, err := young.State(t.Context()); err != nil || st.Last != 0 || st.First != 1 {
		t.Errorf("generation 2 is %+v, %v; nothing was published to it", st, err)
	}
	// A log made anew under the same name is not the one that was open.
	if err := logs.Delete(t.Context(), "r", 2); err != nil {
		t.Fatal(err)
	}
	if _, err := logs.Create(t.Context(), manifest(), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := young.State(t.Context()); !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("state of a log that was replaced: %v", err)
	}
}

// A reader that needs what was trimmed, or what the log never had, is told so.
func gapIsAnError(t *testing.T, logs pipeline.RowLogs) {
	l := newLog(t, logs)
	for n := range uint64(10) {
		publish(t, l, rows("a", n, 100))
	}
	behind, err := l.Reader(t.Context(), "behind", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer behind.Close()
	if f := read(t, behind, 1, 300); f[0].Seq != 1 {
		t.Fatalf("first frame is %d", f[0].Seq)
	}
	if err := l.Trim(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	last := uint64(1)
	for {
		frames, err := behind.Fetch(t.Context(), 300)
		if errors.Is(err, pipeline.ErrGap) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range frames {
			if f.Seq != last+1 {
				t.Fatalf("%d follows %d", f.Seq, last)
			}
			last = f.Seq
		}
		if last == 10 {
			t.Fatal("the reader passed over a gap") // at most two frames were under way when 8 were trimmed
		}
	}
	for from, want := range map[uint64]error{1: pipeline.ErrGap, 8: pipeline.ErrGap, 9: nil, 11: nil, 12: pipeline.ErrGap} {
		r, err := l.Reader(t.Context(), "probe", from, nil)
		if !errors.Is(err, want) {
			t.Errorf("reading from %d of 9 to 10: %v, want %v", from, err, want)
		}
		if err == nil {
			r.Close()
		}
	}
}

func manifest() *pipeline.Manifest {
	return &pipeline.Manifest{Run: "r", JobID: "job_gst", JobName: "GST Sale Data", LogMaxBytes: 1 << 20}
}

func newLog(t *testing.T, logs pipeline.RowLogs) pipeline.RowLog {
	t.Helper()
	return sure(logs.Create(t.Context(), manifest(), 1))(t)
}

// sure is v, or the end of the test.
func sure[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func rows(connection string, n uint64, size int) *pipeline.Frame {
	body := bytes.Repeat([]byte{byte(n)}, size)
	copy(body, fmt.Sprintf("%s/%d;", connection, n))
	return &pipeline.Frame{Kind: pipeline.FrameRows, Connection: connection, Attempt: 1, Number: n, Rows: int(n) + 1, Fragments: 1, Body: body}
}

func publish(t *testing.T, l pipeline.RowLog, frames ...*pipeline.Frame) {
	t.Helper()
	for _, f := range frames {
		sure(l.Append(t.Context(), f))(t)
	}
}

func read(t *testing.T, r pipeline.FrameReader, n, maxBytes int) (out []*pipeline.Frame) {
	t.Helper()
	for len(out) < n {
		out = append(out, sure(r.Fetch(t.Context(), maxBytes))(t)...)
	}
	return out
}
