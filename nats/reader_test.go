package nats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fanmill/nats"
	"fanmill/pipeline"
)

// Frames come in stream order, each once, within the byte bound; one that is larger than the bound comes too.
func TestReaderKeepsToItsBytes(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 64<<20)
	sizes := []int{10, 200_000, 200_000, 3_000_000, 10, 200_000, 900_000, 200_000, 3_000_000, 3_000_000, 200_000}
	for i, size := range sizes {
		publish(t, l, rows("a", uint64(i), size))
	}
	r, err := l.Reader(within(t), "csv-abcd", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const bound = 1_000_000
	for seen := 0; seen < len(sizes); {
		frames, err := r.Fetch(within(t), bound)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, f := range frames {
			if f.Seq != uint64(seen+1) || len(f.Body) != sizes[seen] {
				t.Fatalf("frame %d of %d bytes, want %d of %d", f.Seq, len(f.Body), seen+1, sizes[seen])
			}
			total += len(f.Body)
			seen++
		}
		if total > bound && len(frames) > 1 {
			t.Errorf("%d frames of %d bytes together, bound %d", len(frames), total, bound)
		}
	}
}

// Fetch waits for the first frame, and ends with its context without losing a frame.
func TestReaderWaits(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 1<<20)
	r, err := l.Reader(within(t), "csv", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error)
	go func() { _, err := r.Fetch(ctx, 1000); done <- err }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go func() {
		_, err := r.Fetch(within(t), 1000)
		done <- err
	}()
	publish(t, l, rows("a", 1, 10))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// Frames that another program takes out of the log while a reader waits for them are a gap, also where nothing comes
// after them. One that has read all waits.
func TestPurgedLogIsAGap(t *testing.T) {
	t.Cleanup(nats.SetQuietLook(20 * time.Millisecond))
	for name, remove := range map[string]func(c *nats.Conn, stream string) error{
		"purged":       func(c *nats.Conn, stream string) error { return c.Purge(within(t), stream) },
		"last deleted": func(c *nats.Conn, stream string) error { return c.DeleteMessage(within(t), stream, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, t.TempDir())
			l := newLog(t, c, "r", 1<<20)
			for n := range uint64(3) {
				publish(t, l, rows("a", n, 100))
			}
			ahead, err := l.Reader(within(t), "ahead", 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer ahead.Close()
			read(t, ahead, 3, 1<<20)
			behind, err := l.Reader(within(t), "behind", 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer behind.Close()
			state, err := l.State(within(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := remove(c, state.ID.Stream); err != nil { // it has a consumer, and has asked for nothing yet
				t.Fatal(err)
			}
			for err = error(nil); err == nil; {
				_, err = behind.Fetch(within(t), 1<<20)
			}
			if !errors.Is(err, pipeline.ErrGap) {
				t.Errorf("the reader that lacks frames ends with %v", err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer stop()
			if f, err := ahead.Fetch(ctx, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the reader that lacks none gets %d frames, %v", len(f), err)
			}
		})
	}
}

// Operators see a destination by name, how far it has read and what it has committed; a closed reader leaves nothing.
func TestReaderIsVisible(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 1<<20)
	for n := range uint64(10) {
		publish(t, l, rows("a", n, 100))
	}
	r, err := l.Reader(within(t), "excel-q7k2", 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	read(t, r, 7, 1<<20)
	r.Acked(6)
	eventually(t, "the acknowledgement shows", func() bool {
		delivered, acked, err := c.Position("FANMILL_ROWS_r_1", "excel-q7k2")
		if err != nil {
			t.Fatal(err)
		}
		return delivered == 10 && acked == 6
	})
	if d, _, err := c.Config("FANMILL_ROWS_r_1", "excel-q7k2"); err != nil || d == "" {
		t.Errorf("description %q, %v", d, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Position("FANMILL_ROWS_r_1", "excel-q7k2"); err == nil {
		t.Error("the consumer of a closed reader is still there")
	}
	if _, err := r.Fetch(within(t), 100); err == nil {
		t.Error("a closed reader reads")
	}
}

// The acknowledgement of an earlier frame is made from a later one's, in both spellings of the subject.
func TestAckReply(t *testing.T) {
	for reply, want := range map[string]string{
		"$JS.ACK.S.C.1.20.10.1700000000.5":               "$JS.ACK.S.C.1.15.5.1700000000.5",
		"$JS.ACK.hub.hash.S.C.1.20.10.1700000000.5":      "$JS.ACK.hub.hash.S.C.1.15.5.1700000000.5",
		"$JS.ACK.hub.hash.S.C.1.20.10.1700000000.5.rand": "$JS.ACK.hub.hash.S.C.1.15.5.1700000000.5.rand",
		"$JS.ACK.S.C.1.20.3.1700000000.5":                "", // 15 was never delivered to this consumer
		"$JS.FC.S.C":                                     "",
	} {
		if got, _ := nats.AckReply(reply, 15); got != want {
			t.Errorf("%s gives %q, want %q", reply, got, want)
		}
	}
}

// Every id survives its way through a subject.
func FuzzToken(f *testing.F) {
	f.Add("")
	f.Add("Branch_001")
	f.Add("=2E.*> \x00é")
	f.Fuzz(func(t *testing.T, id string) {
		if got, ok := nats.Untoken(pipeline.Token(id)); !ok || got != id {
			t.Errorf("%q became %q", id, got)
		}
	})
}
