package pipeline

import (
	"context"
	"encoding/json"
	"log/slog"

	"fanmill/pipeline/columnar"
)

// SinkSpec is what a sink is made from.
type SinkSpec struct {
	Manifest    *Manifest
	Destination *ManifestDestination
	StoreID     string // names the store whose commit records fence this sink's rivals
	Log         *slog.Logger
}

// Sink writes one destination of one run. It is called by one goroutine, the destination's loop, which alone knows
// the row log, the commit record and retries; only Part.Encode runs on others. After any error but a *RejectError the
// loop closes the sink, and what happens next starts from the commit record: a sink never needs to undo. Every call
// ends soon after its context does.
type Sink interface {
	// Recover is called first, after the claim's compare-and-set: token now owns the record. Files under an earlier
	// token are copied to new inodes under this one and verified against state, what the last record said, nil for
	// none; rivals still running can no longer publish when it returns. It returns the state to record. Nothing of
	// the predecessor's is removed: the first Release does that, once the new state is recorded.
	Recover(ctx context.Context, token string, state State, parts []PartState) (State, error)
	// Open begins the part of an attempt, or continues one at what from says is durable, dropping what was written
	// after it. A *RejectError turns the connection away alone.
	Open(ctx context.Context, id PartID, o *Opening, from *PartState) (Part, error)
	// Stage assembles finished parts into what the next Release makes public, and returns the new state. It is
	// durable, and seen by nobody, when Stage returns. final asks for the artifact's last form, with the report in it
	// that the format has room for; no more parts follow. The parts are kept until the next Stage: the record
	// references them.
	Stage(ctx context.Context, parts []Part, final *Report) (State, error)
	// Release makes the state of the last record what readers see, atomically, and writes the report beside it;
	// calling it again changes nothing. It is called only after the record was written. r is nil in the call that
	// follows Recover: then what is committed becomes public from the new files, and orphans go. Trouble that only
	// delays (a file that a user holds open) is logged, not returned, unless insist.
	Release(ctx context.Context, r *Report, insist bool) error
	// Close gives up locks and file handles. It removes nothing.
	Close() error
}

// State is what a commit record keeps for a sink or a part; only the sink knows what is inside.
type State = json.RawMessage

// PartID names an attempt's share of an artifact.
type PartID struct {
	Connection int // index in the manifest
	Attempt    int
}

// Part is one attempt's rows on their way into the artifact, invisible until released.
type Part interface {
	// Encode turns a batch into the bytes of this format; first is the number of rows of this query before it. It
	// depends on nothing but its arguments and the opening, so any number may run at once.
	Encode(query int, first int64, b *columnar.Batch) (Chunk, error)
	// Append writes encoded chunks, in order.
	Append(ctx context.Context, query int, c Chunk) error
	// Save makes everything appended durable and describes it for PartState.State.
	Save(ctx context.Context) (State, error)
	// Finish appends what follows the last row, and sums up. Only Save and Sink.Stage come after it. A *RejectError
	// turns the connection away alone: this is the last place for one.
	Finish(ctx context.Context) (Summary, error)
	// Discard closes the part and removes its files. A part that was staged is discarded by its sink.
	Discard() error
}

// Summary is what a finished part has to say of its rows.
type Summary struct {
	Losses []Loss
	Notes  []string // what readers of the artifact should know
}

// Chunk is an encoded batch; only the part that made it knows what is inside.
type Chunk any

// PartState is a part as a commit record describes it: bytes written and fsynced, never messages received.
type PartState struct {
	PartID
	Frame uint64  `json:"frame"` // the last frame whose rows are in it
	Chain Chain   `json:"chain,string"`
	Rows  []int64 `json:"rows"` // per query
	State State   `json:"state"`
	Open  Opening `json:"open"`
}

// RejectError turns one connection away from one destination for good: its columns do not fit, say.
type RejectError struct{ Reason string }

func (e *RejectError) Error() string { return e.Reason }
