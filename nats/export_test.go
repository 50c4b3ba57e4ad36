package nats

import (
	"context"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// LogServerWarning passes on a warning of the embedded server.
func LogServerWarning(log *slog.Logger, format string, v ...any) {
	(&serverLog{log: log}).Warnf(format, v...)
}

// TriggerWait is how long a trigger that a killed process had taken waits for the next.
const TriggerWait = triggerWait

// AckWait is the same for commands.
const AckWait = ackWait

// MetaSettings marks streams with the version of their settings.
const MetaSettings = metaSettings

// Exported for tests.
var (
	CheckVersion = checkVersion
	Redact       = redact
	Untoken      = untoken
	AckReply     = ackReply
	Covers       = covers
)

// StoredSize is what the log is expected to grow by.
func StoredSize(l pipeline.RowLog, f *pipeline.Frame) int64 {
	return storedSize(l.(*rowLog).message(f))
}

// SetQuietLook changes how long nothing comes before a reader looks whether anything can.
func SetQuietLook(d time.Duration) (restore func()) {
	was := quietLook
	quietLook = d
	return func() { quietLook = was }
}

// Replicas is how many copies of a new stream are made.
func (c *Conn) Replicas() int { return c.replicas }

// StreamReplicas lists all streams with their copies.
func (c *Conn) StreamReplicas(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	list := c.js.ListStreams(ctx)
	for info := range list.Info() {
		out[info.Config.Name] = info.Config.Replicas
	}
	return out, list.Err()
}

// EditStream changes a stream as a person would, or as another version made it.
func (c *Conn) EditStream(ctx context.Context, stream string, change func(*jetstream.StreamConfig)) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	change(&cfg)
	_, err = c.js.UpdateStream(ctx, cfg)
	return err
}

// EditTriggers changes the stream of triggers as a person would, or as another version made it.
func (c *Conn) EditTriggers(ctx context.Context, change func(*jetstream.StreamConfig)) error {
	return c.EditStream(ctx, streamTriggers, change)
}

// StreamConfig is a stream as the server has it.
func (c *Conn) StreamConfig(ctx context.Context, stream string) (jetstream.StreamConfig, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	return s.CachedInfo().Config, nil
}

// SetReplicas changes a stream as a person would.
func (c *Conn) SetReplicas(ctx context.Context, stream string, n int) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	cfg.Replicas = n
	_, err = c.js.UpdateStream(ctx, cfg)
	return err
}

// Inject publishes raw bytes, as a foreign program would. headers are pairs.
func (c *Conn) Inject(subject string, body []byte, headers ...string) error {
	if err := c.nc.PublishMsg(foreign(subject, body, headers)); err != nil {
		return err
	}
	return c.nc.Flush()
}

// Request waits for the first answer, as a foreign program would.
func (c *Conn) Request(ctx context.Context, subject string, body []byte, headers ...string) (string, error) {
	m, err := c.nc.RequestMsgWithContext(ctx, foreign(subject, body, headers))
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

func foreign(subject string, body []byte, headers []string) *nats.Msg {
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: body}
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	return m
}

// Subjects are a stream's, and how many messages it has.
func (c *Conn) Subjects(ctx context.Context, stream string) ([]string, int, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, 0, err
	}
	return s.CachedInfo().Config.Subjects, int(s.CachedInfo().State.Msgs), nil
}

// Purge empties a stream.
func (c *Conn) Purge(ctx context.Context, stream string) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	return s.Purge(ctx)
}

// DeleteMessage takes one message out of a stream, as a person would.
func (c *Conn) DeleteMessage(ctx context.Context, stream string, seq uint64) error {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	return s.DeleteMsg(ctx, seq)
}

// SetAckWait changes how long a consumer waits for a sign of life.
func (c *Conn) SetAckWait(ctx context.Context, stream, consumer string, wait time.Duration) error {
	k, err := c.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return err
	}
	cfg := k.CachedInfo().Config
	cfg.AckWait = wait
	_, err = c.js.UpdateConsumer(ctx, stream, cfg)
	return err
}

// ConsumerConfig is what a consumer was made with.
func (c *Conn) ConsumerConfig(ctx context.Context, stream, consumer string) (jetstream.ConsumerConfig, error) {
	k, err := c.js.Consumer(ctx, stream, consumer)
	if err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	return k.CachedInfo().Config, nil
}

// Bounce breaks the connection; it comes back by itself.
func (c *Conn) Bounce() error { return c.nc.ForceReconnect() }

// Header is all of the newest message on a subject of a stream.
func (c *Conn) Header(ctx context.Context, stream, subject string) (map[string][]string, []byte, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, nil, err
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return nil, nil, err
	}
	return m.Header, m.Data, nil
}

// Holds reports whether this connection's process runs the server.
func (c *Conn) Holds() bool {
	return c.host.srv.Load() != nil
}

// Config is a stream's and, with a name, a consumer's description as operators see it.
func (c *Conn) Config(stream, consumer string) (description string, metadata map[string]string, err error) {
	s, err := c.js.Stream(c.root, stream)
	if err != nil {
		return "", nil, err
	}
	if consumer == "" {
		return s.CachedInfo().Config.Description, s.CachedInfo().Config.Metadata, nil
	}
	k, err := s.Consumer(c.root, consumer)
	if err != nil {
		return "", nil, err
	}
	return k.CachedInfo().Config.Description, nil, nil
}

// Consumer counts what a consumer has outstanding: messages delivered but not acknowledged, messages to deliver, pulls.
func (c *Conn) Consumer(stream, consumer string) (unacked, pending, pulls int, err error) {
	k, err := c.js.Consumer(c.root, stream, consumer)
	if err != nil {
		return 0, 0, 0, err
	}
	i := k.CachedInfo()
	return i.NumAckPending, int(i.NumPending), i.NumWaiting, nil
}

// LastHeader is a header of the newest message on a subject of a stream.
func (c *Conn) LastHeader(stream, subject, header string) (string, error) {
	s, err := c.js.Stream(c.root, stream)
	if err != nil {
		return "", err
	}
	m, err := s.GetLastMsgForSubject(c.root, subject)
	if err != nil {
		return "", err
	}
	return m.Header.Get(header), nil
}

// Position is how far a consumer has delivered and acknowledged.
func (c *Conn) Position(stream, consumer string) (delivered, acked uint64, err error) {
	k, err := c.js.Consumer(c.root, stream, consumer)
	if err != nil {
		return 0, 0, err
	}
	return k.CachedInfo().Delivered.Stream, k.CachedInfo().AckFloor.Stream, nil
}

// Waiting reports whether a publisher waits for space in the log.
func Waiting(l pipeline.RowLog) bool { return len(l.(*rowLog).room.poll) == 0 }

// OnDisk has the embedded server's disk say how much of it is free.
func (o Options) OnDisk(free func(dir string) (int64, bool)) Options {
	o.free = free
	return o
}

// Ail has the embedded server say what keeps it from storing.
func (c *Conn) Ail(text string) { (&serverLog{log: c.log, host: c.host}).Errorf("%s", text) }

// Server is the embedded server that runs here.
func (c *Conn) Server() any { return c.host.srv.Load() }

// DeleteStream removes a stream, as a person would.
func (c *Conn) DeleteStream(ctx context.Context, name string) error {
	return c.js.DeleteStream(ctx, name)
}

// MakeBucket makes a bucket, as another process would that opens an emptied store.
func (c *Conn) MakeBucket(ctx context.Context, name string) error {
	_, err := c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name})
	return err
}

// Note tells how a write to a stream went.
func (c *Conn) Note(stream string, err error) { c.noted(stream, time.Now().Add(-callTry), err) }

// Says is all that is known of an access, secrets included, and the line for the nats CLI.
func (a Access) Says() string {
	text := a.URL.Value
	for _, g := range []struct {
		key string
		Given
	}{{"user", a.User}, {"token", a.Token}, {"creds", a.Creds}, {"nkey", a.NKey}, {"ca", a.CA}, {"cert", a.Cert}, {"key", a.Key}} {
		if g.Value != "" {
			text += " " + g.key + "=" + g.Value
		}
	}
	if !a.External() {
		return text + " "
	}
	cmd, note := a.cli()
	if text += " | " + cmd; note != "" {
		text += " (" + note + ")"
	}
	return text
}

// Looks makes the look of an Ask for its message in the stream of triggers: is it there?
func (c *Conn) Looks(topic, msgID string, payload []byte) (look func(context.Context) (stored bool, _ error)) {
	stream, _ := streamOf(topic)
	a := asking{c: c, stream: stream.Name, msg: &nats.Msg{Subject: topic, Header: nats.Header{}, Data: payload}}
	a.msg.Header.Set(jetstream.MsgIDHeader, msgID)
	return func(ctx context.Context) (bool, error) {
		err := a.look(ctx)
		return a.stored, err
	}
}

// Subscriber and Publisher are what Serve and Publish are made of.
func (c *Conn) Subscriber(durable string, parallel int) message.Subscriber {
	return newSubscriber(c, pipeline.Handler{Durable: durable, Parallel: parallel})
}

func (c *Conn) Publisher() message.Publisher { return publisher{c} }

// Metadata of messages.
const (
	MetaSequence  = metaSequence
	MetaTime      = metaTime
	MetaDelivered = metaDelivered
	MetaMsgID     = metaMsgID
	MetaSubject   = metaSubject
)
