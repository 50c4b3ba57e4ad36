package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"fanmill/pipeline/deliver"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/sinks"
)

// script is a row log as a destination meets it: groups of frames, one for each fetch.
type logScript struct {
	pipeline.RowLog
	pipeline.RowLogs
	max    int64
	groups [][]*pipeline.Frame
	idle   func() // called when a reader has come to the end and waits for more
}

var scriptID = pipeline.LogID{Stream: "S", Generation: 1}

func (l *logScript) Newest(context.Context, string) (int, error) { return 1, nil }

func (l *logScript) Open(context.Context, string, int) (pipeline.RowLog, error) { return l, nil }

func (l *logScript) State(context.Context) (pipeline.LogState, error) {
	return pipeline.LogState{ID: scriptID, First: 1, Last: 1 << 40, MaxBytes: l.max}, nil
}

func (l *logScript) Reader(_ context.Context, _ string, from uint64, _ []string) (pipeline.FrameReader, error) {
	return &scriptReader{l: l, next: from}, nil
}

type scriptReader struct {
	l    *logScript
	next uint64
}

func (r *scriptReader) Fetch(ctx context.Context, _ int) ([]*pipeline.Frame, error) {
	for _, g := range r.l.groups {
		var out []*pipeline.Frame
		for _, f := range g {
			if f.Seq >= r.next {
				c := *f
				out = append(out, &c)
			}
		}
		if len(out) > 0 {
			r.next = out[len(out)-1].Seq + 1
			return out, nil
		}
	}
	r.l.idle()
	<-ctx.Done()
	return nil, ctx.Err()
}

func (r *scriptReader) Acked(uint64) {}
func (r *scriptReader) Close() error { return nil }

// put appends a group of frames, numbering them.
func (l *logScript) put(frames ...*pipeline.Frame) {
	seq := uint64(0)
	for _, g := range l.groups {
		seq += uint64(len(g))
	}
	for _, f := range frames {
		seq++
		f.Seq = seq
	}
	l.groups = append(l.groups, frames)
}

// attempt makes the frames of one attempt.
type attempt struct {
	id     string
	number int
	names  []string
	frames uint64
	rows   int64
	chain  pipeline.Chain
}

func (a *attempt) open() *pipeline.Frame {
	if a.names == nil {
		a.names = []string{"id", "body"}
	}
	cols := []columnar.Column{{Name: a.names[0], Kind: columnar.Int}, {Name: a.names[1], Kind: columnar.Binary}}
	body, _ := json.Marshal(pipeline.NewOpening([]pipeline.Query{{}}, [][]columnar.Column{cols}))
	return &pipeline.Frame{Kind: pipeline.FrameOpen, Connection: a.id, Attempt: a.number, Fragments: 1, Body: body}
}

func (a *attempt) row(size int) *pipeline.Frame {
	b := columnar.NewBuilder([]columnar.Column{{Name: a.names[0], Kind: columnar.Int}, {Name: a.names[1], Kind: columnar.Binary}})
	b.Column(0).Long(a.rows)
	b.Column(1).Bytes(value(a.id, 0, int(a.rows), size))
	b.EndRow()
	body, err := b.Encode()
	if err != nil {
		panic(err)
	}
	a.frames++
	a.rows++
	a.chain = a.chain.Add(body)
	return &pipeline.Frame{Kind: pipeline.FrameRows, Connection: a.id, Attempt: a.number, Number: a.frames, Rows: 1, Fragments: 1, Body: body}
}

func (a *attempt) eof() *pipeline.Frame {
	body, _ := json.Marshal(pipeline.Ending{Rows: []int64{a.rows}, Frames: a.frames, Checksum: uint64(a.chain), Attempts: a.number})
	return &pipeline.Frame{Kind: pipeline.FrameEOF, Connection: a.id, Attempt: a.number, Number: a.frames + 1, Fragments: 1, Body: body}
}

func (a *attempt) failed() *pipeline.Frame {
	body, _ := json.Marshal(pipeline.Failure{Error: "gone", Attempts: a.number})
	return &pipeline.Frame{Kind: pipeline.FrameFailed, Connection: a.id, Attempt: a.number + 1, Fragments: 1, Body: body}
}

// delivered runs the sink loop over the script until it ends or is idle, and returns the record.
func (w *world) delivered(l *logScript, typ string, path string, ids ...string) (checkpoint.CommitRecord, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	m := &pipeline.Manifest{Run: "r", JobID: "job", JobName: "Job", Destinations: []pipeline.ManifestDestination{{ID: "d", Type: typ, Path: path}}}
	for _, id := range ids {
		m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: id, Name: id, Queries: []pipeline.ManifestQuery{{}}})
	}
	l.idle = cancel
	records := checkpoint.NewRecords(w.conn.Stores().Checkpoints)
	if err := records.Create(ctx, "r", "d", checkpoint.CommitRecord{State: pipeline.RecordOpen}); err != nil {
		w.t.Fatal(err)
	}
	all := sinks.Kinds()
	all["memory"] = w.disk.kind(pipeline.Traits{})
	d := deliver.NewDeliverer(deliver.Deliverer{Runs: w.node.Stores.Runs, Specs: w.node.Specs, Jobs: w.node.Jobs, Budget: w.node.Budget, Records: records, RowLogs: l, Sinks: all, Owner: w.node.Owner, StoreID: "s", Timeout: time.Minute, Log: w.node.Log, Spool: w.node.Spool})
	w.keepRun(m, 0)
	err := d.Deliver(ctx, pipeline.SinkCommand{Run: "r", Destination: "d"}, nil)
	rec, lerr := records.Load(w.t.Context(), "r", "d")
	if lerr != nil {
		w.t.Fatal(lerr)
	}
	return rec, err
}

// A retry, another connection that is open meanwhile, a commit, and any restart (crash, or a sink's transient
// error): the lower attempt's frames behind the committed position stop the destination for good.
func TestRestartAfterRetry(t *testing.T) {
	w := newWorld(t, 8*mb)
	l := &logScript{max: 8 * mb}
	x1, x2 := &attempt{id: "x", number: 1}, &attempt{id: "x", number: 2}
	y, z := &attempt{id: "y", number: 1}, &attempt{id: "z", number: 1}
	l.put(x1.open(), y.open(), y.row(10), x1.row(10), x2.open(), x2.row(10), z.open(), z.row(10), z.eof())
	l.put(x2.eof(), y.row(10), y.eof())
	failures := 0
	w.disk.failing(func(_, step, _ string) error {
		if step == "release" && failures == 0 {
			failures++
			return pipeline.Transient(fmt.Errorf("the share is away for a moment"))
		}
		return nil
	})
	rec, err := w.delivered(l, "memory", "d", "x", "y", "z")
	if err != nil || rec.State != pipeline.RecordFinished || len(rec.Settled) != 3 {
		t.Errorf("error %v, record %s %q with %d settled, want finished with 3", err, rec.State, rec.Error, len(rec.Settled))
	}
}

// Connections that end in every fetch keep the loop from ever cutting: the position stays before the one that is
// still open, and a full log stays full.
func TestCommitsStarveTheCut(t *testing.T) {
	w := newWorld(t, 8*mb)
	l := &logScript{max: 1 * mb}
	big := &attempt{id: "big", number: 1}
	l.put(big.open(), big.row(1000))
	ids := []string{"big"}
	total := 0
	for i := 0; total < mb; i++ {
		s := &attempt{id: fmt.Sprintf("s%d", i), number: 1}
		l.put(s.open(), s.row(100<<10), s.eof())
		ids = append(ids, s.id)
		total += 100 << 10
	}
	rec, _ := w.delivered(l, "memory", "d", ids...)
	if rec.Seq < 3 {
		t.Errorf("after reading %d bytes, all the log can hold, the committed position is %d of %d: nothing can be trimmed, and nothing more can be published",
			total, rec.Seq, 2+3*(len(ids)-1))
	}
}

// A part whose rows were turned away holds the position until its next frame, which a full log never takes.
func TestRejectedPartHoldsTheLog(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.disk.failing(func(_, step, c string) error {
		if step == "encode" && c == "odd" {
			return &pipeline.RejectError{Reason: "does not fit"}
		}
		return nil
	})
	l := &logScript{max: 1 * mb}
	odd, big := &attempt{id: "odd", number: 1}, &attempt{id: "big", number: 1}
	l.put(odd.open(), odd.row(1000), big.open())
	for range 12 {
		l.put(big.row(100 << 10))
	}
	rec, _ := w.delivered(l, "memory", "d", "odd", "big")
	if rec.Seq < 3 {
		t.Errorf("after more than the log can hold the committed position is %d", rec.Seq)
	}
}

// A connection with odd columns that opens first and then fails takes all others with it.
func TestHeaderOfAFailedConnection(t *testing.T) {
	w := newWorld(t, 8*mb)
	l := &logScript{max: 8 * mb}
	odd := &attempt{id: "odd", number: 1, names: []string{"id", "other"}}
	a, b := &attempt{id: "a", number: 1}, &attempt{id: "b", number: 1}
	l.put(odd.open(), odd.row(10), a.open(), a.row(10), odd.failed(), a.eof(), b.open(), b.row(10), b.eof())
	rec, err := w.delivered(l, "csv", t.TempDir()+"/x.csv", "odd", "a", "b")
	if err != nil || len(rec.Settled) != 2 {
		t.Errorf("error %v: settled %v, failed %v; a and b agree on their columns and nothing of odd is in the file", err, rec.Settled, rec.Failed)
	}
}
