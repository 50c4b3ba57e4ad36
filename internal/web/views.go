package web

import "time"

// What the page shows and the API answers. Names and states are those of fanmill status --json and runs --json; fields
// that end in Ms are milliseconds. Ids are as the job has them.

// RunLine is a run in a list.
type RunLine struct {
	Run     string    `json:"run"`
	JobID   string    `json:"jobId"`
	JobName string    `json:"jobName,omitempty"`
	State   string    `json:"state"` // queued, running, complete, partial, failed, interrupted or abandoned
	Error   string    `json:"error,omitempty"`
	Asked   time.Time `json:"asked,omitzero"` // when its trigger came, if it is queued
	// Scheduled is for which time a schedule has asked for it, and Missed how many times before that nobody served.
	Scheduled time.Time `json:"scheduledFor,omitzero"`
	Missed    int       `json:"missedBefore,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Millis    int64     `json:"durationMs"` // so far, if it has not ended
	Done      int       `json:"done"`       // connections that every destination has
	Failed    int       `json:"failed"`     // connections that some destination does not get in this run
	Total     int       `json:"total"`
	Rows      int64     `json:"rows"` // of those done
	Owing     []string  `json:"owing,omitempty"`
	Resumes   int       `json:"resumes"`
	Resumable bool      `json:"resumable"` // it is its job's newest, and something is left to do
	Revision  string    `json:"revision"`  // what a change of it has to name
}

// Going reports whether the run moves.
func (l *RunLine) Going() bool { return l.State == "running" || l.State == "queued" }

// Run is a run in full.
type Run struct {
	RunLine
	Owner        string        `json:"owner,omitempty"`  // who carries it out: process 12887 on vm
	Resume       string        `json:"resume,omitempty"` // the command that brings what is missing
	Again        string        `json:"again,omitempty"`  // delivers all anew: control totals do not agree
	Cancel       string        `json:"cancel,omitempty"` // the command that stops it
	TimeZone     string        `json:"timeZone,omitempty"`
	Params       []Param       `json:"params"`
	Selected     bool          `json:"selected"` // somebody chose its connections: the job has others
	Connections  []Connection  `json:"connections"`
	Destinations []Destination `json:"destinations"`
	Drift        []string      `json:"drift"`         // how the columns of connections differ from the others'
	Log          *Fill         `json:"log,omitempty"` // the row log; absent where that is gone
	Memory       *Fill         `json:"memory,omitempty"`
	Charts       []Chart       `json:"charts"`
	Suggestions  []string      `json:"suggestions"`
	Told         []string      `json:"told,omitempty"` // who was told how it ended, or is to be
}

// Fill is how much of something bounded is taken, in bytes.
type Fill struct {
	Bytes int64 `json:"bytes"`
	Max   int64 `json:"maxBytes"`
}

// Chart is a value over time.
type Chart struct {
	Name   string  `json:"name"`
	Max    int64   `json:"maxBytes"` // the bound: the memory threshold, the row log's size
	Points []Point `json:"points"`
}

// Point is one value of a chart.
type Point struct {
	At    time.Time `json:"at"`
	Bytes int64     `json:"bytes"`
}

// Param is a parameter with its value in a run, or by default.
type Param struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

// Connection is a connection in a run.
type Connection struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	State    string    `json:"state"` // done, partial, failed, rejected, pending, running, delivered or sealed
	Rows     int64     `json:"rows"`  // of one that runs here: read so far
	Rate     int64     `json:"rowsPerSecond,omitempty"`
	Millis   int64     `json:"durationMs"`
	Since    time.Time `json:"since,omitzero"` // when the attempt that runs has begun
	Attempts int       `json:"attempts"`
	Missing  []Missing `json:"missing"` // destinations that lack it, and why
	Losses   []Loss    `json:"losses"`
	Notes    []Note    `json:"notes"`
	Verified string    `json:"verified,omitempty"` // its control totals: equal, differs or unknown; absent without any
	Totals   string    `json:"totals,omitempty"`   // which were delivered, in words
	Doubts   []string  `json:"doubts"`             // what they say against it
	LastTime string    `json:"lastTime,omitempty"` // the rows of the last time, and the change
	Alerts   []string  `json:"alerts"`             // changes since then that the job wants named
	Waits    []string  `json:"waitsFor"`           // processes that cannot ask it, and why: it waits for another one
}

// Missing says why a destination lacks a connection. Destination is "" if all do, for one reason.
type Missing struct {
	Destination string `json:"destination,omitempty"`
	State       string `json:"state"`
	Error       string `json:"error,omitempty"`
}

// Loss counts values that a destination could not hold in full.
type Loss struct {
	Destination string `json:"destination"`
	Column      string `json:"column"`
	What        string `json:"what"`
	Cells       int64  `json:"cells"`
}

// Note is what readers of a destination should know of a connection.
type Note struct {
	Destination string `json:"destination"`
	Text        string `json:"text"`
}

// Destination is a destination of a run.
type Destination struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	Label       string    `json:"label"` // what people call its type
	Where       string    `json:"where"` // path or target
	State       string    `json:"state"` // open, finishing, finished, detached, owing or abandoned
	Error       string    `json:"error,omitempty"`
	Bytes       int64     `json:"bytes"`
	Connections int       `json:"connections"` // that it has
	Total       int       `json:"total"`
	Rows        int64     `json:"rows"`
	Sealed      int       `json:"sealed,omitempty"`
	Lag         *int64    `json:"lag,omitempty"` // frames of the row log that it has not committed
	Unclaimed   time.Time `json:"unclaimedUntil,omitzero"`
	Awaited     string    `json:"waitingFor,omitempty"` // the host, or the place, then; "" is any
	Requests    *Requests `json:"requests,omitempty"`   // of what is sent in requests
	Files       []File    `json:"files"`
	MoreFiles   int       `json:"moreFiles,omitempty"` // that are not in Files
}

// Requests are what a destination has sent.
type Requests struct {
	Total   int      `json:"total"`
	Sent    int      `json:"sent"`
	Refused int      `json:"refused"`
	Dropped int      `json:"dropped"`
	Last    *Receipt `json:"last,omitempty"`
	IDs     []string `json:"ids"` // what the receiver calls them; the first
}

// Receipt is a receiver's last answer.
type Receipt struct {
	Status   int       `json:"status"`
	ID       string    `json:"id,omitempty"`
	At       time.Time `json:"at"`
	Attempts int       `json:"attempts"`
	Notes    []string  `json:"notes,omitempty"`
}

// File is an artifact as the report beside it says. Number is its place in the destination, for its address.
type File struct {
	Number int       `json:"number"`
	Path   string    `json:"path"`
	Name   string    `json:"name"`
	Bytes  int64     `json:"bytes"`
	SHA256 string    `json:"sha256,omitempty"`
	At     time.Time `json:"updated,omitzero"`
	Why    string    `json:"why,omitempty"` // why it cannot be downloaded; "" if it can
}

// Job is a job as it was last served or run.
type Job struct {
	ID           string           `json:"id"`
	Name         string           `json:"name"`
	Path         string           `json:"path,omitempty"` // of its file, where this process serves it
	Served       bool             `json:"served"`         // by this process
	Problem      string           `json:"problem,omitempty"`
	TimeZone     string           `json:"timeZone,omitempty"`
	Facts        []Fact           `json:"facts"` // what it asks for beside: retry, overlap and the like
	Params       []Param          `json:"params"`
	Connections  []JobConnection  `json:"connections"`
	Queries      []JobQuery       `json:"queries"`
	Destinations []JobDestination `json:"destinations"`
	Last         []RunLine        `json:"lastRuns"` // the newest first
	Revision     string           `json:"revision"`
	Schedules    []JobSchedule    `json:"schedules"`        // the next one first
	Paused       *Paused          `json:"paused,omitempty"` // its schedules, by whom
}

// Next is when it runs by itself next; zero if it does not.
func (j Job) Next() time.Time {
	if j.Paused != nil || len(j.Schedules) == 0 {
		return time.Time{}
	}
	return j.Schedules[0].Next
}

// ScheduleRevision is what a change of its schedules has to name.
func (j Job) ScheduleRevision() string {
	if j.Paused == nil {
		return "on"
	}
	return "paused"
}

// JobSchedule is when a job runs by itself.
type JobSchedule struct {
	At      string    `json:"at"` // five fields of a crontab
	Asks    string    `json:"asks,omitempty"`
	Next    time.Time `json:"next,omitzero"`
	Last    time.Time `json:"last,omitzero"` // the time of the last run
	Run     string    `json:"run,omitempty"` // its id
	Missed  int       `json:"missedBefore,omitempty"`
	Skipped time.Time `json:"skipped,omitzero"` // the last time that nobody served, and no run made up for
}

// Paused is who has a job not run by itself.
type Paused struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Fact is a name and what stands there.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// JobConnection is a connection of a job, without its address.
type JobConnection struct {
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Driver string            `json:"driver"`
	Labels map[string]string `json:"labels,omitempty"`
}

// JobQuery is a query, and how many connections are asked it.
type JobQuery struct {
	Name        string `json:"name,omitempty"`
	SQL         string `json:"sql"`
	Connections int    `json:"connections"`
}

// JobDestination is where a job's rows end, with the tokens of its path.
type JobDestination struct {
	ID    string `json:"id"`
	Type  string `json:"type"`
	Label string `json:"label"`
	Where string `json:"where"`
	Mode  string `json:"mode,omitempty"`
}

// Checkpoint says which connections of a job's unfinished run every destination has.
type Checkpoint struct {
	JobID     string    `json:"jobId"`
	JobName   string    `json:"jobName"`
	Run       string    `json:"run"`
	State     string    `json:"state"`
	Completed []string  `json:"completedConnectionIds"`
	Failed    []string  `json:"failedConnectionIds"`
	Missing   []string  `json:"missingConnectionIds"`
	Total     int       `json:"totalConnections"`
	Updated   time.Time `json:"lastUpdated"`
	Revision  string    `json:"revision"` // of its run
}

// Letter is a dead request.
type Letter struct {
	Key         string    `json:"key"`
	JobID       string    `json:"job"`
	Run         string    `json:"run"`
	Destination string    `json:"destination"`
	Where       string    `json:"where"`
	Connection  string    `json:"connection,omitempty"`
	State       string    `json:"state"`
	Error       string    `json:"error"`
	Status      int       `json:"status,omitempty"`
	Answer      string    `json:"answer,omitempty"`
	At          time.Time `json:"time"`
	Rows        int64     `json:"rows"`
	Bytes       int64     `json:"bytes"`
	SHA256      string    `json:"sha256"`
	Body        string    `json:"body,omitempty"` // its beginning, in printable form; of one letter only
	More        bool      `json:"more,omitempty"` // the body has more
	Unknown     bool      `json:"unknown"`        // the receiver may have it
	Bodiless    bool      `json:"bodiless"`       // it can only be dropped
	Revision    string    `json:"revision"`
}

// Start is what a new run is to be of.
type Start struct {
	Params      map[string]any `json:"params,omitempty"`
	Connections []string       `json:"connections,omitempty"` // ids; all if empty
	ID          string         `json:"id,omitempty"`          // of the run; the same id is the same run
	GiveUp      string         `json:"giveUp,omitempty"`      // id of the unfinished run that a new one gives up
	StartOver   bool           `json:"startOver,omitempty"`   // also where some of its rows were sent
}

// Change is what a change of a run, a checkpoint or a dead request has to name.
type Change struct {
	Revision string `json:"revision"` // that was seen
	Resend   bool   `json:"resend,omitempty"`
}

// Done is what became of what somebody asked for. Said is what the command says.
type Done struct {
	Said  string `json:"said"`
	Run   string `json:"run,omitempty"`
	JobID string `json:"jobId,omitempty"`
	State string `json:"state,omitempty"`
}

// Check is what was found of a job's connections and destinations.
type Check struct {
	Good         bool        `json:"good"`
	Millis       int64       `json:"durationMs"`
	Connections  []CheckLine `json:"connections"`
	Destinations []string    `json:"destinations"` // that cannot be reached or written, and what would help
	Warnings     []string    `json:"warnings"`
}

// CheckLine is a connection that was checked.
type CheckLine struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Reachable bool     `json:"reachable"`
	Millis    int64    `json:"durationMs"`
	Server    string   `json:"server,omitempty"`
	Differs   []string `json:"differs"` // how its columns are not those of the others
	Warnings  []string `json:"warnings"`
	Error     string   `json:"error,omitempty"`
}

// State is a connection's check in a word.
func (c CheckLine) State() string {
	switch {
	case !c.Reachable:
		return "failed"
	case c.Error != "":
		return "failed"
	case len(c.Differs)+len(c.Warnings) > 0:
		return "differs"
	}
	return "reachable"
}

// CheckAsk is what a check is to be of.
type CheckAsk struct {
	Connections []string       `json:"connections,omitempty"` // ids; all if empty
	Params      map[string]any `json:"params,omitempty"`
}

// Preview is which rows are to be shown.
type Preview struct {
	Connection string         `json:"connection,omitempty"` // id; the first if empty
	Query      string         `json:"query,omitempty"`
	Params     map[string]any `json:"params,omitempty"`
}

// Rows are the first rows of a query.
type Rows struct {
	Connection string      `json:"connection"`
	Query      string      `json:"query,omitempty"`
	Server     string      `json:"server,omitempty"`
	Millis     int64       `json:"durationMs"`
	Columns    []Column    `json:"columns"`
	Rows       [][]*string `json:"rows"` // as texts; null is NULL
	More       bool        `json:"more"`
}

// Column is a column of Rows.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}
