package pipeline

import (
	"fmt"
	"strings"
)

// Verify names the control totals of a query: figures that its database is asked for beside the rows, and that are
// compared with what was delivered.
type Verify struct {
	Count bool     `json:"count,omitempty"` // the number of rows
	Sum   []string `json:"sum,omitempty"`   // the sums of these columns of the result
	// Query asks for them: it returns one row, with the count, if that is wanted, and the sums, in this order. "" is made
	// from the query whose totals they are.
	Query string `json:"query,omitempty"`
}

// None reports whether it names nothing.
func (v *Verify) None() bool { return v == nil || !v.Count && len(v.Sum) == 0 }

// ControlQuery is what a database is asked for control totals by.
type ControlQuery struct {
	SQL string
	// Shifts has an entry for each total: it is the sum of the next columns of the row, each times 2^shift. So a
	// database whose sums overflow tells them in two halves.
	Shifts [][]uint
}

// Control compares what a query of a connection delivered with what its database says of it.
type Control struct {
	Query  int            `json:"index"`           // of the connection's queries
	Name   string         `json:"query,omitempty"` // the query's
	Totals []ControlTotal `json:"totals,omitempty"`
	Error  string         `json:"error,omitempty"` // why the database's figures are not known
}

// ControlTotal is one of its figures, as decimal numbers.
type ControlTotal struct {
	Column    string `json:"column,omitempty"` // "" is the number of rows
	Asked     string `json:"asked,omitempty"`  // what the database says; "" is not known
	Delivered string `json:"delivered,omitempty"`
	Differs   bool   `json:"differs,omitempty"`
	Note      string `json:"note,omitempty"` // why it cannot be compared, or what is to be known of it
}

// Verified says what became of control totals.
type Verified string

// The states of control totals.
const (
	VerifiedEqual   Verified = "equal"
	VerifiedDiffers Verified = "differs"
	VerifiedUnknown Verified = "unknown" // the database did not say, or what it said cannot be compared
)

// Verified is what became of one figure.
func (t *ControlTotal) Verified() Verified {
	switch {
	case t.Differs:
		return VerifiedDiffers
	case t.Asked == "" || t.Delivered == "":
		return VerifiedUnknown
	}
	return VerifiedEqual
}

// Verified is the worst of a query's figures.
func (c *Control) Verified() Verified {
	state := VerifiedEqual
	if c.Error != "" {
		state = VerifiedUnknown
	}
	for i := range c.Totals {
		switch c.Totals[i].Verified() {
		case VerifiedDiffers:
			return VerifiedDiffers
		case VerifiedUnknown:
			state = VerifiedUnknown
		}
	}
	return state
}

// VerifiedOf is the worst of several queries'; "" of none.
func VerifiedOf(controls []Control) (state Verified) {
	for i := range controls {
		switch s := controls[i].Verified(); {
		case s == VerifiedDiffers:
			return s
		case state == "" || s == VerifiedUnknown:
			state = s
		}
	}
	return state
}

// Faults say what does not agree, or is not known, a line each, with what to do about it.
func (c *Control) Faults() (out []string) {
	of := ""
	if c.Name != "" {
		of = " of " + c.Name
	}
	if c.Error != "" {
		out = append(out, fmt.Sprintf("the control totals%s are not verified: %s", of, c.Error))
	}
	for i := range c.Totals {
		t := &c.Totals[i]
		switch t.Verified() {
		case VerifiedDiffers:
			out = append(out, fmt.Sprintf("%s%s: the database says %s, delivered were %s; rows that change while they are read do that: "+
				"look at the branch, and deliver it again by a new run", t.what(), of, t.Asked, t.Delivered))
		case VerifiedUnknown:
			if c.Error == "" {
				out = append(out, fmt.Sprintf("%s%s is not verified: %s", t.what(), of, t.Note))
			}
		}
	}
	return out
}

func (t *ControlTotal) what() string {
	if t.Column == "" {
		return "the number of rows"
	}
	return "the sum of " + ShowName(t.Column)
}

// Say are the figures in a few words: "1204 rows, total 99.50".
func (c *Control) Say() string {
	var parts []string
	for i := range c.Totals {
		switch t := &c.Totals[i]; {
		case t.Column == "":
			parts = append(parts, t.Delivered+" rows")
		default:
			parts = append(parts, t.Column+" "+t.Delivered)
		}
	}
	return strings.Join(parts, ", ")
}
