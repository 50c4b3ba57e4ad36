package pipeline

import "time"

// The transitions of a connection's record.

// openConn is the record of a connection that a run begins with.
func openConn(o Opened) ConnRecord { return ConnRecord{Opened: o, State: ConnPending} }

// reopen has a resume's workers ask the connection, whatever its attempts so far have left in the row log.
func (r *ConnRecord) reopen(o Opened, owner string) {
	r.Opened, r.State, r.Attempts, r.Error, r.Owner, r.Floor = o, ConnPending, 0, "", owner, r.Attempt+1
}

// claim allocates the next attempt to a worker.
func (r *ConnRecord) claim(o Owner, now time.Time) {
	r.Attempt, r.Attempts, r.Owner, r.LeaseMS = r.Attempt+1, r.Attempts+1, o.Token, o.LeaseMS
	r.State, r.Error, r.Started = ConnRunning, "", now
}

// finish notes that the eof is in the row log.
func (r *ConnRecord) finish(owner string, now time.Time) { r.end(ConnDone, owner, now) }

// exhaust notes that the worker has tried as often as may be.
func (r *ConnRecord) exhaust(owner string, now time.Time, why error) {
	r.end(ConnGivenUp, owner, now)
	r.Error = shortError(why)
}

func (r *ConnRecord) end(state ConnState, owner string, now time.Time) {
	r.State, r.Owner, r.Millis = state, owner, now.Sub(r.Started).Milliseconds()
}

// giveUp allocates an attempt to the coordinator, which says in the row log that the connection has failed: that fences
// a worker that still publishes.
func (r *ConnRecord) giveUp(owner, why string) {
	r.Attempt, r.Owner, r.State, r.Error = r.Attempt+1, owner, ConnGivenUp, why
}

// found is a connection that was to be given up, or asked, and whose eof turned out to be in the row log.
func (r *ConnRecord) found() { r.State, r.Error = ConnDone, "" }

// fail notes that the row log says that the connection has failed.
func (r *ConnRecord) fail() { r.State = ConnFailed }
