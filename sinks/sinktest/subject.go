// Package sinktest is the suite that every destination runs. It plays the loop that calls a pipeline.Sink, with a
// commit record in memory and, for a spooled destination, the spool and the outbox, and disturbs it at every step: a
// crash, an end of the context, a full disk, a rival, a user, a receiver in each of its moods. Whatever happens, the
// rows arrive once, whole and in order.
//
//	func TestMarkdown(t *testing.T) {
//		sinktest.Run(t, sinktest.Subject{Kind: Kinds()["markdown"], New: func(t testing.TB, dir string) sinktest.Target {
//			path := filepath.Join(dir, "report.md")
//			return sinktest.Target{
//				Dest: pipeline.ManifestDestination{Path: path},
//				Read: func() ([]sinktest.Row, error) { return readMarkdown(path) },
//			}
//		}})
//	}
//
// It knows the contract (pipeline/sink.go, pipeline/kind.go) and nothing else: no server, no loop of package pipeline.
package sinktest

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"testing"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Subject is a destination under test.
type Subject struct {
	Kind *pipeline.SinkKind
	// New makes a target with nothing in it. dir is an empty folder of its own. It is called for each world that the
	// suite makes, which may be hundreds.
	New func(t testing.TB, dir string) Target
	// Varies says that what a reader sees has other bytes after a crash, though the same rows. Else the artifact of a
	// disturbed run must be that of an undisturbed one, byte for byte.
	Varies bool
}

// Target is what one world's rows go to.
type Target struct {
	// Dest describes the destination. Its files are in the folder that New got. A path with {connection} is resolved by
	// the suite. ID, Type and Mode are filled in where they are empty.
	Dest pipeline.ManifestDestination
	// Elsewhere is Dest as a process on another host has it, which waits for no turn of this one's at the receiver. It is
	// given of a destination that sends requests.
	Elsewhere *pipeline.ManifestDestination
	// Read is everything that a reader sees now, in the order in which it is seen, without anything of fanmill's
	// running. No file, or no document, has no rows. The error says what is wrong with it as it stands.
	Read func() ([]Row, error)
	// Answer has f asked what becomes of each request that arrives, until the next call. It is nil of a destination
	// that sends none. Requests wait for f, and others may come meanwhile.
	Answer func(f func() Answer)
	// Keep is what the receiver has, in a text that differs if anything of it does, and puts it back. It goes with
	// Answer.
	Keep func() (has string, back func())
	// Acts are what a user may do at any moment to a document that fanmill writes, by name. Each does it now, and says
	// of which branches no rows need to be there any more, of what is there now.
	Acts map[string]func() (gone []string)
	// Spec changes what the sink is made from. nil changes nothing.
	Spec func(spec *pipeline.SinkSpec)
}

// Answer is what becomes of a request.
type Answer int

// What a receiver does.
const (
	Take   Answer = iota // it takes the request and says so
	Drop                 // the line breaks before it has the request
	Lose                 // it takes the request, and the answer is lost
	Err                  // it takes the request, and says that it failed: 500, 503
	Hang                 // it takes the request, and is silent until the sender gives up
	Busy                 // it asks to be left alone for a moment: 429
	Deny                 // it lets nobody in: 401, 403
	Refuse               // it will never take this request: 422
)

func (a Answer) String() string {
	return [...]string{"take", "drop", "lose", "err", "hang", "busy", "deny", "refuse"}[a]
}

// Takes says that the receiver has the request from then on.
func (a Answer) Takes() bool { return a == Take || a == Lose || a == Err || a == Hang }

// Row is a row of the suite, as a reader of any artifact finds it in three columns.
type Row struct {
	Branch string // the connection's name
	Query  int    // index
	Line   int    // of the query's rows, from 0
}

// columns of every query.
var columns = []columnar.Column{{Name: "branch", Kind: columnar.Text}, {Name: "query", Kind: columnar.Int}, {Name: "line", Kind: columnar.Int}}

// ParseRow reads a row from the texts of its three cells.
func ParseRow(cells []string) (Row, error) {
	if len(cells) != len(columns) {
		return Row{}, fmt.Errorf("a row has %d cells: %q", len(cells), cells)
	}
	query, err := strconv.Atoi(cells[1])
	if err != nil {
		return Row{}, err
	}
	line, err := strconv.Atoi(cells[2])
	return Row{cells[0], query, line}, err
}

// ParseTable reads the rows under a header.
func ParseTable(lines [][]string) (rows []Row, err error) {
	for i, cells := range lines {
		if i == 0 {
			if cells[0] != columns[0].Name {
				return nil, fmt.Errorf("the header is %q", cells)
			}
			continue
		}
		row, err := ParseRow(cells)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Run runs the whole suite. Its worlds are small and many: what they leave is collected less often.
func Run(t *testing.T, s Subject) {
	const percent = 800
	defer debug.SetGCPercent(debug.SetGCPercent(percent))
	for _, c := range checks {
		if c.when != nil && !c.when(t, s) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if err := c.run(t, s); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// stride is the distance of the steps that the short form of the suite disturbs, where a check disturbs each: enough
// for every step to be met in some destination.
const stride = 6

// check is one way to disturb a destination. Its error says what went wrong, and after what.
type check struct {
	name string
	when func(t testing.TB, s Subject) bool // nil is always
	run  func(t testing.TB, s Subject) error
}

var checks = []check{
	{"undisturbed", nil, undisturbed},
	{"everything twice", nil, everythingTwice},
	{"no rows", nil, noRows},
	{"nothing at all", nil, nothingAtAll},
	{"many connections", nil, manyConnections},
	{"crash at every step", nil, crashes},
	{"end of the context at every step", nil, cancels},
	{"rival at every step", nil, rivals},
	{"user", ofFiles, users},
	{"user of a document", ofActs, editors},
	{"full disk", limited, fullDisk},
	{"rows that cannot be read", spooled, unreadable},
	{"receiver", ofRequests, moods},
	{"rival at every request", ofRequests, overtaken},
}

func ofFiles(t testing.TB, s Subject) bool { return s.Kind.Traits.Target == pipeline.TargetFile }

func limited(t testing.TB, s Subject) bool {
	return canLimit && (ofFiles(t, s) || s.Kind.Traits.Requests) // another one that is spooled writes no files
}

func spooled(_ testing.TB, s Subject) bool { return s.Kind.Traits.Spooled }

func ofActs(t testing.TB, s Subject) bool { return s.New(t, t.TempDir()).Acts != nil }

func ofRequests(t testing.TB, s Subject) bool { return s.New(t, t.TempDir()).Answer != nil }
