package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	ackWait      = 30 * time.Second       // without a sign of life, after which a message is delivered to someone else
	triggerWait  = 10 * time.Second       // the same for triggers and what is due: after a crash nobody minds the job
	nackDelay    = 500 * time.Millisecond // of the first redelivery; doubles with each
	nackDelayMax = 30 * time.Second
	// Of a message that is given back because this process ends. With a delay, however short, the server writes down
	// when it is due; without one it would wait for ackWait if it is restarted now, as the embedded one often is.
	returnDelay   = time.Millisecond
	beginPause    = time.Second // between two tries to begin
	ackTimeout    = 10 * time.Second
	closePatience = 50 * time.Second // of Close with handlers that do not notice
	durableIdle   = 30 * 24 * time.Hour
	privateIdle   = 24 * time.Hour
	workWaiting   = 4096 // open requests for a message at a consumer of commands: the free places of all processes
)

// subscriber delivers the messages of a topic, in stream order, through a durable pull consumer. It asks for one when
// it has room for one, hands it over, and keeps the server informed until it is acknowledged; so never more than
// parallel are outstanding here, and what other processes with the same durable can do, they get.
type subscriber struct {
	c       *Conn
	durable string
	private bool          // no other process shares the consumer
	room    pipeline.Room // has a place taken for each message outstanding

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	mu      sync.Mutex // guards starting subscriptions against Close
	workers sync.WaitGroup
}

// subscription is one call of Subscribe.
type subscription struct {
	*subscriber
	topic  string
	stream string
	out    chan *message.Message
}

func newSubscriber(c *Conn, h pipeline.Handler) *subscriber {
	s := &subscriber{c: c, durable: h.Durable, private: h.Private, room: h.Room}
	if s.room == nil {
		s.room = pipeline.NewRoom(max(h.Parallel, 1))
	}
	s.ctx, s.stop = context.WithCancel(c.root)
	return s
}

// Subscribe starts delivering. The channel is closed after ctx ends or Close; if ctx ends before it begins it is closed
// at once, as a router leaves a goroutine behind that has some of its handlers fail to begin.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	stream, ok := streamOf(topic)
	if !ok {
		return nil, errNoStream(topic)
	}
	sub := &subscription{subscriber: s, topic: topic, stream: stream.Name, out: make(chan *message.Message)}
	consumer, err := sub.begin(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		close(sub.out)
		return sub.out, nil
	case err != nil:
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("subscribe to %s: the subscriber is closed", topic)
	}
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(s.ctx, cancel)
	s.workers.Add(1)
	s.c.work.Add(1)
	go func() {
		defer s.c.work.Done()
		defer s.workers.Done()
		sub.deliver(ctx, consumer)
		release()
		cancel()
		close(sub.out)
	}()
	return sub.out, nil
}

// Close stops asking for messages, cancels the contexts of those being handled, and waits for their handlers.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.workers.Wait()
	return nil
}

// begin is consumer, again and again while the server does not answer: the cluster chooses a leader, say, in which a
// node has just ended. Only what waiting does not change is an error: what is not permitted, for one.
func (s *subscription) begin(ctx context.Context) (jetstream.Consumer, error) {
	for {
		began := time.Now()
		consumer, err := s.consumer(ctx)
		if err == nil || pipeline.IsPermanent(err) || s.c.refused.since(began) != nil || s.c.nc.IsClosed() {
			return consumer, err
		}
		s.c.log.Warn("cannot read messages, trying again", "topic", s.topic, "consumer", s.durable, "error", err)
		select {
		case <-time.After(beginPause):
		case <-s.ctx.Done():
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

// consumer finds the durable consumer, or makes it. Where one of its name was removed a moment ago the server may
// still be at its files, and fails.
func (s *subscription) consumer(ctx context.Context) (jetstream.Consumer, error) {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		consumer, err := s.findConsumer(ctx)
		if apiCode(err) != codeConsumerFailed || pause > time.Second {
			return consumer, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (s *subscription) findConsumer(ctx context.Context) (jetstream.Consumer, error) {
	var consumer jetstream.Consumer
	err := s.c.call(ctx, "subscribe to "+s.topic, func(ctx context.Context) error {
		name := pipeline.Token(s.durable)
		var err error
		consumer, err = s.c.js.Consumer(ctx, s.stream, name)
		if err == nil {
			if has := consumer.CachedInfo().Config.FilterSubject; has != s.topic {
				return pipeline.Permanent(fmt.Errorf("consumer %s of %s reads %s", name, s.stream, has))
			}
			return nil
		}
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			if err = s.c.remake(ctx, s.stream); err != nil {
				return err
			}
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		if consumer, err = s.c.js.CreateConsumer(ctx, s.stream, s.config(name)); errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = s.c.js.Consumer(ctx, s.stream, name) // another process was faster, with a setting that differs
		}
		return err
	})
	return consumer, err
}

// config is what a consumer is made with. One that is there is never changed: of two versions of fanmill each would
// undo what the other has set. So a shared one that is to be another gets another name, see pipeline.DurableQueries.
func (s *subscription) config(name string) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:       name,
		Description:   "fanmill: " + s.durable,
		FilterSubject: s.topic,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: -1,
		// Its messages stay without it; it is made again when someone subscribes.
		InactiveThreshold: durableIdle,
	}
	switch {
	case s.stream == streamTriggers, s.stream == streamAlarms:
		cfg.AckWait = triggerWait
	case s.private:
		cfg.InactiveThreshold = privateIdle
	case s.stream == streamWork: // a role may be off for longer than anybody knows
		cfg.InactiveThreshold, cfg.MaxWaiting = 0, workWaiting
	}
	return cfg
}

// deliver runs until ctx ends and every message handed over is dealt with. Whatever ends its pulling, it begins anew:
// someone removed the consumer, or its store was lost, but the messages are what counts.
func (s *subscription) deliver(ctx context.Context, consumer jetstream.Consumer) {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	pause := time.Duration(0)
	for {
		began := time.Now()
		err := s.pull(ctx, consumer, &handlers)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause = 0
		}
		if pause = min(2*pause+20*time.Millisecond, 2*time.Second); pause > time.Second {
			s.c.log.Warn("cannot read messages, trying again", "topic", s.topic, "consumer", s.durable, "error", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if again, err := s.consumer(ctx); err == nil {
			consumer = again
		}
	}
}

// How long the iterator over single messages may sleep at a time. It can miss that its request was answered (nats.go
// 1.55), sends no other one, and would sleep on; asked again soon, it goes on. Later it must be left to sleep: only
// in one sleep of several heartbeats does it find out that there are none, as its request was lost with a node of a
// cluster.
const (
	wakeUp    = 50 * time.Millisecond
	wakeUps   = 20
	longSleep = 4 * fetchHeartbeat
)

// pull hands one message over after the other, asking for the next when there is room for it. At the end it does not
// just go away: a message that is on its way here then would be missed by everybody until the consumer's wait is
// over.
//
// An iterator serves one session of the connection. When that ends while nothing is asked for, the iterator learns of
// it only when it is asked for the next message, and asks twice then (nats.go 1.55): for a message that there may be
// no room for, that lies there without a sign of life, while others would have room.
func (s *subscription) pull(ctx context.Context, consumer jetstream.Consumer, handlers *sync.WaitGroup) error {
	session, err := s.c.link.wait(ctx)
	if err != nil {
		return err
	}
	it, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullThresholdMessages(1), jetstream.PullHeartbeat(fetchHeartbeat))
	if err != nil {
		return err
	}
	defer it.Stop()
	defer context.AfterFunc(ctx, it.Drain)()
	alive := consumer.CachedInfo().Config.AckWait / 3
	for {
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done(): // nothing was asked for
			return ctx.Err()
		}
		if session.Err() != nil {
			<-s.room
			return session.Err()
		}
		m, err := it.Next(jetstream.NextMaxWait(wakeUp))
		for n := 1; errors.Is(err, nats.ErrTimeout); n++ { // a message is asked for: ctx or not, it may be on its way
			sleep := wakeUp
			if n > wakeUps {
				sleep = longSleep
			}
			m, err = it.Next(jetstream.NextMaxWait(sleep))
		}
		if err != nil {
			<-s.room
			return err
		}
		d := s.hand(ctx, m, alive)
		if d == nil {
			<-s.room
			continue
		}
		handlers.Go(func() {
			s.see(ctx, d)
			<-s.room
		})
	}
}

// delivery is a message in somebody's hands.
type delivery struct {
	jetstream.Msg
	meta    *jetstream.MsgMetadata
	wm      *message.Message
	release context.CancelFunc // of the context that wm carries
	alive   *time.Ticker       // when to give the server a sign of life
	done    atomic.Bool        // the server has confirmed its end
}

// doneKey is the key, in the context of a message, of what pipeline.Message.Done does.
type doneKey struct{}

// end tells the server that a message is done with, and has that confirmed.
func (s *subscription) end(ctx context.Context, d *delivery) error {
	if d.done.Load() {
		return nil
	}
	// Also across a change of servers: what is done should not be done again.
	err := s.answer(ctx, d, func(ctx context.Context) error {
		return s.c.call(ctx, "acknowledge", func(ctx context.Context) error {
			err := d.DoubleAck(ctx)
			if errors.Is(err, nats.ErrNoResponders) && s.consumerGone(ctx) {
				return nil
			}
			return err
		})
	})
	if err == nil {
		d.done.Store(true)
	}
	return err
}

// hand passes a message on. It returns nil if that did not come about.
func (s *subscription) hand(ctx context.Context, m jetstream.Msg, alive time.Duration) *delivery {
	meta, err := m.Metadata()
	if err != nil {
		s.c.log.Error("a message that cannot be read is dropped", "subject", m.Subject(), "error", err)
		_ = m.TermWithReason("unreadable")
		return nil
	}
	wm := convert(m.Subject(), m.Headers(), m.Data(), meta.Stream, meta.Sequence.Stream, meta.Timestamp)
	wm.Metadata[metaDelivered] = strconv.FormatUint(meta.NumDelivered, 10)
	d := &delivery{Msg: m, meta: meta, wm: wm, alive: time.NewTicker(alive)}
	hctx, release := context.WithCancel(ctx)
	d.release = release
	d.wm.SetContext(context.WithValue(hctx, doneKey{}, func(ctx context.Context) error { return s.end(ctx, d) }))
	for {
		select {
		case s.out <- d.wm:
			return d
		case <-d.alive.C:
			_ = m.InProgress()
		case <-ctx.Done():
			d.alive.Stop()
			d.release()
			s.giveBack(ctx, d, returnDelay)
			return nil
		}
	}
}

// see sees a message through to its acknowledgement.
func (s *subscription) see(ctx context.Context, d *delivery) {
	defer d.release()
	defer d.alive.Stop()
	var deadline <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case <-d.wm.Acked():
			s.unanswered(d, "acknowledge", s.end(ctx, d))
			return
		case <-d.wm.Nacked():
			if d.done.Load() {
				return
			}
			delay := min(nackDelay<<min(d.meta.NumDelivered-1, 6), nackDelayMax)
			if ctx.Err() != nil {
				delay = returnDelay // it is for others to handle, now
			}
			s.giveBack(ctx, d, delay)
			return
		case <-d.alive.C:
			if !d.done.Load() {
				_ = d.InProgress()
			}
		case <-done:
			done = nil
			t := time.NewTimer(closePatience)
			defer t.Stop()
			deadline = t.C
		case <-deadline:
			if !d.done.Load() {
				s.c.log.Warn("a handler does not end; its message will be delivered again", "subject", d.Subject())
			}
			return
		}
	}
}

// giveBack asks for a redelivery after delay and waits until the server has noted it [ADR-13]: jetstream's own Nak
// does not, and an embedded server that ends the next moment would forget it.
func (s *subscription) giveBack(ctx context.Context, d *delivery, delay time.Duration) {
	s.unanswered(d, "return", s.answer(ctx, d, func(ctx context.Context) error {
		_, err := s.c.nc.RequestWithContext(ctx, d.Reply(), fmt.Appendf(nil, `-NAK {"delay": %d}`, delay.Nanoseconds()))
		return err
	}))
}

// unanswered logs that the server could not be told what became of a message. It comes again: handlers bear that.
func (s *subscription) unanswered(d *delivery, what string, err error) {
	if err != nil {
		s.c.log.Warn("could not "+what+" a message; it will be delivered again", "subject", d.Subject(), "sequence", d.meta.Sequence.Stream, "error", err)
	}
}

// answer tells the server what became of a message, also after the end of ctx. Where the consumer is gone, with the
// messages it had, there is nobody to tell.
func (s *subscription) answer(ctx context.Context, d *delivery, tell func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	asking, stop := context.WithCancelCause(ctx)
	go func() { // a consumer that is removed with our answer in its queue answers nobody
		tick := time.NewTicker(consumerLook)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if s.consumerGone(asking) {
					stop(errConsumerGone)
				}
			case <-asking.Done():
				return
			}
		}
	}()
	err := tell(asking)
	gone := errors.Is(context.Cause(asking), errConsumerGone)
	stop(nil)
	if gone || errors.Is(err, nats.ErrNoResponders) && s.consumerGone(ctx) {
		return nil
	}
	return err
}

// consumerLook is how often a consumer that owes an answer is looked for.
const consumerLook = time.Second

var errConsumerGone = errors.New("the consumer was removed")

func (s *subscription) consumerGone(ctx context.Context) bool {
	_, err := s.c.js.Consumer(ctx, s.stream, pipeline.Token(s.durable))
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
}

// convert makes a Watermill message. Without a message id of its own it is named by its place, the same at every
// delivery.
func convert(subject string, h nats.Header, data []byte, stream string, sequence uint64, stored time.Time) *message.Message {
	seq := strconv.FormatUint(sequence, 10)
	id := first(h, jetstream.MsgIDHeader)
	uuid := id
	if uuid == "" {
		uuid = stream + "-" + seq
	}
	wm := message.NewMessage(uuid, data)
	for k, v := range h {
		if len(v) > 0 && k != jetstream.MsgIDHeader && k != jetstream.ExpectedStreamHeader {
			wm.Metadata[k] = v[0]
		}
	}
	wm.Metadata[metaSequence] = seq
	wm.Metadata[metaTime] = stored.UTC().Format(time.RFC3339Nano)
	wm.Metadata[metaSubject] = subject
	if id != "" {
		wm.Metadata[metaMsgID] = id
	} else {
		delete(wm.Metadata, metaMsgID)
	}
	return wm
}
