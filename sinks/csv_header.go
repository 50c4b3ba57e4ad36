package sinks

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// csvHeader decides which columns the file has, and in which order, without the connection's column.
//
// It is known from the start where the run has a schema, and where rows are appended under the header that the file
// has. Else it is that of the first connection that is staged.
type csvHeader struct {
	options *csvOptions
	schema  *pipeline.Schema // nil if the run has none
	csvNames
	retyped string // what becomes of the values of a column that has another type here
	width   int    // of the lines that rows are appended to, where no header names their columns; 0 if any will do
	// seen is, until the header is known, the order in which parts with the same columns are all written: that of the
	// first.
	seen map[string]csvNames
}

// csvNames are the names of the columns of a file, in their order.
type csvNames struct {
	names []string // as the file has them; nil until they are known
	from  []string // as the databases have them; nil where only the file is known
}

// newCSVHeader takes what the manifest says.
func newCSVHeader(o *csvOptions, m *pipeline.Manifest, query int) csvHeader {
	h := csvHeader{options: o, seen: map[string]csvNames{}, retyped: "its texts are written as they are"}
	if query < len(m.Schemas) && len(m.Schemas[query].Columns) > 0 {
		h.schema = &m.Schemas[query]
		h.csvNames = namesOf(o.arrange(h.schema.Columns))
	}
	return h
}

func namesOf(outputs []csvOutput) csvNames {
	n := csvNames{make([]string, len(outputs)), make([]string, len(outputs))}
	for i, out := range outputs {
		n.names[i], n.from[i] = out.name, out.from
	}
	return n
}

// place says which of a connection's columns stands where in a line, -1 for one that it lacks, and nil if they stand
// as they are. names are those that they stand under. A connection that does not fit is turned away.
func (h *csvHeader) place(columns []pipeline.OpeningColumn) (order []int, under csvNames, err error) {
	outputs := h.options.arrange(columns)
	if under = h.csvNames; under.names == nil {
		under = h.first(namesOf(outputs))
	}
	switch {
	case len(columns) == 0:
		return nil, under, &pipeline.RejectError{Reason: "the query returns no columns"}
	case len(outputs) == 0 && h.options.connection == "":
		return nil, under, &pipeline.RejectError{Reason: "every column of the query is hidden"}
	case h.width > 0 && len(under.names)+h.extra() != h.width:
		return nil, under, &pipeline.RejectError{Reason: fmt.Sprintf("the lines of the file have %d fields, and those of this connection would have %d", h.width, len(under.names)+h.extra())}
	}
	if h.schema != nil {
		order, err = h.bySchema(columns, outputs)
	} else {
		order, err = under.match(outputs)
	}
	if err != nil {
		return nil, under, err
	}
	same := len(order) == len(columns)
	for i, at := range order {
		same = same && i == at
	}
	if same {
		order = nil
	}
	return order, under, nil
}

// first are the names of the first part with the same columns.
func (h *csvHeader) first(n csvNames) csvNames {
	key := setOf(n.names)
	first, ok := h.seen[key]
	if !ok {
		first, h.seen[key] = n, n
	}
	return first
}

// resume returns the names that the columns of a recorded part stand under.
func (h *csvHeader) resume(columns []pipeline.OpeningColumn, order []int) csvNames {
	outputs := h.options.arrange(columns)
	n := namesOf(outputs)
	if order != nil {
		n = csvNames{make([]string, len(order)), make([]string, len(order))}
		for i, at := range order {
			if at < 0 { // only under a header that was known
				n.names[i] = h.names[i]
				continue
			}
			k := slices.IndexFunc(outputs, func(out csvOutput) bool { return out.at == at })
			n.names[i], n.from[i] = outputs[k].name, outputs[k].from
		}
	}
	if h.names == nil {
		h.first(n)
	} else if slices.EqualFunc(h.names, n.names, strings.EqualFold) {
		n.names = h.names
	}
	return n
}

// extra is 1 if there is a column for the connection's name.
func (h *csvHeader) extra() int {
	if h.options.connection != "" {
		return 1
	}
	return 0
}

// line is the whole header of columns of these names as the file has it.
func (h *csvHeader) line(names []string) []string {
	if h.options.connection != "" {
		return append([]string{h.options.connection}, names...)
	}
	return names
}

// types are those that the columns have in the run's schema, whatever they are here; "" for one that it has not.
func (h *csvHeader) types(columns []pipeline.OpeningColumn) []string {
	out := make([]string, len(columns))
	if h.schema == nil {
		return out
	}
	for i, at := range h.schema.Place(columns) {
		if at >= 0 {
			out[i] = h.schema.Columns[at].Type
		}
	}
	return out
}

// fix makes the columns of a part the header, if there is none yet. A part that was begun before and has others is
// turned away.
func (h *csvHeader) fix(n csvNames) error {
	if h.names == nil {
		h.csvNames = n
	}
	outputs := make([]csvOutput, len(n.names))
	for i, name := range n.names {
		outputs[i] = csvOutput{name: name, at: i}
		if n.from != nil {
			outputs[i].from = n.from[i]
		}
	}
	if slices.Equal(h.names, n.names) && (h.schema != nil || slices.Equal(keysOf(h.csvNames), keysOf(n))) {
		return nil
	}
	if _, err := h.match(outputs); err != nil {
		return err
	}
	return &pipeline.RejectError{Reason: "columns stand in another order than in the header, which was fixed while the rows were on their way; a resume brings them"}
}

// notes say how a connection differs from what the file or the job expects. Options are those of the files of all
// queries, so that a column of any of them, also of others than this file's, is an expected one.
func (h *csvHeader) notes(columns, others []pipeline.OpeningColumn, names []string) (notes []string) {
	expected := slices.Concat(columns, others)
	if h.schema != nil {
		expected = append(expected, h.schema.Columns...)
		d := h.schema.Compare(columns)
		shown := func(name string) bool { c := h.options.find(name); return c == nil || !c.hide }
		if missing := slices.DeleteFunc(d.Missing, func(name string) bool { return !shown(name) }); len(missing) > 0 {
			notes = append(notes, "lacks "+pipeline.ShowNames(missing, columnNames(columns)...)+": NULL there")
		}
		notes = append(notes, d.Unclear...)
		for _, r := range d.Retyped {
			if shown(r.Column) {
				notes = append(notes, fmt.Sprintf("%s is %s here and %s elsewhere; %s", pipeline.ShowName(r.Column), r.Type, r.Usual, h.retyped))
			}
		}
	}
	if h.options.headers {
		notes = append(notes, headerTwins(h.line(names))...)
	}
	for _, name := range h.options.unknown(expected) {
		notes = append(notes, fmt.Sprintf("has no column %q, for which the job has options%s", name, lookalike(name, expected)))
	}
	return notes
}

// lookalike says which column looks like a name that none has.
func lookalike(name string, columns []pipeline.OpeningColumn) string {
	if alike := pipeline.Alike([]string{name}, columnNames(columns)); alike != nil {
		return ": " + alike[0]
	}
	return ""
}

func columnNames(columns []pipeline.OpeningColumn) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
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

// unclear finds a name that stands more than once, for columns that are different in the databases, or that connections
// have a different number of times. Where they stand depends on the run, so that those of another run cannot follow.
func (h *csvHeader) unclear() (name string, yes bool) {
	if h.schema == nil {
		return "", false
	}
	type column struct {
		from  string
		times int
	}
	first := map[string]column{}
	for _, out := range h.options.arrange(h.schema.Columns) {
		c := column{out.from, h.schema.Columns[out.at].Times}
		if was, twice := first[out.name]; twice && was != c {
			return out.name, true
		}
		first[out.name] = c
	}
	return "", false
}

// bySchema says which column belongs under each name of the header: by the names that the database gives them, whatever
// they are renamed to. A column that is missing is NULL; one that the schema has not turns the connection away.
func (h *csvHeader) bySchema(columns []pipeline.OpeningColumn, outputs []csvOutput) ([]int, error) {
	at := h.schema.Place(columns)
	var extra []string
	for _, out := range outputs {
		if at[out.at] < 0 {
			extra = append(extra, out.from)
		}
	}
	if len(extra) > 0 {
		d := h.schema.Compare(columns)
		return nil, headerDiffers(nil, extra, d.Missing, d.Unclear)
	}
	arranged := h.options.arrange(h.schema.Columns)
	order := make([]int, len(arranged))
	for i, out := range arranged {
		order[i] = slices.Index(at, out.at)
	}
	return order, nil
}

// match says which column belongs under each name, see pipeline.MatchNames. Columns that are too many, and those that
// are missing, turn the connection away, and so do those of which that cannot be told.
func (n csvNames) match(outputs []csvOutput) ([]int, error) {
	mine := namesOf(outputs)
	theirs := n
	if theirs.from == nil { // of a file: it does not tell what a name was made of
		theirs.from = make([]string, len(n.names))
		for i, name := range n.names {
			theirs.from[i] = origin(name, outputs)
		}
	}
	order := pipeline.MatchNames(keysOf(theirs), keysOf(mine))
	used := make([]bool, len(outputs))
	var missing, extra []string
	for i, k := range order {
		if k < 0 {
			missing = append(missing, n.names[i])
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
	var unclear []string
	for i, name := range extra {
		if slices.Contains(missing, name) && !slices.Contains(extra[:i], name) {
			unclear = append(unclear, pipeline.ShowName(name)+" stands more than once, and which column belongs under which cannot be told")
		}
	}
	if err := headerDiffers(missing, extra, nil, append(unclear, pipeline.Alike(extra, missing)...)); err != nil {
		return nil, err
	}
	return order, nil
}

// keysOf are what columns are matched by: their names, and of those that stand more than once the database's names,
// too. So two columns that are called alike only because they are renamed are not taken for each other.
func keysOf(n csvNames) []string {
	keys := slices.Clone(n.names)
	times := map[string]int{}
	for _, name := range n.names {
		times[name]++
	}
	for i, name := range keys {
		if times[name] > 1 && n.from != nil {
			keys[i] = name + "\x00" + n.from[i]
		}
	}
	return keys
}

// origin is the database's name of the columns that are called so in the file; "" if they have several.
func origin(name string, outputs []csvOutput) (from string) {
	for i, out := range outputs {
		switch {
		case out.name != name:
		case from == "":
			from = outputs[i].from
		case from != out.from:
			return ""
		}
	}
	return from
}

// headerDiffers is the error of a connection whose columns do not fit the header; nil if they do. lacks are columns
// that it may lack.
func headerDiffers(missing, extra, lacks, unclear []string) error {
	var differences []string
	if len(missing) > 0 {
		differences = append(differences, "missing "+pipeline.ShowNames(missing, extra...))
	}
	if len(extra) > 0 {
		differences = append(differences, "extra "+pipeline.ShowNames(extra, slices.Concat(missing, lacks)...))
	}
	if len(differences) == 0 {
		return nil
	}
	return &pipeline.RejectError{Reason: "columns differ from the header: " + strings.Join(append(differences, unclear...), "; ")}
}
