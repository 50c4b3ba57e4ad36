package sinks

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// csvHeader decides which columns the file has, and in which order. Names are as the file has them, without the connection's column.
//
// It is known from the start where the run has a schema, and where rows are appended under the header that the file has. Else
// it is that of the first connection that is spliced.
type csvHeader struct {
	options *csvOptions
	schema  *pipeline.Schema // nil if the run has none
	names   []string         // nil until it is known
	width   int              // of the lines that rows are appended to, where no header names their columns; 0 if any will do
	// seen is, until the header is known, the order in which parts with the same columns are all written: that of the first.
	seen map[string][]string
}

// newCSVHeader takes what the manifest says.
func newCSVHeader(o *csvOptions, m *pipeline.Manifest, query int) csvHeader {
	h := csvHeader{options: o, seen: map[string][]string{}}
	if query < len(m.Schemas) && len(m.Schemas[query].Columns) > 0 {
		h.schema = &m.Schemas[query]
		h.names = outputNames(o.arrange(h.schema.Columns))
	}
	return h
}

func outputNames(outputs []csvOutput) []string {
	names := make([]string, len(outputs))
	for i, out := range outputs {
		names[i] = out.name
	}
	return names
}

// place says which of a connection's columns stands where in a line, -1 for one that it lacks, and nil if they stand as they are.
// columns has the names that they stand under. A connection that does not fit is turned away.
func (h *csvHeader) place(columns []pipeline.OpeningColumn) (order []int, names []string, err error) {
	outputs := h.options.arrange(columns)
	names = h.names
	if names == nil {
		names = outputNames(outputs)
		key := setOf(names)
		if first, ok := h.seen[key]; ok {
			names = first
		} else {
			h.seen[key] = names
		}
	}
	switch {
	case len(columns) == 0:
		return nil, nil, &pipeline.RejectError{Reason: "the query returns no columns"}
	case len(outputs) == 0 && h.options.connection == "":
		return nil, nil, &pipeline.RejectError{Reason: "every column of the query is hidden"}
	case h.width > 0 && len(names)+h.extra() != h.width:
		return nil, nil, &pipeline.RejectError{Reason: fmt.Sprintf("the lines of the file have %d fields, and those of this connection would have %d", h.width, len(names)+h.extra())}
	}
	order, err = matchColumns(names, outputs, h.schema != nil)
	if err != nil {
		return nil, nil, err
	}
	same := len(order) == len(columns)
	for i, at := range order {
		same = same && i == at
	}
	if same {
		order = nil
	}
	return order, names, nil
}

// resume returns the names that the columns of a recorded part stand under.
func (h *csvHeader) resume(columns []pipeline.OpeningColumn, order []int) []string {
	outputs := h.options.arrange(columns)
	names := outputNames(outputs)
	if order != nil {
		names = make([]string, len(order))
		for i, at := range order {
			if at < 0 { // only under a header that was known
				names[i] = h.names[i]
				continue
			}
			k := slices.IndexFunc(outputs, func(out csvOutput) bool { return out.at == at })
			names[i] = outputs[k].name
		}
	}
	if key := setOf(names); h.names == nil && h.seen[key] == nil {
		h.seen[key] = names
	}
	return names
}

// extra is 1 if there is a column for the connection's name.
func (h *csvHeader) extra() int {
	if h.options.connection != "" {
		return 1
	}
	return 0
}

// line is the whole header as the file has it.
func (h *csvHeader) line() []string {
	if h.options.connection != "" {
		return append([]string{h.options.connection}, h.names...)
	}
	return h.names
}

// fix makes the columns of a part the header, if there is none yet. A part that was begun before and has others is turned away.
func (h *csvHeader) fix(names []string) error {
	if h.names == nil {
		h.names = names
	}
	if slices.Equal(h.names, names) {
		return nil
	}
	outputs := make([]csvOutput, len(names))
	for i, name := range names {
		outputs[i].name = name
	}
	if _, err := matchColumns(h.names, outputs, false); err != nil {
		return err
	}
	return &pipeline.RejectError{Reason: "columns stand in another order than in the header, which was fixed while the rows were on their way; a resume brings them"}
}

// notes say how a connection differs from what the file or the job expects. Options are those of the files of all queries, so that a column
// of any of them, also of others than this file's, is an expected one.
func (h *csvHeader) notes(columns, others []pipeline.OpeningColumn) (notes []string) {
	expected := slices.Concat(columns, others)
	if h.schema != nil {
		expected = append(expected, h.schema.Columns...)
		d := h.schema.Compare(columns)
		shown := func(name string) bool { c := h.options.find(name); return c == nil || !c.hide }
		if missing := slices.DeleteFunc(d.Missing, func(name string) bool { return !shown(name) }); len(missing) > 0 {
			notes = append(notes, "lacks "+strings.Join(missing, ", ")+": NULL there")
		}
		for _, r := range d.Retyped {
			if shown(r.Column) {
				notes = append(notes, fmt.Sprintf("%s is %s here and %s elsewhere; its texts are written as they are", r.Column, r.Type, r.Usual))
			}
		}
	}
	for _, name := range h.options.unknown(expected) {
		notes = append(notes, fmt.Sprintf("has no column %q, for which the job has options", name))
	}
	return notes
}

// setOf is the same for the same names in whatever order and case.
func setOf(names []string) string {
	folded := make([]string, len(names))
	for i, name := range names {
		folded[i] = strings.ToLower(name)
	}
	slices.Sort(folded)
	return strings.Join(folded, "\x00")
}

// matchColumns says which column belongs under each name of the header, see pipeline.MatchNames. Columns that are too
// many, and those that are missing unless they may, turn the connection away.
func matchColumns(header []string, outputs []csvOutput, mayLack bool) ([]int, error) {
	order := pipeline.MatchNames(header, outputNames(outputs))
	used := make([]bool, len(outputs))
	var missing, extra []string
	for i, k := range order {
		if k < 0 {
			missing = append(missing, header[i])
			continue
		}
		used[k] = true
		order[i] = outputs[k].at
	}
	for i, out := range outputs {
		if !used[i] {
			extra = append(extra, out.name)
		}
	}
	var differences []string
	if len(missing) > 0 && !mayLack {
		differences = append(differences, "missing "+strings.Join(missing, ", "))
	}
	if len(extra) > 0 {
		differences = append(differences, "extra "+strings.Join(extra, ", "))
	}
	if len(differences) > 0 {
		return nil, &pipeline.RejectError{Reason: "columns differ from the header: " + strings.Join(differences, "; ")}
	}
	return order, nil
}
