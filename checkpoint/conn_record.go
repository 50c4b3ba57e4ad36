package checkpoint

import (
	"fmt"
	"strings"
	"time"

	"fanmill/pipeline"
)

// The transitions of a connection's record. Whoever makes one writes it by compare-and-set over the record that it has
// looked at.

// Death is a worker that was gone while it had a connection.
type Death struct {
	Host  string `json:"host,omitempty"`
	PID   int    `json:"pid,omitempty"`
	Frame uint64 `json:"frame"` // number of the last frame of rows that it had stored
}

func (d Death) String() string {
	if d.Host == "" {
		return "one of an earlier version of fanmill"
	}
	return fmt.Sprintf("process %d on %s", d.PID, d.Host)
}

// How many workers may die in a row with one connection, at the same place of its rows. That is no number of tries:
// what ends a process says nothing of a connection, unless it happens there again and again. One that has stored rows
// may have stood there for long, as the row log was full, and anything may end processes then.
const (
	MaxDeaths       = 3 // without any rows
	MaxDeathsInRows = 10
)

// OpenConn is the record of a connection that a run begins with.
func OpenConn(o Opened) ConnRecord { return ConnRecord{Opened: o, State: ConnPending} }

// Claim allocates the first attempt of a worker, which takes a connection that is pending and no other.
func (r *ConnRecord) Claim(o pipeline.Owner, now time.Time) (claimed bool) {
	if r.State != ConnPending {
		return false
	}
	r.Owner, r.Host, r.PID, r.LeaseMS = o.Token, o.Host, o.PID, o.LeaseMS
	r.Refused = r.logins() // this one has what others lack, and may not be let in either
	r.Retry(now)
	return true
}

// Retry allocates the next attempt of the worker that has the connection.
func (r *ConnRecord) Retry(now time.Time) {
	r.Attempt, r.Attempts, r.State, r.Error, r.Started = r.Attempt+1, r.Attempts+1, ConnRunning, "", now
}

// Finish notes that the eof is in the row log.
func (r *ConnRecord) Finish(now time.Time) { r.end(ConnDone, now) }

// Exhaust notes that the worker has tried as often as may be.
func (r *ConnRecord) Exhaust(now time.Time, why error) {
	r.end(ConnGivenUp, now)
	r.Error = pipeline.ShortError(why)
}

func (r *ConnRecord) end(state ConnState, now time.Time) {
	r.State, r.Deaths, r.Refused, r.Millis = state, nil, nil, now.Sub(r.Started).Milliseconds()
}

// Judge has the connection asked again, as the worker that had it is gone, which is no try. One that died is counted;
// frame is the last frame of rows that it had stored. Too many that die there, in a row, have the connection given up.
func (r *ConnRecord) Judge(died bool, frame uint64) {
	r.State, r.Attempts = ConnPending, max(r.Attempts-1, 0)
	r.bury(died, frame)
}

// Release gives a connection back that its worker has not asked to the end, which is no try: the next one begins anew.
// Only the process that has it does that, which owner names, for the incarnation of the run that it had it for.
func (r *ConnRecord) Release(owner string, incarnation int) (released bool) {
	if r.State != ConnRunning || r.Owner != owner || r.Opened.Incarnation > incarnation {
		return false
	}
	r.Judge(false, 0)
	return true
}

func (r *ConnRecord) bury(died bool, frame uint64) {
	if !died {
		return
	}
	if len(r.Deaths) > 0 && r.Deaths[0].Frame != frame { // this one got somewhere else
		r.Deaths = nil
	}
	r.Deaths = append(r.Deaths[:len(r.Deaths):len(r.Deaths)], Death{r.Host, r.PID, frame})
	if r.Deadly() {
		r.condemn()
	}
}

// Begun notes that an attempt of this number has begun, as a destination knows: the next one has a higher one.
func (r *ConnRecord) Begun(attempt int) { r.Attempt = max(r.Attempt, attempt) }

// condemn has the coordinator give the connection up for the workers that died with it.
func (r *ConnRecord) condemn() {
	r.State, r.Error = ConnGivenUp, pipeline.ShortError(errDeadly(r.Deaths))
}

// Deadly reports whether the connection is given up for the workers that died with it.
func (r *ConnRecord) Deadly() bool { return r.deathsLeft() == 0 }

// deathsLeft is how many more workers may die where the last ones did.
func (r *ConnRecord) deathsLeft() int {
	most := MaxDeaths
	if len(r.Deaths) > 0 && r.Deaths[0].Frame > 0 {
		most = MaxDeathsInRows
	}
	return max(most-len(r.Deaths), 0)
}

// Suspicion is how much speaks for it that the connection is what ends processes.
func (r *ConnRecord) Suspicion() Suspicion {
	switch r.deathsLeft() {
	case 0, 1:
		return AskedAlone
	case 2:
		return AskedLast
	}
	return Unsuspected
}

// Suspicion says when a connection is asked: those beside one that ends their process die with it.
type Suspicion int

const (
	Unsuspected Suspicion = iota
	AskedLast             // when all that are not suspected have ended
	AskedAlone            // with no other beside it
)

// Reopen has a resume's workers ask the connection, whatever its attempts so far have left in the row log. died says
// that the workers of before died, and frame where this one's had got to. A connection that so is given up, or was
// before the row log could say so, is not asked.
func (r *ConnRecord) Reopen(o Opened, owner string, died bool, frame uint64) {
	was := r.State
	if was != ConnRunning && was != ConnPending && !(was == ConnGivenUp && r.Deadly()) {
		r.Deaths = nil // somebody asks for it anew
	}
	r.Opened, r.Attempts, r.Owner, r.Floor, r.Refused = o, 0, owner, r.Attempt+1, nil
	if r.Deadly() {
		r.condemn()
		return
	}
	r.State, r.Error = ConnPending, ""
	r.bury(died && was == ConnRunning, frame)
}

// LeaveOut has the coordinator give up a connection that a resume does not ask, which has just opened the record.
func (r *ConnRecord) LeaveOut() {
	if r.State == ConnPending {
		r.State, r.Error = ConnGivenUp, "left out of this resume by the choice of connections"
	}
}

// GiveUp allocates an attempt to the coordinator, which says in the row log that the connection has failed: that fences
// a worker that still publishes.
func (r *ConnRecord) GiveUp(owner, why string) {
	r.Attempt, r.Owner, r.State, r.Error = r.Attempt+1, owner, ConnGivenUp, why
}

// Found is a connection that was to be asked, or given up, and whose eof turned out to be in the row log.
func (r *ConnRecord) Found() { r.State, r.Error, r.Deaths = ConnDone, "", nil }

// Fail notes that the row log says that the connection has failed.
func (r *ConnRecord) Fail() { r.State = ConnFailed }

// errDeadly names the workers that died.
func errDeadly(deaths []Death) error {
	var names []string
	for _, d := range deaths {
		names = append(names, d.String())
	}
	return fmt.Errorf("the processes that asked it died, %d in a row at the same place: %s; it may be what ends them, by rows that take more memory than there is, say. "+
		"Find out what ended them (the system's log), raise their memory or leave large columns out, and resume the run", len(deaths), strings.Join(names, ", "))
}
