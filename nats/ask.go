package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	askLook    = 2 * time.Millisecond // the first look whether a message is stored; each next one waits twice as long
	askLookMax = 500 * time.Millisecond
	askRepeat  = 2 * triggerWindow     // looking for it so seldom by now, it is published again: the stream has dropped it
	askAgain   = 20 * time.Millisecond // before a message is published again after the connection broke
)

// Listen implements pipeline.Bus on a subscription outside JetStream, which outlives the loss of the connection; what
// is published meanwhile it does not hear. When Listen returns, the server knows of it. stop waits for the call of f
// that is under way, so f must not call it; Close of the Conn does the same.
func (b bus) Listen(topic string, f func(pipeline.Inquiry)) (stop func(), err error) {
	what := "listen to " + topic
	sub, err := b.c.nc.SubscribeSync(topic)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	err = b.c.call(b.c.root, what, b.c.nc.FlushWithContext)
	if refused := b.c.subscribed(topic); err == nil && refused != nil {
		err = pipeline.Permanent(fmt.Errorf("%s: %w", what, refused))
	}
	if err != nil {
		_ = sub.Unsubscribe()
		return nil, err
	}
	ctx, cancel := context.WithCancel(b.c.root)
	done := make(chan struct{})
	b.c.work.Add(1)
	go func() {
		defer b.c.work.Done()
		defer close(done)
		defer func() { _ = sub.Unsubscribe() }()
		for {
			m, err := sub.NextMsgWithContext(ctx)
			switch {
			case err == nil:
				f(inquiry(m))
			case ctx.Err() != nil || !sub.IsValid():
				return
			case errors.Is(err, nats.ErrSlowConsumer): // messages were lost; the connection's error handler has said so
			case errors.Is(err, nats.ErrNoResponders): // somebody published what looks like the server's word to a requester
			default:
				b.c.log.Error("no longer listening", "subject", topic, "error", err)
				return
			}
		}
	}()
	return func() { cancel(); <-done }, nil
}

func inquiry(m *nats.Msg) pipeline.Inquiry {
	q := pipeline.Inquiry{Subject: m.Subject, MsgID: m.Header.Get(jetstream.MsgIDHeader), Payload: m.Data}
	if m.Reply != "" {
		q.Answer = m.Respond
	}
	return q
}

// Ask implements pipeline.Bus. A trigger's stream keeps it but says nothing, so Ask looks for the message there:
// ErrNoAnswer then means that it waits for whoever serves next. If it was seen neither in the stream nor answered,
// the error is another one, and it should be asked again under the same id, by which the stream drops what it has
// already. Without a msgID such a message gets one. An answer is taken as proof: whoever serves must answer only what
// its Subscriber has delivered, or what it knows by its id. Who may not read the stream can ask all the same, and is
// told so where nobody answers.
//
// When the connection breaks, or the message is not in the stream after a while, it is published again, under its id:
// a stream drops a second message of one id for a moment after the first.
func (b bus) Ask(ctx context.Context, topic, msgID string, payload []byte) ([]byte, error) {
	what := "ask " + topic
	stream, kept := streamOf(topic)
	if kept && !stream.NoAck {
		return nil, pipeline.Permanent(fmt.Errorf("%s: %s would answer by itself; publish there", what, stream.Name))
	}
	if kept && msgID == "" {
		msgID = pipeline.NewToken()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.c.root, cancel)()
	replies, err := b.c.nc.SubscribeSync(b.c.nc.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = replies.Unsubscribe() }()
	a := asking{c: b.c, replies: replies, msg: &nats.Msg{Subject: topic, Reply: replies.Subject, Header: nats.Header{}, Data: payload}}
	if msgID != "" {
		a.msg.Header.Set(jetstream.MsgIDHeader, msgID)
	}
	if kept {
		a.stream = stream.Name
		a.msg.Header.Set(headType, typeJSON)
	}
	asked, done := b.c.refused.during(ctx, func(subject string) bool { return subject == topic })
	defer done()
	made := false
	for {
		var answer *nats.Msg
		lost, err := b.c.within(asked, func(ctx context.Context) (err error) {
			answer, err = a.publish(ctx)
			return err
		})
		refused := refusedIn(asked)
		switch {
		case err == nil:
			return answer.Data, nil
		case b.c.root.Err() != nil:
			return nil, pipeline.Transient(fmt.Errorf("%s: the store was closed: %w", what, nats.ErrConnectionClosed))
		case ctx.Err() == nil && refused != nil:
			return nil, pipeline.Permanent(fmt.Errorf("%s: %w", what, refused))
		case kept && !made && ctx.Err() == nil && errors.Is(err, nats.ErrNoResponders): // not even the stream is there
			made = true
			if err := b.c.ensureStreams(ctx); err != nil {
				return nil, fmt.Errorf("%s: nobody has ever served here, and what would keep it cannot be made; start fanmill serve first: %w", what, err)
			}
			continue
		case ctx.Err() != nil && kept && !a.stored && a.blind != nil:
			return nil, pipeline.Transient(fmt.Errorf("%s: nobody answered. Whether %s keeps it until somebody serves cannot be seen, because %w: ask again under this id, %s",
				what, stream.Name, a.blind, msgID))
		case ctx.Err() != nil && kept && !a.stored:
			return nil, pipeline.Transient(fmt.Errorf("%s: no answer, and %s was not seen to store message %s in time: ask again under this id: %w",
				what, stream.Name, msgID, ctx.Err()))
		case ctx.Err() != nil, errors.Is(err, nats.ErrNoResponders):
			return nil, fmt.Errorf("%s: %w", what, pipeline.ErrNoAnswer)
		case !lost:
			return nil, classify(ctx, what, err)
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
		}
	}
}

// asking is a message that waits for its answer.
type asking struct {
	c       *Conn
	replies *nats.Subscription
	msg     *nats.Msg
	stream  string   // that keeps the message; "" if none does
	stored  bool     // it was seen there, and is there as far as is known
	at      uint64   // its sequence there
	seen    uint64   // messages of the stream up to here are others
	blind   *refusal // why the stream cannot be looked at
}

// publish sends the message and waits for the answer. It looks for it in its stream meanwhile, and goes on looking once
// it is there: what it saw may be an earlier message of this id that somebody is just done with, for whose sake the
// stream dropped this one.
func (a *asking) publish(ctx context.Context) (*nats.Msg, error) {
	if err := a.c.nc.PublishMsg(a.msg); err != nil {
		return nil, err
	}
	for pause := askLook; a.stream != "" && a.blind == nil; pause = min(2*pause, askLookMax) {
		wait, cancel := context.WithTimeout(ctx, pause)
		answer, err := a.replies.NextMsgWithContext(wait)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return answer, err
		}
		before := a.stored
		if err := a.look(ctx); err != nil && ctx.Err() == nil {
			a.c.log.Debug("cannot look for a message that was published", "subject", a.msg.Subject, "error", err)
			continue
		}
		// Somebody is done with what was there. Whoever serves knows this id if it was this message, and answers.
		taken := before && !a.stored
		if taken {
			pause = askLook
		}
		if taken || !a.stored && pause >= askRepeat {
			if err := a.c.nc.PublishMsg(a.msg); err != nil {
				return nil, err
			}
		}
	}
	return a.replies.NextMsgWithContext(ctx)
}

// look searches the stream for the message, or one that says the same under the same id: at its end, where it is most
// often, then among the others of its subject, each once.
func (a *asking) look(ctx context.Context) error {
	ctx, done := a.c.refused.during(ctx, func(subject string) bool { return subject != a.msg.Subject })
	defer done()
	err := a.find(ctx)
	a.blind = refusedIn(ctx)
	return err
}

func (a *asking) find(ctx context.Context) error {
	s, err := a.c.js.Stream(ctx, a.stream)
	if err != nil {
		return err
	}
	if a.stored {
		_, err := s.GetMsg(ctx, a.at)
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		a.stored = false
	}
	m, err := s.GetLastMsgForSubject(ctx, a.msg.Subject)
	for err == nil {
		if first(m.Header, jetstream.MsgIDHeader) == first(a.msg.Header, jetstream.MsgIDHeader) && bytes.Equal(m.Data, a.msg.Data) {
			a.stored, a.at = true, m.Sequence
			return nil
		}
		if m, err = s.GetMsg(ctx, a.seen+1, jetstream.WithGetMsgSubject(a.msg.Subject)); err == nil {
			a.seen = m.Sequence
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return err
}
