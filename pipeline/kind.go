package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// SinkKind is one kind of destination, as its own file registers it: all that the rest of fanmill needs to know of
// it. It holds no state.
type SinkKind struct {
	Name        string   // the "type" of a job file
	Label       string   // what people call it, in log lines
	Description string   // one sentence, for the schema
	Example     string   // of a filePath
	Options     []Option // the keys beside id, type, filePath and mode
	Traits      Traits
	// Check reports every mistake in a destination that its options' table does not show, without touching anything.
	// An error with a method Key() string is shown at that key. nil checks nothing.
	Check func(d *Destination) error
	// Warn reports, in the same way, what may be meant otherwise. nil warns of nothing.
	Warn func(d *Destination) error
	// HeaderTwins are the names in the header of an artifact, or of a connection's share of one, that a reader takes
	// for each other, with these columns by query; see Twins. nil is a kind without headers.
	HeaderTwins func(d *ManifestDestination, queries []OpeningQuery) []string
	// AtEnd reports whether nothing is staged before all connections have ended, of a spooled destination. nil is never.
	AtEnd func(d *ManifestDestination) bool
	// New makes the sink of one destination of a run. It touches nothing yet: Recover does.
	New func(spec SinkSpec) (Sink, error)
	// Clean removes everything private of a destination whose run is over, without a claim; keepPrevious leaves what
	// a first commit replaced where it was kept. Calling it again changes nothing. nil is for kinds that have nothing
	// private but what is in the spool.
	Clean func(ctx context.Context, spec SinkSpec, keepPrevious bool) error
}

// Traits are what sets kinds of destinations apart for who works with all of them.
type Traits struct {
	OneQuery  bool // an artifact takes the rows of one query: a job with several gets a destination for each
	OneSchema bool // an artifact has room for one set of columns
	// Spooled means that the destination cannot go on at a byte position: the loop keeps a connection's rows on a disk,
	// and the sink gets them once they are all there.
	Spooled bool
	// Gathers means that a commit costs a spooled destination much: small connections share one.
	Gathers bool
	// SettlesOnRelease means that a connection is delivered when the target has said yes, not when the record is
	// written.
	SettlesOnRelease bool
	// Requests means that Stage makes requests, which the loop keeps and has sent.
	Requests   bool
	Parallel   int           // how many requests Release takes at a time; 0 is 1
	KeyTTL     time.Duration // how long a receiver remembers a request's key; 0 is for ever
	WorkingSet int64         // bytes of memory that Part.Finish and Stage take each, of a spooled destination
	// LongestPath is how long a path, in UTF-16 units, its usual program opens on Windows; 0 is what the system opens.
	LongestPath int
}

// OneSchema reports whether all connections share one set of columns in this destination. With a file for each, each
// has its own.
func (k *SinkKind) OneSchema(d *ManifestDestination) bool {
	return k.Traits.OneSchema && d.Files == nil
}

// Option is a key that a destination takes in a job file. What is known of it stands here alone: the check of its
// value, its decoding, the schema for editors and the page of job files follow from it.
type Option struct {
	Name        string
	Types       []string // JSON types of its value: string, integer, number, boolean, object
	Enum        []string // the only texts, if it has few
	Min, Max    int      // of numbers; both 0 for no bounds
	Each        []Option // of an object whose names are the user's own: the keys of each of its values
	Default     any      // what holds if the key is absent; nil if that cannot be said in a value
	Description string
	Example     any
}

// DecodeOptions reads a destination's options into a struct with JSON tags, after the defaults of their table. The
// values have been checked by that table when the job was loaded; options that were not fail here, without their
// place in a file.
func DecodeOptions(raw json.RawMessage, table []Option, into any) error {
	defaults := make(map[string]any, len(table))
	for _, o := range table {
		if o.Default != nil {
			defaults[o.Name] = o.Default
		}
	}
	given, err := json.Marshal(defaults)
	if err == nil {
		err = json.Unmarshal(given, into)
	}
	if err != nil {
		return Permanent(fmt.Errorf("the defaults of the options: %w", err))
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	return nil
}
