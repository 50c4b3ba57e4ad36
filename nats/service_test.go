package nats_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	fan "fanmill/nats"
)

// offer has a connection answer as a service, by what it is called.
func offer(t *testing.T, c *fan.Conn, who string) {
	t.Helper()
	stop, err := c.Offer(fan.ServiceConfig{Name: "fanmill", Version: "1.2.3", Metadata: map[string]string{"who": who}, Patience: time.Minute},
		fan.Endpoint{Name: "echo", Subject: "fanmill.api.echo.*", Answer: func(_ context.Context, q fan.Question) ([]byte, error) {
			return json.Marshal([]string{q.Subject, q.MsgID, string(q.Payload)})
		}},
		fan.Endpoint{Name: "fail", Subject: "fanmill.api.fail", Answer: func(_ context.Context, q fan.Question) ([]byte, error) {
			if len(q.Payload) > 0 {
				return nil, &fan.Refused{Code: 404, Err: errors.New("there is\nnone")}
			}
			return nil, errors.New("trouble")
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
}

// A service is found, described and counted as the nats CLI does that, and its questions are shared by who offer it.
func TestServiceIsFound(t *testing.T) {
	url := serve(t, 1, true)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const offering = 2
	for _, who := range []string{"a", "b"}[:offering] {
		c, err := fan.Open(within(t), fan.Options{Access: at(url)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shut(t, c) })
		offer(t, c, who)
	}
	each := func(verb micro.Verb, v func([]byte)) {
		t.Helper()
		subject, err := micro.ControlSubject(verb, "fanmill", "")
		if err != nil {
			t.Fatal(err)
		}
		replies, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest(subject, replies.Subject, nil); err != nil {
			t.Fatal(err)
		}
		for range offering {
			m, err := replies.NextMsgWithContext(within(t))
			if err != nil {
				t.Fatal(err)
			}
			v(m.Data)
		}
	}
	for n := range 5 {
		m := &nats.Msg{Subject: "fanmill.api.echo.x", Data: []byte("hello"), Header: nats.Header{"Nats-Msg-Id": {"id"}}}
		answer, err := nc.RequestMsgWithContext(within(t), m)
		if err != nil || string(answer.Data) != `["fanmill.api.echo.x","id","hello"]` {
			t.Fatalf("question %d: %v, %v", n, answer, err)
		}
	}
	for payload, want := range map[string][2]string{"x": {"404", "there is none"}, "": {"500", "trouble"}} {
		answer, err := nc.RequestWithContext(within(t), "fanmill.api.fail", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Header.Get(micro.ErrorCodeHeader) != want[0] || answer.Header.Get(micro.ErrorHeader) != want[1] || !strings.Contains(string(answer.Data), `"code":`+want[0]) {
			t.Errorf("it says %v %s, want %v", answer.Header, answer.Data, want)
		}
	}
	who := map[string]bool{}
	each(micro.InfoVerb, func(data []byte) {
		var i micro.Info
		if err := json.Unmarshal(data, &i); err != nil || i.Version != "1.2.3" || len(i.Endpoints) != 2 {
			t.Errorf("it describes itself as %s, %v", data, err)
		}
		who[i.Metadata["who"]] = true
	})
	if len(who) != offering {
		t.Errorf("of %d that offer it %v are found", offering, who)
	}
	asked := 0
	each(micro.StatsVerb, func(data []byte) {
		var s micro.Stats
		if err := json.Unmarshal(data, &s); err != nil {
			t.Error(err)
		}
		for _, e := range s.Endpoints {
			asked += e.NumRequests
		}
	})
	if asked < 5 || asked > 7 { // the last one is counted after its answer
		t.Errorf("%d questions are counted of 7", asked)
	}
}

// Who may not subscribe what a service needs is told so, offers none, and goes on with all else.
func TestServiceWithoutPermission(t *testing.T) {
	for _, may := range [][]string{{"_INBOX.>", "fanmill.>"}, {"_INBOX.>", "$SRV.>"}} {
		c, err := permitted(t, may)(false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Offer(fan.ServiceConfig{Name: "fanmill", Version: "1.2.3", Patience: time.Minute},
			fan.Endpoint{Name: "echo", Subject: "fanmill.api.echo", Answer: func(context.Context, fan.Question) ([]byte, error) { return nil, nil }})
		refused(t, err, "subscribe to")
		if _, err := c.Stores().Runs.Put(within(t), "k", []byte("{}")); err != nil {
			t.Errorf("after a service that is not permitted: %v", err)
		}
	}
}
