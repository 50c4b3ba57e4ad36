package pipeline

import (
	"context"
	"encoding/json"
	"log/slog"

	"fanmill/pipeline/columnar"
)

// SinkType is one kind of destination. It holds no state; each sink file registers one.
type SinkType interface {
	// Keys are the options it knows, beside id, type, filePath and mode.
	Keys() []string
	// Check reads the destination's options and reports every problem it can see without touching anything.
	Check(d *Destination) error
	// New makes the sink of one destination of a run. It touches nothing yet: Claim does.
	New(spec SinkSpec) (Sink, error)
}

// Headed is a SinkType whose artifacts have headers. In one a name may stand that a reader takes for another, see
// Twins.
type Headed interface {
	// OptionTwins reports those that the options make by themselves, as Check reports problems.
	OptionTwins(d *Destination) error
	// HeaderTwins are those of an artifact, or a connection's share of one, with these columns by query.
	HeaderTwins(d *ManifestDestination, queries []OpeningQuery) []string
}

// SinkSpec is what a sink is made from.
type SinkSpec struct {
	Manifest    *Manifest
	Destination *ManifestDestination
	StoreID     string // names the store whose commit records fence this sink's rivals
	Log         *slog.Logger
}

// Sink writes one artifact. It is called by one goroutine, the destination's loop, which alone knows the row log, the commit
// record and retries; only Part.Encode runs on others. After any error but a *RejectError the loop closes the sink, and
// what happens next starts from the commit record: a sink never needs to undo.
type Sink interface {
	// Claim is called first, after the claim's compare-and-set: token now owns the record. Files under an earlier token are
	// copied to new inodes under this one and verified against state, what the last record said, nil for none;
	// rivals still running can no longer publish when it returns. It returns the state to record. Nothing of the
	// predecessor's is removed: Adopted does that, once the new state is recorded.
	Claim(ctx context.Context, token string, state json.RawMessage, parts []PartState) (json.RawMessage, error)
	// Adopted follows the record of what Claim returned: the artifact is published from the new files, orphans go.
	Adopted(ctx context.Context) error
	// Open starts the part of an attempt. A *RejectError turns the connection away alone.
	Open(p PartID, o *Opening) (Part, error)
	// Reopen continues a part at what its state says is durable, dropping what was written after it.
	Reopen(s PartState) (Part, error)
	// Splice appends finished parts to the artifact's private file and returns its new state. It is durable, but not public,
	// when Splice returns. The parts are kept until the next Splice: the record references them.
	Splice(ctx context.Context, parts []Part) (json.RawMessage, error)
	// Publish makes the state of the last record what readers see, atomically, and writes the report beside it; calling it
	// again changes nothing. It is called only after the record was written. Trouble that only delays (a file that a user
	// holds open) is logged, not returned.
	Publish(ctx context.Context, r *Report) error
	// Finish makes the final artifact in a private file and returns its state. It is durable, but not public.
	Finish(ctx context.Context, r *Report) (json.RawMessage, error)
	// PublishFinal makes that file public; calling it again changes nothing. Unlike Publish it insists.
	PublishFinal(ctx context.Context, r *Report) error
	// Clean removes everything private, once the record says finished; keepPrevious leaves the file that a first commit
	// replaced where it was kept.
	Clean(ctx context.Context, keepPrevious bool) error
	// Close gives up locks and file handles. It removes nothing.
	Close() error
}

// PartID names an attempt's share of an artifact.
type PartID struct {
	Connection int // index in the manifest
	Attempt    int
}

// Part is one attempt's rows on their way into the artifact, invisible until spliced.
type Part interface {
	// Encode turns a batch into the bytes of this format; firstRow is the number of rows of this query before it. It depends
	// on nothing but its arguments and the opening, so any number may run at once.
	Encode(query int, firstRow int64, b *columnar.Batch) (Chunk, error)
	// Append writes encoded chunks, in order.
	Append(query int, c Chunk) error
	// Sync makes everything appended durable and describes it for PartState.State.
	Sync() (json.RawMessage, error)
	// Finish appends what follows the last row. Only Sync and Sink.Splice come after it. A *RejectError turns the connection
	// away alone.
	Finish() error
	// Discard closes the part and removes its files. A part that was spliced is discarded by its sink.
	Discard() error
}

// Chunk is an encoded batch; only the part that made it knows what is inside.
type Chunk any

// PartState is a part as a commit record describes it: bytes written and fsynced, never messages received.
type PartState struct {
	PartID
	Frame uint64          `json:"frame"` // the last frame whose rows are in it
	Chain Chain           `json:"chain,string"`
	Rows  []int64         `json:"rows"` // per query
	State json.RawMessage `json:"state"`
	Open  Opening         `json:"open"`
}

// RejectError turns one connection away from one destination for good: its columns do not fit, say.
type RejectError struct{ Reason string }

func (e *RejectError) Error() string { return e.Reason }
