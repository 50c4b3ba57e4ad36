package process_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline/deliver"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/query"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// trimming are records whose commits trim the row log, as the coordinator does.
type trimming struct {
	checkpoint.Records
	log  pipeline.RowLog
	mu   sync.Mutex
	seqs map[string]uint64 // by destination
}

type trimmingClaim struct {
	checkpoint.Claim
	r           *trimming
	destination string
}

func (r *trimming) Claim(ctx context.Context, run, destination string, incarnation int, o pipeline.Owner, previous string, look checkpoint.Look) (checkpoint.Claim, error) {
	c, err := r.Records.Claim(ctx, run, destination, incarnation, o, previous, look)
	if err != nil {
		return nil, err
	}
	return &trimmingClaim{Claim: c, r: r, destination: destination}, nil
}

func (c *trimmingClaim) Commit(ctx context.Context, change func(*checkpoint.CommitRecord)) error {
	if err := c.Claim.Commit(ctx, change); err != nil {
		return err
	}
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.seqs[c.destination] = c.Record().Seq
	upTo := ^uint64(0)
	for _, seq := range c.r.seqs {
		upTo = min(upTo, seq)
	}
	if upTo == 0 {
		return nil
	}
	return c.r.log.Trim(ctx, upTo)
}

// turns lets the frames of one number of two connections go on together.
type turns struct {
	mu   sync.Mutex
	came map[uint64]string        // connection, by number
	both map[uint64]chan struct{} // closed when both are there, by number
}

// meet waits for the frame of the other connection. A frame that is published again does not wait again.
func (s *turns) meet(ctx context.Context, f *pipeline.Frame) {
	s.mu.Lock()
	first, ok := s.came[f.Number]
	if !ok {
		s.came[f.Number], s.both[f.Number] = f.Connection, make(chan struct{})
	} else if first != "" && first != f.Connection {
		s.came[f.Number] = ""
		close(s.both[f.Number])
	}
	both := s.both[f.Number]
	s.mu.Unlock()
	select {
	case <-both:
	case <-ctx.Done():
	}
}

// Two workers, as in two processes, put a row of half the log each into it, a piece in turn: neither the log nor a
// destination waits for the end of a row, and nobody is given up.
func TestTwoWorkersWithRowsOfHalfTheLog(t *testing.T) {
	t.Parallel()
	const logBytes = 32 * mb
	w, r := remote(t, logBytes, false)
	ids := []string{"a", "b"}
	for _, id := range ids {
		w.connect(id, of(2, logBytes/2-128<<10))
	}
	w.deliverTo("d")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	m := &pipeline.Manifest{Run: "r", JobID: "job", JobName: "Job", Birth: "birth", LogMaxBytes: logBytes}
	for _, d := range w.job.Destinations {
		m.Destinations = append(m.Destinations, pipeline.ManifestDestination{ID: d.ID, Type: d.Type, Path: d.FilePath})
	}
	for _, id := range ids {
		m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: id, Name: id, Queries: []pipeline.ManifestQuery{{}}})
	}
	spy := &logs{RowLogs: w.node.RowLogs}
	log, err := spy.Create(ctx, m, 1)
	if err != nil {
		t.Fatal(err)
	}
	turn := &turns{came: map[uint64]string{}, both: map[uint64]chan struct{}{}}
	spy.publish = func(ctx context.Context, f *pipeline.Frame) {
		if f.Fragment > 0 { // the first pieces of both are there, and so on
			turn.meet(ctx, f)
		}
	}
	records := &trimming{Records: checkpoint.NewRecords(w.conn.Stores().Checkpoints), log: log, seqs: map[string]uint64{}}
	if _, err := checkpoint.CreateDocument(ctx, w.node.Stores.Runs, checkpoint.RunKey("r"), checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Owner: w.node.Owner, Generation: 1}); err != nil {
		t.Fatal(err)
	}
	w.keepRun(m, 0)
	opened := checkpoint.Opened{Generation: 1}
	for i := range m.Destinations { // nothing is trimmed that one of them lacks
		records.seqs[m.Destinations[i].ID] = 0
	}
	var all sync.WaitGroup
	for _, id := range ids {
		if _, err := checkpoint.CreateDocument(ctx, w.node.Stores.Runs, checkpoint.ConnKey("r", id), checkpoint.ConnRecord{Opened: opened, State: checkpoint.ConnPending}); err != nil {
			t.Fatal(err)
		}
		worker := &query.Worker{Runs: w.node.Stores.Runs, Specs: w.node.Specs, Jobs: w.node.Jobs, RowLogs: spy, Databases: w.node.Databases, Owner: w.node.Owner, Log: w.node.Log, Budget: memory.NewBudget(64 * mb)}
		all.Go(func() {
			if err := worker.Query(ctx, pipeline.QueryCommand{Run: "r", Connection: id}, nil); err != nil {
				t.Errorf("the worker of %s: %v", id, err)
			}
		})
	}
	for i := range m.Destinations {
		dest := &m.Destinations[i]
		if err := records.Create(ctx, "r", dest.ID, checkpoint.CommitRecord{Opened: opened, State: pipeline.RecordOpen}); err != nil {
			t.Fatal(err)
		}
		d := deliver.NewDeliverer(deliver.Deliverer{Runs: w.node.Stores.Runs, Specs: w.node.Specs, Jobs: w.node.Jobs, Budget: memory.NewBudget(64 * mb), Records: records, RowLogs: spy, Sinks: w.node.Sinks, Owner: w.node.Owner, StoreID: "s", Timeout: time.Minute, Log: w.node.Log, Spool: w.node.Spool})
		all.Go(func() {
			if err := d.Deliver(ctx, pipeline.SinkCommand{Run: "r", Destination: dest.ID}, nil); err != nil {
				t.Errorf("destination %s: %v", dest.ID, err)
			}
		})
	}
	all.Wait()
	for _, d := range m.Destinations {
		if rec, err := records.Load(ctx, "r", d.ID); err != nil || rec.State != pipeline.RecordFinished {
			t.Errorf("%s is %s: %s (%v)", d.ID, rec.State, rec.Error, err)
		}
	}
	w.exact("d", ids...)
	r.exact(w, ids...)
	if spy.fragments() < 8 {
		t.Errorf("%d pieces were published", spy.fragments())
	}
}

// Pieces that are lost while their row is under way: the destination is claimed anew, finds it out, and the run asks
// the connection once more by itself. The row arrives whole, once.
func TestLostPiecesAreAskedAgain(t *testing.T) {
	w := newRealWorld(t, 24*mb)
	half, harmed := make(chan struct{}), make(chan struct{})
	recorded := sync.OnceFunc(func() { close(half) })
	defer failpoint.Watch(func(name string) {
		if name == "mid-row" {
			recorded()
		}
	})()
	w.connect("big", of(1, 11*mb)) // a piece of 8 MB, and one of 3
	filler := of(80, 100<<10)      // with which it is more than half of the log
	filler.before = func(ctx context.Context, attempt, _, row int) error {
		if attempt == 1 && row == 79 {
			select {
			case <-half:
			case <-ctx.Done():
			}
		}
		return nil
	}
	w.connect("filler", filler)
	w.deliverTo("d")
	spy := &logs{RowLogs: w.node.RowLogs, publish: func(ctx context.Context, f *pipeline.Frame) {
		if f.Attempt == 1 && f.Fragment > 0 {
			select {
			case <-harmed:
			case <-ctx.Done():
			}
		}
	}}
	w.node.RowLogs = spy
	harm := sync.OnceValue(func() error {
		defer close(harmed)
		for _, path := range files(t, w, "c000000-a1") {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		return pipeline.Transient(errors.New("the share is away for a moment"))
	})
	done := false
	w.disk.failing(func(_, step, connection string) error {
		select {
		case <-half:
			if step == "append" && connection == "filler" && !done {
				done = true
				return harm()
			}
		default:
		}
		return nil
	})
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	w.exact("d", "big", "filler")
	asked := 0
	for _, id := range w.db.askedSince() {
		if id == "big" {
			asked++
		}
	}
	if asked != 2 {
		t.Errorf("the connection was asked %d times", asked)
	}
}
