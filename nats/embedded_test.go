package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"fanmill/internal/porttest"
	"fanmill/nats"
	"fanmill/pipeline"
)

// What was acknowledged is there after a restart, and the store is known to be the same.
func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	id := c.StoreID()
	publish(t, newLog(t, c, "r", 1<<20), rows("a", 1, 1000), rows("a", 2, 1000))
	before, err := c.RowLogs().Open(within(t), "r", 1)
	if err != nil {
		t.Fatal(err)
	}
	st, _ := before.State(within(t))
	rev, err := c.Stores().Runs.Create(within(t), "r", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	shut(t, c)

	c = open(t, dir)
	if c.StoreID() != id || id == "" {
		t.Errorf("store %q became %q", id, c.StoreID())
	}
	l, err := c.RowLogs().Open(within(t), "r", 1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.State(within(t)); err != nil || !again.ID.Same(st.ID) || again.Last != 2 || again.Bytes != st.Bytes {
		t.Errorf("the log is %+v, %v; it was %+v", again, err, st)
	}
	if e, err := c.Stores().Runs.Get(within(t), "r"); err != nil || e.Revision != rev || string(e.Value) != "x" {
		t.Errorf("the key is %+v, %v", e, err)
	}
	if open(t, t.TempDir()).StoreID() == id {
		t.Error("another folder is the same store")
	}
}

// The second to open a folder uses the first's server. When the first closes, the second takes over, and what it has
// under way goes on: its reader, its watch, its subscriber, its listener, its publisher.
func TestTakeover(t *testing.T) {
	dir := t.TempDir()
	holder, other, third := open(t, dir), open(t, dir), open(t, dir)
	if !holder.Holds() || other.Holds() || third.Holds() || other.StoreID() != holder.StoreID() {
		t.Fatal("not one server, in the first")
	}
	l := newLog(t, other, "r", 64<<20)
	r, err := l.Reader(within(t), "csv", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	watch, err := other.Stores().Runs.Watch(ctx, ">")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Expect(t, watch, "")
	sub := other.Subscriber("serve", 2)
	msgs, err := sub.Subscribe(ctx, pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	stop := answering(t, other, pipeline.TopicTriggers)
	defer stop()
	ask(t, holder, pipeline.TopicTrigger("j"), "early")
	early := receive(t, msgs)
	put(t, holder, "before")
	porttest.Expect(t, watch, "before=1")
	publish(t, l, rows("a", 0, 100))
	read(t, r, 1, 1000)

	const frames = 50
	published := make(chan error, 1)
	go func() { // across the change of servers
		for n := range uint64(frames) {
			if _, err := l.Append(within(t), rows("b", n, 1000)); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	read(t, r, 5, 1000)
	shut(t, holder)
	put(t, third, "after")
	porttest.Expect(t, watch, "after=1")
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	next := uint64(5)
	for _, f := range read(t, r, frames-5, 10_000) {
		if f.Number != next || f.Connection != "b" {
			t.Fatalf("frame %s/%d, want b/%d", f.Connection, f.Number, next)
		}
		next++
	}
	if other.Holds() == third.Holds() {
		t.Error("not one of the two took over")
	}
	ask(t, third, pipeline.TopicTrigger("j"), "late")
	late := receive(t, msgs)
	if early.UUID != "early" || late.UUID != "late" {
		t.Errorf("%s came, then %s", early.UUID, late.UUID)
	}
	early.Ack() // it was delivered by the server that is gone
	late.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if unacked, pending, _, err := other.Consumer("FANMILL_TRIGGERS", "serve"); err != nil || unacked != 0 || pending != 0 {
		t.Errorf("%d unacknowledged, %d waiting (%v)", unacked, pending, err)
	}
}

func put(t *testing.T, c *nats.Conn, key string) {
	t.Helper()
	if _, err := c.Stores().Runs.Put(within(t), key, []byte("1")); err != nil {
		t.Fatal(err)
	}
}

// publishUntilKilled is the other process of TestKilledHolder: it opens the folder, publishes when its input asks for
// it, and reports each frame once it is acknowledged.
func publishUntilKilled(dir string) {
	ctx := context.Background()
	c, err := nats.Open(ctx, nats.Options{DataDir: dir})
	must(err)
	l, err := c.RowLogs().Create(ctx, manifest("r", 64<<20), 1)
	must(err)
	fmt.Println("ready")
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		os.Exit(0)
	}
	for n := uint64(0); ; n++ {
		must(stored(ctx, l, rows("child", n, 100_000)))
		fmt.Println("stored", n)
	}
}

// A process that is killed while it runs the server loses nothing it has acknowledged, and those that share the
// folder go on without it.
func TestKilledHolder(t *testing.T) {
	dir := t.TempDir()
	in, lines, kill := child(t, "publish", dir)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("child says %q", lines.Text())
	}
	c := open(t, dir)
	if c.Holds() {
		t.Fatal("two processes run servers on one folder")
	}
	l, err := c.RowLogs().Open(within(t), "r", 1)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, l, rows("parent", 0, 1000))
	if _, err := in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	last := -1
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "stored %d", &last); err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
		if last == 20 {
			kill()
		}
	}
	publish(t, l, rows("parent", 1, 1000))
	if !c.Holds() {
		t.Error("nobody holds the folder, and yet it stores")
	}
	r, err := l.Reader(within(t), "check", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	st, err := l.State(within(t))
	if err != nil {
		t.Fatal(err)
	}
	children := 0
	for _, f := range read(t, r, int(st.Last), 1<<20) {
		if f.Connection == "child" {
			if f.Number != uint64(children) || len(f.Body) != 100_000 {
				t.Fatalf("frame %d of %d bytes, want %d", f.Number, len(f.Body), children)
			}
			children++
		}
	}
	if children <= last {
		t.Errorf("%d frames were acknowledged, %d are there", last+1, children)
	}
}

// What the server says of its streams after every kill is for debugging; what is out of the ordinary is a warning.
func TestServerWarnings(t *testing.T) {
	for text, quiet := range map[string]bool{
		"Filestore [FANMILL_JOBS] Stream state outdated, last block has additional entries, will rebuild": true,
		"Filestore [FANMILL_JOBS] Recovering stream state from index errored: prior state file":           true,
		"Filestore [FANMILL_JOBS] Recovering stream state from index errored: corrupt state file":         false,
		"JetStream resource limits exceeded for server":                                                   false,
	} {
		var said strings.Builder
		nats.LogServerWarning(slog.New(slog.NewTextHandler(&said, nil)), "%s", text)
		if (said.Len() == 0) != quiet {
			t.Errorf("%s: logged %q", text, said.String())
		}
	}
}

// A folder whose holder does not answer is refused with a message that names the folder, not waited for without end.
func TestSilentHolder(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "server.json"), []byte(`{"host":"127.0.0.1:1","pid":4711}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200e6)
	defer cancel()
	_, err := nats.Open(ctx, nats.Options{DataDir: dir})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "4711") {
		t.Errorf("opening it: %v", err)
	}
	shut(t, c)
}

// The folder is its owner's alone, and the nats CLI finds its way by the file in it.
func TestCredentialsArePrivate(t *testing.T) {
	dir := t.TempDir()
	c := open(t, filepath.Join(dir, "data"))
	for _, name := range []string{"store.json", "server.json", "context.json"} {
		info, err := os.Stat(filepath.Join(dir, "data", name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v", name, info.Mode())
		}
	}
	var ctx struct{ URL, User, Password string }
	b, err := os.ReadFile(filepath.Join(dir, "data", "context.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &ctx); err != nil || !strings.HasPrefix(ctx.URL, "nats://127.0.0.1:") || ctx.Password == "" {
		t.Fatalf("context %s, %v", b, err)
	}
	if strings.Contains(c.CLI("stream ls"), ctx.Password) || !strings.Contains(c.CLI("stream ls"), filepath.Join(dir, "data", "context.json")) {
		t.Errorf("the line to paste is %q", c.CLI("stream ls"))
	}
	if _, err := nats.Open(within(t), nats.Options{Access: at(ctx.URL)}); err == nil {
		t.Error("the server lets in who has no password")
	}
	if d, err := nats.DefaultDataDir(); err != nil || !strings.Contains(filepath.ToSlash(d), "fanmill") {
		t.Errorf("the default folder is %s, %v", d, err)
	}
}
