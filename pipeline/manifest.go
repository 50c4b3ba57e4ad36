package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Manifest is a run as it was resolved once, when it began: nothing in it changes by a crash or the passing of
// midnight. A resume may add connections at its end.
type Manifest struct {
	Run     string    `json:"run"`
	JobID   string    `json:"jobId"`
	JobName string    `json:"jobName"`
	Created time.Time `json:"created"`
	Birth   string    `json:"birth,omitempty"` // random: two runs of one id, in two stores, are told apart by it
	// Home is Owner.Home of the processes that write its files which name no place: paths are absolute there.
	Home         string                `json:"home,omitempty"`
	TimeZone     string                `json:"timeZone,omitempty"`
	LogMaxBytes  int64                 `json:"logMaxBytes"`
	Scheduled    *Scheduled            `json:"scheduled,omitempty"`
	Selected     bool                  `json:"selected,omitempty"` // the trigger named connections: the job has others
	Given        json.RawMessage       `json:"given,omitempty"`    // the trigger's params
	Params       []Arg                 `json:"params,omitempty"`   // all of them, resolved
	OnDrift      string                `json:"onDrift,omitempty"`
	Alert        *Alert                `json:"alert,omitempty"`
	Schemas      []Schema              `json:"schemas,omitempty"` // per query, where a destination has room for one set of columns only
	Earlier      []EarlierRun          `json:"earlier,omitempty"` // runs of the job before this one, the oldest first
	Connections  []ManifestConnection  `json:"connections"`
	Destinations []ManifestDestination `json:"destinations"`

	// Source is the stored document that it was read from, if there is more in that than this program knows.
	Source []byte `json:"-"`
}

// Schema is the set of columns that connections with different ones are brought to. Columns are matched by name, see
// Place; a connection that lacks one has NULL there. A column that none of the described connections had is not in it.
type Schema struct {
	Columns []OpeningColumn `json:"columns"` // the union, in the order of first appearance in the job's order; a type is the widest
	// Drift says in words how connections differ from it: `Branch_007 lacks discount`, by connection id.
	Drift map[string]string `json:"drift,omitempty"`
}

// ManifestConnection is a connection without its secrets.
type ManifestConnection struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Driver  string          `json:"driver"`
	Queries []ManifestQuery `json:"queries"`
}

// ManifestQuery names a query; Digest tells whether its text has changed.
type ManifestQuery struct {
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest"`
}

// ManifestDestination is a destination with its path resolved.
type ManifestDestination struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Place is the name of the folder that Path is relative to; "" where that is absolute.
	Place string `json:"place,omitempty"`
	// Home is where the job's files of this destination are, if that is not Manifest.Home.
	Home    string          `json:"home,omitempty"`
	Path    string          `json:"path"`             // of a file
	Target  string          `json:"target,omitempty"` // where rows go, in words, of any other target: without secrets, references as they are
	Mode    string          `json:"mode"`
	Options json.RawMessage `json:"options,omitempty"`
	Query   *int            `json:"query,omitempty"` // the only query it takes; all if absent
	Files   []string        `json:"files,omitempty"` // a file per connection, by index; Path then has the token {connection} still
	// Partition is the share of the connections that it gets, of a destination that several workers write.
	Partition *Partition `json:"partition,omitempty"`
	// Partitions are how many it is to have, until the manifest has them in its place.
	Partitions int `json:"-"`
}

// Where says where rows go: the path of a file, else the target in words. It has no secret in it.
func (d *ManifestDestination) Where() string {
	if d.Place != "" && d.Target == "" {
		return fmt.Sprintf("%s (place %s)", d.Path, d.Place)
	}
	return cmp.Or(d.Target, d.Path) + d.Partition.text()
}

// Location is the time zone instants are shown in.
func (m *Manifest) Location() (*time.Location, error) { return time.LoadLocation(m.TimeZone) }

// Index finds a connection by id; -1 if it is not of this run.
func (m *Manifest) Index(id string) int {
	for i := range m.Connections {
		if m.Connections[i].ID == id {
			return i
		}
	}
	return -1
}

// Destination finds a destination by id; nil if it is not of this run.
func (m *Manifest) Destination(id string) *ManifestDestination {
	for i := range m.Destinations {
		if m.Destinations[i].ID == id {
			return &m.Destinations[i]
		}
	}
	return nil
}

// NewManifest resolves a job for a run. paths gives the destinations with their tokens replaced, Files for all
// connections of the job. selected are the ids of the connections to ask; all if empty.
func NewManifest(job *Job, run string, created time.Time, logMaxBytes int64, selected []string, paths []ManifestDestination) (*Manifest, error) {
	m := &Manifest{Run: run, JobID: job.ID, JobName: job.Name, Created: created, Birth: NewToken(), TimeZone: job.TimeZone, LogMaxBytes: logMaxBytes,
		Selected: len(selected) > 0, OnDrift: job.OnDrift, Alert: job.Alert, Destinations: slices.Clone(paths)}
	for i := range m.Destinations {
		m.Destinations[i].Files = nil
	}
	for _, id := range selected {
		if _, err := job.Connection(id); err != nil {
			return nil, Permanent(err)
		}
	}
	for i := range job.Connections {
		c := &job.Connections[i]
		if m.Selected && !slices.Contains(selected, c.ID) {
			continue
		}
		mc := ManifestConnection{ID: c.ID, Name: c.Name, Driver: c.Driver}
		for _, q := range c.Queries {
			mc.Queries = append(mc.Queries, ManifestQuery{Name: q.Name, Digest: QueryDigest(q.SQL)})
		}
		m.Connections = append(m.Connections, mc)
		for k := range paths {
			if paths[k].Files != nil {
				m.Destinations[k].Files = append(m.Destinations[k].Files, paths[k].Files[i])
			}
		}
	}
	m.partition()
	return m, nil
}

// QueryDigest tells one text of a query from another.
func QueryDigest(sql string) string { return fmt.Sprintf("%016x", xxhash.Sum64String(sql)) }

// EarlierRun is what became of a run of the job before. What it left beside an artifact may lie on the disk of a host
// that has not heard of it: whoever claims the artifact there for a later run goes by this.
type EarlierRun struct {
	Run   string   `json:"run"`
	State RunState `json:"state"` // RunComplete or RunAbandoned
}
