package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// bus carries Watermill messages over the fixed streams. It is an adapter of our own: that of watermill-nats reads
// through consumers that are not durable, keeps neither acknowledgement nor sequence, and dies of a foreign message.
type bus struct{ c *Conn }

var _ pipeline.Bus = bus{}

// Bus carries triggers, commands and events.
func (c *Conn) Bus() pipeline.Bus { return bus{c} }

func (b bus) Publisher() message.Publisher { return publisher(b) }

func (b bus) Subscriber(durable string, parallel int) message.Subscriber {
	return newSubscriber(b.c, durable, max(parallel, 1))
}

// Drop removes what waits on a topic, and the durables that read it: a dropped run's commands, a stale trigger.
func (b bus) Drop(ctx context.Context, topic string) error {
	name, err := streamOf(topic)
	if err != nil {
		return err
	}
	return b.c.call(ctx, "drop "+topic, func(ctx context.Context) error {
		s, err := b.c.js.Stream(ctx, name)
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

// publisher stores each message durably, one after the other, and stops at the first that fails.
type publisher struct{ c *Conn }

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	stream, err := streamOf(topic)
	if err != nil {
		return err
	}
	for _, m := range messages {
		h := make(nats.Header, len(m.Metadata)+3)
		for k, v := range m.Metadata {
			switch k {
			case pipeline.MetaSequence, pipeline.MetaTime, pipeline.MetaDelivered, pipeline.MetaMsgID, pipeline.MetaSubject:
			default: // what a subscriber found out is not passed on as if it were this message's
				h[k] = []string{v}
			}
		}
		if _, ok := h[headType]; !ok {
			h[headType] = []string{typeJSON}
		}
		if m.UUID != "" {
			h[jetstream.MsgIDHeader] = []string{m.UUID}
		}
		h[jetstream.ExpectedStreamHeader] = []string{stream}
		err := p.c.call(m.Context(), fmt.Sprintf("publish to %s", topic), func(ctx context.Context) error {
			_, err := p.c.js.PublishMsg(ctx, &nats.Msg{Subject: topic, Header: h, Data: m.Payload})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close does nothing: the connection is the Conn's.
func (publisher) Close() error { return nil }
