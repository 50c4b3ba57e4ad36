package nats_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"fanmill/internal/porttest"
	"fanmill/nats"
	"fanmill/pipeline"
)

func newMessage(id, payload string) *message.Message { return message.NewMessage(id, []byte(payload)) }

func receive(t testing.TB, ch <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-ch:
		if !ok {
			t.Fatal("the subscription ended")
		}
		return m
	case <-within(t).Done():
		t.Fatal("no message came")
	}
	return nil
}

// The bus keeps to what the pipeline asks of one, as that in memory does.
func TestBus(t *testing.T) {
	porttest.Bus(t, func(t *testing.T) pipeline.Bus { return open(t, t.TempDir()).Bus() })
}

// A message arrives with its metadata; published twice it arrives once; acknowledged it does not come again.
func TestBusDelivers(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicQueryCommand(pipeline.AnyPool, "r1", "c")
	m := newMessage("id-1", `{"a":1}`)
	m.Metadata.Set("correlation_id", "corr")
	m.Metadata.Set(nats.MetaSequence, "999") // of another message, from which this one was made
	if err := c.Publisher().Publish(topic, m, m, newMessage("id-2", "{}")); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscriber("query-r1", 1)
	ch, err := sub.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	got := receive(t, ch)
	for k, want := range map[string]string{"correlation_id": "corr", "Content-Type": "application/json", nats.MetaSequence: "1",
		nats.MetaDelivered: "1", nats.MetaMsgID: "id-1", nats.MetaSubject: topic} {
		if v := got.Metadata.Get(k); v != want {
			t.Errorf("%s is %q, want %q", k, v, want)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, got.Metadata.Get(nats.MetaTime)); err != nil || got.UUID != "id-1" || string(got.Payload) != `{"a":1}` {
		t.Errorf("message %s %q, %v", got.UUID, got.Payload, err)
	}
	got.Ack()
	second := receive(t, ch)
	if second.UUID != "id-2" {
		t.Errorf("second message is %s", second.UUID)
	}
	second.Nack()
	again := receive(t, ch)
	if again.UUID != "id-2" || again.Metadata.Get(nats.MetaDelivered) != "2" {
		t.Errorf("after a nack comes %s, delivery %s", again.UUID, again.Metadata.Get(nats.MetaDelivered))
	}
	again.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if m, ok := <-ch; ok {
		t.Errorf("%s came after all were acknowledged", m.UUID)
	}
	if err := c.Publisher().Publish("elsewhere", newMessage("x", "")); !pipeline.IsPermanent(err) {
		t.Errorf("a topic of no stream: %v", err)
	}
}

// No more than parallel messages are outstanding.
func TestBusParallel(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicSinkCommand("", "csv", "r", "d")
	for _, id := range []string{"a", "b", "c"} {
		if err := c.Publisher().Publish(topic, newMessage(id, "{}")); err != nil {
			t.Fatal(err)
		}
	}
	sub := c.Subscriber("sink-r", 2)
	ch, err := sub.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	first, second := receive(t, ch), receive(t, ch)
	if unacked, pending, pulls, err := c.Consumer("FANMILL_WORK", "sink-r"); err != nil || unacked != 2 || pending != 1 || pulls != 0 {
		t.Fatalf("%d unacknowledged, %d to come, %d asked for (%v); parallel is 2", unacked, pending, pulls, err)
	}
	first.Ack()
	third := receive(t, ch)
	third.Ack()
	second.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}

// Messages are handed over in stream order, however many may be outstanding.
func TestBusKeepsOrder(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	const n = 40
	for i := range n {
		if err := c.Inject(topic, []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	sub := c.Subscriber("serve", n)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	var all []*message.Message
	for i := range n {
		m := receive(t, ch)
		if string(m.Payload) != strconv.Itoa(i) {
			t.Fatalf("message %s came, want %d", m.Payload, i)
		}
		all = append(all, m)
	}
	for _, m := range all {
		m.Ack()
	}
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}

// A trigger published again under the same id is dropped, also while the first is worked on, and whatever its job.
func TestBusDropsDuplicateTriggers(t *testing.T) {
	c := open(t, t.TempDir())
	sub := c.Subscriber("serve", 4)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(job, id string) {
		if err := c.Inject(pipeline.TopicTrigger(job), []byte("{}"), "Nats-Msg-Id", id); err != nil {
			t.Fatal(err)
		}
	}
	publish("a", "x")
	first := receive(t, ch)
	publish("a", "x")
	publish("b", "x")
	publish("a", "y")
	second := receive(t, ch)
	if first.UUID != "x" || second.UUID != "y" || second.Metadata.Get(nats.MetaSequence) != "2" {
		t.Errorf("%s came, then %s at %s", first.UUID, second.UUID, second.Metadata.Get(nats.MetaSequence))
	}
	first.Ack()
	second.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}

// serving subscribes to triggers, one at a time, under the name that all in a test have.
func serving(t *testing.T, c *nats.Conn) (message.Subscriber, <-chan *message.Message) {
	t.Helper()
	sub := c.Subscriber("serve", 1)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	return sub, ch
}

// Processes that subscribe under one name share the work: what one holds, for however long, no other gets.
func TestBusShares(t *testing.T) {
	c, d := openTwo(t)
	sub, _ := serving(t, c)
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetAckWait(within(t), "FANMILL_TRIGGERS", "serve", 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	signs := make(chan bool, 100)
	stop, err := c.Bus().Listen("$JS.ACK.FANMILL_TRIGGERS.serve.>", func(q pipeline.Inquiry) {
		if string(q.Payload) == "+WPI" {
			signs <- true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	sub, ch := serving(t, c)
	other, ch2 := serving(t, d)
	for i := range 2 {
		if err := c.Inject(pipeline.TopicTrigger("job"), []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	one, two := receive(t, ch), receive(t, ch2)
	if string(one.Payload) == string(two.Payload) {
		t.Errorf("both have %s", one.Payload)
	}
	two.Ack()
	if err := c.Inject(pipeline.TopicTrigger("job"), []byte("last")); err != nil {
		t.Fatal(err)
	}
	last := receive(t, ch2)
	for range 20 { // a tenth of a second each, of either
		<-signs
	}
	last.Ack()
	one.Ack()
	for _, s := range []message.Subscriber{sub, other} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if m, ok := <-ch2; ok {
		t.Errorf("%s was held by the other, and came", m.Payload)
	}
	if unacked, pending, _, err := c.Consumer("FANMILL_TRIGGERS", "serve"); err != nil || unacked != 0 || pending != 0 {
		t.Errorf("%d unacknowledged, %d to come (%v)", unacked, pending, err)
	}
}

// Who has no room when the connection comes back has asked for nothing on it: what comes then is for others.
func TestBusSharesAfterReconnect(t *testing.T) {
	c, d := openTwo(t)
	inject := func(payload string) {
		if err := d.Inject(pipeline.TopicTrigger("job"), []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	sub, ch := serving(t, c)
	inject("1")
	one := receive(t, ch)
	if err := c.Bounce(); err != nil {
		t.Fatal(err)
	}
	put(t, c, "back")
	one.Ack()
	eventually(t, "the next one is asked for", func() bool {
		_, _, pulls, err := d.Consumer("FANMILL_TRIGGERS", "serve")
		return err == nil && pulls > 0
	})
	inject("2")
	two := receive(t, ch)
	other, ch2 := serving(t, d)
	inject("3")
	three := receive(t, ch2)
	if n := three.Metadata.Get(nats.MetaDelivered); string(three.Payload) != "3" || n != "1" {
		t.Errorf("%s came in delivery %s", three.Payload, n)
	}
	two.Ack()
	three.Ack()
	for _, s := range []message.Subscriber{sub, other} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a topic keeps can be listed, whoever has it in hand, until somebody is done with it.
func TestKept(t *testing.T) {
	c := open(t, t.TempDir())
	kept := func(topic string, limit int) (list []string) {
		t.Helper()
		all, err := c.Bus().Kept(within(t), topic, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			list = append(list, fmt.Sprintf("%s %d %s %s", m.MsgID, m.Sequence, m.Subject, m.Payload))
			if time.Since(m.Stored) > time.Hour {
				t.Errorf("message %s was stored %s", m.MsgID, m.Stored)
			}
		}
		return list
	}
	if list := kept(pipeline.TopicTriggers, 10); len(list) > 0 {
		t.Errorf("at first there is %q", list)
	}
	for _, id := range []string{"a", "b", "c"} {
		if err := c.Inject(pipeline.TopicTrigger("job-"+id), []byte(id), "Nats-Msg-Id", id); err != nil {
			t.Fatal(err)
		}
	}
	sub := c.Subscriber("serve", 2)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	first := receive(t, ch)
	if list, want := kept(pipeline.TopicTriggers, 10), []string{"a 1 fanmill.jobs.run.job-a a", "b 2 fanmill.jobs.run.job-b b", "c 3 fanmill.jobs.run.job-c c"}; !slices.Equal(list, want) {
		t.Errorf("%q are kept, want %q", list, want)
	}
	if list, want := kept(pipeline.TopicTriggers, 1), []string{"a 1 fanmill.jobs.run.job-a a"}; !slices.Equal(list, want) {
		t.Errorf("%q is the first, want %q", list, want)
	}
	if list, want := kept(pipeline.TopicTrigger("job-c"), 10), []string{"c 3 fanmill.jobs.run.job-c c"}; !slices.Equal(list, want) {
		t.Errorf("%q is kept of one topic, want %q", list, want)
	}
	first.Ack()
	if err := sub.Close(); err != nil { // the acknowledgement has arrived
		t.Fatal(err)
	}
	if list, want := kept(pipeline.TopicTriggers, 10), []string{"b 2 fanmill.jobs.run.job-b b", "c 3 fanmill.jobs.run.job-c c"}; !slices.Equal(list, want) {
		t.Errorf("%q are kept after one is done, want %q", list, want)
	}
	if _, err := c.Bus().Kept(within(t), "elsewhere", 1); err == nil {
		t.Error("a topic of no stream has messages")
	}
}

// serveUntilKilled is the other process of TestKilledServer: it takes triggers and never gets done with one.
func serveUntilKilled(dir string) {
	ctx := context.Background()
	c, err := nats.Open(ctx, nats.Options{DataDir: dir})
	must(err)
	ch, err := c.Subscriber("serve", 2).Subscribe(ctx, pipeline.TopicTriggers)
	must(err)
	for m := range ch {
		fmt.Println(m.UUID)
	}
}

// The triggers that a killed process had taken come to the next one, as do those that it had not.
func TestKilledServer(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir) // so that the store is not what is killed
	_, lines, kill := child(t, "serve", dir)
	for _, id := range []string{"a", "b", "c"} {
		if err := c.Inject(pipeline.TopicTrigger("job"), []byte("{}"), "Nats-Msg-Id", id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "b"} {
		if !lines.Scan() || lines.Text() != id {
			t.Fatalf("the child has %q, want %s", lines.Text(), id)
		}
	}
	kill()
	if err := c.SetAckWait(within(t), "FANMILL_TRIGGERS", "serve", 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscriber("serve", 3)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		m := receive(t, ch)
		got = append(got, m.UUID+m.Metadata.Get(nats.MetaDelivered))
		m.Ack()
	}
	slices.Sort(got) // the waiting one may come before the wait for the killed process is over
	if want := []string{"a2", "b2", "c1"}; !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}

// What Watermill gives up as poisoned is kept with what it was and why, whatever headers it came with.
func TestDeadLetters(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	// Headers that the server obeys are those of that message alone.
	if err := c.Inject(topic, []byte("{ not JSON"), "Nats-Msg-Id", "bad", "Nats-Expected-Last-Sequence", "0", "Requested-By", "finance"); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscriber("serve", 1)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	bury, err := middleware.PoisonQueue(c.Publisher(), pipeline.TopicDeadTriggers)
	if err != nil {
		t.Fatal(err)
	}
	handle := bury(func(*message.Message) ([]*message.Message, error) {
		return nil, errors.New("trigger for job: invalid character 'n'\nin line 1")
	})
	for range 2 { // the second delivery after a crash makes no second letter
		m := receive(t, ch)
		if _, err := handle(m); err != nil {
			t.Fatal(err)
		}
		m.Nack()
	}
	receive(t, ch).Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	h, body, err := c.Header(within(t), "FANMILL_DEAD", pipeline.TopicDeadTriggers)
	if err != nil || string(body) != "{ not JSON" {
		t.Fatalf("the letter is %q, %v", body, err)
	}
	for k, want := range map[string]string{"reason_poisoned": "trigger for job: invalid character 'n' in line 1", "Fanmill-Subject": topic,
		"Fanmill-Sequence": "1", "Requested-By": "finance", "Nats-Msg-Id": "FANMILL_TRIGGERS-1", "Fanmill-Msg-Id": "bad", "Content-Type": "", "Nats-Expected-Last-Sequence": ""} {
		if got := strings.Join(h[k], ","); got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
	if _, n, err := c.Subjects(within(t), "FANMILL_DEAD"); err != nil || n != 1 {
		t.Errorf("%d letters (%v)", n, err)
	}
}

// What a stranger publishes is a message as well, named by its place in the stream.
func TestBusTakesForeignMessages(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	if err := c.Inject(topic, []byte("\xff not JSON")); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscriber("serve", 1)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, ch)
	if m.UUID != "FANMILL_TRIGGERS-1" || string(m.Payload) != "\xff not JSON" {
		t.Errorf("message %s %q", m.UUID, m.Payload)
	}
	if _, ok := m.Metadata[nats.MetaMsgID]; ok {
		t.Error("it has a message id that nobody gave it")
	}
	m.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}

// Close tells handlers, waits for them, and gives what nobody took to the next subscriber at once.
func TestBusCloseWaits(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicQueryCommand(pipeline.AnyPool, "r", "c")
	if err := c.Publisher().Publish(topic, newMessage("taken", "{}"), newMessage("offered", "{}")); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscriber("q", 2)
	ch, err := sub.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, ch)
	acked := false
	go func() {
		<-m.Context().Done()
		acked = true
		m.Ack()
	}()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if !acked {
		t.Error("Close returned before the handler was done")
	}
	next := c.Subscriber("q", 1)
	ch2, err := next.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	other := receive(t, ch2)
	if other.UUID == m.UUID {
		t.Errorf("%s came again", m.UUID)
	}
	other.Ack()
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Subscribe(within(t), topic); err == nil {
		t.Error("a closed subscriber subscribes")
	}
}

// What a process gives back when it closes is there at once when the store is opened again.
func TestBusReturnsAtClose(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	for _, id := range []string{"held", "offered"} {
		if err := c.Inject(pipeline.TopicTrigger("job"), []byte("{}"), "Nats-Msg-Id", id); err != nil {
			t.Fatal(err)
		}
	}
	ch, err := c.Subscriber("serve", 2).Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	held := receive(t, ch)
	context.AfterFunc(held.Context(), func() { held.Nack() })
	eventually(t, "the other is offered", func() bool {
		unacked, _, _, err := c.Consumer("FANMILL_TRIGGERS", "serve")
		return err == nil && unacked == 2
	})
	shut(t, c)

	began := time.Now()
	c = open(t, dir)
	sub := c.Subscriber("serve", 2)
	if ch, err = sub.Subscribe(within(t), pipeline.TopicTriggers); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for range 2 {
		m := receive(t, ch)
		got[m.UUID] = true
		m.Ack()
	}
	if waited := time.Since(began); !got["held"] || !got["offered"] || waited > nats.TriggerWait/2 {
		t.Errorf("%v came after %s", got, waited)
	}
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
}

// Dropping a topic removes its messages and its consumer, and those of no other.
func TestBusDrop(t *testing.T) {
	c := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(within(t))
	for _, run := range []string{"r1", "r2"} {
		topic := pipeline.TopicQueryCommand(pipeline.AnyPool, run, "c")
		if err := c.Publisher().Publish(topic, newMessage("m-"+run, "{}")); err != nil {
			t.Fatal(err)
		}
		sub := c.Subscriber("query-"+run, 1)
		ch, err := sub.Subscribe(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		receive(t, ch).Nack()
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range 2 { // the second finds nothing
		if err := c.Bus().Drop(within(t), pipeline.TopicQueryCommand(pipeline.AnyPool, "r1", "c")); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.Position("FANMILL_WORK", "query-r1"); err == nil {
		t.Error("the consumer is still there")
	}
	if _, _, err := c.Position("FANMILL_WORK", "query-r2"); err != nil {
		t.Errorf("the other run's consumer: %v", err)
	}
	if err := c.Publisher().Publish(pipeline.TopicQueryCommand(pipeline.AnyPool, "r1", "c"), newMessage("new", "{}")); err != nil {
		t.Fatal(err)
	}
	for run, want := range map[string]string{"r1": "new", "r2": "m-r2"} {
		sub := c.Subscriber("query-"+run, 1)
		ch, err := sub.Subscribe(within(t), pipeline.TopicQueryCommand(pipeline.AnyPool, run, "c"))
		if err != nil {
			t.Fatal(err)
		}
		m := receive(t, ch)
		if m.UUID != want {
			t.Errorf("%s has %s, want %s", run, m.UUID, want)
		}
		m.Ack()
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
