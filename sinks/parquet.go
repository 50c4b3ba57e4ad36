package sinks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
	"fanmill/sinks/parquet"
)

// init registers the destination "parquet": one Parquet file with the rows of one query of all connections, those of a
// connection together, or, with {connection} in its path, a dataset: a file for each, all with the same columns.
// Package parquet says how values are written, and joins files.
//
// The columns, their order and their types are those of the run's schema; where it has none, of the first connection.
// Columns are matched by name, as in a CSV. What a column cannot hold is NULL, rounded or cut, counted by column and
// named in the report; with "onLoss": "fail" it turns the connection away instead.
//
// A Parquet file cannot be continued in the middle of a row group. So the destination is spooled: a connection becomes
// a part, a Parquet file of its own, once all its rows are there, and a commit joins parts behind what is committed,
// with a new footer. The finished file is joined once more: it has one footer, and no small row groups.
func init() {
	fileKind(pipeline.SinkKind{
		Name:        "parquet",
		Label:       "Parquet",
		Description: "A Parquet file with the rows of one query of all connections, or a dataset with a file for each connection. With several queries there is one for each.",
		Example:     "D:/Exports/{jobName} {date}.parquet",
		Options:     parquetTable,
		Modes:       []string{"replace"},
		Traits: pipeline.Traits{OneQuery: true, OneSchema: true, Dataset: true, Spooled: true, Gathers: true,
			WorkingSet: parquet.DefaultGroupBytes},
		Count:     countParquet,
		Check:     checkParquet,
		Warn:      parquetOptionTwins,
		Partition: parquet.Partition,
	}, newParquetFile)
}

// checkParquet is the kind's Check.
func checkParquet(d *pipeline.Destination) error {
	o, err := readParquetOptions(d.Options)
	path := strings.TrimSpace(d.FilePath)
	if path != "" && !strings.EqualFold(filepath.Ext(path), ".parquet") {
		err = errors.Join(err, problem{"filePath", fmt.Errorf("filePath %q: the name of a Parquet file ends in .parquet, by which readers know it", d.FilePath)})
	}
	if column := o.names.connection; column != "" {
		folders := strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' })
		if slices.ContainsFunc(folders, func(folder string) bool { return strings.EqualFold(folder, column+"={connection}") }) {
			err = errors.Join(err, problem{"connectionColumn", fmt.Errorf("connectionColumn: readers make the column %s of the folders of filePath; leave this out, or give one of them another name", column)})
		}
	}
	return err
}

// parquetOptionTwins is the kind's Warn.
func parquetOptionTwins(d *pipeline.Destination) error {
	o, err := readParquetOptions(d.Options)
	if err != nil {
		return nil // it is reported elsewhere
	}
	return o.names.optionTwins()
}

// parquetFile is the format of one Parquet file.
type parquetFile struct {
	table   table
	options parquetOptions
	types   []string        // of the header's columns; nil until they are known
	schema  *parquet.Schema // nil until they are known
	keys    []string        // names of the schema's columns
	book    *parquet.File   // what is committed; nil if it has to be read
}

func newParquetFile(f *file) (fileFormat, error) {
	o, err := readParquetOptions(f.dest.Options)
	if err != nil {
		return nil, err
	}
	p := &parquetFile{options: o}
	if p.table, err = newTable(f, &p.options.names); err != nil {
		return nil, err
	}
	p.table.header.retyped = "it is written as that, and what cannot be is NULL"
	if p.table.header.schema != nil {
		p.types = typesOf(p.table.header.schema.Columns, o.names.arrange(p.table.header.schema.Columns))
	}
	return p, nil
}

// typesOf are the types of columns where a file has them.
func typesOf(columns []pipeline.OpeningColumn, outputs []csvOutput) []string {
	types := make([]string, len(outputs))
	for i, out := range outputs {
		types[i] = columns[out.at].Type
	}
	return types
}

// parquetState is what the commit record keeps of the columns.
type parquetState struct {
	Header []string `json:"header,omitempty"`
	From   []string `json:"from,omitempty"` // the databases' names
	Types  []string `json:"types,omitempty"`
}

func (s *parquetFile) restore(state json.RawMessage) error {
	if state == nil {
		return nil
	}
	var st parquetState
	if err := json.Unmarshal(state, &st); err != nil {
		return err
	}
	if len(st.From) != len(st.Header) || len(st.Types) != len(st.Header) {
		return fmt.Errorf("it has %d columns, %d names and %d types", len(st.Header), len(st.From), len(st.Types))
	}
	if st.Header != nil {
		s.table.header.csvNames, s.types = csvNames{st.Header, st.From}, st.Types
	}
	return nil
}

func (s *parquetFile) record() any {
	return parquetState{Header: s.table.header.names, From: s.table.header.from, Types: s.types}
}

// inspect refuses all: a file that rows were appended to would have to be rewritten.
func (s *parquetFile) inspect(io.ReaderAt, int64) error {
	return pipeline.Permanent(errors.New("rows cannot be appended to a Parquet file"))
}

// recovered reads the footer of the committed file.
func (s *parquetFile) recovered(st artifact.State) (err error) {
	if s.book = nil; st.Length == 0 {
		return nil
	}
	s.book, err = s.load(st)
	return err
}

// load reads the footer of the committed file.
func (s *parquetFile) load(st artifact.State) (*parquet.File, error) {
	f, err := os.Open(s.table.committed(st))
	if err != nil {
		return nil, pipeline.Transient(fmt.Errorf("open the committed copy of %s: %w", s.table.artifact.Path(), err))
	}
	defer f.Close()
	book, err := parquet.Open(parquet.Part{R: f, Size: st.Length})
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("%s: %w", s.table.artifact.Path(), err))
	}
	return book, nil
}

// partFiles are none: after a crash parts are made again from the spool.
func (s *parquetFile) partFiles(pipeline.PartState) ([]artifact.FileState, error) { return nil, nil }
