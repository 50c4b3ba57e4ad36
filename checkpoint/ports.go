package checkpoint

import (
	"context"
	"time"

	"fanmill/pipeline"
)

// Records keeps commit records.
type Records interface {
	// Create writes a destination's first record. One that exists already, of the same run, is left as it is.
	Create(ctx context.Context, run, destination string, rec CommitRecord) error
	// Load reads a record, with all that it points to; ErrNoKey if there is none, ErrForeign if it cannot be read.
	Load(ctx context.Context, run, destination string) (CommitRecord, error)
	// Tell reads what a record from Watch points to: what was lost, and what readers should know.
	Tell(ctx context.Context, run, destination string, rec *CommitRecord) error
	// Reset rewrites a record by compare-and-set and takes it from its owner, whose next write finds itself fenced.
	Reset(ctx context.Context, run, destination string, change func(*CommitRecord)) error
	// Detach gives a destination up for this run, as Reset does. The error is ErrFenced if its record is not opened
	// for what the caller coordinates: it is a successor's.
	Detach(ctx context.Context, run, destination string, o Opened, why string) error
	// Free takes a record from a claim whose process is gone: the next one need not wait for its lease. It does nothing
	// if the record has another claim by now, or none. The error is ErrFenced as that of Detach.
	Free(ctx context.Context, run, destination string, o Opened, token string) error
	// Adopt notes that a record is for another coordinator from now on, which has adopted the run, and leaves it to
	// its claim. The error is ErrFenced if it is a successor's.
	Adopt(ctx context.Context, run, destination string, o Opened) error
	// Replace writes a record in place of one that is gone or cannot be read; ErrConflict if there is one that can.
	Replace(ctx context.Context, run, destination string, rec CommitRecord) error
	// Claim makes owner the record's owner, by a compare-and-set of the record itself, before a file is touched. A
	// record that another owner holds is claimed once its lease has run out without a sign of life, by the caller's
	// own clock; while the owner lives the error is ErrHeld. previous is the caller's own former claim, which needs
	// no waiting. A command of an earlier incarnation than the record is opened for claims nothing: ErrFenced. look may
	// refuse the record before anything of it is written; nil takes any.
	Claim(ctx context.Context, run, destination string, incarnation int, owner pipeline.Owner, previous string, look Look) (Claim, error)
	// SetError keeps why a destination lacks a connection, cut to MaxErrorBytes; Errors reads them by connection id.
	SetError(ctx context.Context, run, destination, connection, text string) error
	Errors(ctx context.Context, run, destination string) (map[string]string, error)
	// Remove removes a run's records, and all that they point to.
	Remove(ctx context.Context, run string) error
	// Watch sends every record of a run, now and on each change, until ctx ends; without what they point to, for which
	// there is Tell.
	Watch(ctx context.Context, run string) (<-chan RecordUpdate, error)
}

// Look is shown a record that is about to be claimed, and before the wait for a lease, too. Its error ends the claim;
// nothing of it was written then. prepare is applied by the compare-and-set that claims; nil is nothing.
type Look func(rec *CommitRecord) (prepare func(*CommitRecord), _ error)

// RecordUpdate is a destination's newest record.
type RecordUpdate struct {
	Destination string // Token of its id
	Record      CommitRecord
	Err         error // ErrForeign: there is none any more, or none that can be read
}

// Claim is the right to write one commit record. It is safe for concurrent use; the lease is renewed from another
// goroutine than the commits.
type Claim interface {
	Token() string
	// Record is the record as last written. Its maps and slices are not to be changed.
	Record() CommitRecord
	// Commit applies change to a copy of the record and writes it. The error is ErrFenced when another claim owns the
	// record.
	Commit(ctx context.Context, change func(*CommitRecord)) error
	// Renew writes the record unchanged if it was not written for age.
	Renew(ctx context.Context, age time.Duration) error
	// Release ends the claim, which is not to be used again.
	Release(ctx context.Context) error
}

// Progress publishes the public checkpoint of jobs. It is derived, and never read back.
type Progress interface {
	Publish(ctx context.Context, c pipeline.PublicCheckpoint) error
	Remove(ctx context.Context, jobID string) error
}
