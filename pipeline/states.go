package pipeline

// RecordState is where a destination stands.
type RecordState string

// The states of a commit record. Only open, finishing, detached and owing records are claimed again.
const (
	RecordOpen      RecordState = "open"      // takes rows
	RecordFinishing RecordState = "finishing" // every connection is settled or failed; the final artifact is being made
	RecordFinished  RecordState = "finished"
	RecordDetached  RecordState = "detached" // gave up; holds the trim no longer; a resume brings what it lacks
	// Ended for this run; what it has is safe, and not all of it is sent; a resume sends it.
	RecordOwing     RecordState = "owing"
	RecordAbandoned RecordState = "abandoned" // a fresh run took its place
)

// RunState is where a run stands.
type RunState string

// The states of a run.
const (
	RunRunning     RunState = "running"
	RunComplete    RunState = "complete"    // everything is everywhere
	RunPartial     RunState = "partial"     // something is missing, or not as its database says, and named
	RunFailed      RunState = "failed"      // nothing was delivered
	RunInterrupted RunState = "interrupted" // its process is gone; it can be resumed
	RunAbandoned   RunState = "abandoned"   // a fresh run took its place
)

// Resumable reports whether a run in this state has something left to do.
func (s RunState) Resumable() bool {
	return s == RunRunning || s == RunInterrupted || s == RunPartial || s == RunFailed
}

// Why a run was stopped on purpose.
const (
	StoppedCancelled = "cancelled"
	StoppedMemory    = "memory"
)
