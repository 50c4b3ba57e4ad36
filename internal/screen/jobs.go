package screen

import (
	"fmt"
	"time"
)

// JobsView lists the jobs of the store, in the order given. Its JSON is the list.
type JobsView struct{ Jobs []JobLine }

// JobLine is a job of the store in a list.
type JobLine struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Version      int       `json:"version"`           // that counts; 0 of a job that was removed
	Removed      bool      `json:"removed,omitempty"` // At and By are of that then
	At           time.Time `json:"at"`
	By           string    `json:"by"` // user@host
	Note         string    `json:"note,omitempty"`
	Connections  int       `json:"connections"`
	Destinations int       `json:"destinations"`
	LastRun      string    `json:"lastRun,omitempty"`
	LastState    string    `json:"lastState,omitempty"`
	LastStarted  time.Time `json:"lastStarted,omitzero"`
}

func (v JobsView) data() any { return list(v.Jobs) }

func (v JobsView) text(s *sheet) {
	if len(v.Jobs) == 0 {
		s.line(0, plain, "no jobs are in the store; `fanmill job put FILE` puts one")
		return
	}
	t := &table{columns: []column{{head: "Job", min: 8}, {head: "Name", min: 6, spare: 4}, {head: "Version", right: true}, {head: "Put"}, {head: "By", min: 8, spare: 2},
		{head: "Connections", right: true, spare: 3}, {head: "Destinations", right: true, spare: 5}, {head: "Last run", min: 8, spare: 1}}}
	for _, j := range v.Jobs {
		last := cell{text: "none", style: dim}
		if j.LastRun != "" {
			last = cell{clean(j.LastState) + " " + s.when(j.LastStarted), stateStyle(j.LastState)}
		}
		if j.Removed {
			t.add(cell{text: clean(j.ID)}, cell{}, cell{"removed", dim}, cell{s.when(j.At), dim}, cell{text: clean(j.By)}, cell{}, cell{}, last)
			continue
		}
		t.add(cell{text: clean(j.ID)}, cell{text: clean(j.Name)}, cell{text: fmt.Sprint(j.Version)}, cell{s.when(j.At), dim}, cell{text: clean(j.By)},
			cell{text: Count(int64(j.Connections))}, cell{text: Count(int64(j.Destinations))}, last)
	}
	s.table(t, 0)
}

// JobHistoryView lists the versions of a job of the store, in the order given. Its JSON is the list.
type JobHistoryView struct {
	Job       string
	Removed   time.Time // zero if the job is there
	RemovedBy string
	Versions  []JobVersionLine
}

// JobVersionLine is a version of a job in a list.
type JobVersionLine struct {
	Version      int       `json:"version"`
	Current      bool      `json:"current"` // it is the one that counts
	At           time.Time `json:"at"`
	By           string    `json:"by"` // user@host
	Note         string    `json:"note,omitempty"`
	Digest       string    `json:"digest"` // SHA-256
	Connections  int       `json:"connections"`
	Destinations int       `json:"destinations"`
}

func (v JobHistoryView) data() any { return list(v.Versions) }

// shownDigest is how many digits of a digest tell two versions apart for people.
const shownDigest = 12

func (v JobHistoryView) text(s *sheet) {
	if !v.Removed.IsZero() {
		s.line(0, plain, fmt.Sprintf("job %s was removed from the store by %s, %s", clean(v.Job), clean(v.RemovedBy), s.when(v.Removed)))
		s.blank()
	}
	t := &table{columns: []column{{head: "Version", right: true}, {head: "Put"}, {head: "By", min: 8}, {head: "Connections", right: true, spare: 3},
		{head: "Destinations", right: true, spare: 4}, {head: "Digest", spare: 2}, {head: "Note", min: 8, wraps: true}}}
	for _, l := range v.Versions {
		style := plain
		if l.Current {
			style = bold
		}
		t.add(cell{fmt.Sprint(l.Version), style}, cell{s.when(l.At), dim}, cell{text: clean(l.By)}, cell{text: Count(int64(l.Connections))},
			cell{text: Count(int64(l.Destinations))}, cell{l.Digest[:min(len(l.Digest), shownDigest)], dim}, cell{text: clean(l.Note)})
	}
	s.table(t, 0)
}
