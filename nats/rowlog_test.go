package nats_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/porttest"
	"fanmill/nats"
	"fanmill/pipeline"
)

// A frame comes back as it was published, whatever its kind and however odd the connection's id.
func TestFramesRoundTrip(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "20260101-000000-abc", 64<<20)
	odd := "Zweigstelle Köln. / Nr. 7\n*>="
	in := []*pipeline.Frame{
		{Kind: pipeline.FrameOpen, Connection: odd, Attempt: 3, Number: 0, Fragments: 1, Body: []byte(`{"queries":[]}`)},
		{Kind: pipeline.FrameRows, Connection: odd, Attempt: 3, Number: 1, Query: 2, Rows: 0, Fragment: 0, Fragments: 2, Body: []byte{1, 0, 255}},
		{Kind: pipeline.FrameRows, Connection: odd, Attempt: 3, Number: 2, Query: 2, Rows: 1, Fragment: 1, Fragments: 2, Body: []byte{13, 10}},
		{Kind: pipeline.FrameRows, Connection: "", Attempt: 1, Number: 1 << 40, Query: 0, Rows: 77, Fragments: 1, Body: []byte("x")},
		{Kind: pipeline.FrameEOF, Connection: odd, Attempt: 3, Number: 3, Fragments: 1, Body: []byte(`{"rows":[1]}`)},
		{Kind: pipeline.FrameFailed, Connection: "b", Attempt: 4, Number: 0, Fragments: 1, Body: []byte(`{}`)},
	}
	publish(t, l, in...)
	r, err := l.Reader(within(t), "excel-abcd", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, f := range read(t, r, len(in), 1<<20) {
		want := *in[i]
		want.Seq = uint64(i + 1)
		if !reflect.DeepEqual(*f, want) {
			t.Errorf("frame %d is\n%+v, published was\n%+v", i, *f, want)
		}
	}
	f, err := l.LastFrame(within(t), odd, 1)
	if err != nil || f == nil || f.Kind != pipeline.FrameEOF || f.Attempt != 3 || f.Number != 3 || f.Seq != 5 || f.Body != nil {
		t.Errorf("last frame is %+v, %v", f, err)
	}
	if f, err = l.LastFrame(within(t), "", 1); err != nil || f == nil || f.Rows != 77 || f.Body != nil {
		t.Errorf("last rows frame is %+v, %v; it comes without its body", f, err)
	}
	if f, err = l.LastFrame(within(t), "never", 1); f != nil || err != nil {
		t.Errorf("last frame of a connection without any is %+v, %v", f, err)
	}
}

// The log's disk is bounded: publishers wait while it is full, a trim wakes them, and no frame is lost, repeated or
// moved.
func TestFullLogWaitsForTrim(t *testing.T) {
	for _, where := range []string{"here", "another process"} {
		t.Run(where, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, dir)
			l := newLog(t, c, "r", 1<<20)
			trimmer := l
			if where != "here" {
				var err error
				if trimmer, err = open(t, dir).RowLogs().Open(within(t), "r", 1); err != nil {
					t.Fatal(err)
				}
			}
			const connections, each = 3, 40
			size := 100_000
			var wg sync.WaitGroup
			for _, id := range []string{"a", "b", "c"} {
				wg.Go(func() {
					for n := range each {
						if _, err := l.Append(within(t), rows(id, uint64(n), size)); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			r, err := trimmer.Reader(within(t), "slow", 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			next := map[string]uint64{}
			for seen := 0; seen < connections*each; {
				eventually(t, "the log fills up", func() bool {
					st, err := trimmer.State(within(t))
					if err != nil || st.Bytes > st.MaxBytes {
						t.Fatalf("state %+v, %v", st, err)
					}
					left := uint64(connections*each) - st.Last
					return left == 0 || st.Bytes+int64(size) > st.MaxBytes
				})
				frames := read(t, r, 1, 400_000)
				for _, f := range frames {
					if f.Number != next[f.Connection] {
						t.Fatalf("%s: frame %d, want %d", f.Connection, f.Number, next[f.Connection])
					}
					next[f.Connection]++
					seen++
				}
				if err := trimmer.Trim(within(t), frames[len(frames)-1].Seq); err != nil {
					t.Fatal(err)
				}
			}
			wg.Wait()
		})
	}
}

// A publisher that waits for space stops when it is told to, and is told when its log is deleted.
func TestFullLogEndsWithContextAndLog(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 300_000)
	publish(t, l, rows("a", 1, 130_000), rows("a", 2, 130_000))
	ctx, cancel := context.WithCancel(within(t))
	errs := make(chan error)
	go func() { errs <- stored(ctx, l, rows("a", 3, 130_000)) }()
	eventually(t, "the publisher waits", func() bool { return nats.Waiting(l) })
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled publisher returned %v", err)
	}
	go func() { errs <- stored(within(t), l, rows("a", 3, 130_000)) }()
	eventually(t, "the publisher waits", func() bool { return nats.Waiting(l) })
	if err := c.RowLogs().Delete(within(t), "r", 1); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; !errors.Is(err, pipeline.ErrNoLog) {
		t.Errorf("a publisher into a deleted log returned %v", err)
	}
	if err := c.RowLogs().Delete(within(t), "r", 1); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
}

// What no log or message can ever hold fails for good, naming the setting; the room asked for is what the server
// counts.
func TestTooLarge(t *testing.T) {
	c := open(t, t.TempDir())
	l := newLog(t, c, "r", 500_000)
	err := stored(within(t), l, rows("a", 1, 500_000))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "--log-max-mb") {
		t.Errorf("a frame larger than the log: %v", err)
	}
	if l.MaxBody() > 250_000 {
		t.Errorf("MaxBody %d lets one frame fill a log of 500,000", l.MaxBody())
	}
	f := rows("a", 1, l.MaxBody())
	publish(t, l, f)
	if st, err := l.State(within(t)); err != nil || st.Bytes != nats.StoredSize(l, f) {
		t.Errorf("the server counts %d bytes, we %d (%v)", st.Bytes, nats.StoredSize(l, f), err)
	}
	big := newLog(t, c, "big", 64<<20)
	publish(t, big, rows("a", 1, big.MaxBody()))
	err = stored(within(t), big, rows("a", 2, 9<<20))
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("a frame larger than a message: %v", err)
	}
}

// The logs keep to what the pipeline asks of them, as those in memory do.
func TestRowLogs(t *testing.T) {
	porttest.RowLogs(t, func(t *testing.T) pipeline.RowLogs { return open(t, t.TempDir()).RowLogs() })
}

// Operators see what a log is of.
func TestLogsAreDescribed(t *testing.T) {
	c := open(t, t.TempDir())
	if _, err := c.RowLogs().Create(within(t), manifest("r", 1<<20), 2); err != nil {
		t.Fatal(err)
	}
	_, meta, err := c.Config("FANMILL_ROWS_r_2", "")
	if err != nil || meta["fanmill.run"] != "r" || meta["fanmill.job"] != "job_gst" || meta["fanmill.generation"] != "2" {
		t.Errorf("metadata %v, %v", meta, err)
	}
}

// With no storage left to reserve, the run is refused with a message that says what to do.
func TestReservationIsRefusedClearly(t *testing.T) {
	dir := t.TempDir()
	c, err := nats.Open(within(t), nats.Options{DataDir: dir, MaxStore: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, c)
	_, err = c.RowLogs().Create(within(t), manifest("r", 128<<20), 1)
	if err == nil || pipeline.IsPermanent(err) {
		t.Fatalf("a log larger than the store: %v", err)
	}
	for _, says := range []string{dir, "MB free", "--data", "--log-max-mb"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("a log larger than the store: %v does not say %s", err, says)
		}
	}
}
