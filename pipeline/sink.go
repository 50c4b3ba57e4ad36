package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"fanmill/pipeline/spool"

	"fanmill/pipeline/columnar"
)

// SinkSpec is what a sink is made from.
type SinkSpec struct {
	Manifest    *Manifest
	Destination *ManifestDestination
	StoreID     string // names the store whose commit records fence this sink's rivals
	Home        string // Owner.Home of the process that the sink is for
	Nonce       string // what the claim leaves where the files are, see SinkKind.HasNonce; "" is nothing
	Log         *slog.Logger
	// Expand replaces the references ${VAR} and ${file:PATH} in a text of an option, as they are at this moment. The
	// values are masked in the sink's errors, notes and log lines from then on. nil replaces nothing.
	Expand func(text string) (string, error)
	// Hide has one more value masked, such as a token that was fetched with a secret. nil masks nothing.
	Hide func(value string)
}

// Sink writes one destination of one run. The destination's loop calls it, which alone knows the row log, the spool,
// the commit record and retries; only Part.Encode runs on other goroutines, and of a spooled destination Part.Finish. A
// destination that is not spooled is called by one goroutine at a time.
//
// After a *RejectError the connection is turned away. After a *Trouble the loop calls the same method again, when its
// scope allows it. After any other error it closes the sink, and what happens next starts from the commit record: a
// sink never needs to undo. Every call ends soon after its context does.
type Sink interface {
	// Recover is called first, after the claim's compare-and-set. It fences: who holds a lesser epoch can no longer
	// change what readers see when it returns; if the target shows a greater one, the error is ErrFenced. And it looks:
	// state is what the last record said, nil for none, and parts are the open ones. It sends nothing, and nothing of a
	// predecessor's is removed: the first Release does that, once the new state is recorded. A file's sink copies what
	// the state names to new inodes, and verifies it.
	Recover(ctx context.Context, f Fence, state State, parts []PartState) (Recovered, error)
	// Open begins the part of an attempt, or continues one at what from says is durable, dropping what was written
	// after it. Of a spooled destination it is called once the connection is sealed, from is nil, and rows has its
	// rows. A *RejectError turns the connection away alone.
	Open(ctx context.Context, id PartID, o *Opening, from *PartState, rows Rows) (Part, error)
	// Stage assembles finished parts into what the next Release makes public, and returns the new state. It is
	// durable, and seen by nobody, when Stage returns. It turns nobody away. final asks for the artifact's last form,
	// with the report in it that the format has room for; no more parts follow in this round, which is 1 for a run and
	// one more each time that a resume brings rows after a final. The parts are kept until the next Stage: the record
	// references them.
	Stage(ctx context.Context, parts []Part, round int, final *Report) (Staged, error)
	// Release makes the state of the last record what readers see, atomically, and writes the report beside it;
	// calling it again changes nothing. It is called only after the record was written. r is nil in the call that
	// follows Recover: then what is committed becomes public from the new files, and orphans go. Trouble that only
	// delays (a file that a user holds open) is logged, not returned, unless insist.
	//
	// next are the recorded requests to send now, at most SinkKind.Parallel, none that was answered. What succeeded is
	// returned also beside an error.
	Release(ctx context.Context, next []WireRequest, r *Report, insist bool) (Released, error)
	// Close gives up locks and file handles. It removes nothing.
	Close() error
}

// Fence is a claim of a commit record as a target sees it.
type Fence struct {
	Token string // random, of the claim
	Epoch uint64 // counted up by every claim and reset of the record: the greater one is the later
	Birth string // random, of the run
	// Folder is the private folder of this claim, of a spooled destination. Files in it that a Staged names are there
	// again under the next claim; others are not.
	Folder string
	// Grow counts bytes that files in Folder have grown by, or a negative number of those that are gone, in the space
	// of the process. It is set where Folder is.
	Grow func(bytes int64)
}

// Recovered is what Recover found in the target.
type Recovered struct {
	State   State              // to be recorded
	Settled map[int]Settlement // connections that the target has, whatever the record says; nil for none
}

// Staged is what a call of Stage made.
type Staged struct {
	State State
	// Requests are to be sent. Their bytes are on the disk, synced, in files of the fence's folder. Number, Round and
	// Key are the loop's to fill in.
	Requests []WireRequest
	// Allocated are the connections whose rows are in Requests, or, of a target without requests, in what the next
	// Release writes. The others that were staged wait for a later Stage of the round.
	Allocated []int
	Keep      []string // names of other files in the fence's folder that State refers to
	// Notes are what is to be told of connections besides what Finish said, by index.
	Notes map[int][]string
}

// Released is what a call of Release achieved.
type Released struct {
	Receipts []Receipt          // of requests that the receiver took
	Letters  []Letter           // of requests that it will never take
	Unsent   []int              // numbers of requests of which nothing can have reached the receiver
	Settled  map[int]Settlement // of a target without requests: connections that it has now
	Rejected map[int]string     // of one, too: connections that it will never take, and why
	State    State              // to be recorded; nil if it did not change
}

// Rows are the rows of a sealed connection, on the disk of the spool.
type Rows interface {
	// Each hands over the batches of every query that the destination takes, in order. first is the number of rows of
	// the query before a batch, which is valid until take returns. Each may be called any number of times, also at
	// once, until the part is discarded.
	Each(ctx context.Context, take func(query int, first int64, b *columnar.Batch) error) error
	// Bytes is about how much they take on the disk.
	Bytes() int64
	// Count is how many rows each query has.
	Count() []int64
}

// State is what a commit record keeps for a sink or a part; only the sink knows what is inside.
type State = json.RawMessage

// PartID names an attempt's share of an artifact.
type PartID struct {
	Connection int // index in the manifest
	Attempt    int
}

// Part is one attempt's rows on their way into the artifact, invisible until released. Of a spooled destination only
// Finish and Discard are called: see SpooledPart.
type Part interface {
	// Encode turns a batch into the bytes of this format; first is the number of rows of this query before it. It
	// depends on nothing but its arguments and the opening, so any number may run at once.
	Encode(query int, first int64, b *columnar.Batch) (Chunk, error)
	// Append writes encoded chunks, in order.
	Append(ctx context.Context, query int, c Chunk) error
	// Save makes everything appended durable and describes it for PartState.State.
	Save(ctx context.Context) (State, error)
	// Finish appends what follows the last row, and sums up; of a spooled destination it writes all rows. Only Save and
	// Sink.Stage come after it. A *RejectError turns the connection away alone: this is the last place for one.
	Finish(ctx context.Context) (Summary, error)
	// Discard closes the part and removes its files. A part that was staged is discarded by its sink.
	Discard() error
}

// SpooledPart is embedded in the parts of spooled destinations: the methods that nobody calls.
type SpooledPart struct{}

// Encode implements Part.
func (SpooledPart) Encode(int, int64, *columnar.Batch) (Chunk, error) { return nil, ErrSpooled }

// Append implements Part.
func (SpooledPart) Append(context.Context, int, Chunk) error { return ErrSpooled }

// Save implements Part.
func (SpooledPart) Save(context.Context) (State, error) { return nil, ErrSpooled }

// ErrSpooled ends a call of a part that takes its rows from the spool.
var ErrSpooled = Permanent(errors.New("the part of a spooled destination takes its rows from the spool"))

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
	Held  *Held   `json:"held,omitempty"` // the row that is not whole yet; the loop's
}

// RejectError turns one connection away from one destination for good: its columns do not fit, say.
type RejectError struct{ Reason string }

func (e *RejectError) Error() string { return e.Reason }

// A row larger than a message comes in pieces, and frames of other connections come between them. A destination keeps
// the pieces in the spool until the last is there. So memory does not hold them; and as a cut makes them durable, and
// the record says how far they are, the row log need not hold them either.
//
// A spooled destination writes them into the rows file of their attempt, like all its rows. Any other writes them into
// a file for this row, which goes when the record names it no longer.

// Held is the row of which a part has the first pieces only, as a commit record describes it.
type Held struct {
	Pieces int        `json:"n"`            // their frames follow PartState.Frame
	Chain  Chain      `json:"chain,string"` // as of the last of them
	At     spool.Mark `json:"at,omitzero"`  // of their own file, if they have one
}
