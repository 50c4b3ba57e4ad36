package pipeline

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"
)

// Figures are what a connection delivered in a run: what the next run is compared with.
type Figures struct {
	Run  string    `json:"run"`
	At   time.Time `json:"at"`   // when that run began
	Rows []int64   `json:"rows"` // per query
	Sums []Sum     `json:"sums,omitempty"`
}

// Sum is a control total among Figures.
type Sum struct {
	Query  int    `json:"q,omitempty"` // index
	Column string `json:"c"`
	Value  string `json:"v"` // a decimal number
}

// Alert says from which change on a connection is named, in percent of what it delivered the last time; 0 is never.
type Alert struct {
	Rows  float64 `json:"rows,omitempty"`
	Total float64 `json:"total,omitempty"`
}

// Change is one figure of a connection beside that of the last time.
type Change struct {
	Query  string `json:"query,omitempty"`  // its name
	Column string `json:"column,omitempty"` // "" is the number of rows
	Before string `json:"before"`
	Now    string `json:"now"`
	// Percent is of what it was before; 100 where that was nothing, and is something now.
	Percent float64 `json:"percent"`
	Alert   bool    `json:"alert,omitempty"` // the job wants it named
}

func (c Change) String() string {
	what := "rows"
	if c.Column != "" {
		what = ShowName(c.Column)
	}
	if c.Query != "" {
		what += " of " + c.Query
	}
	return fmt.Sprintf("%s: %s, last time %s (%s)", what, c.Now, c.Before, c.PercentText())
}

// PercentText is the change with its sign: "+12.5 %".
func (c Change) PercentText() string {
	if c.Percent != 0 && math.Abs(c.Percent) < 0.05 {
		return "under 0.1 %"
	}
	return fmt.Sprintf("%+.1f %%", c.Percent)
}

// Compare sets what changed since the last time, by connection, and marks what alert wants named. nil is no alert.
func (r *Report) Compare(before map[string]Figures, alert *Alert) {
	if len(before) == 0 {
		return
	}
	if alert == nil {
		alert = &Alert{}
	}
	for i := range r.Connections {
		c := &r.Connections[i]
		was, known := before[c.ID]
		if !known {
			continue
		}
		c.Before = &was
		if c.Rows == nil { // nothing is known of it yet
			continue
		}
		c.Changes = changesOf(c, &was, alert)
	}
}

func changesOf(c *ReportConnection, was *Figures, alert *Alert) (out []Change) {
	names := map[int]string{}
	for i := range c.Controls {
		names[c.Controls[i].Query] = c.Controls[i].Name
	}
	out = append(out, changeOf("", "", fmt.Sprint(SumRows(was.Rows)), fmt.Sprint(SumRows(c.Rows)), alert.Rows))
	for _, s := range SumsOf(c.Controls) {
		for _, old := range was.Sums {
			if old.Query == s.Query && old.Column == s.Column {
				out = append(out, changeOf(names[s.Query], s.Column, old.Value, s.Value, alert.Total))
			}
		}
	}
	return out
}

// changeOf compares two decimal numbers; threshold is in percent.
func changeOf(query, column, before, now string, threshold float64) Change {
	c := Change{Query: query, Column: column, Before: before, Now: now}
	was, ok := new(big.Rat).SetString(before)
	is, ok2 := new(big.Rat).SetString(now)
	if !ok || !ok2 || was.Cmp(is) == 0 {
		return c
	}
	if was.Sign() == 0 {
		c.Percent = 100
		c.Alert = threshold > 0
		return c
	}
	part := is.Sub(is, was)
	part.Quo(part, new(big.Rat).Abs(was))
	f, _ := part.Float64()
	if c.Percent = 100 * f; math.IsInf(c.Percent, 0) { // JSON has no such number
		c.Percent = math.Copysign(math.MaxFloat64, f)
	}
	c.Alert = threshold > 0 && math.Abs(c.Percent) > threshold
	return c
}

// RowsChange is the change of a number of rows.
func RowsChange(before, now int64) Change {
	return changeOf("", "", fmt.Sprint(before), fmt.Sprint(now), 0)
}

// SumsOf are the sums that were delivered, of controls that have them.
func SumsOf(controls []Control) (out []Sum) {
	for i := range controls {
		for _, t := range controls[i].Totals {
			if t.Column != "" && t.Delivered != "" {
				out = append(out, Sum{controls[i].Query, t.Column, t.Delivered})
			}
		}
	}
	return out
}

// Alerts are the changes that are to be named.
func (c *ReportConnection) Alerts() (out []Change) {
	for _, change := range c.Changes {
		if change.Alert {
			out = append(out, change)
		}
	}
	return out
}

// AlertText names changes in a line; "" of none.
func AlertText(changes []Change) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, c.String())
	}
	return strings.Join(parts, "; ")
}
