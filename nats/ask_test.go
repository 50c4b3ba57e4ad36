package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/nats"
	"fanmill/pipeline"
)

// answering answers every message on topic by its id, as whoever serves would.
func answering(t testing.TB, c *nats.Conn, topic string) (stop func()) {
	t.Helper()
	stop, err := c.Bus().Listen(topic, func(q pipeline.Inquiry) {
		if q.Answer == nil {
			t.Errorf("%s asks nothing", q.MsgID)
		} else if err := q.Answer([]byte("run " + q.MsgID)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

// ask waits for answering's answer.
func ask(t testing.TB, c *nats.Conn, topic, id string) {
	t.Helper()
	answer, err := c.Bus().Ask(within(t), topic, id, []byte("{}"))
	if err != nil || string(answer) != "run "+id {
		t.Fatalf("%s is answered %q, %v", id, answer, err)
	}
}

// A trigger's publisher hears from whoever serves, and nothing from the stream that keeps it.
func TestTriggersAreAnswered(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	var heard []pipeline.Inquiry
	stop, err := c.Bus().Listen(pipeline.TopicTriggers, func(q pipeline.Inquiry) {
		heard = append(heard, q)
		if q.Answer != nil {
			if err := q.Answer([]byte(`{"run":"` + q.MsgID + `"}`)); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Inject(topic, []byte("first"), "Nats-Msg-Id", "id-1"); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Request(within(t), topic, []byte("second"), "Nats-Msg-Id", "id-2"); err != nil || got != `{"run":"id-2"}` {
		t.Errorf("a stranger's request is answered %q, %v", got, err)
	}
	if got, err := c.Bus().Ask(within(t), topic, "id-3", []byte("third")); err != nil || string(got) != `{"run":"id-3"}` {
		t.Errorf("Ask is answered %q, %v", got, err)
	}
	stop()
	for i, want := range []struct {
		payload, id string
		asks        bool
	}{{"first", "id-1", false}, {"second", "id-2", true}, {"third", "id-3", true}} {
		if i >= len(heard) || string(heard[i].Payload) != want.payload || heard[i].MsgID != want.id || (heard[i].Answer != nil) != want.asks || heard[i].Subject != topic {
			t.Fatalf("heard %+v", heard)
		}
	}
	if err := c.Inject(topic, []byte("fourth")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all four are kept", func() bool { _, n, err := c.Subjects(within(t), "FANMILL_TRIGGERS"); return err == nil && n == 4 })
	if len(heard) != 3 {
		t.Error("it listens after stop")
	}
}

// Nobody serves: the trigger is kept, which Ask made sure of, and comes to who serves later; asked again under its id
// it is kept again: whoever serves knows of the first.
func TestAskKeepsTrigger(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	for i := range 3 { // others of this job, before it
		if err := c.Inject(topic, []byte("{}"), "Nats-Msg-Id", fmt.Sprint("other-", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"a", "", "a"} {
		ctx, cancel := context.WithTimeout(context.Background(), 500e6)
		_, err := c.Bus().Ask(ctx, topic, id, []byte(`{"resume":true}`))
		cancel()
		if !errors.Is(err, pipeline.ErrNoAnswer) {
			t.Fatalf("asking nobody: %v", err)
		}
	}
	sub := c.Subscriber("serve", 6)
	ch, err := sub.Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 6 {
		m := receive(t, ch)
		if m.Metadata.Get(nats.MetaMsgID) == "" {
			t.Error("what was asked without an id got none")
		}
		ids = append(ids, m.UUID)
		m.Ack()
	}
	if got := strings.Join(append(ids[:4:4], ids[5]), " "); got != "other-0 other-1 other-2 a a" {
		t.Errorf("delivered %s, and %s", got, ids[4])
	}
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	// Nothing is stored, and Ask does not claim that it was.
	if err := c.EditTriggers(within(t), func(cfg *jetstream.StreamConfig) { cfg.MaxMsgSize = 1 }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100e6)
	defer cancel()
	if _, err := c.Bus().Ask(ctx, topic, "b", nil); err == nil || errors.Is(err, pipeline.ErrNoAnswer) || pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "this id") {
		t.Errorf("a message that is nowhere: %v", err)
	}
}

// The id of a trigger that somebody is done with can be asked under again, at once and without a word of the
// stream's: also where the stream was made to remember ids for a day.
func TestIDsAreNotBurnt(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	topic := pipeline.TopicTrigger("job")
	if err := c.EditTriggers(within(t), func(cfg *jetstream.StreamConfig) { cfg.Duplicates = 24 * time.Hour }); err != nil {
		t.Fatal(err)
	}
	if err := c.Inject(topic, []byte("{}"), "Nats-Msg-Id", "night"); err != nil {
		t.Fatal(err)
	}
	c = open(t, dir)
	ch, err := c.Subscriber("serve", 1).Subscribe(within(t), pipeline.TopicTriggers)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, ch).Ack()
	for range 3 {
		ctx, stop := context.WithCancel(within(t))
		asked := make(chan error, 1)
		go func() {
			_, err := c.Bus().Ask(ctx, topic, "night", []byte("{}"))
			asked <- err
		}()
		m := receive(t, ch)
		if m.UUID != "night" {
			t.Errorf("%s came", m.UUID)
		}
		m.Ack()
		stop()
		if err := <-asked; err == nil {
			t.Error("somebody has answered")
		}
	}
}

// An earlier message of the id that somebody is just done with is not the one that waits: whoever asks goes on looking.
func TestStoredMessageIsLookedForAgain(t *testing.T) {
	c := open(t, t.TempDir())
	topic := pipeline.TopicTrigger("job")
	look := c.Looks(topic, "night", []byte("{}"))
	sees := func(want bool, when string) {
		t.Helper()
		if stored, err := look(within(t)); err != nil || stored != want {
			t.Fatalf("%s it is seen as stored: %v, %v", when, stored, err)
		}
	}
	sees(false, "before it is published")
	if err := c.Inject(topic, []byte("{}"), "Nats-Msg-Id", "night"); err != nil {
		t.Fatal(err)
	}
	for stored := 0; stored == 0; { // nobody is told when a stream without acknowledgements has a message
		var err error
		if _, stored, err = c.Subjects(within(t), "FANMILL_TRIGGERS"); err != nil {
			t.Fatal(err)
		}
	}
	sees(true, "when it is there")
	sees(true, "as long as it is there")
	if err := c.DeleteMessage(within(t), "FANMILL_TRIGGERS", 1); err != nil {
		t.Fatal(err)
	}
	sees(false, "when it is gone")
}

// What no stream keeps is for those who listen now.
func TestAskWithoutStream(t *testing.T) {
	c, d := openTwo(t)
	topic := pipeline.TopicCancel("r1")
	if _, err := c.Bus().Ask(context.Background(), topic, "", nil); !errors.Is(err, pipeline.ErrNoAnswer) { // no deadline: at once
		t.Errorf("asking nobody: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100e6)
	defer cancel()
	silent, err := d.Bus().Listen(topic, func(pipeline.Inquiry) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Bus().Ask(ctx, topic, "", nil); !errors.Is(err, pipeline.ErrNoAnswer) {
		t.Errorf("asking one who says nothing: %v", err)
	}
	silent()
	defer answering(t, d, "fanmill.jobs.cancel.*")()
	ask(t, c, topic, "x")
	for _, s := range []string{"FANMILL_JOBS", "FANMILL_TRIGGERS"} {
		if _, n, err := c.Subjects(within(t), s); err != nil || n != 0 {
			t.Errorf("%s keeps %d messages (%v)", s, n, err)
		}
	}
}

func openTwo(t *testing.T) (*nats.Conn, *nats.Conn) {
	dir := t.TempDir()
	c, d := open(t, dir), open(t, dir)
	return c, d
}

// A connection that breaks while an answer is awaited costs neither the message nor the answer.
func TestAskSurvivesReconnect(t *testing.T) {
	c, d := openTwo(t)
	topic := pipeline.TopicTrigger("job")
	asked := make(chan pipeline.Inquiry, 10)
	stop, err := d.Bus().Listen(pipeline.TopicTriggers, func(q pipeline.Inquiry) { asked <- q })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	answer := make(chan error, 1)
	go func() {
		b, err := c.Bus().Ask(within(t), topic, "id", []byte("{}"))
		if err == nil && string(b) != "yes" {
			err = fmt.Errorf("answered %q", b)
		}
		answer <- err
	}()
	<-asked // and not answered: whoever had it is gone
	if err := d.Bounce(); err != nil {
		t.Fatal(err)
	}
	put(t, d, "back") // subscriptions come before anything else on a new connection
	if err := c.Bounce(); err != nil {
		t.Fatal(err)
	}
	for q := range asked {
		if q.MsgID == "id" {
			if err := q.Answer([]byte("yes")); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if _, n, err := c.Subjects(within(t), "FANMILL_TRIGGERS"); err != nil || n != 1 {
		t.Errorf("published twice, it is kept %d times (%v)", n, err)
	}
}

// Close ends listeners, waits for the call under way, and ends what is being asked.
func TestCloseEndsListeners(t *testing.T) {
	dir := t.TempDir()
	open(t, dir) // the server
	c, err := nats.Open(within(t), nats.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	called, finish, finished := make(chan struct{}), make(chan struct{}), false
	if _, err := c.Bus().Listen(pipeline.TopicCancel("r"), func(pipeline.Inquiry) {
		close(called)
		<-finish
		finished = true
	}); err != nil {
		t.Fatal(err)
	}
	unanswered := make(chan error, 1)
	go func() {
		_, err := c.Bus().Ask(context.Background(), pipeline.TopicCancel("r"), "", nil)
		unanswered <- err
	}()
	<-called
	closed := make(chan error, 1)
	go func() { closed <- c.Close(within(t)) }()
	if err := <-unanswered; err == nil || pipeline.IsPermanent(err) {
		t.Errorf("asked of a store that was closed: %v", err)
	}
	close(finish)
	if err := <-closed; err != nil || !finished {
		t.Errorf("closed: %v, while a call was under way: %v", err, !finished)
	}
}

// A trigger is asked, a command published: each the other way would be lost, or answered by the stream.
func TestAskOrPublish(t *testing.T) {
	c := open(t, t.TempDir())
	if err := c.Publisher().Publish(pipeline.TopicTrigger("j"), newMessage("x", "{}")); !pipeline.IsPermanent(err) {
		t.Errorf("a trigger published: %v", err)
	}
	if _, err := c.Bus().Ask(within(t), pipeline.TopicQueryCommand(pipeline.AnyPool, "r", "c"), "x", nil); !pipeline.IsPermanent(err) {
		t.Errorf("a command asked: %v", err)
	}
	if err := c.Publisher().Publish(pipeline.TopicOwnTrigger("j", "me"), newMessage("x", "{}")); err != nil {
		t.Errorf("an own trigger published: %v", err)
	}
}
