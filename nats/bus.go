package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// bus carries messages over the fixed streams, by Watermill. The adapter is our own: that of watermill-nats reads
// through consumers that are not durable, keeps neither acknowledgement nor sequence, and dies of a foreign message.
type bus struct{ c *Conn }

var _ pipeline.Bus = bus{}

// Bus carries triggers, commands and events.
func (c *Conn) Bus() pipeline.Bus { return bus{c} }

// Drop removes what waits on a topic, and the durables that read it: a dropped run's commands, a stale trigger.
func (b bus) Drop(ctx context.Context, topic string) error {
	stream, ok := streamOf(topic)
	if !ok {
		return errNoStream(topic)
	}
	return b.c.call(ctx, "drop "+topic, func(ctx context.Context) error {
		s, err := b.c.js.Stream(ctx, stream.Name)
		if err != nil {
			return err
		}
		var durables []string
		list := s.ListConsumers(ctx)
		for info := range list.Info() {
			if info.Config.FilterSubject == topic {
				durables = append(durables, info.Name)
			}
		}
		if err := list.Err(); err != nil {
			return err
		}
		for _, d := range durables {
			if err := s.DeleteConsumer(ctx, d); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return err
			}
		}
		return s.Purge(ctx, jetstream.WithPurgeSubject(topic))
	})
}

// Kept implements pipeline.Bus by asking for one message after the other [ADR-8: next_by_subj]: a consumer would take
// them.
func (b bus) Kept(ctx context.Context, topic string, limit int) (all []*pipeline.Message, _ error) {
	stream, ok := streamOf(topic)
	if !ok {
		return nil, errNoStream(topic)
	}
	err := b.c.call(ctx, "list "+topic, func(ctx context.Context) error {
		all = nil
		s, err := b.c.js.Stream(ctx, stream.Name)
		if b.c.opts.Guest && errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil // nobody has served yet
		}
		if err != nil {
			return err
		}
		for seq := uint64(1); len(all) < limit; {
			m, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(topic))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			all = append(all, fromWatermill(convert(m.Subject, m.Header, m.Data, stream.Name, m.Sequence, m.Time)))
			seq = m.Sequence + 1
		}
		return nil
	})
	return all, err
}

// publisher stores each message durably, one after the other, and stops at the first that fails.
type publisher struct{ c *Conn }

// reservedPrefix begins the headers that tell the server, or come from it: what one message says with them is not
// said by another that was made from it.
const reservedPrefix = "Nats-"

// A dead letter names the message that it was. Its own id is that one's place in its stream: of two with one id both
// are letters.
var deadHeaders = map[string]string{
	metaMsgID:    "Fanmill-Msg-Id",
	metaSubject:  "Fanmill-Subject",
	metaTime:     "Fanmill-Time",
	metaSequence: "Fanmill-Sequence",
}

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	stream, ok := streamOf(topic)
	switch {
	case !ok:
		return errNoStream(topic)
	case stream.NoAck:
		return pipeline.Permanent(fmt.Errorf("publish to %s: %s acknowledges nothing; a trigger is asked, not published", topic, stream.Name))
	}
	for _, m := range messages {
		msg := &nats.Msg{Subject: topic, Header: headers(stream.Name, m), Data: m.Payload}
		began := time.Now()
		err := p.c.call(m.Context(), "publish to "+topic, func(ctx context.Context) error {
			_, err := p.c.js.PublishMsg(ctx, msg)
			if errors.Is(err, jetstream.ErrNoStreamResponse) {
				if made := p.c.remake(ctx, stream.Name); made == nil {
					_, err = p.c.js.PublishMsg(ctx, msg)
				}
			}
			return err
		})
		p.c.noted(stream.Name, began, err)
		if err != nil {
			return err
		}
	}
	return nil
}

// headers are those of a message on a stream.
func headers(stream string, m *message.Message) nats.Header {
	h := make(nats.Header, len(m.Metadata)+3)
	for k, v := range m.Metadata {
		switch k {
		case metaSequence, metaTime, metaDelivered, metaMsgID, metaSubject:
			// What a subscriber found out is not passed on as if it were this message's.
			if k = deadHeaders[k]; stream == streamDead && k != "" {
				h[k] = []string{v}
			}
		default:
			if !strings.HasPrefix(k, reservedPrefix) {
				h[k] = []string{v}
			}
		}
	}
	if _, ok := h[headType]; !ok && stream != streamDead { // whose messages may be anything
		h[headType] = []string{typeJSON}
	}
	if seq := m.Metadata.Get(metaSequence); stream == streamDead && seq != "" {
		h[jetstream.MsgIDHeader] = []string{streamTriggers + "-" + seq}
	} else if m.UUID != "" {
		h[jetstream.MsgIDHeader] = []string{m.UUID}
	}
	h[jetstream.ExpectedStreamHeader] = []string{stream}
	return h
}

// Close does nothing: the connection is the Conn's.
func (publisher) Close() error { return nil }
