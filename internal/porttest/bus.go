package porttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"fanmill/pipeline"
)

// Bus runs the suite of a bus; open gives one without messages.
func Bus(t *testing.T, open func(t *testing.T) pipeline.Bus) {
	for name, check := range map[string]func(*testing.T, pipeline.Bus){
		"handled in order": handledInOrder, "comes again": comesAgain, "done early": doneEarly, "shared": shared, "rooms": rooms, "given back": givenBack,
		"dead letters": deadLetters, "kept and dropped": keptAndDropped, "sent twice": sentTwice, "listened to": listenedTo,
		"asked": asked, "asked and kept": askedAndKept, "wrong topics": wrongTopics,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait for redelivery
			check(t, open(t))
		})
	}
}

const busPatience = time.Minute

// serving serves handlers until stop, which waits for them and their messages.
func serving(t *testing.T, b pipeline.Bus, handlers ...pipeline.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Serve(ctx, slog.New(slog.DiscardHandler), handlers...) }()
	stopped := false
	stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func publishAll(t *testing.T, b pipeline.Bus, topic string, payloads ...string) {
	t.Helper()
	for _, p := range payloads {
		if err := b.Publish(topic, "", []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// from waits for what comes out of a channel.
func from[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(busPatience):
		t.Fatal("it does not come")
	}
	return v
}

// payloads are those of what a topic keeps.
func payloads(t *testing.T, b pipeline.Bus, topic string) (all []string) {
	t.Helper()
	kept, err := b.Kept(t.Context(), topic, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range kept {
		if m.Delivered != 0 || m.Done != nil {
			t.Errorf("a message that is kept says that it was delivered: %+v", m)
		}
		all = append(all, string(m.Payload))
	}
	return all
}

// gone waits until a topic keeps nothing.
func gone(t *testing.T, b pipeline.Bus, topic string) {
	t.Helper()
	deadline := time.Now().Add(busPatience)
	for left := payloads(t, b, topic); len(left) > 0; left = payloads(t, b, topic) {
		if time.Now().After(deadline) {
			t.Fatalf("%s keeps %v", topic, left)
		}
	}
}

func queryCommand(connection string) string {
	return pipeline.TopicQueryCommand(pipeline.AnyPool, "r 1", connection)
}

// worker handles the query commands of the pool that all share.
func worker(parallel int, handle func(context.Context, *pipeline.Message) error) pipeline.Handler {
	return pipeline.Handler{Topic: pipeline.TopicQueryCommands(pipeline.AnyPool), Durable: pipeline.DurableQueries(pipeline.AnyPool), Parallel: parallel, Handle: handle}
}

// Messages are handed over one after the other, in their order, with what is known of them, and are gone then.
func handledInOrder(t *testing.T, b pipeline.Bus) {
	if err := b.Publish(queryCommand("a"), "my-id", []byte("1")); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, queryCommand("b c"), "2", "3")
	got := make(chan *pipeline.Message, 3)
	serving(t, b, worker(1, func(_ context.Context, m *pipeline.Message) error { got <- m; return nil }))
	last := uint64(0)
	for i, want := range []string{"1", "2", "3"} {
		m := from(t, got)
		if string(m.Payload) != want || m.Delivered != 1 || m.Sequence <= last || m.Stored.IsZero() || m.MsgID == "" {
			t.Errorf("message %d is %+v", i+1, m)
		}
		if i == 0 && (m.Subject != queryCommand("a") || m.MsgID != "my-id") {
			t.Errorf("it came to %s as %s", m.Subject, m.MsgID)
		}
		last = m.Sequence
	}
	gone(t, b, pipeline.TopicCommands)
}

// A message whose handling fails comes again, and says how often it came. Another one does not wait for it.
func comesAgain(t *testing.T, b pipeline.Bus) {
	publishAll(t, b, queryCommand("a"), "fails", "good")
	type seen struct {
		payload   string
		delivered int
	}
	got := make(chan seen, 10)
	serving(t, b, worker(1, func(_ context.Context, m *pipeline.Message) error {
		got <- seen{string(m.Payload), m.Delivered}
		switch {
		case string(m.Payload) == "good" || m.Delivered == 3:
			return nil
		case m.Delivered == 2:
			return pipeline.Permanent(errors.New("which is no end where no dead letters are kept"))
		}
		return errors.New("no")
	}))
	var all []seen
	for range 4 {
		all = append(all, from(t, got))
	}
	if want := []seen{{"fails", 1}, {"good", 1}, {"fails", 2}, {"fails", 3}}; !slices.Equal(all, want) {
		t.Errorf("they came as %v, want %v", all, want)
	}
	gone(t, b, pipeline.TopicCommands)
}

// A message that is done with is gone while it is handled, keeps its place until the end of that, and does not come
// again, however it ends.
func doneEarly(t *testing.T, b pipeline.Bus) {
	publishAll(t, b, queryCommand("a"), "1", "2")
	got, end := make(chan string, 2), make(chan struct{})
	stop := serving(t, b, worker(1, func(ctx context.Context, m *pipeline.Message) error {
		if err := errors.Join(m.Done(ctx), m.Done(ctx)); err != nil { // a second time it does nothing
			t.Errorf("done: %v", err)
		}
		got <- string(m.Payload)
		<-end
		return errors.New("which is too late")
	}))
	from(t, got)
	if left := payloads(t, b, pipeline.TopicCommands); !slices.Equal(left, []string{"2"}) {
		t.Errorf("kept are %v", left)
	}
	if len(got) > 0 {
		t.Error("another one was handed over, and there was no place")
	}
	close(end)
	if second := from(t, got); second != "2" {
		t.Errorf("%s comes after it", second)
	}
	stop()
	if left := payloads(t, b, pipeline.TopicCommands); len(left) > 0 {
		t.Errorf("kept are %v", left)
	}
}

// Two that serve under one name share the messages: each goes to one of them, and none waits while one has a place.
func shared(t *testing.T, b pipeline.Bus) {
	got, end := make(chan string, 4), make(chan struct{})
	handle := func(_ context.Context, m *pipeline.Message) error { got <- string(m.Payload); <-end; return nil }
	serving(t, b, worker(1, handle))
	serving(t, b, worker(1, handle))
	publishAll(t, b, queryCommand("a"), "1", "2", "3")
	first := []string{from(t, got), from(t, got)}
	slices.Sort(first)
	if !slices.Equal(first, []string{"1", "2"}) || len(got) > 0 {
		t.Errorf("in hand are %v and %d more", first, len(got))
	}
	close(end)
	if third := from(t, got); third != "3" {
		t.Errorf("%s comes after them", third)
	}
	gone(t, b, pipeline.TopicCommands)
}

// Handlers that share a room have together what it has places for, but for those in which they wait.
func rooms(t *testing.T, b pipeline.Bus) {
	got, end := make(chan string, 4), make(chan struct{})
	handle := func(_ context.Context, m *pipeline.Message) error { got <- string(m.Payload); <-end; return nil }
	room := pipeline.NewRoom(3)
	var handlers []pipeline.Handler
	for _, kind := range []string{"csv", "excel"} {
		handlers = append(handlers, pipeline.Handler{Topic: pipeline.TopicSinkCommands("", kind), Durable: pipeline.DurableSinks("", kind), Room: room, Handle: handle})
		publishAll(t, b, pipeline.TopicSinkCommand("", kind, "r", "d"), kind+" 1", kind+" 2")
	}
	serving(t, b, handlers...)
	seen := []string{from(t, got), from(t, got)}
	close(end)
	seen = append(seen, from(t, got), from(t, got))
	slices.Sort(seen)
	if want := []string{"csv 1", "csv 2", "excel 1", "excel 2"}; !slices.Equal(seen, want) {
		t.Errorf("handled are %v", seen)
	}
}

// Who stops waits for what he has in hand; what that does not finish is at once for others.
func givenBack(t *testing.T, b pipeline.Bus) {
	publishAll(t, b, queryCommand("a"), "1")
	began := make(chan struct{})
	stop := serving(t, b, worker(1, func(ctx context.Context, m *pipeline.Message) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	}))
	from(t, began)
	stop()
	got := make(chan *pipeline.Message, 1)
	serving(t, b, worker(1, func(_ context.Context, m *pipeline.Message) error { got <- m; return nil }))
	if m := from(t, got); string(m.Payload) != "1" || m.Delivered != 2 {
		t.Errorf("next came %+v", m)
	}
}

// What fails for good is kept as it is then, where dead letters are, and does not come again.
func deadLetters(t *testing.T, b pipeline.Bus) {
	topic := pipeline.TopicOwnTrigger("job", "me")
	publishAll(t, b, topic, "secret", "good")
	got := make(chan string, 4)
	serving(t, b, pipeline.Handler{Topic: topic, Durable: "own", Parallel: 1, Dead: pipeline.TopicDeadTriggers, Handle: func(_ context.Context, m *pipeline.Message) error {
		got <- string(m.Payload)
		if string(m.Payload) == "good" {
			return nil
		}
		m.Payload = []byte("masked")
		return fmt.Errorf("it is wrong: %w", pipeline.Permanent(errors.New("for good")))
	}})
	if first, second := from(t, got), from(t, got); first != "secret" || second != "good" {
		t.Errorf("handled are %s and %s", first, second)
	}
	gone(t, b, topic)
	if dead := payloads(t, b, pipeline.TopicDeadTriggers); !slices.Equal(dead, []string{"masked"}) {
		t.Errorf("dead letters are %v", dead)
	}
}

// What a topic keeps can be listed, the oldest first; what is dropped is gone, with its consumer, and nothing else.
func keptAndDropped(t *testing.T, b pipeline.Bus) {
	one, two := pipeline.TopicOwnTrigger("job 1", "me"), pipeline.TopicOwnTrigger("job 2", "me")
	publishAll(t, b, one, "1")
	publishAll(t, b, two, "2")
	publishAll(t, b, one, "3")
	if all := payloads(t, b, pipeline.TopicOwnTriggers); !slices.Equal(all, []string{"1", "2", "3"}) {
		t.Errorf("kept are %v", all)
	}
	first, err := b.Kept(t.Context(), one, 1)
	if err != nil || len(first) != 1 || string(first[0].Payload) != "1" || first[0].Subject != one || first[0].MsgID == "" || first[0].Sequence == 0 || first[0].Stored.IsZero() {
		t.Errorf("the first is %+v, %v", first, err)
	}
	if err := b.Drop(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if all := payloads(t, b, pipeline.TopicOwnTriggers); !slices.Equal(all, []string{"2"}) {
		t.Errorf("kept are %v", all)
	}
}

// Of two messages of one id the second is dropped while the first is remembered.
func sentTwice(t *testing.T, b pipeline.Bus) {
	for _, payload := range []string{"1", "2"} {
		if err := b.Publish(queryCommand("a"), "same", []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	publishAll(t, b, queryCommand("a"), "3")
	if all := payloads(t, b, pipeline.TopicCommands); !slices.Equal(all, []string{"1", "3"}) {
		t.Errorf("kept are %v", all)
	}
}

// Who listens hears what is published from then on, one after the other, and nothing once he has stopped.
func listenedTo(t *testing.T, b pipeline.Bus) {
	topic := func(kind string) string { return pipeline.TopicEvent("job", "r", kind) }
	publishAll(t, b, topic("early"), "0")
	heard := make(chan pipeline.Inquiry, 10)
	stop, err := b.Listen(pipeline.TopicEvent("job", "r", "*"), func(q pipeline.Inquiry) { heard <- q })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(topic("begun"), "id", []byte("1")); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, pipeline.TopicEvent("job", "other", "begun"), "not for it")
	publishAll(t, b, topic("ended"), "2")
	if q := from(t, heard); q.Subject != topic("begun") || q.MsgID != "id" || string(q.Payload) != "1" {
		t.Errorf("heard is %+v", q)
	}
	if q := from(t, heard); string(q.Payload) != "2" {
		t.Errorf("heard is %+v", q)
	}
	stop()
	publishAll(t, b, topic("late"), "3")
	if len(heard) > 0 {
		t.Errorf("heard is %+v", <-heard)
	}
	if all := payloads(t, b, topic("late")); !slices.Equal(all, []string{"3"}) {
		t.Errorf("kept are %v", all)
	}
}

// What no stream keeps is for who listens now: his answer counts, and where nobody listens that is said at once.
func asked(t *testing.T, b pipeline.Bus) {
	topic := pipeline.TopicDescribe("somebody")
	if _, err := b.Ask(t.Context(), topic, "", []byte("?")); !errors.Is(err, pipeline.ErrNoAnswer) {
		t.Errorf("nobody listens, and the error is %v", err)
	}
	stop, err := b.Listen(topic, func(q pipeline.Inquiry) {
		if q.Answer == nil {
			t.Error("nobody waits for an answer")
			return
		}
		if err := q.Answer(append([]byte("to "), q.Payload...)); err != nil {
			t.Errorf("answer: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if answer, err := b.Ask(t.Context(), topic, "", []byte("?")); err != nil || string(answer) != "to ?" {
		t.Errorf("the answer is %s, %v", answer, err)
	}
}

// A trigger is kept, whoever hears of it, for who serves later: also where nobody answers in time.
func askedAndKept(t *testing.T, b pipeline.Bus) {
	topic := pipeline.TopicTrigger("job 1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := b.Ask(ctx, topic, "night", []byte("{}")); !errors.Is(err, pipeline.ErrNoAnswer) {
		t.Errorf("nobody serves, and the error is %v", err)
	}
	stop, err := b.Listen(pipeline.TopicTriggers, func(q pipeline.Inquiry) { _ = q.Answer([]byte(q.MsgID)) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if answer, err := b.Ask(t.Context(), topic, "noon", []byte("{}")); err != nil || string(answer) != "noon" {
		t.Errorf("the answer is %s, %v", answer, err)
	}
	got := make(chan string, 2)
	serving(t, b, pipeline.Handler{Topic: pipeline.TopicTriggers, Durable: "triggers", Parallel: 1, Handle: func(_ context.Context, m *pipeline.Message) error { got <- m.MsgID; return nil }})
	if first, second := from(t, got), from(t, got); first != "night" || second != "noon" {
		t.Errorf("handled are %s and %s", first, second)
	}
	gone(t, b, topic)
}

// A trigger is asked, a command is published; what is in no stream is an error.
func wrongTopics(t *testing.T, b pipeline.Bus) {
	_, kept := b.Kept(t.Context(), "fanmill.nowhere", 1)
	_, answer := b.Ask(t.Context(), queryCommand("a"), "", nil)
	for what, err := range map[string]error{
		"publish nowhere":   b.Publish("fanmill.nowhere", "", nil),
		"publish a trigger": b.Publish(pipeline.TopicTrigger("job"), "", nil),
		"list nowhere":      kept,
		"drop nowhere":      b.Drop(t.Context(), "fanmill.nowhere"),
		"ask a command":     answer,
	} {
		if !pipeline.IsPermanent(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
