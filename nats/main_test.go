package nats_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fanmill/nats"
	"fanmill/pipeline"
)

// Set, they make the test binary play another process that shares a data folder.
const (
	childEnv = "FANMILL_NATS_TEST_CHILD" // the folder
	roleEnv  = "FANMILL_NATS_TEST_ROLE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		play := map[string]func(string){"publish": publishUntilKilled, "serve": serveUntilKilled, "work": workUntilKilled}
		play[os.Getenv(roleEnv)](dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child starts the test binary in a role. kill ends it at once; what it has said before can be read on.
func child(t *testing.T, role, dir string) (in io.Writer, lines *bufio.Scanner, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, roleEnv+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return in, bufio.NewScanner(out), func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
	}
}

// must ends a child that cannot go on.
func must(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// within bounds what a test waits for; nothing here takes seconds when all is well.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, dir string) *nats.Conn {
	t.Helper()
	c, err := nats.Open(within(t), nats.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, c) })
	return c
}

func shut(t testing.TB, c *nats.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func manifest(run string, maxBytes int64) *pipeline.Manifest {
	return &pipeline.Manifest{Run: run, JobID: "job_gst", JobName: "GST Sale Data", LogMaxBytes: maxBytes}
}

func newLog(t testing.TB, c *nats.Conn, run string, maxBytes int64) pipeline.RowLog {
	t.Helper()
	l, err := c.RowLogs().Create(within(t), manifest(run, maxBytes), 1)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rows is the n-th rows frame of an attempt, with a body of size bytes that tells n.
func rows(connection string, n uint64, size int) *pipeline.Frame {
	body := bytes.Repeat([]byte{byte(n)}, size)
	copy(body, fmt.Sprintf("%s/%d;", connection, n))
	return &pipeline.Frame{Kind: pipeline.FrameRows, Connection: connection, Attempt: 1, Number: n, Rows: int(n) + 1, Fragments: 1, Body: body}
}

func publish(t testing.TB, l pipeline.RowLog, frames ...*pipeline.Frame) {
	t.Helper()
	for _, f := range frames {
		if _, err := l.Append(within(t), f); err != nil {
			t.Fatal(err)
		}
	}
}

// stored appends a frame.
func stored(ctx context.Context, l pipeline.RowLog, f *pipeline.Frame) error {
	_, err := l.Append(ctx, f)
	return err
}

// read fetches n frames.
func read(t testing.TB, r pipeline.FrameReader, n, maxBytes int) []*pipeline.Frame {
	t.Helper()
	var out []*pipeline.Frame
	for len(out) < n {
		got, err := r.Fetch(within(t), maxBytes)
		if err != nil {
			t.Fatalf("after %d frames: %v", len(out), err)
		}
		out = append(out, got...)
	}
	return out
}

// eventually waits for what no event announces, by asking.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	ctx := within(t)
	for !f() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s: not in time", what)
		}
	}
}
