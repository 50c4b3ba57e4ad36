package pipeline

import (
	"cmp"
	"path/filepath"
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
		whole, why := true, ""
		for _, r := range reports {
			line := &r.Connections[i]
			whole = whole && line.State == ReportSettled
			if line.State != ReportSettled {
				why = cmp.Or(why, line.Error, r.Error, lackText[line.State])
			}
		}
		switch {
		case whole:
			n.Complete++
		case len(n.Missing) < maxNoticeMissing:
			n.Missing = append(n.Missing, NoticeMissing{c.ID, c.Name, cutText(why, maxNoticeWhy)})
		default:
			n.More++
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
