// Command samples writes Parquet files of every type, and what a reader must find in them: .ci/parquet has DuckDB look.
// Usage: samples FOLDER.
//
// expected.json is a list of files, each with queries in SQL, in which FILE stands for the file, and the one text that
// each returns. Some files are damaged: there at least one query must return another.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"fanmill/pipeline/columnar"
	"fanmill/sinks/parquet"
)

type query struct {
	SQL  string `json:"sql"`
	Want string `json:"want"`
}

type sample struct {
	File    string  `json:"file"`
	Damaged bool    `json:"damaged"`
	Queries []query `json:"queries"`
}

type samples struct {
	folder string
	list   []sample
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: samples FOLDER")
		os.Exit(2)
	}
	s := &samples{folder: os.Args[1]}
	if err := s.make(); err != nil {
		fmt.Fprintln(os.Stderr, "samples:", err)
		os.Exit(1)
	}
}

func (s *samples) make() error {
	for _, step := range []func() error{s.patterns, s.joined, s.odd, s.long, s.dataset, s.damaged} {
		if err := step(); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(s.list, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.folder, "expected.json"), data, 0o600)
}

// add writes a file and notes what is to be found in it.
func (s *samples) add(name string, data []byte, damaged bool, queries []query) error {
	path := filepath.Join(s.folder, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if queries == nil {
		queries = []query{} // not null in JSON
	}
	s.list = append(s.list, sample{File: name, Damaged: damaged, Queries: queries})
	return os.WriteFile(path, data, 0o600)
}

// patterns are files of numbers of both signs, by where NULLs stand, in one row group and in many; one of them has
// every codec.
func (s *samples) patterns() error {
	for name, p := range patterns {
		for codec, groupBytes := range map[string]int64{"zstd": 0, "snappy": 1, "gzip": 1 << 20, "none": 0} {
			if name != "third-null" && (codec == "gzip" || codec == "none") {
				continue
			}
			data, err := p.write(parquet.Options{Compression: codec, GroupBytes: groupBytes}, 0, p.rows)
			if err != nil {
				return err
			}
			if err := s.add(name+"-"+codec+".parquet", data, false, p.queries()); err != nil {
				return err
			}
		}
	}
	return nil
}

// joined are files made of parts: row groups copied, row groups merged, and a file with older footers within.
func (s *samples) joined() error {
	p := patterns["distinct"]
	var parts []parquet.Part
	for lo := 0; lo < p.rows; lo += p.rows / 10 {
		data, err := p.write(parquet.Options{}, lo, lo+p.rows/10)
		if err != nil {
			return err
		}
		parts = append(parts, parquet.Part{R: bytes.NewReader(data), Size: int64(len(data))})
	}
	for name, step := range map[string]struct {
		groupBytes int64
		parts      int // of each Finish
	}{"copied": {1, 10}, "merged": {0, 10}, "grown": {1, 3}} {
		schema, err := newSchema()
		if err != nil {
			return err
		}
		f, err := parquet.Start(schema)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		for lo := 0; lo < len(parts); lo += step.parts {
			if err := f.Append(&out, parquet.Options{GroupBytes: step.groupBytes}, parts[lo:min(len(parts), lo+step.parts)]...); err != nil {
				return err
			}
			if err := f.Finish(&out, meta); err != nil {
				return err
			}
		}
		if err := s.add("joined-"+name+".parquet", out.Bytes(), false, p.queries()); err != nil {
			return err
		}
	}
	return nil
}

// odd has what is none of the patterns: NaN, infinities, UUIDs, JSON, the ends of calendars.
func (s *samples) odd() error {
	const rows = 1000
	columns := []columnar.Column{{Name: "f", Kind: columnar.Float}, {Name: "u", Kind: columnar.Text}, {Name: "j", Kind: columnar.Text},
		{Name: "t", Kind: columnar.Timestamp}, {Name: "zero", Kind: columnar.Float}}
	schema, err := parquet.NewSchema([]parquet.Column{{Name: "f", Kind: columnar.Float}, {Name: "u", Kind: columnar.Text, Form: parquet.UUID},
		{Name: "j", Kind: columnar.Text, Form: parquet.JSON}, {Name: "t", Kind: columnar.Timestamp}, {Name: "zero", Kind: columnar.Float},
		{Name: "branch", Kind: columnar.Text, Connection: true}})
	if err != nil {
		return err
	}
	batch, err := batchOf(columns, rows, oddRow)
	if err != nil {
		return err
	}
	feed, err := schema.Feed("Branch_001", []int{0, 1, 2, 3, 4, -1})
	if err != nil {
		return err
	}
	data, err := write(schema, parquet.Options{}, feed, batch)
	if err != nil {
		return err
	}
	return s.add("odd.parquet", data, false, []query{
		{"select count(*) from FILE where isnan(f)", "10"}, {"select count(*) from FILE where f > 1e300", "10"},
		{"select count(*) from FILE where f = 'NaN'::double", "10"}, {"select count(*) from FILE where f < 3", "3"},
		{"select typeof(u) || ' ' || typeof(j) || ' ' || typeof(t) from FILE limit 1", "UUID JSON TIMESTAMP"},
		{"select count(*) from FILE where u = 'a0eebc99-9c0b-4ef8-bb6d-000000000007'::uuid", "1"},
		{"select min(u)::varchar || ' ' || max(u)::varchar from FILE", "a0eebc99-9c0b-4ef8-bb6d-000000000000 a0eebc99-9c0b-4ef8-bb6d-000000000999"},
		{"select sum((j->>'n')::int) from FILE", fmt.Sprint(rows * (rows - 1) / 2)},
		{"select min(t)::varchar || ' ' || max(t)::varchar from FILE", "0001-01-01 00:00:00 9999-12-31 23:59:59.999999"},
		{"select count(*) from FILE where zero = 0", fmt.Sprint(rows)},
		{"select count(*) from FILE where zero = -0.0::double", fmt.Sprint(rows)},
		{"select distinct branch from FILE", "Branch_001"},
	})
}

// long has a text in one of its row groups that is longer than any bound.
func (s *samples) long() error {
	columns := []columnar.Column{{Name: "t", Kind: columnar.Text}}
	schema, err := parquet.NewSchema([]parquet.Column{{Name: "t", Kind: columnar.Text}})
	if err != nil {
		return err
	}
	feed, err := schema.Feed("c", []int{0})
	if err != nil {
		return err
	}
	var batches []*columnar.Batch
	for group := range 3 {
		batch, err := batchOf(columns, 10, func(r int, b *columnar.Builder) {
			text := fmt.Sprintf("%d-%d", group, r)
			if group == 1 && r == 5 {
				text = "z" + string(bytes.Repeat([]byte("x"), 10_000))
			}
			b.Column(0).String(text)
		})
		if err != nil {
			return err
		}
		batches = append(batches, batch)
	}
	data, err := write(schema, parquet.Options{GroupBytes: 1}, feed, batches...)
	if err != nil {
		return err
	}
	return s.add("long.parquet", data, false, []query{
		{"select count(*) from FILE where t > 'z'", "1"}, {"select length(max(t)) from FILE", "10001"}, {"select min(t) from FILE", "0-0"},
		{"select count(*) from FILE where t = '2-3'", "1"}, {"select count(*) from parquet_metadata(FILE) where stats_max_value is not null", "0"},
		{"select sum(stats_null_count) from parquet_metadata(FILE)", "0"},
	})
}

// dataset has a folder for each connection: DuckDB must find the ids as they are.
func (s *samples) dataset() error {
	p := patterns["one"]
	ids := []string{"Branch_001", "007", "a/b\\c:d=e%f\"g*h?i<j>k|l", " blank ", "_x", ".y", "CON", "दिल्ली", "x.", "a%2Fb", "nul.txt", "[a]{b}^#'"}
	for i, id := range ids {
		folder, err := parquet.Partition("connection", id)
		if err != nil {
			return err
		}
		data, err := p.write(parquet.Options{}, 0, 1)
		if err != nil {
			return err
		}
		var queries []query
		if i == len(ids)-1 {
			for _, id := range ids {
				queries = append(queries, query{"select count(*) from read_parquet('FOLDER/dataset/*/*.parquet', hive_partitioning = true, hive_types = {'connection': varchar})" +
					" where connection = " + quote(id), "1"})
			}
		}
		if err := s.add("dataset/"+folder+"/part-0.parquet", data, false, queries); err != nil {
			return err
		}
	}
	return nil
}
