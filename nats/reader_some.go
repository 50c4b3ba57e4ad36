package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"fanmill/pipeline"
)

// A reader of some connections has the server filter by their subjects: one that reads a share of the log costs that
// share. What it is not shown leaves gaps in the positions. That nothing of its own was lost on the way, the consumer's
// own sequence tells, which has none.

// someLook is how long nothing comes to such a reader before it says so, and looks whether the log waits for it.
const someLook = 500 * time.Millisecond

// looksAtOnce is how many connections are looked for at a time.
const looksAtOnce = 16

// subjects are those of the connections that the reader reads; nil is all.
func (r *reader) subjects() (all []string) {
	for _, id := range r.only {
		all = append(all, pipeline.TopicRows(r.l.run, id))
	}
	return all
}

// inOrder notes the place of a message in the consumer's own sequence. It reports errMissed if one before it never
// came.
func (r *reader) inOrder(seq, delivered uint64) error {
	if delivered != r.delivered+1 {
		return fmt.Errorf("read row log %s: message %d of the reader follows %d: %w", r.l.id.Stream, delivered, r.delivered, errMissed)
	}
	r.delivered, r.given = delivered, append(r.given, seq)
	return nil
}

// passed is a frame FramePassed: at the end of the log if that waits for this reader, and there is nothing in it for
// that; else where the reader is. Whoever keeps the log is asked for each connection, as a consumer may be on another
// node, which lags; and twice for itself, as it may have changed in between.
func (r *reader) passed(ctx context.Context) (*pipeline.Frame, error) {
	s, info, err := r.l.info(ctx, "read")
	if err != nil {
		return nil, err
	}
	st := r.l.stateOf(info)
	if st.Holes > 0 { // one of them may be what this reader waits for, and nothing would ever come to show that
		if r.holed {
			return nil, fmt.Errorf("read row log %s: %d frames of it are gone: %w", r.l.id.Stream, st.Holes, pipeline.ErrGap)
		}
		r.holed = true
		return r.stands(), nil
	}
	if r.holed = false; !st.Waits(r.next - 1) {
		return r.stands(), nil
	}
	found := errors.New("found")
	g, looking := errgroup.WithContext(ctx)
	g.SetLimit(looksAtOnce)
	for _, subject := range r.subjects() {
		g.Go(func() error {
			if looking.Err() != nil {
				return looking.Err()
			}
			_, err := s.GetMsg(looking, r.next, jetstream.WithGetMsgSubject(subject))
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound):
				return nil
			case err == nil:
				return found
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return r.stands(), nil // on its way; or it could not be looked for, which the transport finds out
	}
	_, again, err := r.l.info(ctx, "read")
	if err != nil {
		return nil, err
	}
	if leaderOf(again) == leaderOf(info) {
		r.next = st.Last + 1
	}
	return r.stands(), nil
}

// stands says how far the reader is.
func (r *reader) stands() *pipeline.Frame {
	return &pipeline.Frame{Kind: pipeline.FramePassed, Seq: r.next - 1}
}

// leaderOf is the node that answers for a stream; "" of one that has no others.
func leaderOf(info *jetstream.StreamInfo) string {
	if info.Cluster == nil {
		return ""
	}
	return info.Cluster.Leader
}

// acked is what of the frames that were handed out is the last up to a position, and its number in the consumer's own
// sequence; 0 if there is none. Frames up to there are forgotten.
func (r *reader) acked(upTo uint64) (seq, delivered uint64) {
	n := 0
	for n < len(r.given) && r.given[n] <= upTo {
		n++
	}
	if n == 0 {
		return 0, 0
	}
	seq, delivered = r.given[n-1], r.delivered-uint64(len(r.given)-n)
	r.given = r.given[n:]
	return seq, delivered
}
