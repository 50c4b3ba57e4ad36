package sinks

import (
	"encoding/json"
	"fmt"
	"slices"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// lines is what the formats have in common whose rows are lines of text: a part of theirs is a file of finished lines,
// so that a commit only copies.
type lines struct {
	table   table
	unended bool // what rows are appended to does not end with a line end
	// kinds are, by field, what a column that no database declares holds in the connections that are there: see
	// jsonlKind.
	kinds []string
	codec codec // nil if the file is not compressed
	text  int64 // bytes of text that are committed, if it is
}

// newLines finds the query and the header of a file whose rows are lines.
func newLines(f *file, o *csvOptions, compression string) (lines, error) {
	t, err := newTable(f, o)
	return lines{table: t, codec: codecOf(f.dest.Path, compression)}, err
}

// linesState is what the commit record keeps of them.
type linesState struct {
	Header  []string `json:"header,omitempty"`
	From    []string `json:"from,omitempty"` // the databases' names, where the header's are not enough
	Width   int      `json:"width,omitempty"`
	Unended bool     `json:"unended,omitempty"`
	Kinds   []string `json:"kinds,omitempty"` // by field
	Text    int64    `json:"text,omitempty"`  // bytes of text that are committed, if they are compressed
}

func (l *lines) restore(state json.RawMessage) error {
	if state == nil {
		return nil
	}
	var st linesState
	if err := json.Unmarshal(state, &st); err != nil {
		return err
	}
	l.table.header.width, l.unended, l.kinds, l.text = st.Width, st.Unended, st.Kinds, st.Text
	if st.Header != nil {
		l.table.header.csvNames = csvNames{st.Header, st.From}
	}
	return nil
}

func (l *lines) recovered(artifact.State) error { return nil }

func (l *lines) record() any {
	st := linesState{Header: l.table.header.names, Width: l.table.header.width, Unended: l.unended, Kinds: l.kinds, Text: l.text}
	if !slices.Equal(keysOf(l.table.header.csvNames), l.table.header.names) {
		st.From = l.table.header.from
	}
	return st
}

// linesPartState describes a part file, whatever else a format says of it.
type linesPartState struct {
	Length int64 `json:"length"`
	Order  []int `json:"order,omitzero"` // of the fields: which of the columns each is, -1 for none; nil and none are not the same
	Text   int64 `json:"text,omitempty"` // bytes of text, if they are compressed
}

func (l *lines) partFiles(p pipeline.PartState) ([]artifact.FileState, error) {
	var st linesPartState
	err := json.Unmarshal(p.State, &st)
	return []artifact.FileState{{Name: l.table.partName(p.PartID, l.table.query), Length: st.Length}}, err
}

// part makes the file of a new part, or opens that of a recorded one again, whose state is read into st; common is
// what of st all lines have. names are those of its fields.
func (l *lines) part(id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, st any, common *linesPartState) (part *artifact.Part, names csvNames, err error) {
	if from != nil {
		if err := json.Unmarshal(from.State, st); err != nil {
			return nil, names, unreadable(fmt.Sprintf("part of connection %d", id.Connection), err)
		}
		part, err = l.table.artifact.ReopenPart(artifact.FileState{Name: l.table.partName(id, l.table.query), Length: common.Length})
		return part, l.table.header.resume(o.Queries[l.table.query].Columns, common.Order), err
	}
	columns, err := l.table.columns(o)
	if err != nil {
		return nil, names, err
	}
	if common.Order, names, err = l.table.header.place(columns); err != nil {
		return nil, names, err
	}
	part, err = l.table.artifact.CreatePart(l.table.partName(id, l.table.query))
	return part, names, err
}
