package nats_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"fanmill/nats"
	"fanmill/pipeline"
)

const workStream = "FANMILL_WORK"

// worker handles the query commands of the shared pool, as a process does that asks connections.
func worker(handle func(ctx context.Context, m *pipeline.Message) error) pipeline.Handler {
	return pipeline.Handler{Topic: pipeline.TopicQueryCommands(pipeline.AnyPool), Durable: pipeline.DurableQueries(pipeline.AnyPool), Parallel: 2, Handle: handle}
}

// serving serves handlers until stop, which waits for their end.
func servingBus(t *testing.T, c *nats.Conn, handlers ...pipeline.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	go func() { done <- c.Bus().Serve(ctx, slog.New(slog.DiscardHandler), handlers...) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func command(t testing.TB, c *nats.Conn, connection string) {
	t.Helper()
	if err := c.Bus().Publish(pipeline.TopicQueryCommand(pipeline.AnyPool, "r", connection), "", []byte(connection)); err != nil {
		t.Fatal(err)
	}
}

// next is what comes out of a channel.
func next[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-within(t).Done():
		t.Fatal("nothing came")
	}
	return v
}

// keptCommands are the payloads of the commands that the stream has.
func keptCommands(t testing.TB, c *nats.Conn) (all []string) {
	t.Helper()
	list, err := c.Bus().Kept(within(t), pipeline.TopicCommands, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		all = append(all, string(m.Payload))
	}
	return all
}

// Two processes on one consumer share its commands. A command that is done with is gone before its handling is at its
// end, keeps its place until then, and does not come again, however that ends.
func TestDoneBeforeTheEnd(t *testing.T) {
	c, d := openTwo(t)
	type taken struct {
		by, what string
		end      chan error
	}
	took := make(chan taken)
	by := func(name string) func(context.Context, *pipeline.Message) error {
		return func(ctx context.Context, m *pipeline.Message) error {
			if err := m.Done(ctx); err != nil {
				t.Errorf("%s is not done with: %v", m.Payload, err)
			}
			it := taken{name, string(m.Payload), make(chan error)}
			took <- it
			return <-it.end
		}
	}
	defer servingBus(t, c, worker(by("c")))()
	defer servingBus(t, d, worker(by("d")))()
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		command(t, c, id)
	}
	all, count := map[string]taken{}, map[string]int{}
	for range 4 {
		it := next(t, took)
		all[it.what] = it
		count[it.by]++
	}
	if count["c"] != 2 || count["d"] != 2 {
		t.Errorf("each has room for two; they took %v", count)
	}
	if left := keptCommands(t, c); !slices.Equal(left, []string{"5"}) {
		t.Errorf("%q are kept while four are in hand that are done with", left)
	}
	all["1"].end <- errors.New("it failed after that")
	last := next(t, took)
	if last.what != "5" || last.by != all["1"].by {
		t.Errorf("%s took %s; the place of %s was free", last.by, last.what, all["1"].by)
	}
	for _, it := range []taken{all["2"], all["3"], all["4"], last} {
		it.end <- nil
	}
	eventually(t, "nothing is left", func() bool {
		unacked, pending, _, err := c.Consumer(workStream, "query-any-v1")
		return err == nil && unacked+pending == 0
	})
}

// workUntilKilled is the other process of TestKilledWorker. It is done with one of its commands.
func workUntilKilled(dir string) {
	ctx := context.Background()
	c, err := nats.Open(ctx, nats.Options{DataDir: dir})
	must(err)
	must(c.Bus().Serve(ctx, slog.New(slog.DiscardHandler), worker(func(ctx context.Context, m *pipeline.Message) error {
		if string(m.Payload) == "done" {
			must(m.Done(ctx))
		}
		fmt.Println(string(m.Payload))
		select {}
	})))
}

// A command that a killed process had is delivered again, unless it was done with.
func TestKilledWorker(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir) // so that the store is not what is killed
	_, lines, kill := child(t, "work", dir)
	for _, id := range []string{"done", "taken"} {
		command(t, c, id)
		if !lines.Scan() || lines.Text() != id {
			t.Fatalf("the child has %q, want %s", lines.Text(), id)
		}
	}
	kill()
	if err := c.SetAckWait(within(t), workStream, "query-any-v1", 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	command(t, c, "last")
	came := make(chan string, 10)
	stop := servingBus(t, c, worker(func(_ context.Context, m *pipeline.Message) error {
		came <- fmt.Sprint(string(m.Payload), " ", m.Delivered)
		return nil
	}))
	got := []string{next(t, came), next(t, came)}
	slices.Sort(got)
	if want := []string{"last 1", "taken 2"}; !slices.Equal(got, want) {
		t.Errorf("%q came, want %q", got, want)
	}
	stop()
	if left := keptCommands(t, c); len(left) > 0 || len(came) > 0 {
		t.Errorf("%q are left, and %d came", left, len(came))
	}
}

// A command that a process has been given and has not begun when it ends goes back at once, confirmed: another one has
// it long before the wait for a sign of life is over.
func TestEndingWorkerGivesBack(t *testing.T) {
	c, d := openTwo(t)
	for _, id := range []string{"begun", "offered"} {
		command(t, c, id)
	}
	sub := c.Subscriber(pipeline.DurableQueries(pipeline.AnyPool), 2)
	ch, err := sub.Subscribe(within(t), pipeline.TopicQueryCommands(pipeline.AnyPool))
	if err != nil {
		t.Fatal(err)
	}
	begun := receive(t, ch)
	context.AfterFunc(begun.Context(), func() { begun.Nack() })
	eventually(t, "the other is offered", func() bool {
		unacked, _, _, err := c.Consumer(workStream, "query-any-v1")
		return err == nil && unacked == 2
	})
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	came := make(chan string, 2)
	defer servingBus(t, d, worker(func(_ context.Context, m *pipeline.Message) error { came <- string(m.Payload); return nil }))()
	got := []string{next(t, came), next(t, came)}
	slices.Sort(got)
	if waited := time.Since(began); !slices.Equal(got, []string{"begun", "offered"}) || waited > nats.AckWait/3 {
		t.Errorf("%q came after %s", got, waited)
	}
}

// Handlers that share a room have together what one has, and take turns in waiting for a place.
func TestHandlersShareARoom(t *testing.T) {
	c := open(t, t.TempDir())
	room := pipeline.NewRoom(3)
	type busy struct {
		kind string
		end  chan struct{}
	}
	took := make(chan busy)
	var handlers []pipeline.Handler
	for _, kind := range []string{"csv", "excel"} {
		handlers = append(handlers, pipeline.Handler{Topic: pipeline.TopicSinkCommands("", kind), Durable: pipeline.DurableSinks("", kind), Room: room,
			Handle: func(ctx context.Context, m *pipeline.Message) error {
				b := busy{kind, make(chan struct{})}
				took <- b
				<-b.end
				return nil
			}})
	}
	send := func(kind string, n int) {
		for i := range n {
			if err := c.Bus().Publish(pipeline.TopicSinkCommand("", kind, "r", fmt.Sprint(i)), "", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer servingBus(t, c, handlers...)()
	for _, kind := range []string{"csv", "excel"} {
		eventually(t, kind+" waits", func() bool {
			_, _, pulls, err := c.Consumer(workStream, pipeline.DurableSinks("", kind))
			return err == nil && pulls == 1
		})
	}
	send("csv", 3)
	first, second := next(t, took), next(t, took) // the third place is the other handler's, which waits
	eventually(t, "two are in hand and one waits, with three places for two handlers", func() bool {
		unacked, pending, _, err := c.Consumer(workStream, "sink-csv-v1")
		return err == nil && unacked == 2 && pending == 1
	})
	send("excel", 1)
	other := next(t, took)
	if other.kind != "excel" {
		t.Fatalf("%s came", other.kind)
	}
	close(first.end)
	third := next(t, took)
	if third.kind != "csv" {
		t.Fatalf("%s came", third.kind)
	}
	for _, b := range []busy{second, other, third} {
		close(b.end)
	}
}

// Commands of different pools, kinds and places have consumers that the server takes side by side; all of a run go at
// once, and those of another stay. What a private consumer is made with lets it go by itself.
func TestTopicsOfCommands(t *testing.T) {
	c := open(t, t.TempDir())
	home := pipeline.HomePlace("host 1/a.b") // which may have any name
	var handlers []pipeline.Handler
	add := func(topic, durable string, private bool) {
		handlers = append(handlers, pipeline.Handler{Topic: topic, Durable: durable, Private: private, Handle: func(context.Context, *pipeline.Message) error { return errors.New("not now") }})
	}
	own := pipeline.OwnPool("t1")
	for _, pool := range []string{pipeline.AnyPool, own} {
		add(pipeline.TopicQueryCommands(pool), pipeline.DurableQueries(pool), pool == own)
	}
	for _, kind := range []string{"csv", "excel"} {
		add(pipeline.TopicSinkCommands("", kind), pipeline.DurableSinks("", kind), false)
		add(pipeline.TopicSinkCommands(home, kind), pipeline.DurableSinks(home, kind), false)
	}
	add(pipeline.TopicSinkCommands(own, ""), pipeline.DurableSinks(own, ""), true)
	stop := servingBus(t, c, handlers...)
	for _, h := range handlers {
		eventually(t, h.Durable+" is made", func() bool {
			_, err := c.ConsumerConfig(within(t), workStream, pipeline.Token(h.Durable))
			return err == nil
		})
	}
	stop()
	for durable, private := range map[string]bool{"query-any-v1": false, "query-own-t1-v1": true, "sink-csv-v1": false, pipeline.Token("at-" + home + "-excel-v1"): false, "at-own-t1-v1": true} {
		cfg, err := c.ConsumerConfig(within(t), workStream, durable)
		if err != nil {
			t.Fatalf("%s: %v", durable, err)
		}
		if cfg.InactiveThreshold > 0 != private || !private && cfg.MaxWaiting != 4096 || cfg.MaxDeliver != -1 || cfg.MaxAckPending != -1 {
			t.Errorf("%s is made with %+v", durable, cfg)
		}
	}
	for _, run := range []string{"r1", "r2"} {
		for _, topic := range []string{pipeline.TopicQueryCommand(own, run, "c"), pipeline.TopicQueryCommand(pipeline.AnyPool, run, "c"), pipeline.TopicSinkCommand("", "csv", run, "d"),
			pipeline.TopicSinkCommand(home, "excel", run, "d"), pipeline.TopicSinkCommand(own, "excel", run, "d")} {
			if err := c.Bus().Publish(topic, "", []byte(run)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, topic := range pipeline.TopicsOfCommands("r1") {
		if err := c.Bus().Drop(within(t), topic); err != nil {
			t.Fatal(err)
		}
	}
	if left := keptCommands(t, c); !slices.Equal(left, []string{"r2", "r2", "r2", "r2", "r2"}) {
		t.Errorf("%q are left", left)
	}
	if err := c.Bus().Drop(within(t), pipeline.TopicSinkCommands(own, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ConsumerConfig(within(t), workStream, "at-own-t1-v1"); err == nil {
		t.Error("the consumer of a place of one process alone is there after its end")
	}
	if left := keptCommands(t, c); len(left) != 4 {
		t.Errorf("%q are left", left)
	}
}
