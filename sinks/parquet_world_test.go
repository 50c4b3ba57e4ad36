package sinks_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// spooled are the rows of a sealed connection.
type spooled []*columnar.Batch

func (s spooled) Each(ctx context.Context, take func(query int, first int64, b *columnar.Batch) error) error {
	var first int64
	for _, b := range s {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := take(0, first, b); err != nil {
			return err
		}
		first += int64(b.Rows)
	}
	return nil
}

func (s spooled) Bytes() int64 { return 1 }

func (s spooled) Count() []int64 {
	var n int64
	for _, b := range s {
		n += int64(b.Rows)
	}
	return []int64{n}
}

// parquetWith is a Parquet destination with options, claimed for a fresh start.
func parquetWith(tb tester, dir, options string, change ...func(*pipeline.Manifest, *pipeline.ManifestDestination)) pipeline.Sink {
	tb.Helper()
	s, err := newLines("parquet", dir, options, change...)
	if err != nil {
		tb.Fatal(err)
	}
	claim(tb, s, nil)
	return s
}

// fillSpooled opens the part of a sealed connection.
func fillSpooled(tb tester, s pipeline.Sink, connection int, cols []columnar.Column, batches ...*columnar.Batch) pipeline.Part {
	tb.Helper()
	o := opening(cols)
	p, err := s.Open(context.Background(), pipeline.PartID{Connection: connection, Attempt: 1}, &o, nil, spooled(batches))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// parquetFile is a file as parquet-go reads it: values as texts, "null" for NULL.
type parquetFile struct {
	header []string
	types  []string
	rows   [][]string
	groups int
	meta   map[string]string
}

func readParquet(t *testing.T, path string) (out parquetFile) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range file.Schema().Fields() {
		out.header, out.types = append(out.header, field.Name()), append(out.types, field.Type().String())
	}
	for _, group := range file.RowGroups() {
		rows := group.Rows()
		buf := make([]parquet.Row, group.NumRows())
		if n, err := rows.ReadRows(buf); n != len(buf) {
			t.Fatalf("%d of %d rows: %v", n, len(buf), err)
		}
		for _, row := range buf {
			texts := make([]string, len(row))
			for i, v := range row {
				if texts[i] = "null"; !v.IsNull() {
					texts[i] = v.String()
				}
			}
			out.rows = append(out.rows, texts)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		out.groups++
	}
	out.meta = map[string]string{}
	for _, kv := range file.Metadata().KeyValueMetadata {
		out.meta[kv.Key] = kv.Value
	}
	return out
}

// lines are the rows as texts.
func (f parquetFile) lines() (lines []string) {
	for _, row := range f.rows {
		lines = append(lines, strings.Join(row, "|"))
	}
	return lines
}

// finishReport ends a destination with a report of these connections.
func finishReport(t *testing.T, s pipeline.Sink, connections ...pipeline.ReportConnection) {
	t.Helper()
	ctx := context.Background()
	r := &pipeline.Report{State: pipeline.RecordFinished, Connections: connections}
	if _, err := s.Stage(ctx, nil, 1, r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Release(ctx, nil, r, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// filesIn are the names of all files below a folder, of what is private not.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if e.Name() == ".fanmill" {
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// reclaimed is the destination in the next claim, which knows what is recorded.
func reclaimed(t *testing.T, dir, options string, state json.RawMessage, change ...func(*pipeline.Manifest, *pipeline.ManifestDestination)) pipeline.Sink {
	t.Helper()
	s, err := newLines("parquet", dir, options, change...)
	if err != nil {
		t.Fatal(err)
	}
	claim(t, s, state)
	return s
}
