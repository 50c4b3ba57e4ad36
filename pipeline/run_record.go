package pipeline

import "time"

// The transitions of a run's record. Who owns it has its token and its epoch in it: other processes may write into the
// record meanwhile, and end no owner by that.

// owned reports whether a run's record has the owner that it has now.
func owned(cell *Cell[RunRecord]) func(*RunRecord) bool {
	was := cell.Value()
	return func(r *RunRecord) bool { return r.Owner.Token == was.Owner.Token && r.Epoch == was.Epoch }
}

// sign is a sign of life: nothing changes but the revision.
func (r *RunRecord) sign() {}

// take makes a process the owner, which is about to go on with the run or to give it up.
func (r *RunRecord) take(o Owner) {
	r.Owner, r.Taken, r.Epoch = o, true, r.Epoch+1
	if r.State == RunRunning {
		r.State, r.Ended, r.Died = RunInterrupted, time.Now().UTC(), true
	}
}

// letGo ends a take that led to nothing.
func (r *RunRecord) letGo() { r.Taken = false }

// judge says that the owner is gone. Should it only have slept, it finds another epoch when it wakes.
func (r *RunRecord) judge() {
	r.State, r.Ended, r.Died, r.Epoch = RunInterrupted, time.Now().UTC(), true, r.Epoch+1
}

// resume is the run going on, for a trigger.
func (r *RunRecord) resume(t Trigger) {
	r.State, r.Taken, r.Died, r.Resumes, r.Cleaned, r.Error, r.Stopped, r.Ended = RunRunning, false, false, r.Resumes+1, false, "", "", time.Time{}
	r.Trigger = t.seq // who comes again if this process ends: not the one that began it, if that has been answered for
	if !t.again {
		r.Asked = r.Resumes
	}
}

// interrupt ends the run before its end. stopped is StoppedCancelled or StoppedMemory, or "" where it goes on by
// itself.
func (r *RunRecord) interrupt(why error, stopped string) {
	r.Unclaimed = nil
	r.State, r.Taken, r.Ended, r.Error, r.Stopped = RunInterrupted, false, time.Now().UTC(), shortError(why), stopped
}

// end is the end of the run. waits are the homes of whose disks nobody knows yet whether something is left there.
func (r *RunRecord) end(state RunState, m *Measures, cleaned bool, waits map[string][]string) {
	r.Unclaimed = nil
	r.State, r.Ended, r.Measures, r.Cleaned, r.Waits = state, time.Now().UTC(), m, cleaned, waits
}

// over reports whether nothing of the run is needed any more, on any disk.
func (r *RunRecord) over() bool {
	return (r.State == RunComplete || r.State == RunAbandoned) && r.Cleaned && len(r.Waits) == 0
}

// abandon gives the run up in favour of another.
func (r *RunRecord) abandon() {
	r.State, r.Taken, r.Cleaned = RunAbandoned, false, false // of an unfinished run that was the row log alone
	if r.Ended.IsZero() {
		r.Ended = time.Now().UTC()
	}
}

// clean notes that nothing is left to be removed but what waits for other hosts.
func (r *RunRecord) clean(waits map[string][]string) {
	if r.Cleaned, r.Taken, r.Waits = len(waits) == 0, false, waits; r.Cleaned {
		r.Waits = nil
	}
}
