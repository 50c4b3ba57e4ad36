package memstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"fanmill/pipeline"
)

// listener is one call of Listen: what it has yet to hear.
type listener struct {
	topic string
	queue []pipeline.Inquiry
	more  chan struct{} // holds a token when there is something in the queue
}

// tell has those hear of a message who listen to its subject, and reports whether there are any. b.mu is held.
func (b *Bus) tell(q pipeline.Inquiry) (listened bool) {
	for l := range b.listeners {
		if !matches(l.topic, q.Subject) {
			continue
		}
		listened = true
		if b.Unheard != nil && b.Unheard(q.Subject) {
			continue
		}
		q.Payload = slices.Clone(q.Payload)
		l.queue = append(l.queue, q)
		select {
		case l.more <- struct{}{}:
		default:
		}
	}
	return listened
}

// Listen implements pipeline.Bus.
func (b *Bus) Listen(topic string, f func(pipeline.Inquiry)) (stop func(), err error) {
	l := &listener{topic: topic, more: make(chan struct{}, 1)}
	b.mu.Lock()
	if b.listeners == nil {
		b.listeners = map[*listener]bool{}
	}
	b.listeners[l] = true
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-l.more:
			case <-ctx.Done():
				return
			}
			b.mu.Lock()
			heard := l.queue
			l.queue = nil
			b.mu.Unlock()
			for _, q := range heard {
				if ctx.Err() != nil {
					return
				}
				f(q)
			}
		}
	}()
	return func() {
		b.mu.Lock()
		delete(b.listeners, l)
		b.mu.Unlock()
		cancel()
		<-done
	}, nil
}

// Ask implements pipeline.Bus.
func (b *Bus) Ask(ctx context.Context, topic, msgID string, payload []byte) ([]byte, error) {
	answers := make(chan []byte, 1)
	q := pipeline.Inquiry{Subject: topic, MsgID: msgID, Payload: payload, Answer: func(answer []byte) error {
		select {
		case answers <- slices.Clone(answer):
		default: // the first counts
		}
		return nil
	}}
	b.mu.Lock()
	s := b.stream(topic)
	if s != nil && !s.silent {
		b.mu.Unlock()
		return nil, pipeline.Permanent(fmt.Errorf("ask %s: %s would answer by itself; publish there", topic, s.name))
	}
	if s != nil {
		if q.MsgID == "" {
			q.MsgID = pipeline.NewToken()
		}
		s.keep(topic, q.MsgID, payload)
	}
	listened := b.tell(q)
	b.mu.Unlock()
	if s == nil && !listened {
		return nil, fmt.Errorf("ask %s: %w", topic, pipeline.ErrNoAnswer)
	}
	for {
		var again <-chan time.Time
		if s != nil {
			again = time.After(2 * s.window)
		}
		select {
		case answer := <-answers:
			return answer, nil
		case <-again:
			b.askAgain(s, q)
		case <-ctx.Done():
			return nil, fmt.Errorf("ask %s: %w", topic, pipeline.ErrNoAnswer)
		}
	}
}

// askAgain publishes a message once more that its stream does not have: it was dropped, as an earlier one had its id,
// or somebody is done with it.
func (b *Bus) askAgain(s *stream, q pipeline.Inquiry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range s.messages {
		if m.Subject == q.Subject && m.MsgID == q.MsgID && bytes.Equal(m.Payload, q.Payload) {
			return
		}
	}
	s.keep(q.Subject, q.MsgID, q.Payload)
	b.tell(q)
}
