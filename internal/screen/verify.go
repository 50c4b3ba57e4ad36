package screen

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"fanmill/pipeline"
)

// VerifyView is what became of files, compared with their manifests. Its JSON has, besides the fields below, "proven",
// "differing" and "unknown", numbers of files, and for each file "ok".
type VerifyView struct {
	Complete bool         `json:"-"` // a file of a partial run is a failure
	Files    []VerifyLine `json:"files"`
}

// VerifyLine is a file that was compared with its manifest.
type VerifyLine struct {
	Path        string          `json:"path"`
	Manifest    string          `json:"manifest"`
	State       string          `json:"state"` // proven, partial, running, changed, edited, other, missing or unknown
	Run         string          `json:"run,omitempty"`
	RunState    string          `json:"runState,omitempty"` // of the destination, as the manifest says
	JobID       string          `json:"jobId,omitempty"`
	JobName     string          `json:"jobName,omitempty"`
	Destination string          `json:"destination,omitempty"`
	Connections int             `json:"connections"`      // that the file has
	Of          int             `json:"totalConnections"` // of the run, as far as they have to do with the file
	Rows        int64           `json:"rows"`             // counted in the file, of this run
	WantRows    int64           `json:"manifestRows"`
	Counted     bool            `json:"counted"` // rows were counted
	Bytes       int64           `json:"bytes"`
	SHA256      string          `json:"sha256,omitempty"` // of the file
	Sealed      bool            `json:"manifestSealed"`   // the manifest has its own checksum, which matches
	Changed     *time.Time      `json:"changed,omitempty"`
	Missing     []VerifyMissing `json:"missing"`
	Differences []VerifyRows    `json:"differences"`
	Why         []string        `json:"why"`
	Notes       []string        `json:"notes"`
	GivenUp     string          `json:"error,omitempty"` // why the destination was given up
	Differs     bool            `json:"-"`               // it is not what its manifest says
	Unknown     bool            `json:"-"`               // it cannot be told
}

// VerifyMissing is a connection that the run has not delivered into the file.
type VerifyMissing struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}

// VerifyRows are rows of the file that are not as many as the manifest says.
type VerifyRows struct {
	Of       string `json:"of"` // a connection, or all together
	File     int64  `json:"file"`
	Manifest int64  `json:"manifest"`
}

// partialState is the state of files that are as published and lack connections.
const partialState = "partial"

// Counts are of files: proven, not what their manifest says, and those of which it cannot be told.
func (v *VerifyView) Counts() (proven, differing, unknown int) {
	for i := range v.Files {
		switch l := &v.Files[i]; {
		case l.Differs, v.Complete && l.State == partialState:
			differing++
		case l.Unknown:
			unknown++
		default:
			proven++
		}
	}
	return proven, differing, unknown
}

// ok reports whether a file is proven.
func (v *VerifyView) ok(l *VerifyLine) bool {
	return !l.Differs && !l.Unknown && (l.State != partialState || !v.Complete)
}

// lacks says what a partial run has not delivered; "" if nothing.
func (l *VerifyLine) lacks() string {
	switch n := len(l.Missing); {
	case l.Of == 0 && l.State != partialState:
		return ""
	case n > 0:
		who := make([]string, 0, namedMissing)
		for _, m := range l.Missing[:min(n, namedMissing)] {
			who = append(who, fmt.Sprintf("%s (%s)", clean(m.Name), cmp.Or(clean(m.State), "no state")))
		}
		more, are := "", "connections are"
		if n == 1 {
			are = "connection is"
		}
		if n > namedMissing {
			more = fmt.Sprintf(" and %s more", Count(int64(n-namedMissing)))
		}
		return fmt.Sprintf("the run is partial: %s %s missing: %s%s", Count(int64(n)), are, strings.Join(who, ", "), more)
	case l.State == partialState && l.RunState == string(pipeline.RecordDetached):
		return "the run has given the file up"
	case l.State == partialState:
		return fmt.Sprintf("the run is not over (%s): more may come", clean(l.RunState))
	}
	return ""
}

// namedMissing is how many connections a line names.
const namedMissing = 20

// namedRows is how many differences of rows are listed.
const namedRows = 20

type verifyLineJSON struct {
	VerifyLine
	OK bool `json:"ok"`
}

type verifyJSON struct {
	Files     []verifyLineJSON `json:"files"`
	Proven    int              `json:"proven"`
	Differing int              `json:"differing"`
	Unknown   int              `json:"unknown"`
}

func (v VerifyView) data() any {
	out := verifyJSON{Files: make([]verifyLineJSON, len(v.Files))}
	out.Proven, out.Differing, out.Unknown = v.Counts()
	for i, l := range v.Files {
		l.Missing, l.Differences, l.Why, l.Notes = list(l.Missing), list(l.Differences), list(l.Why), list(l.Notes)
		out.Files[i] = verifyLineJSON{l, v.ok(&v.Files[i])}
	}
	return out
}

func (v VerifyView) text(s *sheet) {
	t := &table{columns: []column{{head: "File", min: 16}, {head: "State"}, {head: "Connections", right: true}, {head: "Rows", right: true}, {head: "SHA-256", spare: 1}}}
	hidden := 0
	for i := range v.Files {
		l := &v.Files[i]
		if len(v.Files) > longTable && !s.Verbose && v.ok(l) && l.State != partialState {
			hidden++
			continue
		}
		v.line(s, t, l)
	}
	if len(t.rows) > 0 {
		s.table(t, 0)
	}
	if hidden > 0 {
		s.line(0, dim, Of(int64(hidden), "file")+" proven, not listed; --verbose lists all")
	}
	s.blank()
	proven, differing, unknown := v.Counts()
	sum, st := fmt.Sprintf("%s of %s proven", Count(int64(proven)), Of(int64(len(v.Files)), "file")), green
	if unknown > 0 {
		sum, st = sum+fmt.Sprintf(", %s cannot be told", Count(int64(unknown))), yellow
	}
	if differing > 0 {
		sum, st = sum+fmt.Sprintf(", %s not as it should be", Count(int64(differing))), red
	}
	s.line(0, st, sum)
}

// line adds a file to the table.
func (v *VerifyView) line(s *sheet, t *table, l *VerifyLine) {
	state := cell{l.State, green}
	switch {
	case !v.ok(l) && !l.Unknown:
		state.style = red
	case l.Unknown, l.State == partialState:
		state.style = yellow
	}
	connections, rows := "", ""
	if l.Of > 0 {
		connections = fmt.Sprintf("%d/%d", l.Connections, l.Of)
	}
	if l.Counted {
		rows = Count(l.Rows)
	}
	const shortSum = 12
	r := t.add(cell{text: clean(filepath.Base(l.Path))}, state, cell{text: connections}, cell{text: rows}, cell{l.SHA256[:min(shortSum, len(l.SHA256))], dim})
	for _, w := range l.Why {
		r.note(red, oneLine(w))
	}
	if l.Changed != nil {
		r.note(red, "it was last written "+s.when(*l.Changed))
	}
	for i, d := range l.Differences {
		if i == namedRows {
			r.note(red, fmt.Sprintf("rows of %s more differ; --json lists all", Count(int64(len(l.Differences)-namedRows))))
			break
		}
		r.note(red, fmt.Sprintf("rows of %s: the file has %s, the manifest says %s", clean(d.Of), Count(d.File), Count(d.Manifest)))
	}
	if what := l.lacks(); what != "" {
		st := yellow
		if v.Complete {
			st = red
		}
		r.note(st, what)
	}
	if l.GivenUp != "" {
		r.note(yellow, "the destination was given up: "+oneLine(l.GivenUp))
	}
	for _, n := range l.Notes {
		r.note(dim, oneLine(n))
	}
}
