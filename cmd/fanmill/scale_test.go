package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/internal/verify"
	"fanmill/nats"
	"fanmill/pipeline"
	"fanmill/sinks"
)

// slowSink is a destination on a slow device: each batch takes a pause longer.
type slowSink struct {
	pipeline.Sink
	pause func()
}

type slowPart struct {
	pipeline.Part
	pause func()
}

const moment = 20 * time.Millisecond

func (s slowSink) Open(ctx context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	part, err := s.Sink.Open(ctx, id, o, from, rows)
	if err != nil {
		return nil, err
	}
	return slowPart{part, s.pause}, nil
}

func (s slowSink) Stage(ctx context.Context, parts []pipeline.Part, round int, final *pipeline.Report) (pipeline.Staged, error) {
	inner := make([]pipeline.Part, len(parts))
	for i, p := range parts {
		inner[i] = p.(slowPart).Part
	}
	return s.Sink.Stage(ctx, inner, round, final)
}

func (p slowPart) Append(ctx context.Context, query int, c pipeline.Chunk) error {
	p.pause()
	return p.Part.Append(ctx, query, c)
}

// wrapped is the real destinations, those of one kind behind something else.
func wrapped(name string, wrap func(pipeline.Sink) pipeline.Sink) map[string]*pipeline.SinkKind {
	all := sinks.Kinds()
	kind := *all[name]
	made := kind.New
	kind.New = func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
		sink, err := made(spec)
		return wrap(sink), err
	}
	all[name] = &kind
	return all
}

// withSlowed is the real destinations, the one named on a slow device: a batch takes a moment longer, or, of the one
// named in "csv=FILE", until the file is gone.
func withSlowed(what string) func() map[string]*pipeline.SinkKind {
	name, while, held := strings.Cut(what, "=")
	pause := func() { time.Sleep(moment) }
	if held {
		pause = func() {
			for {
				if _, err := os.Stat(while); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	return func() map[string]*pipeline.SinkKind {
		return wrapped(name, func(sink pipeline.Sink) pipeline.Sink { return slowSink{sink, pause} })
	}
}

// Invariants 5 and 8: one connection of 100 MB, a row log of 16 MB, one slow destination. The log stays within its
// bound on disk, and both artifacts are exact.
func TestLogBoundHolds(t *testing.T) {
	times, size := 17, 100<<20
	if raceEnabled {
		times, size = 2, 10<<20
	}
	w := newWorld(t, 1)
	// The branch's rows many times over, each copy with a remark of its own that does not compress away.
	var copies []string
	for i := range times {
		copies = append(copies, fmt.Sprint(i))
	}
	w.conns[0].rows = 32000 * times
	w.query = fmt.Sprintf(`select branch, invoice_no, invoice_date, gstin, customer, taxable_value, total, created_at, remarks,
		n.value || invoice_no || '-' || ack_no || '-' || (total * 7919 %% 100003) || customer as note
		from (select * from sale order by rowid limit 32000) cross join json_each('[%s]') n`, strings.Join(copies, ","))
	bound := 16
	if raceEnabled {
		bound = 4
	}
	w.args = append(w.args, "--log-max-mb", fmt.Sprint(bound))
	w.write()
	w.env = append(w.env, "FANMILL_TEST_SLOW=excel")
	cmd, out := w.command(nil)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var highest int64
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			highest = max(highest, w.logOnDisk())
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v; it said:\n%s", err, out)
			}
			running = false
		}
	}
	// The server frees space in blocks of a quarter of the bound: one that is trimmed in part still takes its whole
	// size.
	if most := int64(bound<<20) * 5 / 4; highest > most+most/20 {
		t.Errorf("the row log took %.1f MB on disk, its bound is %d MB", mb(highest), bound)
	}
	if info, err := os.Stat(w.csv()); err != nil || info.Size() < int64(size) {
		t.Fatalf("the connection is not as large as this test wants: %v, %v", info, err)
	}
	truth, columns, err := verify.SQLite(t.Context(), []verify.Source{{Name: w.conns[0].name, Path: w.conns[0].dsn}}, w.query)
	if err != nil {
		t.Fatal(err)
	}
	w.equal(truth, columns)
	t.Logf("row log: at most %.1f MB on disk", mb(highest))
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// logOnDisk is the size of the row logs' message files.
func (w *world) logOnDisk() (total int64) {
	_ = filepath.WalkDir(w.args[1], func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "FANMILL_ROWS") && strings.HasSuffix(path, ".blk") {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil // files come and go under the walk
	})
	return total
}

// R8 and the promise of a thousand branches: a commit record stays small, and a hundred connections take seconds.
func TestThousandConnections(t *testing.T) {
	t.Parallel()
	n := 1000
	if raceEnabled {
		n = 200
	}
	w := newWorld(t, 1)
	base := w.conns[0]
	w.conns, w.queries = nil, map[int]string{}
	for i := range n {
		name := fmt.Sprintf("Branch %04d with a name that fills the tab of its sheet", i+1)
		w.conns = append(w.conns, worldConn{id: fmt.Sprintf("conn_%04d", i+1), name: name, dsn: base.dsn, rows: 10})
		w.queries[i] = fmt.Sprintf("select '%s' as branch, invoice_no, total from sale limit 10", name)
	}
	w.write()
	began := time.Now()
	w.mustRun(exitComplete, nil)
	took := time.Since(began)
	tabs, rows, err := verify.OpenWorkbook(w.xlsx())
	if err != nil {
		t.Fatal(err)
	}
	if len(tabs) != n+1 || tabs[n] != "Summary" {
		t.Fatalf("%d tabs, want %d and the summary", len(tabs), n)
	}
	for i, tab := range tabs[:n] {
		if rows[tab] != 11 || !strings.HasPrefix(tab, fmt.Sprintf("Branch %04d", i+1)) {
			t.Fatalf("tab %d is %q with %d rows", i, tab, rows[tab])
		}
	}
	inFile := w.csvRows()
	for _, c := range w.conns {
		if inFile[c.name] != 10 {
			t.Fatalf("the CSV has %d rows of %s", inFile[c.name], c.name)
		}
	}
	for id, size := range w.recordSizes() {
		if size > 256<<10 {
			t.Errorf("the record of %s has %d bytes", id, size)
		}
		t.Logf("record of %s: %d bytes", id, size)
	}
	t.Logf("%d connections in %s, %s a hundred", n, took.Round(time.Millisecond), (took / time.Duration(n/100)).Round(time.Millisecond))
}

// recordSizes are the sizes of the last run's commit records.
func (w *world) recordSizes() map[string]int {
	w.t.Helper()
	ctx := w.t.Context()
	conn, err := nats.Open(ctx, nats.Options{DataDir: w.args[1]})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	}()
	last, err := checkpoint.LoadDocument[checkpoint.JobRun](ctx, conn.Stores().Runs, checkpoint.JobRunKey("gst"))
	if err != nil {
		w.t.Fatal(err)
	}
	sizes := map[string]int{}
	for _, id := range []string{"excel", "csv"} {
		e, err := conn.Stores().Checkpoints.Get(ctx, checkpoint.RecordKey(last.Value().Run, id))
		if err != nil {
			w.t.Fatal(err)
		}
		sizes[id] = len(e.Value)
	}
	return sizes
}
