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

// A frame that waits for room learns that its attempt was fenced meanwhile; a fence waits for room, too.
func TestFenceWhereTheLogIsFull(t *testing.T) {
	l := newLog(t, open(t, t.TempDir()), "r", 300_000)
	first := sure(l.Append(within(t), rows("b", 1, 130_000)))(t)
	second := sure(l.Append(within(t), rows("b", 2, 130_000)))(t)
	frame, fence := make(chan error, 1), make(chan error, 1)
	go func() { frame <- stored(within(t), l, rows("a", 1, 130_000)) }()
	eventually(t, "the publisher waits", func() bool { return nats.Waiting(l) })
	if err := l.Fence(within(t), "a", 2); err != nil { // for which there is room
		t.Fatal(err)
	}
	if err := l.Trim(within(t), first); err != nil {
		t.Fatal(err)
	}
	if err := <-frame; !errors.Is(err, pipeline.ErrOvertaken) {
		t.Errorf("the frame of a fenced attempt: %v", err)
	}
	for n := 3; ; n++ {
		st := sure(l.State(within(t)))(t)
		left := int(st.MaxBytes-st.Bytes) - 600 // for the headers
		if left < 1 {
			break
		}
		sure(l.Append(within(t), rows("b", uint64(n), min(left, 130_000))))(t)
	}
	go func() { fence <- l.Fence(within(t), "c", 6) }() // more than the last hundreds of bytes have room for
	eventually(t, "one of the fences waits", func() bool { return nats.Waiting(l) })
	if err := l.Trim(within(t), second); err != nil {
		t.Fatal(err)
	}
	if err := <-fence; err != nil {
		t.Errorf("fences, with room: %v", err)
	}
}

// Messages that another program puts on a connection's subject are no frames: they hide none, and stop nobody. On the
// subject of a fence they do what the fence does.
func TestFencePassesForeignMessages(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 1<<20)
	foreign := func(subject string) {
		t.Helper()
		if err := c.Inject(subject, []byte("hello")); err != nil {
			t.Fatal(err)
		}
	}
	foreign(pipeline.TopicRows("r", "a"))
	sure(l.Append(within(t), rows("a", 1, 100)))(t)
	foreign(pipeline.TopicRows("r", "a"))
	second := sure(l.Append(within(t), rows("a", 2, 100)))(t)
	foreign(pipeline.TopicRows("r", "a"))
	if again := sure(l.Append(within(t), rows("a", 2, 100)))(t); again != second {
		t.Errorf("sent again it is at %d, was at %d", again, second)
	}
	if f := sure(l.LastFrame(within(t), "a", 1))(t); f == nil || f.Number != 2 {
		t.Errorf("the newest frame is %+v", f)
	}
	foreign(pipeline.TopicFence("r", "a", "1"))
	if _, err := l.Append(within(t), rows("a", 3, 100)); !errors.Is(err, pipeline.ErrOvertaken) {
		t.Errorf("a frame of a fenced attempt: %v", err)
	}
}
