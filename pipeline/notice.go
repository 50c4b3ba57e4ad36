package pipeline

import (
	"cmp"
	"path/filepath"
	"strings"
	"time"
)

// Notice is what somebody is told of a job: what ran, what is missing and why, and where the files are. Its texts come
// from jobs, databases and servers: who shows them takes them for text, whatever is in them.
type Notice struct {
	// ID is the same at each attempt, so that a receiver knows a second one. It has letters and digits only.
	ID       string      `json:"id"`
	Event    NoticeEvent `json:"event"`
	Job      string      `json:"job"`
	JobName  string      `json:"jobName"`
	Run      string      `json:"run,omitempty"`
	State    RunState    `json:"state,omitempty"` // of the run; "" where there is none
	TimeZone string      `json:"timeZone,omitempty"`
	At       time.Time   `json:"at"` // when it happened
	Started  time.Time   `json:"started,omitzero"`
	Ended    time.Time   `json:"ended,omitzero"`
	Late     string      `json:"late,omitempty"`     // of NoticeLate: the time of day by which the job was to be complete
	Selected bool        `json:"selected,omitempty"` // somebody had chosen some connections of the job
	Sample   bool        `json:"sample,omitempty"`   // nothing has happened: somebody tries the target

	Connections int             `json:"connections"` // of the run
	Complete    int             `json:"complete"`    // those that every destination has
	Missing     []NoticeMissing `json:"missing,omitempty"`
	More        int             `json:"more,omitempty"` // missing connections that are not in Missing
	// Doubts are connections that are delivered, and whose control totals differ, or are not known.
	Doubts     []NoticeMissing `json:"doubts,omitempty"`
	MoreDoubts int             `json:"moreDoubts,omitempty"`
	Verified   int             `json:"verified,omitempty"` // connections whose control totals agree
	// Changes are connections that changed by more than the job's alert since the last time.
	Changes     []NoticeMissing `json:"changes,omitempty"`
	MoreChanges int             `json:"moreChanges,omitempty"`
	Places      []NoticePlace   `json:"destinations,omitempty"`
	Rows        int64           `json:"rows"` // that the first destination has
	Last        *NoticeLast     `json:"last,omitempty"`
}

// NoticeMissing is a connection that some destination lacks.
type NoticeMissing struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Why  string `json:"why,omitempty"`
}

// NoticePlace is where rows are.
type NoticePlace struct {
	Destination string      `json:"destination"`
	Where       string      `json:"where"` // the path of a file, or the target in words
	Host        string      `json:"host,omitempty"`
	Files       int         `json:"files,omitempty"` // of a file per connection
	Rows        int64       `json:"rows"`
	Bytes       int64       `json:"bytes,omitempty"` // 0 where it is not known
	State       RecordState `json:"state"`
	Error       string      `json:"error,omitempty"`
	File        string      `json:"file,omitempty"` // the path, where it is a single file
}

// NoticeLast is the run of the job before.
type NoticeLast struct {
	Run         string    `json:"run"`
	State       RunState  `json:"state"`
	Ended       time.Time `json:"ended"`
	Connections int       `json:"connections"`
	Complete    int       `json:"complete"`
	Rows        int64     `json:"rows"`
}

// What a notice has room for.
const (
	maxNoticeMissing = 20
	maxNoticePlaces  = 20
	maxNoticeWhy     = 300 // bytes
)

// NewNotice says how a run ended. reports are by destination.
func NewNotice(m *Manifest, reports []*Report) *Notice {
	n := &Notice{Job: m.JobID, JobName: m.JobName, Run: m.Run, TimeZone: m.TimeZone, Selected: m.Selected, Connections: len(m.Connections)}
	for i, c := range m.Connections {
		whole, why, doubt, change := true, "", "", ""
		verified := Verified("")
		for _, r := range reports {
			line := &r.Connections[i]
			whole = whole && line.State == ReportSettled
			if line.State != ReportSettled {
				why = cmp.Or(why, line.Error, r.Error, lackText[line.State])
			}
			doubt, change = cmp.Or(doubt, doubtOf(line)), cmp.Or(change, namedChange(line))
			verified = cmp.Or(verified, line.Verified())
		}
		switch {
		case !whole:
			name(&n.Missing, &n.More, &c, why)
		case doubt != "":
			name(&n.Doubts, &n.MoreDoubts, &c, doubt)
		default:
			n.Complete++
		}
		if verified == VerifiedEqual && doubt == "" {
			n.Verified++
		}
		if change != "" {
			name(&n.Changes, &n.MoreChanges, &c, change)
		}
	}
	for k, r := range reports {
		p := noticePlace(m.Destination(r.Destination), r)
		if k == 0 {
			n.Rows = p.Rows
		}
		if k < maxNoticePlaces {
			n.Places = append(n.Places, p)
		}
	}
	return n
}

// name adds a connection to a list that names a few, or counts it.
func name(list *[]NoticeMissing, more *int, c *ManifestConnection, why string) {
	if len(*list) == maxNoticeMissing {
		*more++
		return
	}
	*list = append(*list, NoticeMissing{c.ID, c.Name, cutText(why, maxNoticeWhy)})
}

// doubtOf says what does not agree of a connection's control totals; "" if nothing does.
func doubtOf(line *ReportConnection) string {
	var faults []string
	for i := range line.Controls {
		faults = append(faults, line.Controls[i].Faults()...)
	}
	return strings.Join(faults, "; ")
}

// namedChange says by what a connection changed that the job wants named; "" for nothing.
func namedChange(line *ReportConnection) string {
	var changes []string
	for _, c := range line.Alerts() {
		changes = append(changes, c.String())
	}
	return strings.Join(changes, "; ")
}

// lackText says why a destination lacks a connection of which no error tells.
var lackText = map[string]string{ReportPending: "it was not asked to its end", ReportSealed: "its rows are safe, and not delivered yet"}

func noticePlace(d *ManifestDestination, r *Report) NoticePlace {
	p := NoticePlace{Destination: r.Destination, Where: r.Artifact, State: r.State, Error: cutText(r.Error, maxNoticeWhy)}
	for i, c := range r.Connections {
		if c.State != ReportSettled {
			continue
		}
		for q, rows := range c.Rows {
			if r.Query == nil || *r.Query == q {
				p.Rows += rows
			}
		}
		if i < len(r.Files) {
			p.Files++
		}
	}
	if d != nil && d.Files == nil && d.Target == "" && filepath.IsAbs(d.Path) {
		p.File = d.Path
	}
	return p
}

// cutText is a text of so many bytes at most, cut between characters.
func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := 0
	for i := range text {
		if i > most-len("…") {
			break
		}
		end = i
	}
	return text[:end] + "…"
}
