package screen

import (
	"fmt"
	"strings"
	"time"

	"fanmill/pipeline"
)

// CheckView is what was found of a job's databases before the night. Its JSON has, besides the fields below,
// "reachable", "failing" and "differing", numbers of connections, and for each connection "effect": what onDrift
// would do.
type CheckView struct {
	JobID       string      `json:"jobId"`
	OnDrift     string      `json:"onDrift,omitempty"`  // union, fail or skip; "" where each connection keeps its own columns
	Millis      int64       `json:"durationMs"`         // of the whole check
	Warnings    []string    `json:"warnings,omitempty"` // of the files, where one has the columns of all connections
	Connections []CheckLine `json:"connections"`
	// Destinations are those that cannot be reached or written, and what would help.
	Destinations []string `json:"destinations,omitempty"`
}

// CheckLine is a connection that was checked. Columns are as the job's queries return them, `query.column` where it
// has several queries.
type CheckLine struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Reachable bool          `json:"reachable"` // answered, and let us in
	Millis    int64         `json:"durationMs"`
	Server    string        `json:"server,omitempty"`
	Missing   []string      `json:"missing"` // columns that most others have
	Extra     []string      `json:"extra"`   // columns that most others have not
	Retyped   []RetypedView `json:"retyped"`
	Warnings  []string      `json:"warnings,omitempty"` // what means something else than it seems to
	Error     string        `json:"error,omitempty"`    // it is not reachable, or a query fails, and what would help
}

// RetypedView is a column of another type than in most connections.
type RetypedView struct {
	Column  string `json:"column"`
	Type    string `json:"type"`
	Usual   string `json:"usual"`
	Becomes string `json:"becomes,omitempty"` // the type that holds both; "" if there is none
}

// differs reports whether the connection's columns are not those of the others.
func (c *CheckLine) differs() bool { return len(c.Missing)+len(c.Extra)+len(c.Retyped) > 0 }

// verdict is the comparison in a few words.
func (c *CheckLine) verdict() cell {
	switch {
	case !c.Reachable:
		return cell{}
	case c.Error != "":
		return cell{"query fails", red}
	case !c.differs():
		return cell{"same", green}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{len(c.Missing), "missing"}, {len(c.Extra), "extra"}, {len(c.Retyped), "retyped"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return cell{strings.Join(parts, ", "), yellow}
}

// difference names the columns.
func (c *CheckLine) difference() string {
	var parts []string
	if len(c.Missing) > 0 {
		parts = append(parts, "lacks "+names(c.Missing, c.Extra...))
	}
	if len(c.Extra) > 0 {
		parts = append(parts, "has "+names(c.Extra, c.Missing...)+" besides")
	}
	for _, r := range c.Retyped {
		parts = append(parts, fmt.Sprintf("%s is %s, elsewhere %s", names([]string{r.Column}), clean(r.Type), clean(r.Usual)))
	}
	return strings.Join(parts, "; ")
}

// effect is what onDrift would do about the difference; "" if there is none.
func (c *CheckLine) effect(onDrift string) string {
	if !c.differs() {
		return ""
	}
	switch onDrift {
	case pipeline.DriftFail:
		return "the run would end before anything is written"
	case pipeline.DriftSkip:
		return "the connection would be left out, and named"
	case pipeline.DriftUnion:
	default:
		return "nothing to do: each connection keeps its own columns"
	}
	var parts []string
	if len(c.Missing) > 0 {
		parts = append(parts, names(c.Missing, c.Extra...)+" would be NULL here")
	}
	if len(c.Extra) > 0 {
		parts = append(parts, names(c.Extra, c.Missing...)+" would be added, NULL elsewhere")
	}
	for _, r := range c.Retyped {
		if r.Becomes == "" {
			parts = append(parts, fmt.Sprintf("%s has no type that holds both: the connection would fail", names([]string{r.Column})))
		} else {
			parts = append(parts, fmt.Sprintf("%s would be %s for all", names([]string{r.Column}), clean(r.Becomes)))
		}
	}
	return strings.Join(parts, "; ")
}

// names shows names beside others, so that what looks alike and is not the same can be told apart.
func names(list []string, others ...string) string { return clean(pipeline.ShowNames(list, others...)) }

// counts are of connections: reachable, with an error, with other columns.
func (v *CheckView) counts() (reachable, failing, differing int) {
	for i := range v.Connections {
		c := &v.Connections[i]
		if c.Reachable {
			reachable++
		}
		if c.Error != "" {
			failing++
		}
		if c.differs() {
			differing++
		}
	}
	return reachable, failing, differing
}

type checkLineJSON struct {
	CheckLine
	Effect string `json:"effect,omitempty"`
}

type checkJSON struct {
	CheckView
	Connections []checkLineJSON `json:"connections"`
	Reachable   int             `json:"reachable"`
	Failing     int             `json:"failing"`
	Differing   int             `json:"differing"`
}

func (v CheckView) data() any {
	out := checkJSON{CheckView: v, Connections: make([]checkLineJSON, len(v.Connections))}
	out.Reachable, out.Failing, out.Differing = v.counts()
	for i, c := range v.Connections {
		c.Missing, c.Extra, c.Retyped = list(c.Missing), list(c.Extra), list(c.Retyped)
		out.Connections[i] = checkLineJSON{c, c.effect(v.OnDrift)}
	}
	return out
}

// warn writes each warning once, with the connections that it is about.
func (v *CheckView) warn(s *sheet) {
	var order []string
	about := map[string][]string{}
	for i := range v.Connections {
		for _, w := range v.Connections[i].Warnings {
			if about[w] == nil {
				order = append(order, w)
			}
			about[w] = append(about[w], v.Connections[i].Name)
		}
	}
	if len(order)+len(v.Warnings) > 0 {
		s.blank()
	}
	for _, w := range v.Warnings {
		s.line(0, yellow, "warning: "+oneLine(w))
	}
	for _, w := range order {
		who := about[w]
		if len(who) > namedWarned && !s.Verbose {
			who = append(who[:namedWarned:namedWarned], fmt.Sprintf("%d more", len(who)-namedWarned))
		}
		s.line(0, yellow, "warning: "+oneLine(w)+" ("+names(who)+")")
	}
}

// namedWarned is how many connections a warning names.
const namedWarned = 3

func (v CheckView) text(s *sheet) {
	t := &table{columns: []column{{head: "Connection", min: 12}, {head: "Reachable"}, {head: "Latency", right: true, spare: 1},
		{head: "Server", min: 10, spare: 2}, {head: "Columns", min: 11}}}
	hidden := 0
	for i := range v.Connections {
		c := &v.Connections[i]
		if len(v.Connections) > longTable && !s.Verbose && c.Error == "" && !c.differs() {
			hidden++
			continue
		}
		reached, latency := cell{"yes", green}, millis(c.Millis)
		if !c.Reachable {
			reached = cell{"no", red}
		}
		r := t.add(cell{text: clean(c.Name)}, reached, cell{latency, dim}, cell{text: oneLine(c.Server)}, c.verdict())
		if c.Error != "" {
			r.note(red, oneLine(c.Error))
		}
		if c.differs() {
			r.note(yellow, c.difference())
			r.note(dim, strings.TrimPrefix("onDrift "+v.OnDrift+": ", "onDrift : ")+c.effect(v.OnDrift))
		}
	}
	if len(t.rows) > 0 {
		s.table(t, 0)
	}
	if hidden > 0 {
		s.line(0, dim, Of(int64(hidden), "connection")+" without a problem, not listed; --verbose lists all")
	}
	v.warn(s)
	if len(v.Destinations) > 0 {
		s.blank()
	}
	for _, d := range v.Destinations {
		s.line(0, red, oneLine(d))
	}
	s.blank()
	reachable, failing, differing := v.counts()
	sum, st := fmt.Sprintf("%s of %s reachable", Count(int64(reachable)), Of(int64(len(v.Connections)), "connection")), green
	if queries := failing - (len(v.Connections) - reachable); queries > 0 {
		sum += fmt.Sprintf(", %d whose query fails", queries)
	}
	if differing > 0 {
		sum, st = sum+fmt.Sprintf(", %d with other columns", differing), yellow
	}
	if failing > 0 {
		st = red
	}
	s.line(0, st, sum+"; checked in "+Duration(time.Duration(v.Millis)*time.Millisecond))
}
