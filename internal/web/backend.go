package web

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Backend is what the page shows and does. Its methods are called from many requests at once.
type Backend interface {
	// Alive is nil unless the process is stuck, and has to be killed.
	Alive() error
	// Ready is nil if the store answers.
	Ready(ctx context.Context) error
	// About describes the process.
	About() About
	Reader
	Actor
}

// ErrRefused is what cannot be done as things are. The error that wraps it says why, and what helps.
var ErrRefused = errors.New("refused")

// Refuse is an ErrRefused for people.
func Refuse(err error) error { return &refusal{err} }

type refusal struct{ err error }

func (e *refusal) Error() string   { return e.err.Error() }
func (e *refusal) Unwrap() []error { return []error{e.err, ErrRefused} }

// Actor does what people ask for. Each change names who asks, for the event stream, and the revision that they have
// seen: what is another one by now is left alone, and ErrRefused says what it is.
type Actor interface {
	// Start asks for a new run of a job.
	Start(ctx context.Context, by, job string, s Start) (*Done, error)
	// Resume asks that the job's unfinished run goes on.
	Resume(ctx context.Context, by, run, revision string) (*Done, error)
	// Cancel stops a run, or takes one that waits out of line.
	Cancel(ctx context.Context, by, run, revision string) (*Done, error)
	// GiveUp gives a job's unfinished run up: nothing is left to resume. Files stay.
	GiveUp(ctx context.Context, by, job, revision string) (*Done, error)
	// Forget removes what the store has of a run that has ended. Files stay.
	Forget(ctx context.Context, by, run, revision string) (*Done, error)
	// Replay has a dead request sent again; resend also where its receiver may have it.
	Replay(ctx context.Context, by, key, revision string, resend bool) (*Done, error)
	// Drop gives a dead request up.
	Drop(ctx context.Context, by, key, revision string) (*Done, error)
	// PauseSchedule has a job not run by itself, until ResumeSchedule.
	PauseSchedule(ctx context.Context, by, job, revision string) (*Done, error)
	ResumeSchedule(ctx context.Context, by, job, revision string) (*Done, error)
	// Check reaches a job's connections and destinations, and changes nothing.
	Check(ctx context.Context, job string, connections []string, params map[string]any) (*Check, error)
	// Preview reads the first rows of a connection.
	Preview(ctx context.Context, job string, p Preview) (*Rows, error)
}

// ErrNone is a run, job, checkpoint, request or file that is not there.
var ErrNone = errors.New("there is none")

// None is an ErrNone that says to people what is not there.
func None(format string, args ...any) error { return &absent{fmt.Sprintf(format, args...)} }

type absent struct{ text string }

func (e *absent) Error() string { return e.text }
func (e *absent) Unwrap() error { return ErrNone }

// Reader reads what there is. Ids come from addresses: what is not known is ErrNone.
type Reader interface {
	// Runs lists the runs that the store knows, and those that triggers have asked for: the newest first.
	Runs(ctx context.Context) ([]RunLine, error)
	// Run is one of them in full. Its rows and charts are live where this process carries it out.
	Run(ctx context.Context, run string) (*Run, error)
	// Manifest is the run as it was resolved when it began, as JSON.
	Manifest(ctx context.Context, run string) ([]byte, error)
	// Log is the end of a run's log, at most about max bytes, in whole lines; "" if it is not on this host.
	Log(ctx context.Context, run string, max int64) (string, error)
	// Open opens an artifact, after it was compared with the report beside it: size and SHA-256.
	Open(ctx context.Context, run, destination string, number int) (*Content, error)
	// Jobs lists the jobs that were served or run, by name; their Last are the newest runs.
	Jobs(ctx context.Context) ([]Job, error)
	// Checkpoints lists those of unfinished runs.
	Checkpoints(ctx context.Context) ([]Checkpoint, error)
	// Letters lists the dead requests that are kept on this host, the oldest first.
	Letters(ctx context.Context) ([]Letter, error)
	// Letter is one with the beginning of its body.
	Letter(ctx context.Context, key string) (*Letter, error)
	// Gauges are what there is now, for metrics.
	Gauges(ctx context.Context) (*Gauges, error)
	// Changes hears which runs have changed; a run may be named that has not. It returns when ctx ends, or the store
	// tells nothing any more.
	Changes(ctx context.Context, changed func(run string))
}

// Content is a file that is about to be sent.
type Content struct {
	io.ReadSeekCloser
	File File
}

// About is the process that shows the page.
type About struct {
	Version string `json:"version"`
	Host    string `json:"host"`
	PID     int    `json:"pid"`
	Store   string `json:"store"`  // the folder of the embedded store, or that it is an external one
	Serves  string `json:"serves"` // the folder of the jobs that it runs when triggers ask; "" if it only shows
}
