package spec

import (
	"time"

	"fanmill/pipeline"
)

// Definition is a job as it was loaded, with what depends on where it came from.
type Definition struct {
	Job *pipeline.Job
	// Inline says that a trigger has brought the job along: it touches no run of another one of this id.
	Inline bool
	// Resolve makes the destinations of a run that began at that time: the tokens of their paths are replaced.
	Resolve func(run string, at time.Time) ([]pipeline.ManifestDestination, error)
	// Params gives every parameter its value at that time: the trigger's in place of the job's.
	Params func(given map[string]any, at time.Time) ([]pipeline.Arg, error)
	// Expand replaces ${VAR}.
	Expand func(string) (string, error)
	// Stored is the specification that it was made from; nil for a job that was loaded.
	Stored *Stored
}
