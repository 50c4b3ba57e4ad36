package nats

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// The fence of the row log. Each frame names its predecessor: the server stores it only while that is the newest
// message of the connection's subject. So a connection's frames are a chain, and of two publishers one is refused.
//
// What nats-server does [2.15.2, stream.go processJetStreamMsg, jetstream_batching.go
// checkMsgHeadersPreClusteredProposal]:
//   - A subject without messages has the sequence 0, whether it never had any or all were purged. Any other expectation
//     is refused then (10071), also that of the sequence that was purged.
//   - One server compares the sequence before it looks at Nats-Msg-Id: a frame whose answer was lost is refused when it
//     is sent again (10071).
//   - A cluster looks at Nats-Msg-Id first: the same frame is answered as a duplicate, with its sequence; as long as it
//     is being replicated, with 10158.
//   - A cluster refuses whatever has the subject of a message that is being replicated (10164).
//   - All of this comes before the limits of the stream: a frame without room (10077) has had the right predecessor.

// codeDuplicateUnderWay is of a message whose first try is being replicated [nats-server errors.json].
const codeDuplicateUnderWay jetstream.ErrorCode = 10158

// expect makes a message one that is stored behind the message after of its subject only.
func expect(m *nats.Msg, after uint64) {
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(after, 10)}
}

// outOfOrder reports whether the server refused a frame for its predecessor.
func outOfOrder(err error) bool {
	code := apiCode(err)
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == codeWrongSeqConstant || code == codeDuplicateUnderWay
}

// order decides on a frame that was refused for its predecessor. seq > 0: it is in the log, from a try whose answer was
// lost. behind > 0: after is still the connection's newest frame, and the message behind stands after it, which is of
// another program. Neither: the server is still busy with an earlier try. The error is ErrOvertaken, or the store's.
func (l *rowLog) order(ctx context.Context, f *pipeline.Frame, after uint64) (seq, behind uint64, err error) {
	last, newest, err := l.newest(ctx, f.Connection)
	switch {
	case err != nil:
		return 0, 0, err
	case last == nil && after == 0, last != nil && last.Seq == after:
		if newest != after {
			behind = newest
		}
		return 0, behind, nil
	case last == nil:
		return 0, 0, fmt.Errorf("the frame before it was trimmed: %w", pipeline.ErrOvertaken)
	case last.Attempt == f.Attempt && last.Number == f.Number:
		return last.Seq, 0, nil
	}
	return 0, 0, fmt.Errorf("frame %d of attempt %d (%s) stands where frame %d of attempt %d was to follow: %w",
		last.Number, last.Attempt, last.Kind, f.Number, f.Attempt, pipeline.ErrOvertaken)
}
