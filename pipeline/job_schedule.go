package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// Schedule has a job run at times of its own, by clocks of the job's time zone.
type Schedule struct {
	At     string          `json:"at"`               // five fields of a crontab, see schedule.Parse
	Params json.RawMessage `json:"params,omitempty"` // in place of the job's: an object
	Resume bool            `json:"resume,omitempty"` // the job's unfinished run goes on
	Missed string          `json:"missed,omitempty"` // MissedRun or MissedSkip; "" is MissedRun
	// A time that nobody served is made up for only so long; 0 is for ever.
	Within Duration `json:"within,omitempty"`
}

// What becomes of times that nobody served.
const (
	MissedRun  = "run"  // one run makes up for all of them
	MissedSkip = "skip" // they are left out
)

// ID names a schedule of a job by what it asks for, and when. So it is the same wherever in its job it stands, and
// whatever was there before it has become.
func (s *Schedule) ID(job, zone string) string {
	resume := ""
	if s.Resume {
		resume = "resume"
	}
	h := sha256.New()
	for _, part := range []string{job, zone, s.At, string(s.Params), resume} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Scheduled is what a run has that a schedule asked for.
type Scheduled struct {
	For    time.Time `json:"for"`              // the time of the schedule
	Missed int       `json:"missed,omitempty"` // how many times before that nobody served: this run makes up for them
}

// ScheduledRuns begins the ids of runs that schedules ask for.
const ScheduledRuns = "s-"

// ScheduledRunID is the id of the run of a schedule at a time: however often that is found to be due, it is one run.
func ScheduledRunID(schedule string, at time.Time) string {
	return ScheduledRuns + schedule + "-" + at.UTC().Format("20060102T150405Z")
}
