package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	ackWait       = 30 * time.Second       // without a sign of life, after which a message is delivered to someone else
	nackDelay     = 500 * time.Millisecond // of the first redelivery; doubles with each
	nackDelayMax  = 30 * time.Second
	ackTimeout    = 10 * time.Second
	closePatience = 50 * time.Second // of Close with handlers that do not notice
	durableIdle   = 30 * 24 * time.Hour
)

// subscriber delivers the messages of a topic through a durable pull consumer. Each of its parallel workers asks for one
// message, hands it over, and keeps the server informed until it is acknowledged; so never more than that many are
// outstanding here, and what other processes with the same durable can do, they get.
type subscriber struct {
	c        *Conn
	durable  string
	parallel int

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	mu      sync.Mutex // guards starting workers against Close
	workers sync.WaitGroup
}

func newSubscriber(c *Conn, durable string, parallel int) *subscriber {
	s := &subscriber{c: c, durable: durable, parallel: parallel}
	s.ctx, s.stop = context.WithCancel(c.root)
	return s
}

// Subscribe starts delivering. The channel is closed after ctx ends or Close.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream, err := streamOf(topic)
	if err != nil {
		return nil, err
	}
	consumer, err := s.consumer(ctx, stream, topic)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("subscribe to %s: the subscriber is closed", topic)
	}
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(s.ctx, cancel)
	out := make(chan *message.Message)
	var group sync.WaitGroup
	for range s.parallel {
		group.Go(func() { s.deliver(ctx, stream, topic, consumer, out) })
	}
	s.workers.Add(1)
	s.c.work.Add(1)
	go func() {
		defer s.c.work.Done()
		defer s.workers.Done()
		group.Wait()
		release()
		cancel()
		close(out)
	}()
	return out, nil
}

// Close stops asking for messages, cancels the contexts of those being handled, and waits for their handlers.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.workers.Wait()
	return nil
}

func (s *subscriber) consumer(ctx context.Context, stream, topic string) (jetstream.Consumer, error) {
	var consumer jetstream.Consumer
	err := s.c.call(ctx, "subscribe to "+topic, func(ctx context.Context) error {
		name := pipeline.Token(s.durable)
		var err error
		consumer, err = s.c.js.Consumer(ctx, stream, name)
		if err == nil {
			if has := consumer.CachedInfo().Config.FilterSubject; has != topic {
				return pipeline.Permanent(fmt.Errorf("consumer %s of %s reads %s", name, stream, has))
			}
			return nil
		}
		if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		consumer, err = s.c.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
			Durable:       name,
			Description:   "fanmill: " + s.durable,
			FilterSubject: topic,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       ackWait,
			MaxDeliver:    -1,
			MaxAckPending: -1,
			// Its messages stay without it; it is made again when someone subscribes.
			InactiveThreshold: durableIdle,
		})
		return err
	})
	return consumer, err
}

// deliver is one worker. Whatever ends its pulling, it begins anew: someone removed the consumer, or its store was lost,
// but the messages are what counts.
func (s *subscriber) deliver(ctx context.Context, stream, topic string, consumer jetstream.Consumer, out chan<- *message.Message) {
	pause := time.Duration(0)
	for {
		began := time.Now()
		err := s.pull(ctx, consumer, out)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause = 0
		}
		if pause = min(2*pause+20*time.Millisecond, 2*time.Second); pause > time.Second {
			s.c.log.Warn("cannot read messages, trying again", "topic", topic, "consumer", s.durable, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if again, err := s.consumer(ctx, stream, topic); err == nil {
			consumer = again
		}
	}
}

// pull handles one message after the other, asking for the next when one is done with. At the end it does not just go away:
// a message that is on its way here then would be missed by everybody until ackWait is over.
func (s *subscriber) pull(ctx context.Context, consumer jetstream.Consumer, out chan<- *message.Message) error {
	it, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullThresholdMessages(1), jetstream.PullHeartbeat(fetchHeartbeat))
	if err != nil {
		return err
	}
	defer it.Stop()
	defer context.AfterFunc(ctx, it.Drain)()
	for {
		m, err := it.Next()
		if err != nil {
			return err
		}
		s.handle(ctx, m, out)
	}
}

// handle hands one message over and sees it through to its acknowledgement.
func (s *subscriber) handle(ctx context.Context, m jetstream.Msg, out chan<- *message.Message) {
	meta, err := m.Metadata()
	if err != nil {
		s.c.log.Error("a message that cannot be read is dropped", "subject", m.Subject(), "error", err)
		_ = m.TermWithReason("unreadable")
		return
	}
	wm := convert(m, meta)
	hctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wm.SetContext(hctx)
	alive := time.NewTicker(ackWait / 3)
	defer alive.Stop()
	for handed := false; !handed; {
		select {
		case out <- wm:
			handed = true
		case <-alive.C:
			_ = m.InProgress()
		case <-ctx.Done():
			s.answer(m, meta, "return", m.Nak)
			return
		}
	}
	var deadline <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case <-wm.Acked():
			s.answer(m, meta, "acknowledge", func() error {
				actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
				defer cancel()
				return m.DoubleAck(actx)
			})
			return
		case <-wm.Nacked():
			delay := min(nackDelay<<min(meta.NumDelivered-1, 6), nackDelayMax)
			if ctx.Err() != nil {
				delay = 0 // it is for others to handle, now
			}
			s.answer(m, meta, "return", func() error { return m.NakWithDelay(delay) })
			return
		case <-alive.C:
			_ = m.InProgress()
		case <-done:
			done = nil
			t := time.NewTimer(closePatience)
			defer t.Stop()
			deadline = t.C
		case <-deadline:
			s.c.log.Warn("a handler does not end; its message will be delivered again", "subject", m.Subject())
			return
		}
	}
}

// answer tells the server what became of a message. If that fails the message comes again: handlers bear that.
func (s *subscriber) answer(m jetstream.Msg, meta *jetstream.MsgMetadata, what string, f func() error) {
	if err := f(); err != nil {
		s.c.log.Warn("could not "+what+" a message; it will be delivered again", "subject", m.Subject(),
			"sequence", meta.Sequence.Stream, "error", err)
	}
}

// convert makes a Watermill message. Without a message id of its own it is named by its place, the same at every delivery.
func convert(m jetstream.Msg, meta *jetstream.MsgMetadata) *message.Message {
	h := m.Headers()
	seq := strconv.FormatUint(meta.Sequence.Stream, 10)
	id := first(h, jetstream.MsgIDHeader)
	uuid := id
	if uuid == "" {
		uuid = meta.Stream + "-" + seq
	}
	wm := message.NewMessage(uuid, m.Data())
	for k, v := range h {
		if len(v) > 0 && k != jetstream.MsgIDHeader && k != jetstream.ExpectedStreamHeader {
			wm.Metadata[k] = v[0]
		}
	}
	wm.Metadata[pipeline.MetaSequence] = seq
	wm.Metadata[pipeline.MetaTime] = meta.Timestamp.UTC().Format(time.RFC3339Nano)
	wm.Metadata[pipeline.MetaDelivered] = strconv.FormatUint(meta.NumDelivered, 10)
	wm.Metadata[pipeline.MetaSubject] = m.Subject()
	if id != "" {
		wm.Metadata[pipeline.MetaMsgID] = id
	} else {
		delete(wm.Metadata, pipeline.MetaMsgID)
	}
	return wm
}
