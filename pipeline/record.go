package pipeline

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"fanmill/pipeline/spool"
)

// RecordState is where a destination stands.
type RecordState string

// The states of a commit record. Only open, finishing, detached and owing records are claimed again.
const (
	RecordOpen      RecordState = "open"      // takes rows
	RecordFinishing RecordState = "finishing" // every connection is settled or failed; the final artifact is being made
	RecordFinished  RecordState = "finished"
	RecordDetached  RecordState = "detached"  // gave up; holds the trim no longer; a resume brings what it lacks
	RecordOwing     RecordState = "owing"     // ended for this run; what it has is safe, and not all of it is sent; a resume sends it
	RecordAbandoned RecordState = "abandoned" // a fresh run took its place
)

// CommitRecord is what one destination of one run has durably committed: the truth that every restart begins from. It
// is written by compare-and-set only. Token is the claim that may write it.
type CommitRecord struct {
	Opened   Opened             `json:"opened,omitzero"`
	Token    string             `json:"token,omitempty"` // the claim; "" before the first
	Epoch    uint64             `json:"epoch,omitempty"` // counted up by every claim and reset: claims have an order
	Host     string             `json:"host,omitempty"`
	Homes    []string           `json:"homes,omitempty"` // Owner.Home of every process that has claimed it
	PID      int                `json:"pid,omitempty"`
	LeaseMS  int64              `json:"leaseMs,omitempty"` // the owner writes at least every third of it
	State    RecordState        `json:"state"`
	Error    string             `json:"error,omitempty"` // why it is detached, or owing
	Lost     bool               `json:"lost,omitempty"`  // what it had committed is gone: it is to be delivered anew
	Log      LogID              `json:"log"`
	Seq      uint64             `json:"seq"` // frames up to here need not be read again
	Commits  int                `json:"commits"`
	Settled  map[int]Settlement `json:"settled,omitempty"` // by index in the manifest
	Sealed   map[int]Seal       `json:"sealed,omitempty"`  // safe in the spool, to be delivered
	Place    *spool.Place       `json:"place,omitempty"`   // the disk of the spool; nil as long as nothing is there
	Outbox   int64              `json:"outbox,omitempty"`  // length, in bytes, of what is to be sent; see outboxFile
	Delivery *Delivery          `json:"delivery,omitempty"`
	Replays  []int              `json:"replays,omitempty"` // dead requests that the next claim is to send again
	Drops    []int              `json:"drops,omitempty"`   // dead requests that the next claim is to give up
	Failed   map[int]Refusal    `json:"failed,omitempty"`
	Floor    map[int]int        `json:"floor,omitempty"`    // attempts below are dropped: a resume asks again after a failure
	Parts    []PartState        `json:"parts,omitempty"`    // open parts, as of the last cut
	Artifact json.RawMessage    `json:"artifact,omitempty"` // the sink's: files, lengths, checksums, reserved names
}

// Has reports whether a destination needs nothing more of a connection: its rows are delivered, or safe to be, or given
// up for good after some of them may have been delivered.
func (r *CommitRecord) Has(connection int) bool {
	_, settled := r.Settled[connection]
	_, sealed := r.Sealed[connection]
	return settled || sealed || r.Failed[connection].Dropped
}

// Ended reports whether the destination does nothing more in this run.
func (r *CommitRecord) Ended() bool {
	return r.State == RecordFinished || r.State == RecordDetached || r.State == RecordOwing
}

// known is what the record says itself of connections that the target has, where it does: the target tells less.
func (r *CommitRecord) known(found map[int]Settlement) map[int]Settlement {
	out := make(map[int]Settlement, len(found))
	for i, s := range found {
		if had, ok := r.Settled[i]; ok {
			s = had
		} else if seal, ok := r.Sealed[i]; ok {
			s = seal.Settlement
		}
		out[i] = s
	}
	return out
}

// Settlement is a connection that a destination has committed, whole.
type Settlement struct {
	Rows     []int64  `json:"r"` // per query
	Attempt  int      `json:"a"`
	Attempts int      `json:"t"`
	Millis   int64    `json:"ms"`
	Told     bool     `json:"told,omitempty"` // of a stored record: Losses and Notes are under ToldKey
	Losses   []Loss   `json:"loss,omitempty"`
	Notes    []string `json:"notes,omitempty"` // what readers of the artifact should know: columns it lacks, say
}

// MarshalJSON leaves out what was lost, and what readers should know, which may be more than a stored record has room
// for: Records keeps it under keys of its own.
func (r CommitRecord) MarshalJSON() ([]byte, error) {
	type plain CommitRecord // without this method
	r.Settled, r.Sealed = maps.Clone(r.Settled), maps.Clone(r.Sealed)
	for i, s := range r.Settled {
		r.Settled[i] = s.stored()
	}
	for i, s := range r.Sealed {
		s.Settlement = s.Settlement.stored()
		r.Sealed[i] = s
	}
	return json.Marshal(plain(r))
}

// stored is what a record says of a settlement.
func (s Settlement) stored() Settlement {
	s.Told = s.Told || len(s.Losses)+len(s.Notes) > 0
	s.Losses, s.Notes = nil, nil
	return s
}

// Refusal is a connection that a destination will not get in this run: it failed for all, or its columns do not fit
// this one. The reason is kept under the key ErrorKey, so that the record stays small.
type Refusal struct {
	Attempt  int   `json:"a"`
	Attempts int   `json:"t"`
	Millis   int64 `json:"ms"`
	Rejected bool  `json:"rejected,omitempty"` // by this destination alone
	Dropped  bool  `json:"dropped,omitempty"`  // a request with its rows was given up by hand: it is not asked again
}

// Loss counts what a destination could not hold in full.
type Loss struct {
	Column string `json:"column"`
	What   string `json:"what"` // "cut to 32767 characters"
	Cells  int64  `json:"cells"`
}

// RunState is where a run stands.
type RunState string

// The states of a run.
const (
	RunRunning     RunState = "running"
	RunComplete    RunState = "complete"    // everything is everywhere
	RunPartial     RunState = "partial"     // some connection or destination is missing, and named
	RunFailed      RunState = "failed"      // nothing was delivered
	RunInterrupted RunState = "interrupted" // its process is gone; it can be resumed
	RunAbandoned   RunState = "abandoned"   // a fresh run took its place
)

// Resumable reports whether a run in this state has something left to do.
func (s RunState) Resumable() bool {
	return s == RunRunning || s == RunInterrupted || s == RunPartial || s == RunFailed
}

// RunRecord is a run's own entry.
type RunRecord struct {
	Job   string   `json:"job"`
	State RunState `json:"state"`
	Owner Owner    `json:"owner"`
	// Epoch is counted up by every takeover, and by who finds that the owner is gone.
	Epoch uint64 `json:"epoch,omitempty"`
	// Died: an owner is gone that did not record its end, and with it workers that had connections.
	Died       bool   `json:"died,omitempty"`
	Generation int    `json:"generation"`        // of the row log
	Trimmed    uint64 `json:"trimmed,omitempty"` // its frames up to here may be gone: no record is opened on it below
	// Trigger is the sequence, in the stream of triggers, of who last asked for it; 0 for fanmill run.
	Trigger uint64 `json:"trigger,omitempty"`
	// Triggers had it resumed, by the ids of the runs that they would have begun; the last 64.
	Triggers []string `json:"triggers,omitempty"`
	Inline   bool     `json:"inline,omitempty"` // a trigger has brought its job along
	Resumes  int      `json:"resumes"`
	// Asked is the last of its Resumes that somebody asked for; later ones went on by themselves.
	Asked    int       `json:"asked,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Error    string    `json:"error,omitempty"`   // why it is interrupted
	Stopped  string    `json:"stopped,omitempty"` // StoppedCancelled or StoppedMemory: it does not go on by itself
	Measures *Measures `json:"measures,omitempty"`
	// Unclaimed are destinations that no process writes, by id, and when they are given up: by the owner's clock, for
	// people.
	Unclaimed map[string]time.Time `json:"unclaimed,omitempty"`
	Taken     bool                 `json:"taken,omitempty"` // by Owner, which is about to go on with it or to give it up
	// Cleaned: what a run leaves behind when it ends is removed; of an unfinished one, its row log.
	Cleaned bool `json:"cleaned,omitempty"`
	// Waits has, of a complete or abandoned run, what is still to be removed: by destination, Owner.Home of the processes
	// that have claimed it and on whose disks nobody has looked yet. Whoever starts there does. All else is removed.
	Waits map[string][]string `json:"waits,omitempty"`
}

// Busy reports whether some process has the run, if it lives.
func (r *RunRecord) Busy() bool { return r.State == RunRunning || r.Taken }

// giveUpTo lets the row log be trimmed up to a position.
func (r *RunRecord) giveUpTo(seq uint64) { r.Trimmed = max(r.Trimmed, seq) }

// nextLog gives the row log up: the next one, which is empty, has another number.
func (r *RunRecord) nextLog() { r.Generation, r.Trimmed = r.Generation+1, 0 }

// Why a run was stopped on purpose.
const (
	StoppedCancelled = "cancelled"
	StoppedMemory    = "memory"
)

// Measures is what a run's process saw of itself: the ground for suggesting settings. Bytes and milliseconds.
type Measures struct {
	PeakResident  int64  `json:"peakResident"` // of the process
	Threshold     int64  `json:"threshold"`
	Budget        int64  `json:"budget"` // for rows in memory
	BudgetPeak    int64  `json:"budgetPeak"`
	BudgetWaits   int64  `json:"budgetWaits"` // batches that waited for room in the budget
	Batches       int64  `json:"batches"`
	BatchBytes    int64  `json:"batchBytes"` // encoded, of all batches
	Parallel      int    `json:"parallel"`
	Asked         int    `json:"asked"`             // connections that were to be asked
	Slowest       string `json:"slowest,omitempty"` // connection id
	SlowestMillis int64  `json:"slowestMs"`
	MedianMillis  int64  `json:"medianMs"`
	PausedMillis  int64  `json:"pausedMs"`  // queries stood still for want of memory
	LogWaitMillis int64  `json:"logWaitMs"` // of all connections together: the row log was full, or slow
	LogMax        int64  `json:"logMax"`
	LogPeak       int64  `json:"logPeak"`
}

// JobRun is a job's pointer to its newest run.
type JobRun struct {
	Run string `json:"run"`
}

// Owner is a process that works on a run.
type Owner struct {
	Token string `json:"token"`
	Host  string `json:"host"`
	// Home is the host and an id of the data folder: the disks that the process writes to. "" if no other host has the
	// store.
	Home    string `json:"home,omitempty"`
	PID     int    `json:"pid"`
	LeaseMS int64  `json:"leaseMs"`
}

// ConnState is where a connection's newest attempt stands.
type ConnState string

// The states of a connection record.
const (
	ConnPending ConnState = "pending" // to be asked, unless the row log has an eof of an attempt at or above the floor
	ConnRunning ConnState = "running" // a worker has it, and nobody else takes it
	ConnDone    ConnState = "done"    // its eof is in the row log
	ConnGivenUp ConnState = "givenup" // tried as often as may be; the coordinator has yet to say so in the row log
	ConnFailed  ConnState = "failed"  // the row log says so
)

// ConnRecord allocates a connection's attempts: an attempt number belongs to whoever wrote it here by compare-and-set.
// Workers take connections that are pending. Back from running to pending brings only the run's coordinator, which has
// found the worker gone.
type ConnRecord struct {
	Opened   Opened    `json:"opened,omitzero"`
	Attempt  int       `json:"attempt"`
	Attempts int       `json:"attempts"`         // tries since the run began or was last resumed, without those that a worker died in
	Deaths   []Death   `json:"deaths,omitempty"` // of workers that had it, in a row, none of which got further than the first
	Floor    int       `json:"floor,omitempty"`  // attempts below count no longer: a resume has it asked again
	Owner    string    `json:"owner"`            // token of the worker's process
	Host     string    `json:"host,omitempty"`   // the worker's
	PID      int       `json:"pid,omitempty"`
	LeaseMS  int64     `json:"leaseMs"`
	State    ConnState `json:"state"`
	Error    string    `json:"error,omitempty"`
	Started  time.Time `json:"started"`
	Millis   int64     `json:"durationMs,omitempty"`
}

// PublicCheckpoint is what others may read of a job's progress. It is derived from the commit records and never read
// back.
type PublicCheckpoint struct {
	JobID                  string    `json:"jobId"`
	JobName                string    `json:"jobName"`
	CompletedConnectionIDs []string  `json:"completedConnectionIds"`
	FailedConnectionIDs    []string  `json:"failedConnectionIds"`
	TotalConnections       int       `json:"totalConnections"`
	LastUpdated            time.Time `json:"lastUpdated"`
}

// Keys of the stores.

// RunKey is the run's entry in Stores.Runs.
func RunKey(run string) string { return Token(run) }

// ManifestKey is the run's manifest in Stores.Runs.
func ManifestKey(run string) string { return Token(run) + ".manifest" }

// CancelKey is the wish that a run stops, in Stores.Runs: a Cancellation.
func CancelKey(run string) string { return Token(run) + ".cancel" }

// ConnKey is a connection's entry in Stores.Runs.
func ConnKey(run, connection string) string { return Token(run) + ".conn." + Token(connection) }

// JobRunKey is a job's pointer to its newest run in Stores.Runs: a JobRun.
func JobRunKey(job string) string { return jobKeys + "." + Token(job) }

// jobKeys is the first segment of JobRunKey, and so no run's id.
const jobKeys = "job"

// RecordKey is a destination's commit record in Stores.Checkpoints.
func RecordKey(run, destination string) string { return Token(run) + "." + Token(destination) }

// ErrorKey holds why a destination lacks a connection, in Stores.Checkpoints.
func ErrorKey(run, destination, connection string) string {
	return RecordKey(run, destination) + ".error." + Token(connection)
}

// ToldKey holds what a destination lost of a connection, by its index in the manifest, in an attempt, and what readers
// should know of it; record is the destination's RecordKey.
func ToldKey(record string, connection, attempt int) string {
	return fmt.Sprintf("%s.told.%d.%d", record, connection, attempt)
}
