package sinks

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

// place says where the columns of the schema are among a connection's, -1 for one that it lacks and for the
// connection's name. The first connection fixes the columns of a file of a run without a schema. One that does not fit
// is turned away.
func (s *parquetFile) place(columns []pipeline.OpeningColumn) (from []int, names csvNames, err error) {
	order, names, err := s.table.header.place(columns)
	if err != nil {
		return nil, names, err
	}
	if order == nil {
		for i := range columns {
			order = append(order, i)
		}
	}
	if s.types == nil {
		for _, at := range order { // none is missing: the columns are this connection's
			s.types = append(s.types, columns[at].Type)
		}
	}
	if err := s.table.header.fix(names); err != nil {
		return nil, names, err
	}
	if err := s.fixSchema(); err != nil {
		return nil, names, &pipeline.RejectError{Reason: err.Error()}
	}
	if s.table.header.extra() > 0 {
		order = append([]int{-1}, order...)
	}
	return order, names, nil
}

// fixSchema makes the schema of the header, once.
func (s *parquetFile) fixSchema() error {
	if s.schema != nil {
		return nil
	}
	s.keys = parquetKeys(s.table.header.line(s.table.header.names))
	out := make([]parquet.Column, 0, len(s.keys))
	if s.table.header.extra() > 0 {
		out = append(out, parquet.Column{Name: s.keys[0], Kind: columnar.Text, Connection: true})
	}
	for i, typ := range s.types {
		c, err := columnar.ParseType(s.keys[len(out)], typ)
		if err != nil {
			return err
		}
		column := parquet.Column{Name: c.Name, Kind: c.Kind, Precision: c.Precision, Scale: c.Scale, Form: s.options.form(s.table.header.from[i])}
		if column.Form != parquet.Plain && column.Kind == columnar.Unknown {
			column.Kind = columnar.Text
		}
		out = append(out, column)
	}
	schema, err := parquet.NewSchema(out)
	if err == nil {
		s.schema = schema
	}
	return err
}

// parquetKeys are the names of columns in a file: what readers that ignore case take for one gets a number behind it,
// and a column without a name its place.
func parquetKeys(names []string) []string {
	taken := make(map[string]bool, len(names))
	for _, name := range names {
		taken[strings.ToLower(name)] = true
	}
	keys, used := make([]string, len(names)), make(map[string]bool, len(names))
	for i, name := range names {
		name = cmp.Or(strings.ToValidUTF8(name, "\uFFFD"), fmt.Sprintf("column_%d", i+1))
		key := name
		for n := 2; used[strings.ToLower(key)]; n++ {
			if next := fmt.Sprintf("%s_%d", name, n); !taken[strings.ToLower(next)] {
				key = next
			}
		}
		keys[i], used[strings.ToLower(key)] = key, true
	}
	return keys
}

// notes say how the connection differs from what the file or the job expects, and which columns are called otherwise
// than in the database.
func (s *parquetFile) notes(id pipeline.PartID, o *pipeline.Opening, names csvNames) []string {
	notes := append(s.table.header.notes(o.Queries[s.table.query].Columns, s.table.others(o), names.names), s.table.namesakeNotes(id.Connection)...)
	for i, name := range s.table.header.line(s.table.header.names) {
		switch key := s.keys[i]; {
		case key == name:
		case name == "":
			notes = append(notes, fmt.Sprintf("column %d has no name: it is called %q", i+1, key))
		default:
			notes = append(notes, fmt.Sprintf("a second column is called %q: it is %q in the file", name, key))
		}
	}
	return append(notes, s.partitionNotes()...)
}

// partitionNotes name the columns that readers make of the folders of a dataset, too.
func (s *parquetFile) partitionNotes() (notes []string) {
	for _, folder := range strings.Split(filepath.ToSlash(filepath.Dir(s.table.dest.Path)), "/") {
		key, _, err := parquet.ParsePartition(folder)
		if err == nil && slices.ContainsFunc(s.keys, func(name string) bool { return strings.EqualFold(name, key) }) {
			notes = append(notes, fmt.Sprintf("readers make a column %s of the folder %s, and the file has one, too: give one of them another name", key, folder))
		}
	}
	return notes
}
