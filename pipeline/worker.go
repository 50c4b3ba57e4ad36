package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Worker runs query commands: the query loop. Several commands may run at once.
type Worker struct {
	Runs      KV
	RowLogs   RowLogs
	Databases map[string]*DatabaseKind
	Expand    func(string) (string, error) // replaces ${VAR}
	Owner     Owner
	Notify    func(Event)
	Rows      func(connection string, rows int64) // sees how far an attempt is, often; may be nil
	Log       *slog.Logger

	Budget       *Budget
	Memory       *Memory       // may be nil
	QueryTimeout time.Duration // without a row; 0 is no limit

	batches, batchBytes, logWait atomic.Int64 // the last in nanoseconds, of all attempts together

	// pieces is locked while a batch in fragments is being stored, and read-locked for every other. A destination
	// cannot let go of a piece before it has the last one: pieces of several connections, or one's pieces and the
	// others' batches, could fill the row log and wait for each other.
	pieces sync.RWMutex
}

// Query brings one connection's rows into the row log: attempt after attempt, until its eof is there, it is given up,
// or ctx ends. It returns nil also when there is nothing to do, or another worker has the connection; an error
// means that the command should be delivered again, unless it is ErrFenced: then the run is somebody else's.
func (w *Worker) Query(ctx context.Context, m *Manifest, job *Job, connection string, generation int) error {
	c, err := job.Connection(connection)
	if err != nil {
		return err
	}
	log, err := w.RowLogs.Open(ctx, m.Run, generation)
	if err != nil {
		return fmt.Errorf("open row log: %w", err)
	}
	cell, err := loadConn(ctx, w.Runs, m.Run, connection)
	if err != nil {
		return err
	}
	if err := w.entitled(ctx, m.Run); err != nil {
		return err
	}
	if s := cell.Value().State; s == ConnDone || s == ConnGivenUp || s == ConnFailed {
		return nil
	}
	pauses := job.Retry.pauses()
	var again onceMore
	for {
		next := cell.Value()
		next.claim(w.Owner, time.Now().UTC())
		if err := cell.Write(ctx, next); err != nil {
			return err
		}
		out := newPublisher(log, w.Runs, m.Run, connection, next)
		err := out.look(ctx)
		if errors.Is(err, errDelivered) { // a worker before this one may have ended between its eof and saying so
			return w.finish(ctx, m, cell, ConnDone, nil)
		}
		if err != nil {
			return w.fenced(ctx, m.Run, err)
		}
		w.notify(m, Event{Kind: EventConnected, Connection: connection, Attempt: next.Attempts})
		a := &attempt{worker: w, m: m, conn: c, out: out, tries: next.Attempts, started: time.Now(),
			snapshot: job.Snapshot, maxDuration: job.MaxDuration}
		err = a.run(ctx)
		switch {
		case err == nil:
			w.notify(m, Event{Kind: EventDelivered, Connection: connection, Attempt: next.Attempts, Rows: sum(a.rows), Millis: a.millis()})
			// Also when the run is being stopped: what is in the log whole is still delivered.
			return w.finish(context.WithoutCancel(ctx), m, cell, ConnDone, nil)
		case errors.Is(err, errDelivered): // by a worker that was taken for dead, while this one connected
			return w.finish(context.WithoutCancel(ctx), m, cell, ConnDone, nil)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrFenced): // which is no try
			return w.fenced(ctx, m.Run, err)
		case IsPermanent(err) || next.Attempts >= job.Retry.Attempts || again.spent(err):
			return w.finish(ctx, m, cell, ConnGivenUp, err)
		}
		most := job.Retry.Attempts
		if again > 0 {
			most = next.Attempts + 1
		}
		pause := pauses()
		w.notify(m, Event{Kind: EventRetry, Connection: connection, Attempt: next.Attempts,
			Error: shortError(fmt.Errorf("%w; attempt %d of %d follows in %s", err, next.Attempts+1, most, pause.Round(time.Millisecond)))})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pauses makes the pauses between the attempts at one connection, one after the other. They vary, so that branches
// behind one router do not come back together.
func (r Retry) pauses() (next func() time.Duration) {
	most := time.Duration(cmp.Or(r.Max, DefaultBackoffMax))
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = min(time.Duration(cmp.Or(r.Backoff, DefaultBackoff)), most), most, 2
	return func() time.Duration { return min(b.NextBackOff(), most) }
}

// count notes a batch that was handed to the row log.
func (w *Worker) count(connection string, rows int64, bytes int) {
	w.batches.Add(1)
	w.batchBytes.Add(int64(bytes))
	if w.Rows != nil {
		w.Rows(connection, rows)
	}
}

// entitled reports ErrFenced when the run has another owner by now. It is asked between reading the connection's
// record and changing it: a successor changes that record before it has the connection asked again, so a worker that
// froze anywhere in between finds a conflict, and one that wakes later finds the successor.
func (w *Worker) entitled(ctx context.Context, run string) error {
	cell, err := LoadCell[RunRecord](ctx, w.Runs, RunKey(run))
	if err != nil {
		return err
	}
	if cell.Value().Owner.Token != w.Owner.Token {
		return fmt.Errorf("run %s: %w", run, ErrFenced)
	}
	return nil
}

// fenced is err, unless that is of an attempt alone: the connection is in other hands then, and the run's are these.
func (w *Worker) fenced(ctx context.Context, run string, err error) error {
	if errors.Is(err, ErrFenced) {
		return w.entitled(ctx, run)
	}
	return err
}

// finish records how the connection's attempts ended.
func (w *Worker) finish(ctx context.Context, m *Manifest, cell *Cell[ConnRecord], state ConnState, cause error) error {
	next := cell.Value()
	next.State, next.Owner = state, w.Owner.Token
	next.Millis = time.Since(next.Started).Milliseconds()
	if cause != nil {
		next.Error = shortError(cause)
	}
	return cell.Write(ctx, next)
}

func (w *Worker) notify(m *Manifest, e Event) {
	if w.Notify != nil {
		e.Job, e.Run, e.Time = m.JobID, m.Run, time.Now().UTC()
		w.Notify(e)
	}
}

// loadConn reads a connection's record; one that does not exist yet is empty.
func loadConn(ctx context.Context, runs KV, run, connection string) (*Cell[ConnRecord], error) {
	key := ConnKey(run, connection)
	cell, err := LoadCell[ConnRecord](ctx, runs, key)
	if errors.Is(err, ErrNoKey) {
		return &Cell[ConnRecord]{kv: runs, key: key}, nil
	}
	return cell, err
}

// jsonBody marshals the body of a frame that carries JSON. The types are this package's own and always marshal.
func jsonBody(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	return b
}
