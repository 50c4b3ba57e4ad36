package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	fetchMessages   = 128                // of one pull; its bytes are the real bound
	fetchHeartbeat  = 2 * time.Second    // twice this without one, and the server, or the node of it that had our request, is taken as gone
	readerIdle      = 24 * time.Hour     // after which the server drops an abandoned reader's consumer
	readerRedeliver = 7 * 24 * time.Hour // never, in effect: what is unacknowledged is only not committed yet
	closeTimeout    = 5 * time.Second
	removeTimeout   = time.Second // of a consumer that another replaces; abandoned, it goes after readerIdle
)

// reader reads through a durable consumer of its own, so that operators see how far a destination is. The consumer only
// transports and displays: where to go on is known here, and any trouble ends in a new consumer behind the last frame.
//
// A pull asks for half of what the caller allows. While the caller works on one half, the next is on its way into this
// process, so that together they keep to the bound.
type reader struct {
	l        *rowLog
	name     string // of the consumer
	label    string // what its name begins with
	made     int    // consumers so far
	describe string
	only     []string // the connections that it reads; nil is everything
	next     uint64   // sequence of the next frame to hand out; of a reader of some connections: it is there or later
	vanished uint64   // the next frame, when it was looked for and not found

	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	consumer jetstream.Consumer // nil: to be made
	session  context.Context    // in which it was made
	pull     jetstream.MessageBatch
	drop     context.CancelFunc // ends pull
	pulled   int                // messages that came of it
	large    bool               // the next frame alone is more than a pull allows
	reply    string             // of the newest message, the pattern of an acknowledgement

	// Of a reader of some connections.
	delivered uint64   // the consumer's own number of the newest message
	given     []uint64 // positions of those before it that were not acknowledged
	holed     bool     // the log had holes when it was last looked at
}

// Reader begins at from. That a frame is missing from there on is found now or when it would be its turn.
func (l *rowLog) Reader(ctx context.Context, name string, from uint64, only []string) (pipeline.FrameReader, error) {
	r := &reader{l: l, label: pipeline.Token(name), next: max(from, 1), only: only,
		describe: "fanmill: " + name + " reads run " + l.run + "; its acknowledgements show what is committed"}
	r.ctx, r.stop = context.WithCancel(l.c.root)
	if err := r.attach(ctx); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// attach makes a consumer, at the next frame. Each has a name of its own: the one before may be on a node that is
// gone, and is then not removed before that comes back.
func (r *reader) attach(ctx context.Context) error {
	r.abandon()
	s, info, err := r.l.info(ctx, "read")
	if err != nil {
		return err
	}
	if st := r.l.stateOf(info); r.next < st.First || r.next > st.Last+1 {
		return fmt.Errorf("read row log %s from %d, which has %d to %d: %w", r.l.id.Stream, r.next, st.First, st.Last, pipeline.ErrGap)
	}
	if r.made++; r.made > 1 {
		_ = r.remove(ctx, removeTimeout)
		r.name = r.label + "-" + strconv.Itoa(r.made)
	} else {
		r.name = r.label
	}
	var consumer jetstream.Consumer
	var session context.Context
	err = r.l.c.call(ctx, "make reader "+r.name, func(ctx context.Context) error {
		var err error
		if session, err = r.l.c.link.wait(ctx); err != nil {
			return err
		}
		if err := s.DeleteConsumer(ctx, r.name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		consumer, err = s.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Durable:           r.name,
			Description:       r.describe,
			DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:       r.next,
			FilterSubjects:    r.subjects(),
			AckPolicy:         jetstream.AckAllPolicy,
			AckWait:           readerRedeliver,
			MaxDeliver:        -1,
			MaxAckPending:     -1,
			InactiveThreshold: readerIdle,
			MemoryStorage:     true, // a lost position costs nothing, a stored one two writes a batch
			// Also of a stream with several: a replicated consumer holds messages back until its others know of them,
			// tells the end of a pull at once, and so loses what nobody waits for any more.
			Replicas: 1,
		})
		return err
	})
	if err != nil {
		return err
	}
	r.consumer, r.session, r.reply = consumer, session, ""
	r.delivered, r.given = 0, nil
	return nil
}

// abandon gives up the pull that is under way and the consumer with it.
func (r *reader) abandon() {
	if r.pull != nil {
		r.drop()
		for range r.pull.Messages() {
		}
		r.pull = nil
	}
	r.consumer = nil
}

// ask sends the next pull.
func (r *reader) ask(maxBytes int) error {
	ctx, cancel := context.WithCancel(r.ctx)
	stop := context.AfterFunc(r.session, cancel)
	r.drop = func() { stop(); cancel() }
	n, opts := fetchMessages, []jetstream.FetchOpt{jetstream.FetchContext(ctx), jetstream.FetchHeartbeat(fetchHeartbeat)}
	if r.large {
		n = 1
	} else {
		opts = append(opts, jetstream.FetchMaxBytes(max(maxBytes/2, 1)))
	}
	pull, err := r.consumer.Fetch(n, opts...)
	if err != nil {
		r.drop()
		return err
	}
	r.pull, r.pulled = pull, 0
	return nil
}

// Fetch hands out what has come. On any trouble with the transport it begins anew behind the last frame; only a gap, a
// lost log and ctx end it.
func (r *reader) Fetch(ctx context.Context, maxBytes int) ([]*pipeline.Frame, error) {
	failures := 0
	for {
		frames, err := r.fetch(ctx, maxBytes)
		switch {
		case err == nil && len(frames) > 0:
			return frames, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("read row log %s: %w", r.l.id.Stream, ctx.Err())
		case r.ctx.Err() != nil:
			return nil, fmt.Errorf("read row log %s: the reader is closed: %w", r.l.id.Stream, r.ctx.Err())
		case errors.Is(err, errMissed):
			if err := r.missed(ctx, err); err != nil {
				return nil, err
			}
		case errors.Is(err, pipeline.ErrGap), errors.Is(err, pipeline.ErrNoLog), errors.Is(err, pipeline.ErrPermanent):
			return nil, err
		case err == nil:
			failures = 0
			continue
		}
		if failures++; failures > 10 { // each has had its own patience
			return nil, err
		}
		r.l.c.log.Debug("reader begins anew", "reader", r.name, "next", r.next, "error", err)
		r.abandon()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(failures-1) * 50 * time.Millisecond):
		}
	}
}

func (r *reader) fetch(ctx context.Context, maxBytes int) ([]*pipeline.Frame, error) {
	if r.consumer == nil {
		if err := r.attach(ctx); err != nil {
			return nil, err
		}
	}
	if r.pull == nil {
		if err := r.ask(maxBytes); err != nil {
			return nil, err
		}
	}
	var frames []*pipeline.Frame
	look := quietLook
	if r.only != nil {
		look = someLook
	}
	quiet := time.NewTimer(look)
	defer quiet.Stop()
	select {
	case m, ok := <-r.pull.Messages():
		if !ok {
			return nil, r.ended()
		}
		if err := r.take(&frames, m); err != nil {
			return nil, err
		}
	case <-quiet.C:
		if r.only == nil {
			return nil, r.removed(ctx)
		}
		f, err := r.passed(ctx)
		if err != nil {
			return nil, err
		}
		return []*pipeline.Frame{f}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		select {
		case m, ok := <-r.pull.Messages():
			if ok {
				if err := r.take(&frames, m); err != nil {
					if len(frames) > 0 {
						r.abandon() // what came before the trouble is good; the trouble comes again
						return frames, nil
					}
					return nil, err
				}
				continue
			}
			if err := r.ended(); err != nil || r.ask(maxBytes) != nil {
				r.abandon()
			}
		default:
		}
		return frames, nil
	}
}

// errMissed is a frame that came before its turn. Messages on their way are lost when a node of a cluster is, or a
// connection between two.
var errMissed = errors.New("frames were missed")

// missed reports ErrGap if the next frame is not in the log. If it is, only its delivery failed, and the caller
// begins anew.
func (r *reader) missed(ctx context.Context, err error) error {
	if r.only != nil { // where its next frame is, nobody can say
		return nil
	}
	s, _, lookErr := r.l.info(ctx, "read")
	if lookErr == nil {
		lookErr = r.l.c.call(ctx, "look for frame "+strconv.FormatUint(r.next, 10)+" of "+r.l.id.Stream, func(ctx context.Context) error {
			_, err := s.GetMsg(ctx, r.next)
			return err
		})
	}
	if errors.Is(lookErr, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: %w", err, pipeline.ErrGap)
	}
	return lookErr
}

// quietLook is how long nothing comes before the reader looks whether anything can.
var quietLook = 3 * time.Second

// removed reports ErrGap if the next frame has been in the log and is not any more, seen twice: another program has
// purged the log or deleted from it, and nothing would ever come to show that. A frame that is there is on its way.
func (r *reader) removed(ctx context.Context) error {
	s, info, err := r.l.info(ctx, "read")
	if err != nil || r.next > r.l.stateOf(info).Last {
		r.vanished = 0
		return err
	}
	if _, err = s.GetMsg(ctx, r.next); !errors.Is(err, jetstream.ErrMsgNotFound) {
		r.vanished = 0
		return nil // also if it could not be looked for: the transport finds that out
	}
	if r.vanished == r.next {
		return fmt.Errorf("read row log %s: frame %d is gone: %w", r.l.id.Stream, r.next, pipeline.ErrGap)
	}
	r.vanished = r.next
	return nil
}

// ended looks at why the pull is over.
func (r *reader) ended() error {
	r.drop()
	err := r.pull.Error()
	// A pull that ends without a message was too small for the next one, or nothing came for its whole time. Either way
	// the next may bring one message of any size.
	r.large = err == nil && r.pulled == 0
	r.pull = nil
	return err
}

func (r *reader) take(frames *[]*pipeline.Frame, m jetstream.Msg) error {
	seq, delivered, ok := ackPosition(m.Reply())
	if !ok {
		return fmt.Errorf("read row log %s: a message without a position: %q", r.l.id.Stream, m.Reply())
	}
	r.pulled++
	if r.only != nil {
		if err := r.inOrder(seq, delivered); err != nil {
			return err
		}
		r.reply = m.Reply()
		if seq >= r.next {
			r.next = seq + 1
			*frames = append(*frames, r.l.frame(seq, m.Subject(), m.Headers(), m.Data()))
		}
		return nil
	}
	r.reply = m.Reply()
	switch {
	case seq < r.next:
		return nil // delivered again
	case seq > r.next:
		return fmt.Errorf("read row log %s: %d follows %d: %w", r.l.id.Stream, seq, r.next-1, errMissed)
	}
	r.next++
	*frames = append(*frames, r.l.frame(seq, m.Subject(), m.Headers(), m.Data()))
	return nil
}

// Acked tells the server, for display, that everything up to seq is committed.
func (r *reader) Acked(seq uint64) {
	if r.consumer == nil || r.reply == "" {
		return
	}
	reply, ok := "", false
	if r.only == nil {
		reply, ok = ackReply(r.reply, seq)
	} else if own, delivered := r.acked(seq); delivered > 0 {
		reply, ok = ackAt(r.reply, own, delivered)
	}
	if ok {
		_ = r.l.c.nc.Publish(reply, []byte("+ACK"))
	}
}

// Close removes the consumer.
func (r *reader) Close() error {
	r.stop()
	had := r.consumer != nil
	r.abandon()
	if !had || r.l.c.root.Err() != nil {
		return nil
	}
	return r.remove(context.Background(), closeTimeout)
}

// remove removes the consumer, if the server can in time.
func (r *reader) remove(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return r.l.c.call(ctx, "remove reader "+r.name, func(ctx context.Context) error {
		err := r.l.c.js.DeleteConsumer(ctx, r.l.id.Stream, r.name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
}

// A delivered message's reply subject says where it stands [ADR-15]: $JS.ACK.<stream>.<consumer>.<delivered>.<stream
// seq>.<consumer seq>.<time>.<pending>, in newer servers with domain and account hash before the stream and a random
// token at the end.
func ackTokens(reply string) (tokens []string, at int) {
	tokens = strings.Split(reply, ".")
	switch {
	case len(tokens) < 9 || tokens[0] != "$JS" || tokens[1] != "ACK":
		return nil, 0
	case len(tokens) == 9:
		return tokens, 5
	case len(tokens) >= 11:
		return tokens, 7
	}
	return nil, 0
}

func ackPosition(reply string) (seq, delivered uint64, ok bool) {
	tokens, at := ackTokens(reply)
	if tokens == nil {
		return 0, 0, false
	}
	seq, err1 := strconv.ParseUint(tokens[at], 10, 64)
	delivered, err2 := strconv.ParseUint(tokens[at+1], 10, 64)
	return seq, delivered, err1 == nil && err2 == nil
}

// ackReply makes the reply subject of the frame seq out of a later one's: both sequences count without gaps.
func ackReply(reply string, seq uint64) (string, bool) {
	last, delivered, ok := ackPosition(reply)
	if !ok || seq > last || last-seq >= delivered {
		return "", false
	}
	return ackAt(reply, seq, delivered-(last-seq))
}

// ackAt is the reply subject with another frame, and its number in the consumer's own sequence, in it.
func ackAt(reply string, seq, delivered uint64) (string, bool) {
	tokens, at := ackTokens(reply)
	if tokens == nil {
		return "", false
	}
	tokens[at] = strconv.FormatUint(seq, 10)
	tokens[at+1] = strconv.FormatUint(delivered, 10)
	return strings.Join(tokens, "."), true
}
