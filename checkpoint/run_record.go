package checkpoint

import (
	"maps"
	"slices"
	"time"

	"fanmill/pipeline"
)

// The transitions of a run's record. Who owns it has its token and its epoch in it: other processes may write into the
// record meanwhile, and end no owner by that.

// Owned reports whether a run's record has the owner that it has now.
func Owned(doc *Document[RunRecord]) func(*RunRecord) bool {
	was := doc.Value()
	return func(r *RunRecord) bool { return r.Owner.Token == was.Owner.Token && r.Epoch == was.Epoch }
}

// Sign is a sign of life: nothing changes but the revision.
func (r *RunRecord) Sign() {}

// Take makes a process the owner, which is about to go on with the run or to give it up.
func (r *RunRecord) Take(o pipeline.Owner) {
	r.Owner, r.Taken, r.Epoch, r.Stopping = o, true, r.Epoch+1, false
	if r.State == pipeline.RunRunning {
		r.State, r.Ended, r.Died = pipeline.RunInterrupted, time.Now().UTC(), !r.HandedOver
	}
	r.HandedOver = false
}

// Adopt makes a process the coordinator of a run that goes on. Nothing else changes: who works on it goes by its
// incarnation and its row log.
func (r *RunRecord) Adopt(o pipeline.Owner) { r.Owner, r.Epoch, r.HandedOver = o, r.Epoch+1, false }

// HandOver has the run go on without its coordinator, for the next one to adopt. Whoever works on it is not disturbed.
func (r *RunRecord) HandOver() { r.HandedOver = true }

// LetGo ends a take that led to nothing.
func (r *RunRecord) LetGo() { r.Taken = false }

// Judge says that the owner is gone. Should it only have slept, it finds another epoch when it wakes.
func (r *RunRecord) Judge() {
	r.State, r.Ended, r.Died, r.Epoch, r.HandedOver = pipeline.RunInterrupted, time.Now().UTC(), !r.HandedOver, r.Epoch+1, false
}

// maxTriggers bounds the list of the triggers that had a run resumed. Only one that was not acknowledged comes again,
// and the last few are all that can be so.
const maxTriggers = 64

// Resume is the run going on, for a trigger at seq in the stream of triggers; again says that nobody asks for it anew.
// id is what the trigger's own run would be called, "" if that is not another one: should it come again, it finds this.
func (r *RunRecord) Resume(seq uint64, again bool, id string) {
	r.State, r.Taken, r.Died, r.Resumes, r.Cleaned, r.Error, r.Stopped, r.Ended = pipeline.RunRunning, false, false, r.Resumes+1, false, "", "", time.Time{}
	r.Trigger = seq // who comes again if this process ends: not the one that began it, if that has been answered for
	if !again {
		r.Asked = r.Resumes
	}
	if id != "" {
		r.Triggers = append(slices.Clone(r.Triggers[max(0, len(r.Triggers)-maxTriggers+1):]), id)
	}
}

// Stop notes that an interrupted run does not go on by itself, as it was cancelled before it did.
func (r *RunRecord) Stop() { r.Stopped = pipeline.StoppedCancelled }

// Live is a sign of life with the destinations that no process writes, when they are given up and for what each of them
// waits, what no process does at all, whether the run waits for room, and whether it is being stopped.
func (r *RunRecord) Live(unclaimed map[string]time.Time, awaited map[string]string, unserved []string, lacksRoom string, stopping bool) {
	r.Unclaimed, r.Awaited, r.Unserved, r.LacksRoom, r.Stopping = nil, nil, unserved, lacksRoom, stopping
	if len(unclaimed) > 0 {
		r.Unclaimed, r.Awaited = maps.Clone(unclaimed), maps.Clone(awaited)
	}
}

// Interrupt ends the run before its end. stopped is StoppedCancelled or StoppedMemory, or "" where it goes on by
// itself. m is what its process saw of itself; nil leaves what there is.
func (r *RunRecord) Interrupt(why error, stopped string, m *pipeline.Measures) {
	r.Unclaimed, r.Awaited, r.Unserved, r.LacksRoom, r.Stopping = nil, nil, nil, "", false
	if m != nil {
		r.Measures = m
	}
	r.State, r.Taken, r.Ended, r.Error, r.Stopped = pipeline.RunInterrupted, false, time.Now().UTC(), pipeline.ShortError(why), stopped
}

// End is the end of the run. waits are the homes of whose disks nobody knows yet whether something is left there, tell
// are those who are to be told.
func (r *RunRecord) End(state pipeline.RunState, m *pipeline.Measures, cleaned bool, waits map[string][]string, tell []pipeline.NotifyTarget) {
	r.Unclaimed, r.Awaited, r.Unserved, r.LacksRoom, r.Stopping = nil, nil, nil, "", false
	r.Tell = tell
	r.State, r.Ended, r.Measures, r.Cleaned, r.Waits = state, time.Now().UTC(), m, cleaned, waits
}

// Told notes that there are notices of the run's end for everybody who is to be told.
func (r *RunRecord) Told() { r.Tell = nil }

// Over reports whether nothing of the run is needed any more, on any disk.
func (r *RunRecord) Over() bool {
	return (r.State == pipeline.RunComplete || r.State == pipeline.RunAbandoned) && r.Cleaned && len(r.Waits) == 0
}

// Abandon gives the run up in favour of another.
func (r *RunRecord) Abandon() {
	r.State, r.Taken, r.Cleaned = pipeline.RunAbandoned, false, false // of an unfinished run that was the row log alone
	if r.Ended.IsZero() {
		r.Ended = time.Now().UTC()
	}
}

// Clean notes that nothing is left to be removed but what waits for other hosts.
func (r *RunRecord) Clean(waits map[string][]string) {
	if r.Cleaned, r.Taken, r.Waits = len(waits) == 0, false, waits; r.Cleaned {
		r.Waits = nil
	}
}

// CleanThere notes which homes are left that may have something of a destination. The run is over.
func (r *RunRecord) CleanThere(destination string, left []string) {
	if _, waits := r.Waits[destination]; !waits {
		return
	}
	waits := maps.Clone(r.Waits)
	if waits[destination] = left; len(left) == 0 {
		delete(waits, destination)
	}
	r.Clean(waits)
}

// WorkedOn reports whether an incarnation of the run goes on: then its destinations are written. Where the run is
// Stopping no connection of it is asked.
func (r *RunRecord) WorkedOn(incarnation int) bool {
	return r.State == pipeline.RunRunning && r.Resumes == incarnation
}
