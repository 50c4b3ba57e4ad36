package pipeline

import (
	"encoding/json"
	"time"
)

// Manifest is a run as it was resolved once, when it began: nothing in it changes by a crash or the passing of midnight.
// A resume may add connections at its end.
type Manifest struct {
	Run          string                `json:"run"`
	JobID        string                `json:"jobId"`
	JobName      string                `json:"jobName"`
	Created      time.Time             `json:"created"`
	TimeZone     string                `json:"timeZone,omitempty"`
	LogMaxBytes  int64                 `json:"logMaxBytes"`
	Connections  []ManifestConnection  `json:"connections"`
	Destinations []ManifestDestination `json:"destinations"`
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
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Path    string          `json:"path"`
	Mode    string          `json:"mode"`
	Options json.RawMessage `json:"options,omitempty"`
	Query   *int            `json:"query,omitempty"` // the only query it takes; all if absent
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
