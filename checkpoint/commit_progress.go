package checkpoint

import (
	"fanmill/pipeline"
	"fanmill/pipeline/spool"
)

// The transitions that a claim of a commit record makes: what its destination has durably achieved.

// Recover is the beginning of a claim by a process of a home: what the sink has found of the artifact, and the row log
// that is read.
func (r *CommitRecord) Recover(home string, artifact pipeline.State, log pipeline.LogID, found map[int]pipeline.Settlement) {
	r.Home, r.Artifact, r.Log = home, artifact, log
	if r.Next != "" {
		r.Nonce, r.Next = r.Next, ""
	}
	r.Settle(r.Known(found))
}

// Spool binds the record to the disk that its rows are on. What people have decided of letters is done by then.
func (r *CommitRecord) Spool(place spool.Place) { r.Place, r.Replays, r.Drops = &place, nil, nil }

// Settle moves connections to what is delivered.
func (r *CommitRecord) Settle(settled map[int]pipeline.Settlement) {
	for i, s := range settled {
		r.Settled[i] = s
		delete(r.Sealed, i)
		delete(r.Failed, i)
		delete(r.Floor, i)
	}
}

// Commit notes that connections are delivered, in the artifact as it is now; nil is one that has not changed.
func (r *CommitRecord) Commit(settled map[int]pipeline.Settlement, artifact pipeline.State) {
	r.Settle(settled)
	if artifact != nil {
		r.Artifact, r.Commits = artifact, r.Commits+1
	}
}

// Stage notes what goes out next: the artifact as it is then, connections that are in it and not delivered yet, and
// those that are.
func (r *CommitRecord) Stage(artifact pipeline.State, sealed map[int]pipeline.Seal, settled map[int]pipeline.Settlement) {
	r.Artifact, r.Commits = artifact, r.Commits+1
	for i, s := range sealed {
		r.Sealed[i] = s
	}
	r.Settle(settled)
}

// Deliver notes what a receiver has taken, and the artifact as that leaves it; nil is one that has not changed.
func (r *CommitRecord) Deliver(settled map[int]pipeline.Settlement, artifact pipeline.State) {
	r.Settle(settled)
	if artifact != nil {
		r.Artifact = artifact
	}
}

// Reading is how far a destination has read the row log.
type Reading struct {
	Seq      uint64                   // frames up to here need not be read again
	Parts    []pipeline.PartState     // open ones, as of the last cut
	Failed   map[int]pipeline.Refusal // since the last time
	Reopened map[int]bool             // connections that were recorded as failed, and have begun again
	Attempts map[int]int              // of the open parts
}

// Read notes how far the row log was read. The frames of an open part's lower attempts may stand behind that: they stay
// dropped after a restart.
func (r *CommitRecord) Read(at Reading) {
	for i := range at.Reopened {
		delete(r.Failed, i)
	}
	for i, f := range at.Failed {
		r.Failed[i] = f
	}
	for i := range r.Settled {
		delete(r.Failed, i)
		delete(r.Floor, i)
	}
	for i, attempt := range at.Attempts {
		if attempt > 1 {
			r.Floor[i] = max(r.Floor[i], attempt)
		}
	}
	r.Parts, r.Seq = at.Parts, at.Seq
}

// Refuse notes connections that are sealed, and that the destination will not take.
func (r *CommitRecord) Refuse(connections []int) {
	for _, i := range connections {
		r.turnAway(i, false)
	}
}

// turnAway fails a sealed connection. One that is dropped is never asked again: others of its requests may have been
// taken.
func (r *CommitRecord) turnAway(connection int, dropped bool) {
	seal, ok := r.Sealed[connection]
	if !ok {
		return
	}
	delete(r.Sealed, connection)
	r.Failed[connection] = pipeline.Refusal{Attempt: seal.Attempt, Attempts: seal.Attempts, Millis: seal.Millis, Rejected: true, Dropped: dropped}
}

// Outbox is what an outbox says of its record.
type Outbox struct {
	Length  int64
	GivenUp map[int]int        // connections with a request that was given up, and its number
	Refused map[int]bool       // connections with a request that is a letter
	Sum     *pipeline.Delivery // nil if there are no requests
}

// Account brings the record in line with its outbox: its length, what was sent, whose rows are in letters.
func (r *CommitRecord) Account(o Outbox) {
	r.Outbox = o.Length
	for i := range o.GivenUp {
		r.turnAway(i, true)
	}
	for i, seal := range r.Sealed {
		seal.Refused = o.Refused[i]
		r.Sealed[i] = seal
	}
	if o.Sum != nil {
		r.Delivery = o.Sum
	}
}

// StartFinal notes that every connection is settled or failed, and that the last form is being made; Final is that
// form, and Finish the end.
func (r *CommitRecord) StartFinal() { r.State = pipeline.RecordFinishing }

// Final is the artifact in its last form.
func (r *CommitRecord) Final(artifact pipeline.State) { r.Artifact = artifact }

// Finish is the end of a destination.
func (r *CommitRecord) Finish() { r.State = pipeline.RecordFinished }
