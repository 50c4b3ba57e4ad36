// Package pipeline is the domain of fanmill: the nouns (Job, Run, Frame, CommitRecord), the interfaces of what it talks
// to (row log, key-value store, databases, destinations) and the loops between them. It imports no other package of the
// module but its own subpackages; docs/architecture.md walks a row through it.
package pipeline

import (
	"encoding/json"
	"fmt"
	"time"
)

// Job is connections x queries -> destinations, as its file says it. Secrets in it are still references (${VAR}).
type Job struct {
	ID              string         `json:"id"`
	Name            string         `json:"name"`
	TimeZone        string         `json:"timeZone,omitempty"` // IANA name in which instants are shown; "" is UTC
	Params          map[string]Arg `json:"params,omitempty"`   // by name; a trigger may give other values
	Connections     []Connection   `json:"connections"`
	Destinations    []Destination  `json:"destinations"`
	Retry           Retry          `json:"retry"`
	MaxDuration     Duration       `json:"maxDuration,omitempty"`     // of one attempt at a connection; 0 is no limit
	OnOverlap       string         `json:"onOverlap,omitempty"`       // OverlapQueue or OverlapSkip; "" is OverlapQueue
	OnUnfinished    string         `json:"onUnfinished,omitempty"`    // UnfinishedResume or UnfinishedStartOver; "" refuses a new run over one that is half sent
	OnDrift         string         `json:"onDrift,omitempty"`         // DriftUnion, DriftFail or DriftSkip; "" is DriftUnion
	ParallelPerHost int            `json:"parallelPerHost,omitempty"` // connections asked at a time on one server; 0 is DefaultParallelPerHost
	Snapshot        bool           `json:"snapshot,omitempty"`        // all queries of a connection see one state of its database
	Schedules       []Schedule     `json:"schedule,omitempty"`        // when it runs by itself
	Alert           *Alert         `json:"alert,omitempty"`           // which changes are named; nil is none
	Notify          []NotifyTarget `json:"notify,omitempty"`          // who is told how runs end
}

// What a trigger does that finds its job running.
const (
	OverlapQueue = "queue" // waits for that run to end
	OverlapSkip  = "skip"  // is dropped, saying so
)

// What happens when connections return different columns to a destination that has room for one set.
const (
	DriftUnion = "union" // it has the columns of all; what a connection lacks is NULL there, and named
	DriftFail  = "fail"  // the run ends before anything is written
	DriftSkip  = "skip"  // connections that differ from what most return are left out, and named
)

// What a trigger that asks for a new run does where the job's unfinished one has sent some of its rows.
const (
	UnfinishedResume    = "resume"    // goes on with that run
	UnfinishedStartOver = "startOver" // gives it up: receivers get the rows that they have once more, under other keys
)

// DefaultParallelPerHost spares servers that several branches share.
const DefaultParallelPerHost = 2

// Connection is one branch database and what is asked of it.
type Connection struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels,omitempty"` // from an inventory
	Driver  string            `json:"driver"`
	DSN     string            `json:"dsn,omitempty"` // may hold ${VAR}; expanded when the connection is opened, never stored elsewhere
	Queries []Query           `json:"queries"`
}

// Query is one SELECT. Name is "" for a job's only query.
type Query struct {
	Name string `json:"name,omitempty"`
	SQL  string `json:"sql"`
	// Verify are its control totals; nil is none.
	Verify *Verify `json:"verify,omitempty"`
	Args   []Arg   `json:"-"` // what :name in SQL stands for, in this run; a name that SQL does not have is not used
}

// Arg is a value that is bound to a parameter of a query, never pasted into its text.
type Arg struct {
	Name string  `json:"name,omitempty"`
	Type ArgType `json:"type"`
	Text string  `json:"text,omitempty"` // the value: true, -5, 12.50, 2024-02-29, or a text as it is; in a job, a date may also be a token such as {yesterday}
}

// ArgType says how a value is bound.
type ArgType string

// The types of arguments.
const (
	ArgNull    ArgType = "null"
	ArgBool    ArgType = "bool"    // true or false
	ArgInt     ArgType = "int"     // 64 bits
	ArgDecimal ArgType = "decimal" // digits, with a point or without
	ArgDate    ArgType = "date"    // 2006-01-02
	ArgText    ArgType = "text"
)

// Destination is where rows end. ID is unique within the job and stable from run to run.
type Destination struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Place is the name of the folder that FilePath is relative to; "" where that is a path of the host.
	Place    string `json:"place,omitempty"`
	FilePath string `json:"filePath"` // with its tokens; a run's manifest has the resolved path
	Mode     string `json:"mode"`
	// Partitions are how many workers may write it side by side, each its share of the connections; 0 and 1 are one.
	Partitions int             `json:"partitions,omitempty"`
	Options    json.RawMessage `json:"options,omitempty"` // the destination's own keys, for the sink of its type
}

// Retry says how a transient failure of one connection is tried again within one run. The pause before the second
// attempt is about Backoff, then twice that, and so on up to Max; each varies by half, so that branches behind one
// router do not come back together.
type Retry struct {
	Attempts int      `json:"attempts"`          // in all, at least 1
	Backoff  Duration `json:"backoff,omitempty"` // 0 is DefaultBackoff
	Max      Duration `json:"max,omitempty"`     // 0 is DefaultBackoffMax
}

// The pauses between attempts where a job does not say.
const (
	DefaultBackoff    = Duration(time.Second)
	DefaultBackoffMax = Duration(30 * time.Second)
)

// Duration is a time.Duration that JSON has as "1m30s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
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
