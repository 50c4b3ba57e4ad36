package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

const (
	publishTimeout  = 5 * time.Second  // for one answer
	publishPatience = 10 * time.Minute // with a server that fails or does not answer, before the attempt is given up: the run ends before that
)

// rowLog is one stream. It holds no state of the stream: every question goes to the server.
type rowLog struct {
	c        *Conn
	run      string
	id       pipeline.LogID
	maxBytes int64 // of the stream; -1 is no limit
	maxBody  int
	room     *room
}

var _ pipeline.RowLog = (*rowLog)(nil)

// MaxBody leaves room for the headers, and for a second frame in the log: one that fills it alone would stop
// everything.
func (l *rowLog) MaxBody() int { return l.maxBody }

// Append implements pipeline.RowLog. It waits while the log is full, for as long as ctx allows; a server that fails it
// gives publishPatience.
func (l *rowLog) Append(ctx context.Context, f *pipeline.Frame) (uint64, error) {
	what := fmt.Sprintf("publish frame %d of %s", f.Number, f.Connection)
	m := l.message(f)
	if size := storedSize(m); l.maxBytes > 0 && size > l.maxBytes {
		return 0, pipeline.Permanent(fmt.Errorf("%s: its %d bytes never fit the row log of %d bytes: raise it with --log-max-mb", what, size, l.maxBytes))
	}
	if most := l.c.nc.MaxPayload(); int64(len(f.Body)) > most-headerRoom/2 {
		return 0, pipeline.Permanent(fmt.Errorf("%s: its %d bytes are more than a message may have: raise max_payload (%d bytes) of the NATS server", what, len(f.Body), most))
	}
	return l.put(ctx, what, m, func(ctx context.Context) (uint64, error) { return l.refused(ctx, f) })
}

// put stores a message, which may take several tries. refused decides on one that the server refused for its fence.
func (l *rowLog) put(ctx context.Context, what string, m *nats.Msg, refused func(context.Context) (seq uint64, err error)) (uint64, error) {
	size := storedSize(m)
	var failing time.Time // since when the server has failed; zero after it last worked
	pause := 20 * time.Millisecond
	for {
		woken := l.room.woken()
		tried := time.Now()
		seq, err := l.store(ctx, m)
		if err == nil {
			l.c.noted(l.id.Stream, tried, nil)
			return seq, nil
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("%s: %w", what, ctx.Err())
		}
		if outOfOrder(err) {
			if refused != nil {
				seq, rerr := refused(ctx)
				if rerr != nil {
					return 0, fmt.Errorf("%s: %w", what, rerr)
				}
				if seq > 0 {
					return seq, nil
				}
			}
			err = pipeline.Transient(err) // an earlier try is under way
		}
		full := false
		if apiCode(err) == codeStoreFailed { // full, or a disk that fails: the state tells
			if st, serr := l.State(ctx); serr == nil {
				full = st.MaxBytes > 0 && st.Bytes+size > st.MaxBytes
			} else if errors.Is(serr, pipeline.ErrNoLog) {
				return 0, fmt.Errorf("%s: %w", what, serr)
			}
		}
		switch {
		case full:
			failing = time.Time{}
			if err := l.room.wait(ctx, woken, func(ctx context.Context) (bool, error) {
				st, err := l.State(ctx)
				if err != nil && (ctx.Err() != nil || errors.Is(err, pipeline.ErrNoLog)) {
					return false, err
				}
				return err == nil && st.Bytes+size <= st.MaxBytes, nil
			}); err != nil {
				return 0, fmt.Errorf("%s: waiting for space in the row log: %w", what, err)
			}
			continue
		case apiCode(err) == codeWrongStream, apiCode(err) == jetstream.JSErrCodeStreamNotFound:
			return 0, fmt.Errorf("%s: %w: %w", what, pipeline.ErrNoLog, err)
		case l.c.nc.IsClosed():
			return 0, fmt.Errorf("%s: %w", what, err)
		}
		inOrder := !outOfOrder(err)
		if err = classify(ctx, what, err); inOrder {
			l.c.noted(l.id.Stream, tried, err)
		}
		if pipeline.IsPermanent(err) {
			return 0, err
		} else if failing.IsZero() {
			failing, pause = time.Now(), 20*time.Millisecond
		} else if time.Since(failing) > publishPatience {
			return 0, err
		}
		if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
			if _, serr := l.State(ctx); errors.Is(serr, pipeline.ErrNoLog) {
				return 0, fmt.Errorf("%s: %w", what, serr)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// store is one try. An answer that says "duplicate" is a success: the frame is there, from a try whose answer was lost.
func (l *rowLog) store(ctx context.Context, m *nats.Msg) (seq uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ctx, done := l.c.refused.during(ctx, func(subject string) bool { return subject == m.Subject })
	defer done()
	_, err = l.c.within(ctx, func(ctx context.Context) error {
		ack, err := l.c.js.PublishMsg(ctx, m)
		if err == nil {
			seq = ack.Sequence
		}
		return err
	})
	if refused := refusedIn(ctx); err != nil && refused != nil {
		return 0, refused
	}
	return seq, err
}

// info asks for the stream, and is ErrNoLog if it is gone or another one of the same name.
func (l *rowLog) info(ctx context.Context, what string) (s jetstream.Stream, info *jetstream.StreamInfo, err error) {
	what += " of row log " + l.id.Stream
	gone := false
	err = l.c.call(ctx, what, func(ctx context.Context) error {
		s, err = l.c.js.Stream(ctx, l.id.Stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			gone = true
			return nil
		}
		if err == nil {
			info = s.CachedInfo()
			gone = !info.Created.Equal(l.id.Created)
		}
		return err
	})
	if err == nil && gone {
		err = fmt.Errorf("%s: %w", what, pipeline.ErrNoLog)
	}
	return s, info, err
}

// State is where the log stands.
func (l *rowLog) State(ctx context.Context) (pipeline.LogState, error) {
	_, info, err := l.info(ctx, "state")
	if err != nil {
		return pipeline.LogState{ID: l.id}, err
	}
	return l.stateOf(info), nil
}

func (l *rowLog) stateOf(info *jetstream.StreamInfo) pipeline.LogState {
	st := pipeline.LogState{ID: l.id, First: info.State.FirstSeq, Last: info.State.LastSeq,
		Holes: info.State.NumDeleted, Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes}
	if info.State.Msgs == 0 {
		st.First = st.Last + 1
	}
	return st
}

// Trim drops frames up to seq, or all there are if that is less: a purge past the end would also delete frames that
// are yet to come.
func (l *rowLog) Trim(ctx context.Context, seq uint64) error {
	s, info, err := l.info(ctx, "trim")
	if err != nil {
		return err
	}
	st := l.stateOf(info)
	seq = min(seq, st.Last)
	if seq < st.First || seq == 0 {
		return nil
	}
	if err := l.c.call(ctx, "trim row log "+l.id.Stream, func(ctx context.Context) error {
		err := s.Purge(ctx, jetstream.WithPurgeSequence(seq+1))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return pipeline.Permanent(fmt.Errorf("%w: %w", pipeline.ErrNoLog, err))
		}
		return err
	}); err != nil {
		return err
	}
	l.room.freed()
	return nil
}

// each shows all frames on a subject, without their bodies.
func (l *rowLog) each(ctx context.Context, s jetstream.Stream, subject string, show func(*pipeline.Frame)) error {
	return l.c.call(ctx, "look through "+subject, func(ctx context.Context) error {
		consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{FilterSubject: subject, HeadersOnly: true, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
			Replicas: 1, InactiveThreshold: time.Minute})
		if err != nil {
			return err
		}
		defer func() { _ = s.DeleteConsumer(ctx, consumer.CachedInfo().Name) }() // else it goes by itself
		for left := consumer.CachedInfo().NumPending; left > 0; {
			pull, err := consumer.Fetch(int(min(left, fetchMessages)), jetstream.FetchContext(ctx))
			if err != nil {
				return err
			}
			got := uint64(0)
			for m := range pull.Messages() {
				got++
				if seq, _, ok := ackPosition(m.Reply()); ok {
					if f := l.frame(seq, m.Subject(), m.Headers(), nil); f.Kind != pipeline.FrameForeign {
						show(f)
					}
				}
			}
			if err := pull.Error(); err != nil {
				return err
			}
			left -= min(got, left)
		}
		return nil
	})
}
