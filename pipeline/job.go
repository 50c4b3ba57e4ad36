// Package pipeline is the domain of fanmill: the nouns (Job, Run, Frame, CommitRecord), the interfaces of what it talks to
// (row log, key-value store, databases, destinations) and the loops between them. It imports no other package of the
// module but its own subpackages; docs/architecture.md walks a row through it.
package pipeline

import (
	"encoding/json"
	"fmt"
)

// Job is connections x queries -> destinations, as its file says it. Secrets in it are still references (${VAR}).
type Job struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	TimeZone     string        `json:"timeZone,omitempty"` // IANA name in which instants are shown; "" is UTC
	Connections  []Connection  `json:"connections"`
	Destinations []Destination `json:"destinations"`
	Retry        Retry         `json:"retry"`
}

// Connection is one branch database and what is asked of it.
type Connection struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Driver  string  `json:"driver"`
	DSN     string  `json:"dsn,omitempty"` // may hold ${VAR}; expanded when the connection is opened, never stored elsewhere
	Queries []Query `json:"queries"`
}

// Query is one SELECT. Name is "" for a job's only query.
type Query struct {
	Name string `json:"name,omitempty"`
	SQL  string `json:"sql"`
}

// Destination is where rows end. ID is unique within the job and stable from run to run.
type Destination struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	FilePath string          `json:"filePath"` // with its tokens; a run's manifest has the resolved path
	Mode     string          `json:"mode"`
	Options  json.RawMessage `json:"options,omitempty"` // the destination's own keys, for the sink of its type
}

// Retry says how often a transient failure of one connection is tried again within one run.
type Retry struct {
	Attempts int `json:"attempts"` // in all, at least 1
}

// Connection returns the connection with this id.
func (j *Job) Connection(id string) (*Connection, error) {
	for i := range j.Connections {
		if j.Connections[i].ID == id {
			return &j.Connections[i], nil
		}
	}
	return nil, fmt.Errorf("job %s has no connection %q", j.ID, id)
}
