package pipeline

import "slices"

// The transitions of a commit record between its claims, and those that end one.

// openRecord is the record of a destination that a run begins with.
func openRecord(o Opened) CommitRecord { return CommitRecord{Opened: o, State: RecordOpen} }

// Take makes a process the owner.
func (r *CommitRecord) Take(o Owner) {
	r.Epoch++
	r.Token, r.Host, r.PID, r.LeaseMS = o.Token, o.Host, o.PID, o.LeaseMS
	if o.Home != "" && !slices.Contains(r.Homes, o.Home) { // before a file is touched there
		r.Homes = append(slices.Clone(r.Homes), o.Home)
	}
}

// LetGo ends a claim that its owner has no use for: the next one need not wait for its lease.
func (r *CommitRecord) LetGo() { r.Token = "" }

// Free takes the record from its claim, of which epoch is: its next write finds that.
func (r *CommitRecord) Free(epoch uint64) { r.Token, r.Epoch = "", epoch+1 }

// Detach gives the destination up for this run.
func (r *CommitRecord) Detach(why string) { r.State, r.Error = RecordDetached, why }

// gap notes that no row log is the one that the record was written against: a resume begins a new generation.
func (r *CommitRecord) gap() { r.Log, r.Parts = LogID{Stream: gapLog}, nil }

// owe ends the destination for this run: a resume sends what it has.
func (r *CommitRecord) owe(why string) { r.State, r.Error = RecordOwing, why }

// abandon ends the destination for good: a fresh run took the place of this one.
func (r *CommitRecord) abandon() { r.State = RecordAbandoned }

// reopen prepares the record for a resumed run, which reads log and asks some connections again: ask has the lowest
// attempt that counts of each.
func (r *CommitRecord) reopen(o Opened, log LogID, ask map[int]int) {
	r.Opened = o
	if !r.Log.Same(log) {
		r.Log, r.Seq, r.Parts = log, 0, nil
	}
	if r.State != RecordFinishing || len(ask) > 0 {
		r.State = RecordOpen
	}
	r.Error, r.Lost = "", false
	for i, floor := range ask {
		if r.Has(i) {
			continue
		}
		delete(r.Failed, i)
		r.Floor[i] = floor
	}
	r.Parts = slices.DeleteFunc(r.Parts, func(p PartState) bool { _, ok := ask[p.Connection]; return ok })
}

// settle moves connections to what is delivered.
func (r *CommitRecord) settle(settled map[int]Settlement) {
	for i, s := range settled {
		r.Settled[i] = s
		delete(r.Sealed, i)
		delete(r.Failed, i)
		delete(r.Floor, i)
	}
}
