package pipeline

import (
	"context"
	"log/slog"
	"time"
)

// Bus carries triggers, commands and events as messages with JSON payloads. A topic is a subject.
type Bus interface {
	// Publish stores a message; it is durable when nil is returned. id is its Nats-Msg-Id: a second message with the same
	// one is dropped while the server remembers the first. "" makes one up.
	Publish(topic, id string, payload []byte) error
	// Serve hands messages to the handlers until ctx ends, and waits for those that are being handled. An error says that
	// it could not begin, or ended before that.
	Serve(ctx context.Context, log *slog.Logger, handlers ...Handler) error
	// Drop removes the messages of a topic and the durable consumers that read it.
	Drop(ctx context.Context, topic string) error
	// Kept lists the messages of a topic, of at most limit, the oldest first, that a stream keeps: those that nobody
	// is done with. In topic * stands for one token.
	Kept(ctx context.Context, topic string, limit int) ([]*Message, error)
	// Listen hands f every message that is published to topic from now on, whether a stream keeps it or not, until
	// stop is called. Calls of f come one at a time, on a goroutine of the connection's: f must not wait. In topic *
	// stands for one token.
	Listen(topic string, f func(Inquiry)) (stop func(), err error)
	// Ask publishes a message and waits for somebody's answer. msgID may be "". The error is ErrNoAnswer when ctx
	// ended first, or at once when nobody listens to such a topic and no stream keeps it; a message that a stream
	// keeps is kept all the same.
	Ask(ctx context.Context, topic, msgID string, payload []byte) ([]byte, error)
}

// Inquiry is a message as it passes by.
type Inquiry struct {
	Subject string
	MsgID   string // the publisher's Nats-Msg-Id; "" if it gave none
	Payload []byte
	Answer  func(payload []byte) error // nil if the publisher waits for none
}

// Handler handles the messages of a topic.
type Handler struct {
	Topic    string // * stands for one token
	Durable  string // the consumer, which all handlers of this name share over processes and restarts
	Parallel int    // how many messages are handled at a time
	// Room is in place of Parallel a bound that several handlers share. nil is none.
	Room Room
	// Private is of a consumer that no other process shares: should it be left behind, it goes by itself after a day.
	Private bool
	// Dead is the topic that keeps messages whose handling has failed for good; "" keeps none.
	Dead string
	// Handle handles a message, whose server is told meanwhile that somebody does. nil is the end of the message. So is an
	// error that IsPermanent, where Dead is given: that keeps the message with its Payload as it is then. After any other
	// error it comes again, here or elsewhere, unless Message.Done was called. ctx ends when this process does.
	Handle func(ctx context.Context, m *Message) error
}

// Room has a place for each message that is being handled, and for each handler that waits for one: a handler without
// a place takes none. So it needs more places than handlers share it. Who has waited longest gets the next place.
type Room chan struct{}

// NewRoom makes a room of so many places.
func NewRoom(places int) Room { return make(Room, places) }

// Message is a message that a stream keeps.
type Message struct {
	Subject   string
	MsgID     string // the publisher's Nats-Msg-Id; "" if it gave none
	Sequence  uint64 // in the stream
	Stored    time.Time
	Delivered int // how often; counts from 1 again after the server restarts. 0 of one that was not delivered.
	Payload   []byte
	Trace     TraceContext // of its publisher, if it sent one
	// Done ends the message before its handling is at its end, which keeps its place until then: nobody gets it again,
	// whatever becomes of the handling. nil is returned once the server has confirmed that; after an error the message
	// may come again. A message that no Handle was given has none.
	Done func(ctx context.Context) error
}
