package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// link tells whether the connection stands. A session is the time between two losses of it: what a server was asked for
// in one session (parked pulls, unanswered requests) is gone in the next.
type link struct {
	mu      sync.Mutex
	session context.Context // ended while the connection is down
	end     context.CancelFunc
	change  chan struct{} // closed and replaced when the connection comes up or goes down
}

func newLink() *link {
	l := &link{change: make(chan struct{})}
	l.session, l.end = context.WithCancel(context.Background())
	l.end()
	return l
}

func (l *link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session.Err() != nil {
		l.session, l.end = context.WithCancel(context.Background())
		close(l.change)
		l.change = make(chan struct{})
	}
}

func (l *link) down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session.Err() == nil {
		l.end()
		close(l.change)
		l.change = make(chan struct{})
	}
}

// state tells whether the connection stands; change is closed when that is no longer so.
func (l *link) state() (alive bool, change <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.Err() == nil, l.change
}

// wait returns the present session, waiting for one until ctx ends.
func (l *link) wait(ctx context.Context) (context.Context, error) {
	for {
		l.mu.Lock()
		session, change := l.session, l.change
		l.mu.Unlock()
		if session.Err() == nil {
			return session, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// within runs f with a context that ends with ctx or with the session. lost reports that the connection broke
// meanwhile, so that f's work may have been done or not.
func (c *Conn) within(ctx context.Context, f func(context.Context) error) (lost bool, err error) {
	session, err := c.link.wait(ctx)
	if err != nil {
		return true, err
	}
	fctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(session, cancel)()
	err = f(fctx)
	return err != nil && ctx.Err() == nil && (session.Err() != nil || errors.Is(err, nats.ErrReconnectBufExceeded) ||
		errors.Is(err, nats.ErrDisconnected)), err
}

// callTry bounds one try of a call: a cluster that loses a node answers some requests never, and the same again a
// moment later.
const callTry = 5 * time.Second

// call is a request to the server that may be repeated: it gives ctx a deadline if it has none, waits for the
// connection, and asks again when the connection breaks while it waits for the answer, when the answer does not come,
// or when nobody answers because the server has not finished starting. The error is classified and says what was
// asked.
func (c *Conn) call(ctx context.Context, what string, f func(context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	var last error
	began := time.Now()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		try, cancel := context.WithTimeout(ctx, callTry)
		waiting, done := c.refused.during(try, func(subject string) bool { return c.refused.alone.Load() || concerns(what, subject) })
		lost, err := c.within(waiting, f)
		lost = lost || try.Err() != nil
		refused := refusedIn(waiting)
		done()
		cancel()
		if err == nil {
			return nil
		}
		if refused != nil && ctx.Err() == nil {
			return pipeline.Permanent(fmt.Errorf("%s: %w", what, refused))
		}
		if ctx.Err() != nil {
			if last == nil || !errors.Is(err, ctx.Err()) {
				last = err
			}
			// What is not permitted is not answered either. Whether this was, the server's word for it does not tell;
			// it came meanwhile.
			if now := c.refused.since(began); now != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return pipeline.Transient(fmt.Errorf("%s: no answer from NATS in time (%w): %w", what, ctx.Err(), now))
			}
			return c.classify(ctx, what, last)
		}
		last = err
		if !lost && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, jetstream.ErrNoStreamResponse) {
			return c.classify(ctx, what, err)
		}
		if c.nc.IsClosed() {
			return c.classify(ctx, what, nats.ErrConnectionClosed)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// classify is classify for one who knows whose disk it is that has no room.
func (c *Conn) classify(ctx context.Context, what string, err error) error {
	if code := apiCode(err); c.host != nil && ctx.Err() == nil && (code == codeNoStorage || code == codeNoAccountStorage) {
		return pipeline.Transient(fmt.Errorf("%s: %s: %w", what, c.host.noRoom(), err))
	}
	return classify(ctx, what, err)
}

// Codes of the JetStream API that nats.go has no name for [nats-server errors.json].
const (
	codeNoAccountStorage jetstream.ErrorCode = 10002
	codeNoPeers          jetstream.ErrorCode = 10005
	codeConsumerFailed   jetstream.ErrorCode = 10012
	codeNoConsumers      jetstream.ErrorCode = 10026
	codeNoStreams        jetstream.ErrorCode = 10027
	codeNoStorage        jetstream.ErrorCode = 10047
	codeLargeMessage     jetstream.ErrorCode = 10054
	codeWrongStream      jetstream.ErrorCode = 10060
	codeOverlap          jetstream.ErrorCode = 10065 // of a stream's subjects with another's
	codeNoReplicas       jetstream.ErrorCode = 10074
	codeStoreFailed      jetstream.ErrorCode = 10077 // also: the stream is full
	codeMaxBytesRequired jetstream.ErrorCode = 10113
	codeLargeStream      jetstream.ErrorCode = 10122
	codeWrongSeqConstant                     = jetstream.JSErrCodeStreamWrongLastSequenceConstant
)

const noStorage = "NATS has no storage left to reserve: delete row logs no longer needed (`nats stream ls`), free disk space, or lower --log-max-mb"

// advice is what to do about a refusal. The limits are those that an administrator sets for accounts and streams.
var advice = map[jetstream.ErrorCode]string{
	codeNoStorage:        noStorage,
	codeNoAccountStorage: noStorage,
	codeNoConsumers:      "the NATS account may have no more consumers: raise its limit of them",
	codeNoStreams:        "the NATS account may have no more streams, and each run needs one: raise its limit of them, or delete row logs no longer needed (`nats stream ls`)",
	codeLargeMessage:     "the stream takes no message of this size: raise its limit (`nats stream edit`, max-msg-size)",
	codeStoreFailed:      "the stream is full, or cannot be written: raise its limits (`nats stream edit`), or free disk space",
	codeMaxBytesRequired: "the NATS account demands max_bytes of every stream, which those of fanmill's state cannot have: lift that",
	codeLargeStream:      "the NATS account allows no stream of this size: raise its limit, or lower --log-max-mb",
}

func apiCode(err error) jetstream.ErrorCode {
	var e jetstream.JetStreamError
	if errors.As(err, &e) && e.APIError() != nil {
		return e.APIError().ErrorCode
	}
	return 0
}

// classify says what failed and whether another try may help.
func classify(ctx context.Context, what string, err error) error {
	var api jetstream.JetStreamError
	var refused *refusal
	code := apiCode(err)
	if todo := advice[code]; todo != "" {
		err = fmt.Errorf("%s: %w", todo, err)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case ctx.Err() != nil:
		return pipeline.Transient(fmt.Errorf("%s: no answer from NATS in time: %w", what, errors.Join(ctx.Err(), ignore(err, ctx.Err()))))
	case errors.As(err, &refused):
		return pipeline.Permanent(fmt.Errorf("%s: %w", what, err))
	case errors.Is(err, nats.ErrMaxPayload):
		return pipeline.Permanent(fmt.Errorf("%s: larger than the server's max_payload: %w", what, err))
	case code == codeNoStorage, code == codeNoAccountStorage:
		return pipeline.Transient(fmt.Errorf("%s: %w", what, err))
	case errors.As(err, &api) && api.APIError() != nil && api.APIError().Code < 500:
		return pipeline.Permanent(fmt.Errorf("%s: %w", what, err))
	default:
		return pipeline.Transient(fmt.Errorf("%s: %w", what, err))
	}
}

// ignore drops err if it says nothing beyond known.
func ignore(err, known error) error {
	if errors.Is(err, known) {
		return nil
	}
	return err
}
