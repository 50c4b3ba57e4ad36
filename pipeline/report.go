package pipeline

import "time"

// Report is what <artifact>.manifest.json says: the state of every connection in one artifact.
type Report struct {
	Run         string             `json:"run"`
	JobID       string             `json:"jobId"`
	JobName     string             `json:"jobName"`
	Destination string             `json:"destination"`
	Artifact    string             `json:"artifact"`
	State       RecordState        `json:"state"`
	Length      int64              `json:"committedLength"` // bytes of the artifact as last committed
	SHA256      string             `json:"sha256"`          // of those bytes
	Updated     time.Time          `json:"updated"`
	Connections []ReportConnection `json:"connections"`
}

// ReportConnection is one connection's line.
type ReportConnection struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	State    string  `json:"state"`          // settled, failed, rejected or pending
	Rows     []int64 `json:"rows,omitempty"` // per query
	Attempts int     `json:"attempts,omitempty"`
	Millis   int64   `json:"durationMs,omitempty"`
	Error    string  `json:"error,omitempty"`
	Losses   []Loss  `json:"losses,omitempty"`
}
