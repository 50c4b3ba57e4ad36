package nats_test

import (
	"context"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

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

// A message arrives with its metadata; published twice it arrives once; acknowledged it does not come again.
func TestBusDelivers(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicQuery("r1")
	m := newMessage("id-1", `{"a":1}`)
	m.Metadata.Set("correlation_id", "corr")
	m.Metadata.Set(pipeline.MetaSequence, "999") // of another message, from which this one was made
	if err := c.Bus().Publisher().Publish(topic, m, m, newMessage("id-2", "{}")); err != nil {
		t.Fatal(err)
	}
	sub := c.Bus().Subscriber("query-r1", 1)
	ch, err := sub.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	got := receive(t, ch)
	for k, want := range map[string]string{"correlation_id": "corr", "Content-Type": "application/json", pipeline.MetaSequence: "1",
		pipeline.MetaDelivered: "1", pipeline.MetaMsgID: "id-1", pipeline.MetaSubject: topic} {
		if v := got.Metadata.Get(k); v != want {
			t.Errorf("%s is %q, want %q", k, v, want)
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, got.Metadata.Get(pipeline.MetaTime)); err != nil || got.UUID != "id-1" || string(got.Payload) != `{"a":1}` {
		t.Errorf("message %s %q, %v", got.UUID, got.Payload, err)
	}
	got.Ack()
	second := receive(t, ch)
	if second.UUID != "id-2" {
		t.Errorf("second message is %s", second.UUID)
	}
	second.Nack()
	again := receive(t, ch)
	if again.UUID != "id-2" || again.Metadata.Get(pipeline.MetaDelivered) != "2" {
		t.Errorf("after a nack comes %s, delivery %s", again.UUID, again.Metadata.Get(pipeline.MetaDelivered))
	}
	again.Ack()
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	if m, ok := <-ch; ok {
		t.Errorf("%s came after all were acknowledged", m.UUID)
	}
	if err := c.Bus().Publisher().Publish("elsewhere", newMessage("x", "")); !pipeline.IsPermanent(err) {
		t.Errorf("a topic of no stream: %v", err)
	}
}

// No more than parallel messages are outstanding.
func TestBusParallel(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicSink("r")
	for _, id := range []string{"a", "b", "c"} {
		if err := c.Bus().Publisher().Publish(topic, newMessage(id, "{}")); err != nil {
			t.Fatal(err)
		}
	}
	sub := c.Bus().Subscriber("sink-r", 2)
	ch, err := sub.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	first, second := receive(t, ch), receive(t, ch)
	if unacked, pending, pulls, err := c.Consumer("FANMILL_JOBS", "sink-r"); err != nil || unacked != 2 || pending != 1 || pulls != 0 {
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

// What a stranger publishes is a message as well, named by its place in the stream.
func TestBusTakesForeignMessages(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	if err := c.Inject(topic, []byte("\xff not JSON")); err != nil {
		t.Fatal(err)
	}
	sub := c.Bus().Subscriber("run-job", 1)
	ch, err := sub.Subscribe(within(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, ch)
	if m.UUID != "FANMILL_JOBS-1" || string(m.Payload) != "\xff not JSON" {
		t.Errorf("message %s %q", m.UUID, m.Payload)
	}
	if _, ok := m.Metadata[pipeline.MetaMsgID]; ok {
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
	topic := pipeline.TopicQuery("r")
	if err := c.Bus().Publisher().Publish(topic, newMessage("taken", "{}"), newMessage("offered", "{}")); err != nil {
		t.Fatal(err)
	}
	sub := c.Bus().Subscriber("q", 2)
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
	next := c.Bus().Subscriber("q", 1)
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

// Dropping a topic removes its messages and its consumer, and those of no other.
func TestBusDrop(t *testing.T) {
	c := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(within(t))
	for _, run := range []string{"r1", "r2"} {
		topic := pipeline.TopicQuery(run)
		if err := c.Bus().Publisher().Publish(topic, newMessage("m-"+run, "{}")); err != nil {
			t.Fatal(err)
		}
		sub := c.Bus().Subscriber("query-"+run, 1)
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
		if err := c.Bus().Drop(within(t), pipeline.TopicQuery("r1")); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.Position("FANMILL_JOBS", "query-r1"); err == nil {
		t.Error("the consumer is still there")
	}
	if _, _, err := c.Position("FANMILL_JOBS", "query-r2"); err != nil {
		t.Errorf("the other run's consumer: %v", err)
	}
	if err := c.Bus().Publisher().Publish(pipeline.TopicQuery("r1"), newMessage("new", "{}")); err != nil {
		t.Fatal(err)
	}
	for run, want := range map[string]string{"r1": "new", "r2": "m-r2"} {
		sub := c.Bus().Subscriber("query-"+run, 1)
		ch, err := sub.Subscribe(within(t), pipeline.TopicQuery(run))
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
