package nats

import (
	"fanmill/pipeline"
)

// Exported for tests.
var (
	CheckVersion = checkVersion
	Redact       = redact
	Untoken      = untoken
	AckReply     = ackReply
)

// StoredSize is what the log is expected to grow by.
func StoredSize(l pipeline.RowLog, f *pipeline.Frame) int64 {
	return storedSize(l.(*rowLog).message(f))
}

// Replicas is how many copies of a new stream are made.
func (c *Conn) Replicas() int { return c.replicas }

// Inject publishes raw bytes, as a foreign program would.
func (c *Conn) Inject(subject string, body []byte) error {
	if err := c.nc.Publish(subject, body); err != nil {
		return err
	}
	return c.nc.Flush()
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
