package checkpoint

import (
	"errors"
	"slices"
	"time"

	"fanmill/pipeline"
)

// ProcessRecord is the lease of a process on all that it has in hand, in Stores.Runs: connections and runs name their
// process by its token. The process writes it at least every third of its lease. Whoever sees the record stand still
// for a lease, by its own clock, may write into it, over what it saw, that the process is dead: the process learns
// that at its next renewal, and drops everything.
type ProcessRecord struct {
	Owner   pipeline.Owner `json:"owner"`
	Roles   []string       `json:"roles,omitempty"`
	Sinks   []string       `json:"sinks,omitempty"`  // the types of destinations that it writes
	Places  []string       `json:"places,omitempty"` // whose files it reaches
	Slots   int            `json:"slots,omitempty"`  // how many connections it asks at a time
	Room    int            `json:"room,omitempty"`   // how many destinations it writes at a time; 0 is DefaultSinkSlots
	InHand  InHand         `json:"inHand,omitzero"`
	Program string         `json:"program,omitempty"` // its version
	Started time.Time      `json:"started"`
	// Draining: it takes nothing more. The process itself says so, or whoever wants it to stop.
	Draining bool            `json:"draining,omitempty"`
	Released bool            `json:"released,omitempty"` // it has ended in order: what it had is free at once
	Dead     *pipeline.Owner `json:"dead,omitempty"`     // who has found it gone
	Ended    time.Time       `json:"ended,omitzero"`     // since when it is released or dead, for people
}

// InHand counts what a process works on.
type InHand struct {
	Connections  int `json:"connections,omitempty"`
	Destinations int `json:"destinations,omitempty"`
}

// Over reports whether the process has nothing in hand any more, whatever other records say.
func (r *ProcessRecord) Over() bool { return r.Released || r.Dead != nil }

// Alone reports whether the process works on nothing but a run of its own, which nobody else takes by himself.
func (r *ProcessRecord) Alone() bool { return slices.Contains(r.Roles, pipeline.RoleRun) }

// Drain has the process take nothing more.
func (r *ProcessRecord) Drain() { r.Draining = true }

// Release ends the lease in order.
func (r *ProcessRecord) Release(now time.Time) {
	r.Released, r.InHand, r.Ended = true, InHand{}, now.UTC()
}

// Condemn says that the process is gone, as by has found. Should it only have slept, it finds that when it wakes.
func (r *ProcessRecord) Condemn(by pipeline.Owner, now time.Time) {
	r.Dead, r.Ended = &by, now.UTC()
}

// says takes from next what the process itself says; what others have written stays.
func (r *ProcessRecord) says(next ProcessRecord) {
	next.Draining, next.Dead = next.Draining || r.Draining, r.Dead
	*r = next
}

func (r *ProcessRecord) sound() error {
	if r.Owner.Token == "" {
		return errors.New("it names no process")
	}
	return soundLease(r.Owner.LeaseMS)
}
