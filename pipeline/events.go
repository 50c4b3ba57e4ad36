package pipeline

import (
	"time"
)

// Event kinds.
const (
	EventStarted     = "started"
	EventConnected   = "connection-started"
	EventDelivered   = "connection-done" // its eof is in the row log
	EventRetry       = "connection-retry"
	EventFailed      = "connection-failed"
	EventCommitted   = "committed"    // a destination has settled a connection
	EventRejected    = "rejected"     // a destination cannot hold a connection's rows
	EventTrouble     = "write-failed" // a destination could not be written; it is tried again
	EventDetached    = "destination-detached"
	EventSealed      = "sealed"            // a spooled destination has a connection's rows safe, to be written or sent
	EventOwing       = "destination-owing" // what it has is safe, and not all of it is sent
	EventLetter      = "request-refused"   // by the receiver; Connection is set if it has the rows of one
	EventUnverified  = "unverified"        // a connection's control totals differ, or are not known
	EventChanged     = "changed"           // a connection delivered much more or less than the last time
	EventStopping    = "stopping"          // no connection is asked any more; what is delivered whole is still written
	EventInterrupted = "interrupted"       // the run has stopped before its end
	EventEnded       = "ended"
	EventNotified    = "notified"     // a target of notifications was told of State; Destination is its id
	EventNotNotified = "not-notified" // it was not, and nobody tries again
)

// Event tells what happened in a run. Which fields are set follows from Kind.
type Event struct {
	Kind        string    `json:"kind"`
	Job         string    `json:"job"`
	Run         string    `json:"run"`
	Connection  string    `json:"connection,omitempty"`
	Destination string    `json:"destination,omitempty"`
	Attempt     int       `json:"attempt,omitempty"` // counts from 1 since the run began or was resumed
	Rows        int64     `json:"rows,omitempty"`
	Millis      int64     `json:"durationMs,omitempty"`
	Error       string    `json:"error,omitempty"`
	State       string    `json:"state,omitempty"`
	Time        time.Time `json:"time"`
	Process     string    `json:"process,omitempty"` // token of the process that tells
}
