package pipeline

import (
	"context"
	"encoding/json"
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
	// Dead is the topic that keeps messages whose handling has failed for good; "" keeps none.
	Dead string
	// Handle handles a message, whose server is told meanwhile that somebody does. nil is the end of the message. So is an
	// error that IsPermanent, where Dead is given: that keeps the message with its Payload as it is then. After any other
	// error it comes again, here or elsewhere. ctx ends when this process does.
	Handle func(ctx context.Context, m *Message) error
}

// Message is a message that a stream keeps.
type Message struct {
	Subject   string
	MsgID     string // the publisher's Nats-Msg-Id; "" if it gave none
	Sequence  uint64 // in the stream
	Stored    time.Time
	Delivered int // how often; counts from 1 again after the server restarts. 0 of one that was not delivered.
	Payload   []byte
}

// Topics. Ids are spelled by Token.

// TopicTriggers is every TopicTrigger.
const TopicTriggers = "fanmill.jobs.run.*"

// TopicInlines is every TopicInline.
const TopicInlines = "fanmill.jobs.inline.*"

// TopicInline asks for a run of a job that the trigger brings along. Its subject is another than TopicTrigger's, so
// that who may do the one need not be allowed to do the other.
func TopicInline(job string) string { return "fanmill.jobs.inline." + Token(job) }

// topicMisspelt is every subject that looks like a TopicTrigger of an id with a dot in it and is none.
const topicMisspelt = "fanmill.jobs.run.*.>"

// TopicCancels is every TopicCancel.
const TopicCancels = "fanmill.jobs.cancel.*"

// TopicDeadTriggers keeps the triggers that could not be understood.
const TopicDeadTriggers = "fanmill.dead.run"

// TopicDeadRequest tells of the requests of a job that their receivers will not take.
func TopicDeadRequest(job string) string { return "fanmill.dead.request." + Token(job) }

// TopicCancel asks the process that carries a run out, or has it waiting, to stop it. No stream keeps it: it is for
// whoever listens now.
func TopicCancel(run string) string { return "fanmill.jobs.cancel." + Token(run) }

// TopicTrigger asks for a run of a job. Its stream acknowledges nothing: whoever takes the trigger answers the
// publisher.
func TopicTrigger(job string) string { return "fanmill.jobs.run." + Token(job) }

// topicOwnTriggers is every TopicOwnTrigger.
const topicOwnTriggers = "fanmill.jobs.own.*.*"

// TopicOwnTrigger asks one process for a run of a job: what fanmill run asks of itself no other process takes.
func TopicOwnTrigger(job, owner string) string {
	return "fanmill.jobs.own." + Token(job) + "." + Token(owner)
}

// TopicQuery is above the query commands of a run; each resume has a topic of its own, TopicQuery(run).<resumes>.
func TopicQuery(run string) string { return "fanmill.jobs.query." + Token(run) }

// TopicSink is above the sink commands of a run, as TopicQuery is.
func TopicSink(run string) string { return "fanmill.jobs.sink." + Token(run) }

// TopicEvent tells the world about a run.
func TopicEvent(job, run, kind string) string {
	return "fanmill.events." + Token(job) + "." + Token(run) + "." + kind
}

// TopicRows is a connection's subject in the row log.
func TopicRows(run, connection string) string {
	return "fanmill.rows." + Token(run) + "." + Token(connection)
}

// Trigger asks for a run. With Resume the job's unfinished run goes on. With StartOver it is given up also where some
// of its rows were sent. With TargetMoved a resume goes on where the job sends requests to now: the same receiver, at
// another address.
type Trigger struct {
	Resume      bool            `json:"resume,omitempty"`
	StartOver   bool            `json:"startOver,omitempty"`
	TargetMoved bool            `json:"targetMoved,omitempty"`
	Connections []string        `json:"connections,omitempty"` // ids; all if empty
	Params      map[string]any  `json:"params,omitempty"`      // text, number (json.Number), bool or nil, in place of the job's
	Job         json.RawMessage `json:"job,omitempty"`         // a whole job file, of a TopicInline

	// ID names the run that Node.Run is asked for: one of this id that is complete is not carried out again, and one
	// that is not goes on. "" asks for a new one, or, with Resume, for the job's unfinished one.
	ID string `json:"-"`

	id  string // of the run that it asks for, unless it resumes another; "" for one that is no message
	seq uint64 // in the stream of triggers; 0 for one that is no message of it
	// again: its run goes on by itself, as nobody asks for it anew. A cancellation counts for that one, too.
	again bool
}

// QueryCommand asks a worker for an attempt at a connection. It is a hint: the connection's record decides.
type QueryCommand struct {
	Job         string `json:"job"`
	Run         string `json:"run"`
	Incarnation int    `json:"incarnation"` // Opened.Incarnation, as of its publication
	Connection  string `json:"connection"`
}

// SinkCommand asks for a destination to be written. It is a hint: the commit record decides.
type SinkCommand struct {
	Job         string `json:"job"`
	Run         string `json:"run"`
	Incarnation int    `json:"incarnation"` // as of QueryCommand
	Destination string `json:"destination"`
}

// Event kinds.
const (
	EventStarted   = "started"
	EventConnected = "connection-started"
	EventDelivered = "connection-done" // its eof is in the row log
	EventRetry     = "connection-retry"
	EventFailed    = "connection-failed"
	EventCommitted = "committed"    // a destination has settled a connection
	EventRejected  = "rejected"     // a destination cannot hold a connection's rows
	EventTrouble   = "write-failed" // a destination could not be written; it is tried again
	EventDetached  = "destination-detached"
	EventSealed    = "sealed"            // a spooled destination has a connection's rows safe, to be written or sent
	EventOwing     = "destination-owing" // what it has is safe, and not all of it is sent
	EventLetter    = "request-refused"   // by the receiver; Connection is set if it has the rows of one
	EventEnded     = "ended"
)

// Event tells what happened in a run. Which fields are set follows from Kind.
type Event struct {
	Kind        string    `json:"kind"`
	Job         string    `json:"job"`
	Run         string    `json:"run"`
	Connection  string    `json:"connection,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Attempt     int       `json:"attempt,omitempty"` // counts from 1 since the run began or was resumed
	Rows        int64     `json:"rows,omitempty"`
	Millis      int64     `json:"durationMs,omitempty"`
	Error       string    `json:"error,omitempty"`
	State       string    `json:"state,omitempty"`
	Time        time.Time `json:"time"`
}
