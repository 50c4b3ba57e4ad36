package sinks

import (
	"encoding/json"
	"fmt"
	"strings"

	"fanmill/pipeline"
)

// readLayout reads what a file's report says of its layout.
func readLayout(f pipeline.CountedFile, into any) error {
	if f.Report.Format == nil {
		return fmt.Errorf("the manifest does not say how the file is laid out")
	}
	if err := json.Unmarshal(f.Report.Format.Layout, into); err != nil {
		return fmt.Errorf("the manifest's layout of the file cannot be read: %w", err)
	}
	return nil
}

// wanted is how many rows of one query a report says that a file has of a connection.
func wanted(c *pipeline.ReportConnection) (rows int64) {
	if c.State == pipeline.ReportSettled {
		for _, n := range c.Rows {
			rows += n
		}
	}
	return rows
}

// tableCounts compares the rows of a file of one table with its report. by are the rows by the connection's name, nil
// where the file has no column of it.
func tableCounts(r *pipeline.Report, rows int64, by map[string]int64, column string) (out pipeline.Counts) {
	out.Rows = rows
	want := map[string]int64{}
	var names []string
	all, settled := int64(0), []string{}
	for i := range r.Connections {
		c := &r.Connections[i]
		if _, known := want[c.Name]; !known {
			names = append(names, c.Name)
		}
		n := wanted(c)
		want[c.Name] += n // a file does not tell namesakes apart
		all += n
		if c.State == pipeline.ReportSettled {
			settled = append(settled, c.Name)
		}
	}
	if by == nil {
		of := "all connections together"
		if len(settled) == 1 {
			of = settled[0]
		} else if len(settled) > 1 {
			out.Note = "the file has no column with the connection's name, so rows are counted together (connectionColumn adds one)"
		}
		out.Shares = []pipeline.Share{{Of: of, Has: rows, Want: all}}
		return out
	}
	for _, name := range names {
		if has := by[name]; has != 0 || want[name] != 0 || len(names) == 1 {
			out.Shares = append(out.Shares, pipeline.Share{Of: name, Has: has, Want: want[name]})
		}
	}
	var strange []string
	strangers := int64(0)
	for name, n := range by {
		if _, known := want[name]; !known {
			strange, strangers = append(strange, name), strangers+n
		}
	}
	if len(strange) == 1 {
		out.Faults = append(out.Faults, fmt.Sprintf("%d rows have %q in column %s, and the manifest has no such connection", strangers, strange[0], column))
	} else if len(strange) > 0 {
		out.Faults = append(out.Faults, fmt.Sprintf("%d rows have names in column %s that are none of the manifest's connections", strangers, column))
	}
	return out
}

// maxStrangers bounds the names that are told apart in a file whose connections' column was overwritten.
const maxStrangers = 1000

// otherNames is where rows are counted beyond that bound.
const otherNames = "(others)"

// nameCounts counts rows by name.
type nameCounts struct {
	by    map[string]int64
	known int
}

// newNameCounts knows the report's names.
func newNameCounts(r *pipeline.Report) *nameCounts {
	n := &nameCounts{by: map[string]int64{}}
	for i := range r.Connections {
		n.by[r.Connections[i].Name] = 0
	}
	n.known = len(n.by)
	return n
}

// key is the name under which rows are counted.
func (n *nameCounts) key(name string) string {
	if _, known := n.by[name]; known || len(n.by) < n.known+maxStrangers {
		return strings.Clone(name)
	}
	return otherNames
}

// add counts rows.
func (n *nameCounts) add(name string, rows int64) { n.by[n.key(name)] += rows }
