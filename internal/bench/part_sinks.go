package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
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
		{"parquet", file("parquet", "sales.parquet")},
		{"api, batch, distinct rows", send(map[string]any{"maxRowsPerRequest": 50000})},
		{"api, batch, all rows", send(map[string]any{"dedupe": false, "maxRowsPerRequest": 50000})},
		{"api, stream", send(map[string]any{"mode": "stream", "maxRowsPerRequest": 50000})},
	}
}

// benchSinks measures each kind of destination alone: the same rows of four connections from PostgreSQL. A spreadsheet
// of Google's is not among them: its quota, not fanmill, says how many rows a minute it takes.
func benchSinks(ctx context.Context, b *bench) error {
	rounds := min(b.runs, 3)
	taken := &counter{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: taken}
	go func() { _ = server.Serve(l) }() // until Close
	defer server.Close()
	rows := b.rows / 4 * 4
	b.printf("\n[sinks] PostgreSQL -> each destination: %s rows of 15 columns from four connections; medians of %d runs in turn\n", count(float64(rows)), rounds)
	var contenders []contender
	for _, s := range sinkContenders("http://" + l.Addr().String() + "/rows") {
		c := b.fanmill(s.name, job{connections: 4, query: repeated(quarter, 1), rows: rows, destination: s.make})
		run := c.run
		c.run = func(ctx context.Context) (result, error) {
			taken.reset()
			r, err := run(ctx)
			if sent := taken.rows.Load(); err == nil && sent > 0 {
				r.file = taken.bytes.Load()
				if sent != int64(rows) && s.name != "api, batch, distinct rows" {
					err = fmt.Errorf("%d rows were sent, not %d", sent, rows)
				}
			}
			return r, err
		}
		contenders = append(contenders, c)
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

// counter is a receiver that takes everything, and counts.
type counter struct{ rows, bytes atomic.Int64 }

func (c *counter) reset() {
	c.rows.Store(0)
	c.bytes.Store(0)
}

// ServeHTTP implements http.Handler. Rows of our bodies begin with the connection's key.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.rows.Add(int64(bytes.Count(body, []byte(`{"_connection":`))))
	c.bytes.Add(int64(len(body)))
	w.WriteHeader(http.StatusNoContent)
}
