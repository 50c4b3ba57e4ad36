package nats_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"fanmill/nats"
	"fanmill/pipeline"
)

// permitted runs a server with a user that may publish all of this but what is left out, and brings a way to open its
// store.
func permitted(t *testing.T, subscribe []string, without ...string) func(guest bool) (*nats.Conn, error) {
	t.Helper()
	if subscribe == nil {
		subscribe = []string{">"}
	}
	users := []*server.User{{Username: "all", Password: "pw"}, {Username: "less", Password: "pw", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: without}, Subscribe: &server.SubjectPermission{Allow: subscribe}}}}
	s := serveWith(t, func(o *server.Options) { o.Users = users })
	as := func(user string, guest bool) (*nats.Conn, error) {
		c, err := nats.Open(within(t), nats.Options{Access: at(strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":pw@", 1)), Guest: guest})
		if err == nil {
			t.Cleanup(func() { shut(t, c) })
		}
		return c, err
	}
	if _, err := as("all", false); err != nil { // all that there is to be
		t.Fatal(err)
	}
	return func(guest bool) (*nats.Conn, error) { return as("less", guest) }
}

// refused checks that an error names a permission, and that it came of the server's word and not of a time that had
// passed.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !pipeline.IsPermanent(err) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "lacks the permission to "+want) {
		t.Errorf("want %s: %v", want, err)
	}
}

// Whoever opens the store is told which permission is missing.
func TestOpenWithoutPermission(t *testing.T) {
	for _, subject := range []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.KV_fanmill_runs", "$JS.API.STREAM.INFO.FANMILL_DEAD"} {
		_, err := permitted(t, nil, subject)(false)
		refused(t, err, `publish to "`+subject+`"`)
	}
	_, err := permitted(t, []string{"fanmill.>"})(false)
	refused(t, err, `subscribe to "_INBOX.`)
	c, err := permitted(t, nil, "$JS.API.>")(true)
	if err != nil {
		t.Fatalf("a guest needs no permission to come in: %v", err)
	}
	_, err = c.Stores().Runs.Get(within(t), "k")
	refused(t, err, `publish to "$JS.API.STREAM.INFO.KV_fanmill_runs"`)
	_, err = c.Bus().Kept(within(t), pipeline.TopicTriggers, 10)
	refused(t, err, `publish to "$JS.API.STREAM.INFO.FANMILL_TRIGGERS"`)
	c, err = permitted(t, []string{"fanmill.>"})(true)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the server says so once, and nothing is answered after that either
		_, err = c.Stores().Runs.Get(within(t), "k")
		refused(t, err, `subscribe to "_INBOX.`)
	}
	_, err = c.Bus().Ask(within(t), pipeline.TopicCancel("r"), "", nil)
	refused(t, err, `subscribe to "_INBOX.`)
}

// What one call may not do ends that call, and no other that goes on beside it.
func TestRefusalEndsItsOwnCall(t *testing.T) {
	c, err := permitted(t, nil, "$KV.fanmill_runs.>")(false)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(within(t))
	go func() {
		for ctx.Err() == nil {
			if _, err := c.Stores().Checkpoints.Put(ctx, "k", []byte("1")); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range 20 {
		_, err = c.Stores().Runs.Put(within(t), "k", []byte("1"))
		refused(t, err, `publish to "$KV.fanmill_runs.k"`)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("beside it: %v", err)
	}
}

// Who may not hear triggers cannot serve.
func TestListenWithoutPermission(t *testing.T) {
	c, err := permitted(t, []string{"_INBOX.>"})(false)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, err = c.Bus().Listen(pipeline.TopicTriggers, func(pipeline.Inquiry) {})
		refused(t, err, `subscribe to "`+pipeline.TopicTriggers+`"`)
	}
}

// Who may ask and not read the stream of triggers gets an answer all the same, and without one is told what cannot be
// known. On a store that was never served a guest makes the stream, if it may.
func TestAskWithoutPermission(t *testing.T) {
	c, err := permitted(t, nil, "$JS.API.>")(true)
	if err != nil {
		t.Fatal(err)
	}
	topic := pipeline.TopicTrigger("job")
	soon, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.Bus().Ask(soon, topic, "id", nil); err == nil || !strings.Contains(err.Error(), "cannot be seen, because the NATS user lacks") {
		t.Errorf("nobody serves: %v", err)
	}
	stop, err := c.Bus().Listen(topic, func(q pipeline.Inquiry) { _ = q.Answer([]byte("yes")) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if answer, err := c.Bus().Ask(within(t), topic, "id", nil); string(answer) != "yes" {
		t.Errorf("answered: %q, %v", answer, err)
	}
	c, err = permitted(t, nil, topic)(true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Bus().Ask(within(t), topic, "id", nil)
	refused(t, err, `publish to "`+topic+`"`)

	fresh, err := nats.Open(within(t), nats.Options{Access: at(serveWith(t, func(*server.Options) {}).ClientURL()), Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, fresh)
	if keys, err := fresh.Stores().Runs.Keys(within(t), ">"); err != nil || len(keys) > 0 {
		t.Errorf("a bucket that is not there has keys %q, %v", keys, err)
	}
	if _, err := fresh.Stores().Runs.Get(within(t), "k"); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("a bucket that is not there: %v", err)
	}
	present, err := fresh.Stores().Runs.Watch(within(t), ">")
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := <-present; !ok || e.Key != "" {
		t.Errorf("a bucket that is not there shows %+v", e)
	}
	soon, cancel = context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := fresh.Bus().Ask(soon, topic, "id", nil); !errors.Is(err, pipeline.ErrNoAnswer) {
		t.Errorf("the first trigger of a store: %v", err)
	}
	kept, err := fresh.Bus().Kept(within(t), pipeline.TopicTriggers, 10)
	if err != nil || len(kept) != 1 || kept[0].MsgID != "id" {
		t.Errorf("kept are %d, %v", len(kept), err)
	}
	streams, err := fresh.StreamReplicas(within(t))
	if err != nil || len(streams) != 8 {
		t.Errorf("streams %v, %v", streams, err)
	}
}
