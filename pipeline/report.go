package pipeline

import (
	"maps"
	"time"
)

// Report is what <artifact>.manifest.json says: the state of every connection in one artifact.
type Report struct {
	Run         string             `json:"run"`
	JobID       string             `json:"jobId"`
	JobName     string             `json:"jobName"`
	Destination string             `json:"destination"`
	Artifact    string             `json:"artifact"`
	State       RecordState        `json:"state"`
	Error       string             `json:"error,omitempty"` // why the destination was given up
	Length      int64              `json:"committedLength"` // bytes of the artifact as last committed
	SHA256      string             `json:"sha256"`          // of those bytes
	Updated     time.Time          `json:"updated"`
	Connections []ReportConnection `json:"connections"`
	Delivery    *Delivery          `json:"delivery,omitempty"` // of what is sent in requests

	Query *int     `json:"-"` // the only query that the destination takes; all if nil
	Files []string `json:"-"` // a file per connection, by index; nil if it is one artifact
}

// ReportConnection is one connection's line.
type ReportConnection struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	State    string   `json:"state"`             // settled, sealed, failed, rejected or pending
	Rows     []int64  `json:"rows,omitempty"`    // per query
	Refused  bool     `json:"refused,omitempty"` // sealed, and a request with its rows was refused: see fanmill dead
	Attempts int      `json:"attempts,omitempty"`
	Millis   int64    `json:"durationMs,omitempty"`
	Error    string   `json:"error,omitempty"`
	Losses   []Loss   `json:"losses,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// States of a connection in a report.
const (
	ReportSettled  = "settled"
	ReportFailed   = "failed"   // no destination gets it
	ReportRejected = "rejected" // this destination cannot hold it
	ReportPending  = "pending"
	ReportSealed   = "sealed" // its rows are safe, and not delivered yet
)

// report describes the artifact as the record has it.
func (v *delivery) report() *Report {
	v.mu.Lock()
	reasons := maps.Clone(v.errors)
	v.mu.Unlock()
	return NewReport(v.m, v.dest, v.claim.Record(), reasons)
}

// finalReport describes it as finished, a moment before the record says so.
func (v *delivery) finalReport() *Report {
	r := v.report()
	r.State = RecordFinished
	return r
}

// NewReport describes an artifact; errors are by connection id.
func NewReport(m *Manifest, d *ManifestDestination, rec CommitRecord, errors map[string]string) *Report {
	r := &Report{Run: m.Run, JobID: m.JobID, JobName: m.JobName, Destination: d.ID, Artifact: d.Where(), State: rec.State, Error: rec.Error, Delivery: rec.Delivery, Query: d.Query, Files: d.Files,
		Updated: time.Now().UTC(), Connections: make([]ReportConnection, len(m.Connections))}
	for i, c := range m.Connections {
		line := ReportConnection{ID: c.ID, Name: c.Name, State: ReportPending}
		if s, ok := rec.Settled[i]; ok {
			line.State, line.Rows, line.Attempts, line.Millis = ReportSettled, s.Rows, s.Attempts, s.Millis
			line.Losses, line.Notes = s.Losses, s.Notes
		} else if s, ok := rec.Sealed[i]; ok {
			line.State, line.Rows, line.Attempts, line.Millis = ReportSealed, s.Rows, s.Attempts, s.Millis
			line.Losses, line.Notes = s.Losses, s.Notes
			if line.Refused = s.Refused; s.Refused {
				line.Error = errors[c.ID]
			}
		} else if f, ok := rec.Failed[i]; ok {
			line.State, line.Attempts, line.Millis, line.Error = ReportFailed, f.Attempts, f.Millis, errors[c.ID]
			if f.Rejected {
				line.State = ReportRejected
			}
		}
		r.Connections[i] = line
	}
	return r
}
