package nats_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fanmill/internal/porttest"
	"fanmill/nats"
	"fanmill/pipeline"
)

// heard collects log lines.
type heard struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *heard) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *heard) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.b.String(), text)
}

// fakeDisk is full when a test says so; what the server says then comes from the test, too.
func fakeDisk(t *testing.T) (dir string, free func(string) (int64, bool), fill, clear func(*nats.Conn)) {
	var full atomic.Bool
	free = func(string) (int64, bool) {
		if full.Load() {
			return 0, true
		}
		return 1 << 30, true
	}
	fill = func(c *nats.Conn) {
		full.Store(true)
		c.Ail("Filestore [KV_fanmill_runs] Critical write error: no space left on device")
	}
	return t.TempDir(), free, fill, func(*nats.Conn) { full.Store(false) }
}

// A full disk is named with the folder and what helps, once. With space freed the server is started anew, and what
// was under way goes on: nothing that was acknowledged is lost, nothing is there twice.
func TestFullDisk(t *testing.T) {
	disks := map[string]func(*testing.T) (string, func(string) (int64, bool), func(*nats.Conn), func(*nats.Conn)){"fake": fakeDisk}
	if small := smallDisk(t); small != nil {
		disks["small"] = small
	}
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			dir, free, fill, clear := disk(t)
			log := &heard{}
			c, err := nats.Open(within(t), nats.Options{DataDir: dir, MaxStore: 256 << 20, Log: slog.New(slog.NewTextHandler(log, nil))}.OnDisk(free))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { shut(t, c) })
			l := newLog(t, c, "r", 64<<20)
			watch, err := c.Stores().Runs.Watch(within(t), ">")
			if err != nil {
				t.Fatal(err)
			}
			porttest.Expect(t, watch, "")
			publish(t, l, rows("a", 0, 1000))
			before := c.Server()
			fill(c)
			published := make(chan error, 1)
			go func() {
				for n := uint64(1); n < 10; n++ {
					if _, err := l.Append(within(t), rows("a", n, 200_000)); err != nil {
						published <- err
						return
					}
				}
				published <- nil
			}()
			eventually(t, "the trouble", func() bool { return c.Trouble() != nil })
			err = c.Probe(within(t))
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "Free space there") || errors.Is(err, pipeline.ErrStore) {
				t.Errorf("a look at the store says %v", err)
			}
			if !log.has("cannot store in " + dir) {
				t.Error("the log does not say so")
			}
			clear(c)
			eventually(t, "the cure", func() bool { return c.Trouble() == nil })
			if err := <-published; err != nil {
				t.Fatal(err)
			}
			if c.Server() == before {
				t.Error("the same server goes on")
			}
			if err := c.Probe(within(t)); err != nil {
				t.Errorf("a look at the store says %v", err)
			}
			put(t, c, "after")
			porttest.Expect(t, watch, "after=1")
			r, err := l.Reader(within(t), "check", 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for n, f := range read(t, r, 10, 4<<20) {
				if f.Number != uint64(n) {
					t.Fatalf("frame %d in place %d", f.Number, n)
				}
			}
			if st, err := l.State(within(t)); err != nil || st.Last != 10 {
				t.Errorf("the log is %+v, %v", st, err)
			}
		})
	}
}

// A store whose disk is full when it is opened says so.
func TestFullDiskAtStart(t *testing.T) {
	o := nats.Options{DataDir: t.TempDir(), MaxStore: 1 << 20} // too little for any stream that is reserved
	_, err := nats.Open(within(t), o.OnDisk(func(string) (int64, bool) { return 4096, true }))
	if err == nil || !strings.Contains(err.Error(), "the disk of the data folder "+o.DataDir+" is full (0.0 MB free): free space there") {
		t.Errorf("opening it: %v", err)
	}
}

// A store that was emptied, or of which a bucket was made anew, is not the one that was opened. Another stream is no
// such matter.
func TestProbeKnowsTheStore(t *testing.T) {
	for _, bucket := range []string{"fanmill_runs", "fanmill_checkpoints", "fanmill_jobs"} {
		t.Run(bucket, func(t *testing.T) {
			c := open(t, t.TempDir())
			if err := c.DeleteStream(within(t), "FANMILL_EVENTS"); err != nil {
				t.Fatal(err)
			}
			if err := c.Probe(within(t)); err != nil {
				t.Fatal(err)
			}
			if err := c.DeleteStream(within(t), "KV_"+bucket); err != nil {
				t.Fatal(err)
			}
			for _, how := range []string{"gone", "made anew"} {
				if err := c.Probe(within(t)); !errors.Is(err, pipeline.ErrStore) || !strings.Contains(fmt.Sprint(err), bucket) {
					t.Errorf("with the bucket %s: %v", how, err)
				}
				if how == "gone" {
					if err := c.MakeBucket(within(t), bucket); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// What the server does not take is trouble until a later write to the same stream succeeds; a full row log and a
// conflict are none.
func TestFailedWritesAreTrouble(t *testing.T) {
	c := open(t, t.TempDir())
	put(t, c, "k")
	if _, err := c.Stores().Runs.Create(within(t), "k", nil); !errors.Is(err, pipeline.ErrConflict) {
		t.Fatal(err)
	}
	if err := c.Probe(within(t)); err != nil {
		t.Errorf("after a conflict: %v", err)
	}
	c.Note("KV_fanmill_runs", pipeline.Transient(errors.New("no answer")))
	if err := c.Probe(within(t)); err == nil || !strings.Contains(err.Error(), "does not store") {
		t.Errorf("after a write without an answer: %v", err)
	}
	put(t, c, "k")
	if err := c.Probe(within(t)); err != nil {
		t.Errorf("after the next one: %v", err)
	}
}
