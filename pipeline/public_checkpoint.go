package pipeline

import (
	"time"
)

// PublicCheckpoint is what others may read of a job's progress. It is derived from the commit records and never read
// back.
type PublicCheckpoint struct {
	JobID                  string    `json:"jobId"`
	JobName                string    `json:"jobName"`
	CompletedConnectionIDs []string  `json:"completedConnectionIds"`
	FailedConnectionIDs    []string  `json:"failedConnectionIds"`
	TotalConnections       int       `json:"totalConnections"`
	LastUpdated            time.Time `json:"lastUpdated"`
}
