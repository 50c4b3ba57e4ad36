package memstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"fanmill/pipeline"
)

// Bus is the streams of a store in memory, and those who listen. All processes of a test share one. It is safe for
// concurrent use; its exported fields are set before that.
type Bus struct {
	// LosePublish makes the answer to the next Publish get lost, after it happened or in its place; LoseDone that of the
	// next Message.Done.
	LosePublish, LoseDone func() (happens, lost bool)
	// Late are the messages that are not handed over yet; Wake has it asked again.
	Late func(*pipeline.Message) bool
	// Unheard are the messages that pass by those who listen without their hearing of it.
	Unheard func(subject string) bool

	mu        sync.Mutex
	all       []*stream
	listeners map[*listener]bool
}

var _ pipeline.Bus = (*Bus)(nil)

// What the streams of the real bus have, see nats/streams.go: how long one remembers ids, and how long a message waits
// that a handler gave back.
const (
	remembers        = 2 * time.Minute
	remembersTrigger = 100 * time.Millisecond
	pauseMin         = 500 * time.Millisecond
	pauseMax         = 30 * time.Second
	pauseAtEnd       = time.Millisecond
)

// stream keeps the messages of some subjects.
type stream struct {
	name     string
	subjects []string
	queue    bool // a message goes when somebody is done with it
	silent   bool // it acknowledges nothing: it is asked, not published to
	window   time.Duration

	last      uint64
	messages  []*pipeline.Message // the oldest first
	ids       map[string]time.Time
	consumers map[string]*consumer
}

func newStreams() []*stream {
	all := []*stream{
		{name: "FANMILL_JOBS", subjects: []string{pipeline.TopicOwnTriggers}, queue: true},
		{name: "FANMILL_WORK", subjects: []string{pipeline.TopicCommands}, queue: true},
		{name: "FANMILL_TRIGGERS", subjects: []string{pipeline.TopicTriggers, pipeline.TopicInlines}, queue: true, silent: true, window: remembersTrigger},
		{name: "FANMILL_EVENTS", subjects: []string{"fanmill.events.>"}},
		{name: "FANMILL_DEAD", subjects: []string{"fanmill.dead.>"}},
	}
	for _, s := range all {
		s.ids, s.consumers = map[string]time.Time{}, map[string]*consumer{}
		if s.window == 0 {
			s.window = remembers
		}
	}
	return all
}

// stream is the one that keeps a topic; nil if none does. b.mu is held.
func (b *Bus) stream(topic string) *stream {
	if b.all == nil {
		b.all = newStreams()
	}
	for _, s := range b.all {
		if slices.ContainsFunc(s.subjects, func(pattern string) bool { return matches(pattern, topic) }) {
			return s
		}
	}
	return nil
}

func errNoStream(topic string) error {
	return pipeline.Permanent(fmt.Errorf("topic %q is in no stream", topic))
}

// Publish implements pipeline.Bus.
func (b *Bus) Publish(topic, id string, payload []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(topic)
	switch {
	case s == nil:
		return errNoStream(topic)
	case s.silent:
		return pipeline.Permanent(fmt.Errorf("publish to %s: %s acknowledges nothing; a trigger is asked, not published", topic, s.name))
	}
	if id == "" {
		id = pipeline.NewToken()
	}
	happens, lost := b.lost(b.LosePublish)
	if happens {
		s.keep(topic, id, payload)
		// The publisher waits for the stream, and takes no other's answer.
		b.tell(pipeline.Inquiry{Subject: topic, MsgID: id, Payload: payload, Answer: func([]byte) error { return nil }})
	}
	if lost {
		return pipeline.Transient(fmt.Errorf("publish to %s: %w", topic, ErrLost))
	}
	return nil
}

// lost asks one of the fields that lose answers.
func (b *Bus) lost(lose func() (happens, lost bool)) (bool, bool) {
	if lose == nil {
		return true, false
	}
	return lose()
}

// keep stores a message, unless one of its id came a moment ago.
func (s *stream) keep(topic, id string, payload []byte) {
	if at, ok := s.ids[id]; id != "" && ok && time.Since(at) < s.window {
		return
	}
	if id != "" {
		s.ids[id] = time.Now()
	}
	s.last++
	s.messages = append(s.messages, &pipeline.Message{Subject: topic, MsgID: id, Sequence: s.last, Stored: time.Now(), Payload: slices.Clone(payload)})
	s.changed()
}

// changed wakes those who wait for messages of the stream.
func (s *stream) changed() {
	for _, c := range s.consumers {
		c.changed()
	}
}

// Kept implements pipeline.Bus.
func (b *Bus) Kept(_ context.Context, topic string, limit int) (all []*pipeline.Message, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(topic)
	if s == nil {
		return nil, errNoStream(topic)
	}
	for _, m := range s.messages {
		if len(all) < limit && matches(topic, m.Subject) {
			kept := *m
			kept.Payload = slices.Clone(m.Payload)
			all = append(all, &kept)
		}
	}
	return all, nil
}

// Drop implements pipeline.Bus.
func (b *Bus) Drop(_ context.Context, topic string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(topic)
	if s == nil {
		return errNoStream(topic)
	}
	s.messages = slices.DeleteFunc(s.messages, func(m *pipeline.Message) bool { return matches(topic, m.Subject) })
	for durable, c := range s.consumers {
		if c.topic == topic {
			delete(s.consumers, durable)
			c.changed()
		}
	}
	return nil
}
