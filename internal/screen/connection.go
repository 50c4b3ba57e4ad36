package screen

import (
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// States of a connection, as tables and JSON have them.
const (
	StateDone      = "done"      // every destination has it
	StatePartial   = "partial"   // some destination has it, and some has not
	StateFailed    = "failed"    // no destination gets it in this run
	StateRejected  = "rejected"  // its columns do not fit
	StatePending   = "pending"   // not asked yet, or not written yet
	StateRunning   = "running"   // is being asked
	StateDelivered = "delivered" // its rows are in the row log; destinations are at it
	StateSealed    = "sealed"    // its rows are safe, and wait to be sent
)

// ConnectionView is a connection in a run.
type ConnectionView struct {
	ID       string        `json:"id"`
	Name     string        `json:"name"`
	State    string        `json:"state"`
	Rows     int64         `json:"rows"` // of all its queries
	Millis   int64         `json:"durationMs"`
	Attempts int           `json:"attempts"`
	Missing  []MissingView `json:"missing"` // destinations that lack it, with the reason
	Losses   []LossView    `json:"losses"`
	Notes    []NoteView    `json:"notes"`
	Waits    []string      `json:"waitsFor,omitempty"` // processes that cannot ask it, and why: it waits for another one

	Verified pipeline.Verified  `json:"verified,omitempty"` // equal, differs or unknown; absent without control totals
	Controls []pipeline.Control `json:"controls,omitempty"`
	Before   *pipeline.Figures  `json:"before,omitempty"` // what it delivered the last time
	Changes  []pipeline.Change  `json:"changes,omitempty"`
}

// MissingView says why a destination lacks a connection. Destination is "" if all of them do, for one reason.
type MissingView struct {
	Destination string `json:"destination,omitempty"`
	State       string `json:"state"` // failed, rejected, sealed or pending
	Error       string `json:"error,omitempty"`

	givenUp bool // Error is why the destination was given up, for all connections
	kept    bool // and it had committed this one before: its file may show it, and was not finished
	owed    bool // Error is why the destination is owing, for all connections
}

// LossView counts values that a destination could not hold in full.
type LossView struct {
	Destination string `json:"destination"`
	Column      string `json:"column"`
	What        string `json:"what"`
	Cells       int64  `json:"cells"`
}

// NoteView is what readers of a destination should know of a connection.
type NoteView struct {
	Destination string `json:"destination"`
	Text        string `json:"text"`
}

// DestinationView is a destination of a run.
type DestinationView struct {
	ID          string               `json:"id"`
	Type        string               `json:"type,omitempty"`
	File        string               `json:"file"`
	State       pipeline.RecordState `json:"state"`
	Error       string               `json:"error,omitempty"` // why it was given up, or is owing
	Bytes       int64                `json:"bytes"`           // of the file as committed, or of the requests that were sent
	Connections int                  `json:"connections"`     // that it has
	Total       int                  `json:"total"`
	Rows        int64                `json:"rows"`               // that it has
	Sealed      int                  `json:"sealed,omitempty"`   // connections whose rows wait to be sent
	Refused     int                  `json:"refused,omitempty"`  // of these: connections that a resume does not send, as a request was refused
	Delivery    *pipeline.Delivery   `json:"delivery,omitempty"` // of what is sent in requests
	// Unclaimed says by when a process has to write it, as none does now; it is given up for this run then.
	Unclaimed time.Time `json:"unclaimedUntil,omitzero"`
	// Awaited is the host, or the place, that it waits for then, in words; any process if it is "".
	Awaited string `json:"waitingFor,omitempty"`
	// Lag is how many frames of the row log it has not committed; absent where that is not known.
	Lag *int64 `json:"lag,omitempty"`

	Files []string `json:"-"` // of the connections that it has, where each has one of its own

	pending int // connections of which it has nothing yet
}

// FromReports makes the views of a run from what its destinations report, which all name the same connections in the
// same order.
func FromReports(reports []*pipeline.Report) (connections []ConnectionView, destinations []DestinationView) {
	for _, r := range reports {
		d := DestinationView{ID: r.Destination, File: r.Artifact, State: r.State, Error: r.Error, Bytes: r.Length, Total: len(r.Connections), Delivery: r.Delivery}
		if r.Delivery != nil {
			d.Bytes = r.Delivery.Bytes
		}
		for i, c := range r.Connections {
			d.count(&c)
			if c.State != pipeline.ReportSettled {
				continue
			}
			d.Connections++
			if q := r.Query; q == nil {
				d.Rows += sum(c.Rows)
			} else if *q < len(c.Rows) {
				d.Rows += c.Rows[*q]
			}
			if i < len(r.Files) {
				d.Files = append(d.Files, r.Files[i])
			}
		}
		destinations = append(destinations, d)
	}
	if len(reports) == 0 {
		return nil, nil
	}
	for i := range reports[0].Connections {
		connections = append(connections, fromReports(reports, i))
	}
	return connections, destinations
}

// count counts a connection that the destination does not have.
func (d *DestinationView) count(c *pipeline.ReportConnection) {
	switch c.State {
	case pipeline.ReportPending:
		d.pending++
	case pipeline.ReportSealed:
		d.Sealed++
		if c.Refused {
			d.Refused++
		}
	}
}

// fromReports joins what the reports say of one connection.
func fromReports(reports []*pipeline.Report, i int) ConnectionView {
	v := ConnectionView{ID: reports[0].Connections[i].ID, Name: reports[0].Connections[i].Name, State: StateDone}
	v.figures(reports, i)
	settled, kept := 0, 0
	for _, r := range reports {
		c := r.Connections[i]
		v.Attempts, v.Millis = max(v.Attempts, c.Attempts), max(v.Millis, c.Millis)
		for _, l := range c.Losses {
			v.Losses = append(v.Losses, LossView{r.Destination, l.Column, l.What, l.Cells})
		}
		for _, n := range c.Notes {
			v.Notes = append(v.Notes, NoteView{r.Destination, n})
		}
		if c.State == pipeline.ReportSettled {
			v.Rows = sum(c.Rows)
		}
		switch {
		case c.State == pipeline.ReportSettled && r.State == pipeline.RecordDetached:
			kept++
			v.Missing = append(v.Missing, MissingView{Destination: r.Destination, State: StatePending, Error: r.Error, givenUp: true, kept: true})
			continue
		case c.State == pipeline.ReportSettled:
			settled++
			continue
		}
		m := MissingView{Destination: r.Destination, State: c.State, Error: c.Error}
		if m.Error == "" && c.State == pipeline.ReportPending {
			m.Error, m.givenUp, m.owed = r.Error, r.Error != "", r.State == pipeline.RecordOwing
		}
		v.Missing = append(v.Missing, m)
	}
	if settled == len(reports) {
		return v
	}
	v.State = StatePartial
	if settled+kept == 0 {
		v.State = v.Missing[0].State
		same := true
		for _, m := range v.Missing {
			same = same && m.State == v.Missing[0].State && m.Error == v.Missing[0].Error
		}
		if same {
			v.Missing = v.Missing[:1]
			v.Missing[0].Destination = ""
		}
	}
	return v
}

func sum(rows []int64) (total int64) {
	for _, n := range rows {
		total += n
	}
	return total
}

// complete makes lists that are not nil.
func (c ConnectionView) complete() ConnectionView {
	c.Missing, c.Losses, c.Notes = list(c.Missing), list(c.Losses), list(c.Notes)
	return c
}

// Asked completes a connection of a run that goes on by the record of its attempts.
func (c *ConnectionView) Asked(rec checkpoint.ConnRecord, now time.Time) {
	for _, m := range c.Missing {
		if m.State != StatePending && m.State != StateSealed { // it is known how it ended
			return
		}
	}
	if c.State == StateDone {
		return
	}
	switch rec.State {
	case checkpoint.ConnRunning:
		c.State, c.Millis = StateRunning, max(now.Sub(rec.Started), 0).Milliseconds()
	case checkpoint.ConnDone:
		c.State, c.Millis = StateDelivered, rec.Millis
	case checkpoint.ConnGivenUp, checkpoint.ConnFailed:
		c.State, c.Millis = StateFailed, rec.Millis
		c.Missing = []MissingView{{State: StateFailed, Error: rec.Error}}
	default:
		return
	}
	c.Attempts = rec.Attempts
}
