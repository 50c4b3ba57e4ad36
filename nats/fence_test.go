package nats_test

import (
	"errors"
	"strings"
	"testing"

	"fanmill/nats"
	"fanmill/pipeline"
)

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

// A frame that is published again because its answer was lost is in the log once, and its position is found.
func TestRetryIsStoredOnce(t *testing.T) {
	l := newLog(t, open(t, t.TempDir()), "r", 1<<20)
	first := sure(l.Append(within(t), rows("a", 1, 100), 0))(t)
	if again := sure(l.Append(within(t), rows("a", 1, 100), 0))(t); again != first {
		t.Errorf("sent again it is at %d, was at %d", again, first)
	}
	publish(t, l, rows("b", 1, 100))
	second := sure(l.Append(within(t), rows("a", 2, 100), first))(t)
	if again := sure(l.Append(within(t), rows("a", 2, 100), first))(t); again != second {
		t.Errorf("sent again it is at %d, was at %d", again, second)
	}
	if st := sure(l.State(within(t)))(t); st.Last != 3 || st.First != 1 {
		t.Errorf("state %+v; three frames were published", st)
	}
}

// A connection's frames are a chain: what does not stand behind its newest frame is refused, whoever sends it, and the
// refusal names both. Other connections are nobody's business.
func TestChainOfFrames(t *testing.T) {
	l := newLog(t, open(t, t.TempDir()), "r", 1<<20)
	attempt := func(n int, f *pipeline.Frame) *pipeline.Frame { f.Attempt = n; return f }
	first := sure(l.Append(within(t), attempt(1, rows("a", 1, 100)), 0))(t)
	publish(t, l, rows("b", 1, 100))
	sure(l.Append(within(t), attempt(2, rows("a", 0, 100)), first))(t)
	for what, f := range map[string]*pipeline.Frame{"the zombie's next frame": attempt(1, rows("a", 2, 100)), "another beginning": attempt(3, rows("a", 0, 100))} {
		_, err := l.Append(within(t), f, first)
		if !errors.Is(err, pipeline.ErrOvertaken) || !strings.Contains(err.Error(), "frame 0 of attempt 2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := l.Append(within(t), attempt(3, rows("a", 0, 100)), 0); !errors.Is(err, pipeline.ErrOvertaken) {
		t.Errorf("a beginning that has seen nothing: %v", err)
	}
	if st := sure(l.State(within(t)))(t); st.Last != 3 {
		t.Errorf("state %+v; three frames were taken", st)
	}
}

// What the server says of a subject whose messages were all trimmed: it has the sequence 0, and no other is right.
func TestChainAfterTrim(t *testing.T) {
	l := newLog(t, open(t, t.TempDir()), "r", 1<<20)
	first := sure(l.Append(within(t), rows("a", 1, 100), 0))(t)
	if err := l.Trim(within(t), first); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(within(t), rows("a", 2, 100), first); !errors.Is(err, pipeline.ErrOvertaken) || !strings.Contains(err.Error(), "trimmed") {
		t.Errorf("behind what was trimmed: %v", err)
	}
	if f := sure(l.LastFrame(within(t), "a"))(t); f != nil {
		t.Errorf("the newest frame is %+v", f)
	}
	second := sure(l.Append(within(t), rows("a", 2, 100), 0))(t)
	if second != first+1 {
		t.Errorf("the next frame is at %d, the first was at %d", second, first)
	}
}

// A frame that waits for room stands behind its predecessor all the same, and learns when that is trimmed to make it.
func TestChainWaitsForRoom(t *testing.T) {
	l := newLog(t, open(t, t.TempDir()), "r", 300_000)
	other := sure(l.Append(within(t), rows("b", 1, 130_000), 0))(t)
	first := sure(l.Append(within(t), rows("a", 1, 130_000), 0))(t)
	waits := func(after uint64, upTo uint64) (uint64, error) {
		done := make(chan struct{})
		var seq uint64
		var err error
		go func() {
			defer close(done)
			seq, err = l.Append(within(t), rows("a", after, 130_000), after)
		}()
		eventually(t, "the publisher waits", func() bool { return nats.Waiting(l) })
		if err := l.Trim(within(t), upTo); err != nil {
			t.Fatal(err)
		}
		<-done
		return seq, err
	}
	second, err := waits(first, other)
	if err != nil || second != first+1 {
		t.Fatalf("the frame is at %d, %v; its predecessor at %d", second, err, first)
	}
	if _, err := waits(second, second); !errors.Is(err, pipeline.ErrOvertaken) {
		t.Errorf("its predecessor was trimmed while it waited: %v", err)
	}
}

// Messages that another program puts on a connection's subject are no frames: they overtake nobody, and hide no frame
// from the next one.
func TestChainPassesForeignMessages(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 1<<20)
	foreign := func() {
		t.Helper()
		if err := c.Inject(pipeline.TopicRows("r", "a"), []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	foreign()
	first := sure(l.Append(within(t), rows("a", 1, 100), 0))(t)
	foreign()
	foreign()
	second := sure(l.Append(within(t), rows("a", 2, 100), first))(t)
	foreign()
	if again := sure(l.Append(within(t), rows("a", 2, 100), first))(t); again != second {
		t.Errorf("sent again it is at %d, was at %d", again, second)
	}
	if _, err := l.Append(within(t), rows("a", 3, 100), first); !errors.Is(err, pipeline.ErrOvertaken) {
		t.Errorf("a frame that passes one over: %v", err)
	}
}
