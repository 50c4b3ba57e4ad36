package memstore

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fanmill/pipeline"
)

// consumer is what all handlers of one durable name share.
type consumer struct {
	topic string
	state map[uint64]*delivery // by sequence
	line  []*asker             // who waits for a message, the first to get one first
	more  chan struct{}        // closed with the next change
}

// asker is a handler that has room for a message.
type asker struct{ _ byte }

// delivery is what has become of a message.
type delivery struct {
	times  int
	inHand bool
	over   bool      // somebody is done with it
	due    time.Time // before that nobody gets it
}

func (c *consumer) changed() {
	close(c.more)
	c.more = make(chan struct{})
}

func (c *consumer) of(seq uint64) *delivery {
	if c.state[seq] == nil {
		c.state[seq] = &delivery{}
	}
	return c.state[seq]
}

// consumer finds the consumer of a handler, or makes it. Of two of a queue no message may be for both.
func (b *Bus) consumer(h pipeline.Handler) (*stream, *consumer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(h.Topic)
	if s == nil {
		return nil, nil, errNoStream(h.Topic)
	}
	if c := s.consumers[h.Durable]; c != nil {
		if c.topic != h.Topic {
			return nil, nil, pipeline.Permanent(fmt.Errorf("consumer %s of %s reads %s", h.Durable, s.name, c.topic))
		}
		return s, c, nil
	}
	for durable, c := range s.consumers {
		if s.queue && overlap(c.topic, h.Topic) {
			return nil, nil, pipeline.Permanent(fmt.Errorf("consumer %s of %s would read what %s reads", h.Durable, s.name, durable))
		}
	}
	c := &consumer{topic: h.Topic, state: map[uint64]*delivery{}, more: make(chan struct{})}
	s.consumers[h.Durable] = c
	return s, c, nil
}

// overlap reports whether some subject is in both topics.
func overlap(a, b string) bool { return matches(a, b) || matches(b, a) }

// Serve implements pipeline.Bus.
func (b *Bus) Serve(ctx context.Context, _ *slog.Logger, handlers ...pipeline.Handler) error {
	var work sync.WaitGroup
	defer work.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for _, h := range handlers {
		if _, _, err := b.consumer(h); err != nil {
			return fmt.Errorf("subscribe to %s: %w", h.Topic, err)
		}
	}
	for _, h := range handlers {
		if h.Room == nil {
			h.Room = pipeline.NewRoom(max(h.Parallel, 1))
		}
		work.Go(func() { b.hand(ctx, h, &work) })
	}
	<-ctx.Done()
	return nil
}

// hand hands one message over after the other, each when there is room for it, until ctx ends.
func (b *Bus) hand(ctx context.Context, h pipeline.Handler, work *sync.WaitGroup) {
	for {
		select {
		case h.Room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		s, c, m := b.next(ctx, h)
		if m == nil {
			<-h.Room
			return
		}
		work.Go(func() {
			defer func() { <-h.Room }()
			b.handle(ctx, h, s, c, m)
		})
	}
}

// next waits for a message that nobody has in hand; nil once ctx has ended. A consumer that was removed meanwhile is
// made again.
func (b *Bus) next(ctx context.Context, h pipeline.Handler) (*stream, *consumer, *pipeline.Message) {
	me := &asker{}
	var in *consumer
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if in != nil {
			in.line = slices.DeleteFunc(in.line, func(a *asker) bool { return a == me })
			in.changed()
		}
	}()
	for ctx.Err() == nil {
		s, c, err := b.consumer(h)
		if err != nil {
			return nil, nil, nil // its subjects are others' now
		}
		b.mu.Lock()
		if c != in {
			in = c
			c.line = append(c.line, me)
		}
		var m *pipeline.Message
		var due time.Time
		if c.line[0] == me {
			m, due = b.take(s, c)
		}
		more := c.more
		b.mu.Unlock()
		if m != nil {
			return s, c, m
		}
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(time.Until(due))
		}
		select {
		case <-more:
		case <-timer:
		case <-ctx.Done():
		}
	}
	return nil, nil, nil
}

// take takes the oldest message that may be handed over. Where there is none, due is when one may be; zero if no time
// brings one.
func (b *Bus) take(s *stream, c *consumer) (_ *pipeline.Message, due time.Time) {
	now := time.Now()
	for _, m := range s.messages {
		d := c.of(m.Sequence)
		switch {
		case !matches(c.topic, m.Subject) || d.inHand || d.over || b.Late != nil && b.Late(m):
		case d.due.After(now):
			if due.IsZero() || d.due.Before(due) {
				due = d.due
			}
		default:
			d.inHand = true
			d.times++
			handed := *m
			handed.Delivered, handed.Payload = d.times, slices.Clone(m.Payload)
			return &handed, time.Time{}
		}
	}
	return nil, due
}

// handle sees a message through to its end.
func (b *Bus) handle(ctx context.Context, h pipeline.Handler, s *stream, c *consumer, m *pipeline.Message) {
	ctx, over := context.WithCancel(ctx)
	defer over()
	done := false // the server has confirmed its end
	m.Done = func(context.Context) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		happens, lost := b.lost(b.LoseDone)
		if happens {
			s.end(c, m.Sequence)
		}
		if lost {
			return pipeline.Transient(fmt.Errorf("acknowledge: %w", ErrLost))
		}
		done = true
		return nil
	}
	err := h.Handle(ctx, m)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case done:
	case err == nil:
		s.end(c, m.Sequence)
	case h.Dead != "" && pipeline.IsPermanent(err):
		if dead := b.stream(h.Dead); dead != nil {
			dead.keep(h.Dead, fmt.Sprintf("%s-%d", s.name, m.Sequence), m.Payload)
		}
		s.end(c, m.Sequence)
	default:
		d := c.of(m.Sequence)
		pause := min(pauseMin<<min(d.times-1, 6), pauseMax)
		if ctx.Err() != nil {
			pause = pauseAtEnd // it is for others to handle, now
		}
		d.inHand, d.due = false, time.Now().Add(pause)
		c.changed()
	}
}

// end notes that somebody is done with a message.
func (s *stream) end(c *consumer, seq uint64) {
	c.of(seq).over = true
	if s.queue {
		s.messages = slices.DeleteFunc(s.messages, func(m *pipeline.Message) bool { return m.Sequence == seq })
		delete(c.state, seq)
	}
}

// Again has the messages of a topic that are in hand be handed over once more, as the server does when it has heard
// nothing of them for too long: their process stands still, or was cut off.
func (b *Bus) Again(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(topic)
	if s == nil {
		return
	}
	for _, c := range s.consumers {
		for _, m := range s.messages {
			if matches(topic, m.Subject) && matches(c.topic, m.Subject) {
				c.of(m.Sequence).inHand = false
			}
		}
		c.changed()
	}
}

// Wake has Late asked again.
func (b *Bus) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.all {
		s.changed()
	}
}
