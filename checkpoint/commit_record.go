package checkpoint

import (
	"slices"

	"fanmill/pipeline"
)

// The transitions of a commit record between its claims, and those that end one. What a claim writes is in
// commit_progress.go.

// OpenRecord is the record of a destination that a run begins with.
func OpenRecord(o Opened) CommitRecord { return CommitRecord{Opened: o, State: pipeline.RecordOpen} }

// Take makes a process the owner.
func (r *CommitRecord) Take(o pipeline.Owner) {
	r.Epoch++
	r.Token, r.Process, r.Host, r.PID, r.LeaseMS = o.Token, o.Process, o.Host, o.PID, o.LeaseMS
	if o.Home != "" && !slices.Contains(r.Homes, o.Home) { // before a file is touched there
		r.Homes = append(slices.Clone(r.Homes), o.Home)
	}
}

// Leave notes what the claim that begins is about to leave where the files are, and which of Next and Nonce is there
// now; "" is none.
func (r *CommitRecord) Leave(found, next string) { r.Nonce, r.Next = found, next }

// Move makes a home that of the destination's files, as a person says that they are there.
func (r *CommitRecord) Move(home string) { r.Home = home }

// LetGo ends a claim that its owner has no use for: the next one need not wait for its lease.
func (r *CommitRecord) LetGo() { r.Token = "" }

// Free takes the record from its claim, of which epoch is: its next write finds that.
func (r *CommitRecord) Free(epoch uint64) { r.Token, r.Epoch = "", epoch+1 }

// Detach gives the destination up for this run.
func (r *CommitRecord) Detach(why string) { r.State, r.Error = pipeline.RecordDetached, why }

// Adopt notes that a later coordinator has the run, which goes on as the record was opened for.
func (r *CommitRecord) Adopt(o Opened) { r.Opened = o }

// Gap notes that no row log is the one that the record was written against: a resume begins a new generation.
func (r *CommitRecord) Gap() { r.Log, r.Parts = pipeline.LogID{Stream: GapLog}, nil }

// Owe ends the destination for this run: a resume sends what it has.
func (r *CommitRecord) Owe(why string) { r.State, r.Error = pipeline.RecordOwing, why }

// Abandon ends the destination for good: a fresh run took the place of this one.
func (r *CommitRecord) Abandon() { r.State = pipeline.RecordAbandoned }

// Reopen prepares the record for a resumed run, which reads log and asks some connections again: ask has the lowest
// attempt that counts of each.
func (r *CommitRecord) Reopen(o Opened, log pipeline.LogID, ask map[int]int) {
	r.Opened = o
	if !r.Log.Same(log) {
		r.Log, r.Seq, r.Parts = log, 0, nil
	}
	if r.State != pipeline.RecordFinishing || len(ask) > 0 {
		r.State = pipeline.RecordOpen
	}
	r.Error, r.Lost = "", false
	for i, floor := range ask {
		if r.Has(i) {
			continue
		}
		delete(r.Failed, i)
		r.Floor[i] = floor
	}
	r.Parts = slices.DeleteFunc(r.Parts, func(p pipeline.PartState) bool { _, ok := ask[p.Connection]; return ok })
}

// CloseAgain prepares the record that closes a destination in partitions for a resumed run, once it is reopened: what
// it has closed is closed, and what the partitions bring now is closed once more.
func (r *CommitRecord) CloseAgain() { r.State = pipeline.RecordOpen }

// Lose takes out of the record what is gone. Of a destination without a spool that is all of it. Of a spooled one it is
// the rows of these connections, or, of none, the parts that were being read: what is delivered stays so.
func (r *CommitRecord) Lose(connections []int) {
	if r.Place == nil {
		*r = CommitRecord{Opened: r.Opened, State: r.State, Error: r.Error, Lost: true, Token: r.Token, Epoch: r.Epoch, Homes: r.Homes, Home: r.Home}
		return
	}
	r.Gap()
	r.Lost = true
	for _, i := range connections {
		delete(r.Sealed, i)
	}
}

// Replay has the next claim send a dead request again. Of this and DropLetter the later word counts.
func (r *CommitRecord) Replay(number int) {
	r.Drops, r.Replays = without(r.Drops, number), append(without(r.Replays, number), number)
}

// DropLetter has the next claim give a dead request up.
func (r *CommitRecord) DropLetter(number int) {
	r.Replays, r.Drops = without(r.Replays, number), append(without(r.Drops, number), number)
}

// without is a copy of a list that lacks n.
func without(list []int, n int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(i int) bool { return i == n })
}

// Check refuses a record that cannot be of a destination of a run: ErrForeign.
func (r *CommitRecord) Check(m *pipeline.Manifest, destination string) error {
	if why := r.of(m); why != nil {
		return ForeignRecord(RecordKey(m.Run, destination), why)
	}
	return nil
}

// Attempt is the highest attempt at a connection that has begun as far as a record knows. A floor is the number of
// one that may be yet to come.
func (c *CommitRecord) Attempt(i int) int {
	n := max(c.Settled[i].Attempt, c.Sealed[i].Attempt, c.Failed[i].Attempt, c.Floor[i]-1)
	for _, p := range c.Parts {
		if p.Connection == i {
			n = max(n, p.Attempt)
		}
	}
	return n
}

// GapLog stands in a record for a row log that lacks what its destination must read next.
const GapLog = "gap"
