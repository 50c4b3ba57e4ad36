package config

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a job file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in characters
	Path    string `json:"path"`   // such as connections[3].driver, counted from 0; "" is the job itself
	Text    string `json:"text"`   // what is wrong and what to do
	Warning bool   `json:"warning,omitempty"`
}

// String is the problem as one line: "job.yaml:12:5: connections[3].driver: ...".
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is all that is wrong with a job file, in the order of its lines.
type Problems []Problem

// Error lists the problems, a line each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sort orders by position and drops what was said twice.
func (ps *Problems) sort() {
	slices.SortStableFunc(*ps, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	*ps = slices.Compact(*ps)
}

func (ps Problems) failed(strict bool) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return strict || !p.Warning })
}
