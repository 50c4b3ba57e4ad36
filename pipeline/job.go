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
	ID           string
	Name         string
	TimeZone     string // IANA name in which instants are shown; "" is UTC
	Connections  []Connection
	Destinations []Destination
	Retry        Retry
}

// Connection is one branch database and what is asked of it.
type Connection struct {
	ID      string
	Name    string
	Driver  string
	DSN     string // may hold ${VAR}; expanded when the connection is opened, never stored elsewhere
	Queries []Query
}

// Query is one SELECT. Name is "" for a job's only query.
type Query struct {
	Name string
	SQL  string
}

// Destination is where rows end. ID is unique within the job and stable from run to run.
type Destination struct {
	ID       string
	Type     string
	FilePath string // with its tokens; a run's manifest has the resolved path
	Mode     string
	Options  json.RawMessage // the destination's own keys, for the sink of its type
}

// Retry says how often a transient failure of one connection is tried again within one run.
type Retry struct {
	Attempts int // in all, at least 1
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
