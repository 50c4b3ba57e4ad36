package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// The destinations of sinkContenders that others name, too.
const (
	parquetFile  = "parquet"
	distinctRows = "api, batch, distinct rows"
)

// sinkContender is one kind of destination to be measured.
type sinkContender struct {
	name string
	// make returns the destination of a job, and the file that it writes; "" for none.
	make func(dir string) (destination map[string]any, artifact string)
}

// sinkContenders are the kinds of destinations, each with what it does without being asked for anything else.
func sinkContenders(receiver string) []sinkContender {
	file := func(kind, name string) func(dir string) (map[string]any, string) {
		return func(dir string) (map[string]any, string) {
			path := filepath.ToSlash(filepath.Join(dir, name))
			return map[string]any{"type": kind, "filePath": path}, path
		}
	}
	send := func(more map[string]any) func(dir string) (map[string]any, string) {
		return func(string) (map[string]any, string) {
			d := map[string]any{"type": "api", "url": receiver, "timeout": "5m"}
			for k, v := range more {
				d[k] = v
			}
			return d, ""
		}
	}
	return []sinkContender{
		{"csv", file("csv", "sales.csv")},
		{"csv, gzip", file("csv", "sales.csv.gz")},
		{"jsonl", file("jsonl", "sales.jsonl")},
		{"jsonl, zstd", file("jsonl", "sales.jsonl.zst")},
		{"excel", file("excel", "sales.xlsx")},
		{parquetFile, file("parquet", "sales.parquet")},
		{distinctRows, send(map[string]any{"maxRowsPerRequest": 50000})},
		{"api, batch, all rows", send(map[string]any{"dedupe": false, "maxRowsPerRequest": 50000})},
		{"api, stream", send(map[string]any{"mode": "stream", "maxRowsPerRequest": 50000})},
	}
}

// benchSinks measures each kind of destination alone: the same rows of four connections from PostgreSQL. A spreadsheet
// of Google's is not among them: its quota, not fanmill, says how many rows a minute it takes.
func benchSinks(ctx context.Context, b *bench) error {
	rounds := min(b.runs, 3)
	taken, err := startReceiver(0)
	if err != nil {
		return err
	}
	defer taken.close()
	rows := b.rows / 4 * 4
	b.printf("\n[sinks] PostgreSQL -> each destination: %s rows of 15 columns from four connections; medians of %d runs in turn\n", count(float64(rows)), rounds)
	var contenders []contender
	for _, s := range sinkContenders(taken.url) {
		c := b.fanmill(s.name, job{connections: 4, query: repeated(quarter, 1), rows: rows, destination: s.make})
		contenders = append(contenders, taken.counting(c, s.name != distinctRows))
	}
	all, err := compete(ctx, rounds, contenders...)
	if err != nil {
		return err
	}
	t := table{}
	t.add("", "seconds", "rows/s", "of csv", "CPU s a million rows", "peak MB", "MB written")
	for i := range all {
		s := &all[i]
		t.add(s.name, seconds(s.median(wallSeconds)), count(s.rate()), fmt.Sprintf("%.2f", s.against(&all[0])),
			fmt.Sprintf("%.2f", s.median(cpuSeconds)/float64(rows)*1e6), megabytes(s.median(peakBytes)), megabytes(s.median(fileBytes)))
	}
	t.print(b.out)
	return nil
}
