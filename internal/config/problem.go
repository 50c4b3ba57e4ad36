package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a job file, or with the inventory that it names.
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

// Problems is all that is wrong with a job file, in the order of its lines; what is wrong with its inventory follows.
type Problems []Problem

// Error lists the problems, a line each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sortedFor orders by position, the job file first, and drops what was said twice: a slip in what an inventory's branches share is
// found for each of them, at one place.
func (ps Problems) sortedFor(job string) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		if (a.File == job) != (b.File == job) {
			if a.File == job {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	type said struct {
		file         string
		line, column int
		text         string
	}
	seen := map[said]bool{}
	return slices.DeleteFunc(ps, func(p Problem) bool {
		key := said{p.File, p.Line, p.Column, p.Text}
		twice := seen[key]
		seen[key] = true
		return twice
	}).shortened(job)
}

// sameShown is how often the same text about lines of an inventory is repeated.
const sameShown = 3

// shortened says the same about a thousand branches three times, and how often else.
func (ps Problems) shortened(job string) Problems {
	last, more := map[string]int{}, map[string]int{} // by text: where the last one shown is in out, how many are not
	count := map[string]int{}
	out := ps[:0]
	for _, p := range ps {
		if p.File != job {
			if count[p.Text]++; count[p.Text] > sameShown {
				more[p.Text]++
				continue
			}
			last[p.Text] = len(out)
		}
		out = append(out, p)
	}
	for text, n := range more {
		p := &out[last[text]]
		p.Text = fmt.Sprintf("%s (and the same in %d more lines)", p.Text, n)
	}
	return out
}

func (ps Problems) failed(strict bool) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return strict || !p.Warning })
}
