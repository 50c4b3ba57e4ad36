package nats_test

import (
	"errors"
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
