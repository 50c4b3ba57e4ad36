package pipeline

import (
	"encoding/json"
	"path/filepath"
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
	Format      *ReportFormat      `json:"format,omitempty"`   // of a file: how its rows are found

	Query *int     `json:"-"` // the only query that the destination takes; all if nil
	Files []string `json:"-"` // a file per connection, by index; nil if it is one artifact
}

// ReportFormat says how the rows of a connection are found in a file, so that they can be counted without its job.
type ReportFormat struct {
	Type   string          `json:"type"`             // the destination's
	Layout json.RawMessage `json:"layout,omitempty"` // what the type's SinkKind.Count goes by
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

	Controls []Control `json:"controls,omitempty"` // what its database says of the rows, per query that is verified
	Before   *Figures  `json:"before,omitempty"`   // what it delivered the last time
	Changes  []Change  `json:"changes,omitempty"`  // since then
}

// Verified is what became of the connection's control totals; "" if it has none.
func (c *ReportConnection) Verified() Verified { return VerifiedOf(c.Controls) }

// States of a connection in a report.
const (
	ReportSettled  = "settled"
	ReportFailed   = "failed"   // no destination gets it
	ReportRejected = "rejected" // this destination cannot hold it
	ReportPending  = "pending"
	ReportSealed   = "sealed" // its rows are safe, and not delivered yet
)

// ReportPath is where the report of a destination is that is no file.
func ReportPath(folder, job, destination string) string {
	return filepath.Join(folder, Token(job), Token(destination)+".json")
}
