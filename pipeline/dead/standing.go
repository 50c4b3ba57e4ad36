package dead

// States of a dead request.
const (
	Refused    = "refused"
	Unknown    = "unknown"         // the receiver may have it
	Again      = "to be sent"      // a resume of its run sends it
	Dropped    = "to be dropped"   // a resume of its run gives it up
	Superseded = "superseded"      // its run was given up, or forgotten
	Waiting    = "waiting for "    // with the name of the host whose disk its run waits on
	Bodiless   = "without a body"  // its bytes are gone: it can only be dropped
	Settled    = "nothing is owed" // its run is over, and does not need it
)

// Standing is a dead request and what can be done with it.
type Standing struct {
	Letter
	State string `json:"state"`
}
