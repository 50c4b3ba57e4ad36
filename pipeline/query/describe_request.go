package query

import (
	"errors"
	"time"

	"fanmill/pipeline"
)

// A coordinator that asks no databases itself has them described by a process that does: it may have neither the
// variables nor the way to them. That is a question and an answer, and nothing of it is kept: whoever asks and gets no
// answer asks the next process.

// describeRequest asks what the queries of a connection return, or which server it is on.
type describeRequest struct {
	Job         string              `json:"job"`
	Connection  pipeline.Connection `json:"connection"` // references not replaced
	Held        bool                `json:"held,omitempty"`
	Args        []pipeline.Arg      `json:"args,omitempty"`
	MaxDuration pipeline.Duration   `json:"maxDuration,omitempty"`
	Snapshot    bool                `json:"snapshot,omitempty"`
	NoRun       bool                `json:"noRun,omitempty"`
	ServerOnly  bool                `json:"serverOnly,omitempty"`
}

type describeAnswer struct {
	Opening   *pipeline.Opening `json:"opening,omitempty"`
	Server    string            `json:"server,omitempty"` // tells one server from another, and names none
	Millis    int64             `json:"durationMs,omitempty"`
	Error     string            `json:"error,omitempty"`
	Permanent bool              `json:"permanent,omitempty"`
	Missing   []string          `json:"missing,omitempty"`  // see pipeline.Missing
	Stopping  bool              `json:"stopping,omitempty"` // the process that was asked ends
}

// failed is the answer that says err.
func failed(err error) describeAnswer {
	return describeAnswer{Error: pipeline.ShortError(err), Permanent: pipeline.IsPermanent(err), Missing: pipeline.Missing(err)}
}

// err is what an answer says went wrong.
func (a *describeAnswer) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Permanent:
		return pipeline.Permanent(errors.New(a.Error))
	}
	return errors.New(a.Error)
}

func (a *describeAnswer) took() time.Duration { return time.Duration(a.Millis) * time.Millisecond }
