package sinks

import (
	"maps"
	"math"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// appendCSVHeader appends the header line. The only column of a file may have no name: the line is not empty for that.
func appendCSVHeader(dst []byte, names []string, delimiter string) []byte {
	for i, name := range names {
		if i > 0 {
			dst = append(dst, delimiter...)
		}
		if name != "" || len(names) == 1 {
			dst = appendCSVText(dst, []byte(name), delimiter)
		}
	}
	return append(dst, '\r', '\n')
}

// csvDraft is a header that some connections under way would agree on.
type csvDraft struct {
	names   []string
	members map[int]int // connections, by index: how many attempts of each
}

// join adds a connection to the draft that has its columns, or begins one in the order given. It returns the order in which its
// columns are written.
func (s *csvSink) join(connection int, columns []pipeline.OpeningColumn, order []int) (*csvDraft, []int) {
	for _, d := range s.drafts {
		if o, err := matchColumns(d.names, columns); err == nil {
			d.members[connection]++
			return d, o
		}
	}
	d := &csvDraft{names: orderedNames(columns, order), members: map[int]int{connection: 1}}
	s.drafts = append(s.drafts, d)
	return d, order
}

// leave takes a discarded attempt out.
func (d *csvDraft) leave(connection int) {
	if d.members[connection]--; d.members[connection] <= 0 {
		delete(d.members, connection)
	}
}

// fixHeader makes the draft with the most connections the header; of two with as many, the one that has the first in the job's order.
func (s *csvSink) fixHeader() {
	var best *csvDraft
	for _, d := range s.drafts {
		if best == nil || len(d.members) > len(best.members) || len(d.members) == len(best.members) && d.first() < best.first() {
			best = d
		}
	}
	s.header, s.drafts = best.names, nil
}

func (d *csvDraft) first() int {
	return slices.Min(append(slices.Collect(maps.Keys(d.members)), math.MaxInt))
}

// orderedNames are the columns' names in a part's order.
func orderedNames(columns []pipeline.OpeningColumn, order []int) []string {
	names := make([]string, len(columns))
	for i := range columns {
		k := i
		if order != nil {
			k = order[i]
		}
		names[i] = columns[k].Name
	}
	return names
}

// matchColumns says which column belongs under each name of the header, by name and, among equal names, by order; nil if
// they stand as they are. Columns that are too many or too few turn the connection away.
func matchColumns(header []string, columns []pipeline.OpeningColumn) ([]int, error) {
	at := make(map[string][]int, len(columns))
	for i, c := range columns {
		at[c.Name] = append(at[c.Name], i)
	}
	order, same := make([]int, 0, len(header)), true
	var missing, extra []string
	used := make([]bool, len(columns))
	for i, name := range header {
		if len(at[name]) == 0 {
			missing = append(missing, name)
			continue
		}
		k := at[name][0]
		at[name] = at[name][1:]
		used[k] = true
		order = append(order, k)
		same = same && k == i
	}
	for i, c := range columns {
		if !used[i] {
			extra = append(extra, c.Name)
		}
	}
	var differences []string
	if len(missing) > 0 {
		differences = append(differences, "missing "+strings.Join(missing, ", "))
	}
	if len(extra) > 0 {
		differences = append(differences, "extra "+strings.Join(extra, ", "))
	}
	if len(differences) > 0 {
		return nil, &pipeline.RejectError{Reason: "columns differ from the header: " + strings.Join(differences, "; ")}
	}
	if same {
		return nil, nil
	}
	return order, nil
}
