package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// SinkKind is one kind of destination, as its own file registers it: all that the rest of fanmill needs to know of
// it. It holds no state.
//
// Aliases, Example, Modes, Target and the options are what a job file is checked by, and what the schema for editors
// and the page on job files are made from.
type SinkKind struct {
	Name        string   // the "type" of a job file
	Aliases     []string // other spellings of Name that a job file may have; a job that was loaded has Name
	Label       string   // what people call it, in log lines
	Description string   // one sentence, for the schema
	Example     string   // of a filePath, or of what TargetKey holds
	Options     []Option // the keys beside id, type, filePath and mode
	// TargetKey is the option that says where rows go, of a kind whose target is no file, such as url.
	TargetKey string
	// Modes are what "mode" may be; the first holds if it is absent. nil takes no mode.
	Modes  []string
	Traits Traits
	// Check reports every mistake in a destination that its options' table does not show, without touching anything.
	// References in its texts are references still, whose variables and files are there.
	// An error with a method Key() string is shown at that key. nil checks nothing.
	Check func(d *Destination) error
	// Warn reports, in the same way, what may be meant otherwise. nil warns of nothing.
	Warn func(d *Destination) error
	// HeaderTwins are the names in the header of an artifact, or of a connection's share of one, that a reader takes
	// for each other, with these columns by query; see Twins. nil is a kind without headers.
	HeaderTwins func(d *ManifestDestination, queries []OpeningQuery) []string
	// Partition names the folder of a dataset where a part of the path is key={connection}, so that readers get the
	// connection's name back as the value of key. nil makes the name safe for a file, as everywhere else.
	Partition func(key, connection string) (string, error)
	// Partitions reports why several workers cannot write a destination side by side, each its share of the connections,
	// and what to do instead; nil if they can. A kind without it cannot.
	Partitions func(d *Destination) error
	// Shared reports whether all connections go into one table, of a kind whose options decide that: only then it takes
	// one query and has one set of columns, if its traits say so. nil is always.
	Shared func(d *ManifestDestination) bool
	// Gather says when sealed connections that have waited for each other are staged, of a kind that gathers. nil is
	// after 64 MB or 10 s.
	Gather func(d *ManifestDestination) Gathering
	// AtEnd reports whether nothing is staged before all connections have ended, of a spooled destination. nil is
	// never.
	AtEnd func(d *ManifestDestination) bool
	// Parallel is how many requests Release takes at a time. nil is one.
	Parallel func(d *ManifestDestination) int
	// KeyTTL is how long a receiver remembers a request's key. nil, like 0, is for ever.
	KeyTTL func(d *ManifestDestination) time.Duration
	// New makes the sink of one destination of a run. It touches nothing yet: Recover does.
	New func(spec SinkSpec) (Sink, error)
	// Probe looks whether the target can be reached and written, before a run asks its first database, and for fanmill
	// check. It changes nothing and sends nothing. A run does not begin after an error that is permanent, or a *Trouble
	// of the target; after any other one it begins with a warning. nil probes nothing.
	Probe func(ctx context.Context, spec SinkSpec) error
	// HasNonce reports whether a claim of the destination has left this nonce where its files are, as this process sees
	// that place. It changes nothing. nil is of a kind that writes no files.
	HasNonce func(spec SinkSpec, nonce string) (bool, error)
	// Count counts the rows in a finished file of this kind, as it stands. It goes by the layout that the file's report
	// has of it, holds no more than a few MB, and reads each byte about once. An error is of a file that is damaged, or of
	// another format. nil is of a kind that writes no files.
	Count func(ctx context.Context, f CountedFile) (Counts, error)
	// Clean removes everything private of a destination whose run is over, without a claim; keepPrevious leaves what
	// a first commit replaced where it was kept. Calling it again changes nothing. What is not of the run and the store
	// of spec is not touched: the paths may be those of another host. homes are SinkSpec.Home of the processes whose
	// claims of this run were seen. nil is for kinds that have nothing private but what is in the spool.
	Clean func(ctx context.Context, spec SinkSpec, keepPrevious bool) (homes []string, _ error)
}

// KindNamed finds a kind by its name or one of its aliases; nil if there is none. kinds are by name.
func KindNamed(kinds map[string]*SinkKind, name string) *SinkKind {
	if k := kinds[name]; k != nil {
		return k
	}
	for _, k := range kinds {
		if slices.Contains(k.Aliases, name) {
			return k
		}
	}
	return nil
}

// Traits are what sets kinds of destinations apart for who works with all of them.
type Traits struct {
	Target    TargetKind
	OneQuery  bool // an artifact takes the rows of one query: a job with several gets a destination for each
	OneSchema bool // an artifact has room for one set of columns
	// Dataset means that readers take the files of all connections for one table: with a file for each, they share
	// one set of columns, and what stands beside them does not look like data.
	Dataset bool
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
	WorkingSet int64 // bytes of memory that Part.Finish and Stage take each, of a spooled destination
	// LongestPath is how long a path, in UTF-16 units, its usual program opens on Windows; 0 is what the system opens.
	LongestPath int
}

// Gathering is what small connections wait for, so that each does not cost a commit of its own: whichever comes first.
type Gathering struct {
	Bytes int64         // that they take in the spool
	Rows  int64         // 0 is any number
	Time  time.Duration // since the last commit
}

// TargetKind is what a destination writes to.
type TargetKind uint8

const (
	// TargetFile is a file, or several: the destination needs a filePath.
	TargetFile TargetKind = iota
	// TargetURL is a receiver of requests.
	TargetURL
	// TargetDocument is a document that a service keeps, such as a spreadsheet.
	TargetDocument
)

// Where says in words where rows go, of a kind whose target is no file, by its options. References stay as they are;
// what may be a secret beside them in a URL (user and password, query, fragment) is left out.
func (k *SinkKind) Where(options json.RawMessage) string {
	given, err := objectOf(options)
	if err != nil || k.Traits.Target == TargetFile {
		return ""
	}
	text, _ := given[k.TargetKey].(string)
	if o := OptionNamed(k.Options, k.TargetKey); o == nil || o.Use == Secret {
		return k.Label
	}
	scheme, rest, isURL := strings.Cut(text, "://")
	if !isURL {
		return cmp.Or(text, k.Label)
	}
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	return strings.TrimSuffix(scheme+"://"+authority+"/"+path, "/")
}

// OneSchema reports whether all connections share one set of columns in this destination. With a file for each, each
// has its own, unless they are a dataset.
func (k *SinkKind) OneSchema(d *ManifestDestination) bool {
	return k.Traits.OneSchema && (d.Files == nil || k.Traits.Dataset) && k.shared(d)
}

// OneQuery reports whether this destination takes the rows of one query.
func (k *SinkKind) OneQuery(d *ManifestDestination) bool {
	return k.Traits.OneQuery && k.shared(d)
}

func (k *SinkKind) shared(d *ManifestDestination) bool { return k.Shared == nil || k.Shared(d) }

// GatheringOf is what small connections wait for.
func (k *SinkKind) GatheringOf(d *ManifestDestination) Gathering {
	if k.Gather == nil {
		return Gathering{Bytes: 64 << 20, Time: 10 * time.Second}
	}
	return k.Gather(d)
}

// ParallelOf is how many requests are sent at a time.
func (k *SinkKind) ParallelOf(d *ManifestDestination) int {
	if k.Parallel == nil {
		return 1
	}
	return max(1, k.Parallel(d))
}

// TTLOf is how long a receiver remembers a request's key; 0 is for ever.
func (k *SinkKind) TTLOf(d *ManifestDestination) time.Duration {
	if k.KeyTTL == nil {
		return 0
	}
	return k.KeyTTL(d)
}
