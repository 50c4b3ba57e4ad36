package sinks

import (
	"fmt"

	"fanmill/pipeline"
)

// table is what the formats have in common that hold one table: they take the rows of one query, and match columns by
// name.
type table struct {
	*file
	query  int // the query whose rows it takes
	header csvHeader
	// namesakes are, where the file has the connections' names, the connections that have the same one or a similar
	// one, by index.
	namesakes [][]int
}

// newTable finds the query and the header.
func newTable(f *file, o *csvOptions) (table, error) {
	query, err := f.oneQuery()
	if err != nil {
		return table{}, err
	}
	t := table{file: f, query: query, header: newCSVHeader(o, f.manifest, query)}
	if o.connection != "" {
		t.namesakes = namesakesOf(f.manifest)
	}
	return t, nil
}

// columns are those of the query whose rows the file takes.
func (t *table) columns(o *pipeline.Opening) ([]pipeline.OpeningColumn, error) {
	if t.query >= len(o.Queries) {
		return nil, &pipeline.RejectError{Reason: fmt.Sprintf("the connection has %d queries, and the file takes the rows of query %d", len(o.Queries), t.query+1)}
	}
	return o.Queries[t.query].Columns, nil
}

// others are the columns of a connection's other queries, which have files of their own.
func (t *table) others(o *pipeline.Opening) (columns []pipeline.OpeningColumn) {
	for q := range o.Queries {
		if q != t.query {
			columns = append(columns, o.Queries[q].Columns...)
		}
	}
	return columns
}

// namesakeNotes say whose names are easily taken for this connection's in the file.
func (t *table) namesakeNotes(connection int) []string {
	if t.namesakes == nil {
		return nil
	}
	return namesakeNotes(t.manifest, connection, t.namesakes[connection], "the file does not tell them apart")
}
