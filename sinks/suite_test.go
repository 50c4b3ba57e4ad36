package sinks_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/sinks/sinktest"
)

// Every destination that writes files goes through the suite: as one file and as a file per connection, compressed, and
// appended to what stood there.
func TestSuite(t *testing.T) {
	workbook := sync.OnceValue(func() string { return earlierWorkbook(t) })
	for name, s := range map[string]suiteFile{
		"csv":          {kind: "csv", path: "sales.csv", read: readCSV},
		"csv gzip":     {kind: "csv", path: "sales.csv.gz", read: readCSV},
		"csv append":   {kind: "csv", path: "sales.csv", mode: "append", before: func() string { return "branch,query,line\r\n" }, read: readCSV},
		"csv split":    {kind: "csv", path: "{connection}.csv.gz", before: func() string { return "yesterday's" }, read: readCSV},
		"jsonl":        {kind: "jsonl", path: "sales.jsonl", before: func() string { return "yesterday's" }, read: readObjects},
		"jsonl zstd":   {kind: "jsonl", path: "sales.jsonl.zst", read: readObjects},
		"jsonl split":  {kind: "jsonl", path: "{connection}.jsonl.zst", read: readObjects},
		"dataset":      {kind: "parquet", path: "connection={connection}/sales.parquet", read: readParquetRows},
		"excel split":  {kind: "excel", path: "{connection}.xlsx", read: readWorkbook},
		"parquet":      {kind: "parquet", path: "sales.parquet", before: func() string { return "yesterday's" }, read: readParquetRows},
		"excel":        {kind: "excel", path: "sales.xlsx", read: readWorkbook},
		"excel append": {kind: "excel", path: "sales.xlsx", mode: "append", before: workbook, read: readWorkbook},
	} {
		t.Run(name, func(t *testing.T) { sinktest.Run(t, s.subject()) })
	}
}

// suiteFile is a destination of files as the suite sees it.
type suiteFile struct {
	kind, path, mode string
	before           func() string // what stands in its place at the beginning; nil is nothing
	read             func(path string) ([]sinktest.Row, error)
}

func (s suiteFile) subject() sinktest.Subject {
	return sinktest.Subject{Kind: sinks.Kinds()[s.kind], New: func(t testing.TB, dir string) sinktest.Target {
		before := ""
		if s.before != nil {
			before = s.before()
			first := filepath.Join(dir, strings.ReplaceAll(s.path, "{connection}", "Branch_000"))
			if err := os.WriteFile(first, []byte(before), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return sinktest.Target{
			Dest: pipeline.ManifestDestination{Path: filepath.Join(dir, s.path), Mode: s.mode},
			Read: func() (rows []sinktest.Row, err error) {
				paths, err := filepath.Glob(filepath.Join(dir, strings.ReplaceAll(s.path, "{connection}", "*")))
				for _, path := range paths {
					if text, rerr := os.ReadFile(path); rerr == nil && s.before != nil && string(text) == before {
						continue
					}
					more, rerr := s.read(path)
					rows, err = append(rows, more...), errors.Join(err, rerr)
				}
				return rows, err
			},
		}
	}}
}

// earlierWorkbook is what a run of other connections left.
func earlierWorkbook(t *testing.T) string {
	w := newAppendWorld(t, "", "Old", "Older")
	w.claim()
	w.commit(w.whole(0, 1), w.whole(1, 2))
	w.complete()
	text, err := os.ReadFile(w.public())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readCSV(path string) ([]sinktest.Row, error) {
	text, err := unpack(path, false)
	if err != nil {
		return nil, err
	}
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	return sinktest.ParseTable(lines)
}

func readObjects(path string) (rows []sinktest.Row, err error) {
	text, err := unpack(path, false)
	for line := range strings.Lines(text) {
		var o struct {
			Branch      string
			Query, Line int
		}
		if !strings.HasSuffix(line, "\n") {
			err = errors.Join(err, fmt.Errorf("%q is no whole line", line))
		}
		err = errors.Join(err, json.Unmarshal([]byte(line), &o))
		rows = append(rows, sinktest.Row(o))
	}
	return rows, err
}

// readParquetRows reads a file that is known to be whole: every row group, by the column names.
func readParquetRows(path string) ([]sinktest.Row, error) {
	type row struct {
		Branch *string `parquet:"branch,optional"`
		Query  *int64  `parquet:"query,optional"`
		Line   *int64  `parquet:"line,optional"`
	}
	found, err := parquet.ReadFile[row](path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rows := make([]sinktest.Row, len(found))
	for i, r := range found {
		if r.Branch == nil || r.Query == nil || r.Line == nil {
			return nil, fmt.Errorf("%s: row %d has a NULL", path, i)
		}
		rows[i] = sinktest.Row{Branch: *r.Branch, Query: int(*r.Query), Line: int(*r.Line)}
	}
	return rows, nil
}

// workbooks are the rows of each workbook that was read, by its bytes: the suite reads the same ones hundreds of times.
var workbooks sync.Map

func readWorkbook(path string) ([]sinktest.Row, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if rows, known := workbooks.Load(string(text)); known {
		return rows.([]sinktest.Row), nil
	}
	rows, err := parseWorkbook(text)
	if err == nil {
		workbooks.Store(string(text), rows)
	}
	return rows, err
}

func parseWorkbook(text []byte) (rows []sinktest.Row, err error) {
	f, err := excelize.OpenReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, sheet := range f.GetSheetList() {
		lines, err := f.GetRows(sheet)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(sheet, "Branch_") {
			continue
		}
		more, err := sinktest.ParseTable(lines)
		if err != nil {
			return nil, fmt.Errorf("sheet %s: %w", sheet, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}
