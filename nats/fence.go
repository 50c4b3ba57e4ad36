package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// The fence of the row log. Who begins an attempt at a connection fences those before it: a message on a subject of
// that attempt. Each frame says that it is to be stored only while there is none on its own attempt's. So an attempt
// that was replaced, in whichever process it sleeps, stores nothing more once its fence is there.
//
// That subject is empty for as long as the attempt is the newest, and the server finds that out in its index. Had a
// frame to name its predecessor instead, the server would load that for every comparison: it copies it, and keeps the
// block of the log that has it in memory for ten seconds, 8 MB each.
//
// What nats-server does [2.15.2, stream.go processJetStreamMsg, jetstream_batching.go
// checkMsgHeadersPreClusteredProposal; the header with a subject is of 2.11]:
//   - A subject without messages has the sequence 0, whether it never had any or all were purged.
//   - One server compares the sequence before it looks at Nats-Msg-Id: a frame whose answer was lost is refused when it
//     is sent again and its attempt was fenced meanwhile (10071).
//   - A cluster looks at Nats-Msg-Id first: the same frame is answered as a duplicate, with its sequence; as long as it
//     is being replicated, with 10158.
//   - A cluster refuses a frame while its fence, or another frame of the attempt, is being replicated (10164).
//   - All of this comes before the limits of the stream: a frame without room (10077) is of an attempt without fence.

// codeDuplicateUnderWay is of a message whose first try is being replicated [nats-server errors.json].
const codeDuplicateUnderWay jetstream.ErrorCode = 10158

// unfenced has the server store a frame only while its attempt is not fenced.
func unfenced(h nats.Header, run, connection, attempt string) {
	h[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	h[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{pipeline.TopicFence(run, connection, attempt)}
}

// outOfOrder reports whether the server refused a frame for its fence, or for what is being replicated.
func outOfOrder(err error) bool {
	code := apiCode(err)
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == codeWrongSeqConstant || code == codeDuplicateUnderWay
}

// Fence implements pipeline.RowLog.
func (l *rowLog) Fence(ctx context.Context, connection string, below int) error {
	if below <= 1 {
		return nil
	}
	fenced, err := l.fenced(ctx, connection)
	if err != nil {
		return err
	}
	for attempt := 1; attempt < below; attempt++ {
		if fenced[attempt] {
			continue
		}
		what := fmt.Sprintf("fence attempt %d at %s", attempt, connection)
		if _, err := l.put(ctx, what, l.fence(connection, attempt), nil); err != nil {
			return err
		}
	}
	return nil
}

// fence is the message that ends an attempt.
func (l *rowLog) fence(connection string, attempt int) *nats.Msg {
	n := strconv.Itoa(attempt)
	subject := pipeline.TopicFence(l.run, connection, n)
	return &nats.Msg{Subject: subject, Header: nats.Header{
		headKind:                       {string(pipeline.FrameFence)},
		headAttempt:                    {n},
		headConnection:                 {connection},
		jetstream.MsgIDHeader:          {subject[len(rowsPrefix):]},
		jetstream.ExpectedStreamHeader: {l.id.Stream},
	}}
}

// fenced are the attempts at a connection whose fences are in the log.
func (l *rowLog) fenced(ctx context.Context, connection string) (map[int]bool, error) {
	s, _, err := l.info(ctx, "fences")
	if err != nil {
		return nil, err
	}
	prefix := pipeline.TopicFence(l.run, connection, "")
	out := map[int]bool{}
	err = l.c.call(ctx, "look for the fences of "+connection, func(ctx context.Context) error {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(prefix+"*"))
		if err != nil {
			return err
		}
		for subject := range info.State.Subjects {
			if n, err := strconv.Atoi(subject[len(prefix):]); err == nil {
				out[n] = true
			}
		}
		return nil
	})
	return out, err
}

// refused decides on a frame that was refused for its fence. seq > 0: it is in the log, from a try whose answer was
// lost. 0: the server is still busy with an earlier try. The error is ErrOvertaken, or the store's.
func (l *rowLog) refused(ctx context.Context, f *pipeline.Frame) (seq uint64, err error) {
	last, err := l.LastFrame(ctx, f.Connection, f.Attempt)
	if err != nil {
		return 0, err
	}
	if last != nil && last.Attempt == f.Attempt && last.Number == f.Number {
		return last.Seq, nil
	}
	fenced, err := l.fenced(ctx, f.Connection)
	if err != nil || !fenced[f.Attempt] {
		return 0, err
	}
	return 0, fmt.Errorf("attempt %d at %s was replaced: %w", f.Attempt, f.Connection, pipeline.ErrOvertaken)
}

// readFence reads the headers of a fence, and reports whether they are what fence writes.
func (l *rowLog) readFence(f *pipeline.Frame, subject string, h nats.Header) (ok bool) {
	var err error
	f.Connection = first(h, headConnection)
	f.Attempt, err = strconv.Atoi(first(h, headAttempt))
	return err == nil && f.Attempt > 0 && first(h, jetstream.ExpectedStreamHeader) == l.id.Stream &&
		subject == pipeline.TopicFence(l.run, f.Connection, strconv.Itoa(f.Attempt))
}

// LastFrame implements pipeline.RowLog. What stands last on the connection's subject is of its highest attempt unless a
// lower one woke when its fence was trimmed, or another program has put it there: then all frames of the connection are
// looked at.
func (l *rowLog) LastFrame(ctx context.Context, connection string, attempt int) (*pipeline.Frame, error) {
	s, _, err := l.info(ctx, "last frame")
	if err != nil {
		return nil, err
	}
	subject := pipeline.TopicRows(l.run, connection)
	var f *pipeline.Frame
	err = l.c.call(ctx, "last frame of "+connection, func(ctx context.Context) error {
		f = nil
		m, err := s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			f = l.frame(m.Sequence, m.Subject, m.Header, nil)
		}
		return err
	})
	if err != nil || f == nil || f.Kind != pipeline.FrameForeign && f.Attempt >= attempt {
		return f, err
	}
	f = nil
	err = l.each(ctx, s, subject, func(g *pipeline.Frame) {
		if f == nil || g.Attempt >= f.Attempt {
			f = g
		}
	})
	return f, err
}
