package checkpoint

import (
	"encoding/json"
	"maps"
	"time"

	"fanmill/pipeline/spool"

	"fanmill/pipeline"
)

// CommitRecord is what one destination of one run has durably committed: the truth that every restart begins from. It
// is written by compare-and-set only. Token is the claim that may write it.
type CommitRecord struct {
	Opened Opened `json:"opened,omitzero"`
	Token  string `json:"token,omitempty"` // the claim; "" before the first
	// Process is the token of the process whose claim it is, by which its lease is known.
	Process string `json:"process,omitempty"`
	// Counted up by every claim and reset: claims have an order.
	Epoch uint64   `json:"epoch,omitempty"`
	Host  string   `json:"host,omitempty"`
	Homes []string `json:"homes,omitempty"` // Owner.Home of every process that has claimed it
	// Home is Owner.Home of the last claim that has recorded something: the bytes are on a disk that it sees.
	Home string `json:"home,omitempty"`
	// Nonce is what the last such claim has left where the files are, and Next what one that has begun since has left
	// there, or is about to. Who finds one of them sees that place, or a copy of it.
	Nonce   string               `json:"nonce,omitempty"`
	Next    string               `json:"next,omitempty"`
	PID     int                  `json:"pid,omitempty"`
	LeaseMS int64                `json:"leaseMs,omitempty"` // the owner writes at least every third of it
	State   pipeline.RecordState `json:"state"`
	Error   string               `json:"error,omitempty"` // why it is detached, or owing
	// What it had committed is gone: it is to be delivered anew.
	Lost    bool                        `json:"lost,omitempty"`
	Log     pipeline.LogID              `json:"log"`
	Seq     uint64                      `json:"seq"` // frames up to here need not be read again
	Commits int                         `json:"commits"`
	Settled map[int]pipeline.Settlement `json:"settled,omitempty"` // by index in the manifest
	Sealed  map[int]pipeline.Seal       `json:"sealed,omitempty"`  // safe in the spool, to be delivered
	// The disk of the spool; nil as long as nothing is there.
	Place *spool.Place `json:"place,omitempty"`
	// Length, in bytes, of what is to be sent; see outboxFile.
	Outbox   int64                    `json:"outbox,omitempty"`
	Delivery *pipeline.Delivery       `json:"delivery,omitempty"`
	Replays  []int                    `json:"replays,omitempty"` // dead requests that the next claim is to send again
	Drops    []int                    `json:"drops,omitempty"`   // dead requests that the next claim is to give up
	Failed   map[int]pipeline.Refusal `json:"failed,omitempty"`
	// Attempts below are dropped: a resume asks again after a failure.
	Floor map[int]int          `json:"floor,omitempty"`
	Parts []pipeline.PartState `json:"parts,omitempty"` // open parts, as of the last cut
	// The sink's: files, lengths, checksums, reserved names.
	Artifact json.RawMessage `json:"artifact,omitempty"`
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
	return r.State == pipeline.RecordFinished || r.State == pipeline.RecordDetached || r.State == pipeline.RecordOwing
}

// Known is what the record says itself of connections that the target has, where it does: the target tells less.
func (r *CommitRecord) Known(found map[int]pipeline.Settlement) map[int]pipeline.Settlement {
	out := make(map[int]pipeline.Settlement, len(found))
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

// MarshalJSON leaves out what was lost, and what readers should know, which may be more than a stored record has room
// for: Records keeps it under keys of its own.
func (r CommitRecord) MarshalJSON() ([]byte, error) {
	type plain CommitRecord // without this method
	r.Settled, r.Sealed = maps.Clone(r.Settled), maps.Clone(r.Sealed)
	for i, s := range r.Settled {
		r.Settled[i] = storedSettlement(s)
	}
	for i, s := range r.Sealed {
		s.Settlement = storedSettlement(s.Settlement)
		r.Sealed[i] = s
	}
	return json.Marshal(plain(r))
}

// storedSettlement is what a record says of a settlement.
func storedSettlement(s pipeline.Settlement) pipeline.Settlement {
	s.Told = s.Told || !toldOf(&s).none()
	told{}.keep(&s)
	return s
}

// RunRecord is a run's own entry.
type RunRecord struct {
	Job   string            `json:"job"`
	State pipeline.RunState `json:"state"`
	Owner pipeline.Owner    `json:"owner"`
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
	Asked   int       `json:"asked,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Error   string    `json:"error,omitempty"` // why it is interrupted
	// StoppedCancelled or StoppedMemory: it does not go on by itself.
	Stopped  string             `json:"stopped,omitempty"`
	Measures *pipeline.Measures `json:"measures,omitempty"`
	// Unclaimed are destinations that no process writes, by id, and when they are given up: by the owner's clock, for
	// people.
	Unclaimed map[string]time.Time `json:"unclaimed,omitempty"`
	// Awaited is the host, or the place, that an unclaimed destination waits for, in words; any process if it is not
	// here.
	Awaited map[string]string `json:"awaited,omitempty"`
	// Unserved is what the run needs and no process does that lives: connections, or types of destinations, with their
	// places; for people.
	Unserved []string `json:"unserved,omitempty"`
	// LacksRoom is what the run waits for before any of its destinations is claimed, in words.
	LacksRoom string `json:"lacksRoom,omitempty"`
	// Stopping: connections are not asked any more, in whatever process; destinations still write what is delivered.
	Stopping bool `json:"stopping,omitempty"`
	// HandedOver: Owner has let go of the run, which goes on. Who coordinates adopts it at once.
	HandedOver bool `json:"handedOver,omitempty"`
	Taken      bool `json:"taken,omitempty"` // by Owner, which is about to go on with it or to give it up
	// Cleaned: what a run leaves behind when it ends is removed; of an unfinished one, its row log.
	Cleaned bool `json:"cleaned,omitempty"`
	// Waits has, of a complete or abandoned run, what is still to be removed: by destination, Owner.Home of the processes
	// that have claimed it and on whose disks nobody has looked yet. Whoever starts there does. All else is removed.
	Waits map[string][]string `json:"waits,omitempty"`
	// Tell are those who are to be told how the run ended, and for whom there are no notices yet. It is written with the
	// end, and taken out when there are: a crash in between leaves it to whoever tidies up.
	Tell []pipeline.NotifyTarget `json:"tell,omitempty"`
}

// Busy reports whether some process has the run, if it lives.
func (r *RunRecord) Busy() bool { return r.State == pipeline.RunRunning || r.Taken }

// GiveUpTo lets the row log be trimmed up to a position.
func (r *RunRecord) GiveUpTo(seq uint64) { r.Trimmed = max(r.Trimmed, seq) }

// NextLog gives the row log up: the next one, which is empty, has another number.
func (r *RunRecord) NextLog() { r.Generation, r.Trimmed = r.Generation+1, 0 }

// JobRun is a job's pointer to its newest run.
type JobRun struct {
	Run string `json:"run"`
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
// Workers take connections that are pending. From running back to pending brings it the worker, which gives it back, or
// the run's coordinator, which has found the worker gone.
type ConnRecord struct {
	Opened  Opened `json:"opened,omitzero"`
	Attempt int    `json:"attempt"`
	// Tries since the run began or was last resumed, without those that a worker died in.
	Attempts int `json:"attempts"`
	// Of workers that had it, in a row, none of which got further than the first.
	Deaths  []Death   `json:"deaths,omitempty"`
	Refused []Refused `json:"refused,omitempty"` // workers that cannot ask it
	Floor   int       `json:"floor,omitempty"`   // attempts below count no longer: a resume has it asked again
	Owner   string    `json:"owner"`             // token of the worker's process
	Host    string    `json:"host,omitempty"`    // the worker's
	PID     int       `json:"pid,omitempty"`
	LeaseMS int64     `json:"leaseMs"`
	State   ConnState `json:"state"`
	Error   string    `json:"error,omitempty"`
	Started time.Time `json:"started"`
	Millis  int64     `json:"durationMs,omitempty"`
}
