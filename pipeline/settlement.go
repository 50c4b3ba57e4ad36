package pipeline

import (
	"fanmill/pipeline/spool"
)

// Settlement is a connection that a destination has committed, whole.
type Settlement struct {
	Rows     []int64 `json:"r"` // per query
	Attempt  int     `json:"a"`
	Attempts int     `json:"t"`
	Millis   int64   `json:"ms"`
	// Doubt says that its control totals differ, or are not known.
	Doubt    bool      `json:"doubt,omitempty"`
	Told     bool      `json:"told,omitempty"` // of a stored record: Losses, Notes and Controls are under ToldKey
	Controls []Control `json:"controls,omitempty"`
	Losses   []Loss    `json:"loss,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // what readers of the artifact should know: columns it lacks, say
}

// Refusal is a connection that a destination will not get in this run: it failed for all, or its columns do not fit
// this one. The reason is kept under the key ErrorKey, so that the record stays small.
type Refusal struct {
	Attempt  int   `json:"a"`
	Attempts int   `json:"t"`
	Millis   int64 `json:"ms"`
	Rejected bool  `json:"rejected,omitempty"` // by this destination alone
	Dropped  bool  `json:"dropped,omitempty"`  // a request with its rows was given up by hand: it is not asked again
}

// Loss counts what a destination could not hold in full.
type Loss struct {
	Column string `json:"column"`
	What   string `json:"what"` // "cut to 32767 characters"
	Cells  int64  `json:"cells"`
}

// Seal is a connection whose eof is verified and whose rows are safe in the spool, and which the destination does not
// have yet. It is never asked again and never changed, only written, or sent.
type Seal struct {
	Settlement
	At      spool.Mark `json:"at"`
	Refused bool       `json:"refused,omitempty"` // a request with its rows is a letter: a resume does not send it
}
