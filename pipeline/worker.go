package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fanmill/pipeline/failpoint"
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
}

// Query brings one connection's rows into the row log: attempt after attempt, until its eof is there, it is given up,
// or ctx ends. It returns nil also when there is nothing to do, or another worker has the connection; an error
// means that the command should be delivered again, unless it is ErrFenced: then the run is somebody else's. A
// connection that it had taken stays its own then, until the coordinator finds that nobody asks it.
// incarnation is that of the command: the record may be opened for a later one, and its row log is that which the
// record names. Who opens the record for a later one changes it, so that a worker which froze anywhere in between finds
// a conflict.
func (w *Worker) Query(ctx context.Context, m *Manifest, job *Job, connection string, incarnation int) error {
	c, err := job.Connection(connection)
	if err != nil {
		return err
	}
	cell, err := LoadCell[ConnRecord](ctx, w.Runs, ConnKey(m.Run, connection))
	if err != nil {
		return err
	}
	opened := cell.Value().Opened
	if err := opened.Admits(incarnation); err != nil {
		return fmt.Errorf("connection %s: %w", connection, err)
	}
	log, err := openLog(ctx, w.RowLogs, m.Run, opened)
	if err != nil {
		return w.unlogged(ctx, m.Run, opened, err)
	}
	next := cell.Value()
	if !next.claim(w.Owner, time.Now().UTC()) {
		return nil // it is done, or another worker has it
	}
	if err := cell.Write(ctx, next); err != nil {
		return err
	}
	pauses := pauses(job.Retry)
	var again onceMore
	for {
		failpoint.Hit("asking-" + connection)
		out := newPublisher(log, w.Runs, m.Run, connection, next)
		err := out.look(ctx)
		if errors.Is(err, errDelivered) { // a worker before this one may have ended between its eof and saying so
			return w.finish(ctx, cell)
		}
		if err != nil {
			return w.fenced(ctx, m.Run, connection, incarnation, err)
		}
		w.notify(m, Event{Kind: EventConnected, Connection: connection, Attempt: next.Attempts})
		a := &attempt{worker: w, m: m, conn: c, out: out, tries: next.Attempts, started: time.Now(),
			snapshot: job.Snapshot, maxDuration: job.MaxDuration}
		err = a.run(ctx)
		switch {
		case err == nil:
			w.notify(m, Event{Kind: EventDelivered, Connection: connection, Attempt: next.Attempts, Rows: sum(a.rows), Millis: a.millis()})
			// Also when the run is being stopped: what is in the log whole is still delivered.
			return w.finish(context.WithoutCancel(ctx), cell)
		case errors.Is(err, errDelivered): // by a worker that was taken for dead, while this one connected
			return w.finish(context.WithoutCancel(ctx), cell)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrFenced): // which is no try
			return w.fenced(ctx, m.Run, connection, incarnation, err)
		case errors.Is(err, ErrNoLog): // nor is that
			return w.unlogged(ctx, m.Run, opened, err)
		case IsPermanent(err) || next.Attempts >= job.Retry.Attempts || again.spent(err):
			return w.giveUp(ctx, cell, err)
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
		next.retry(time.Now().UTC())
		if err := cell.Write(ctx, next); err != nil {
			return err
		}
	}
}

// pauses makes the pauses between the attempts at one connection, one after the other. They vary, so that branches
// behind one router do not come back together.
func pauses(r Retry) (next func() time.Duration) {
	most := time.Duration(cmp.Or(r.Max, DefaultBackoffMax))
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = min(time.Duration(cmp.Or(r.Backoff, DefaultBackoff)), most), most, 2
	return func() time.Duration { return min(b.NextBackOff(), most) }
}

// Measured is how many batches were handed to row logs, how many bytes they have, and how long they waited there.
func (w *Worker) Measured() (batches, bytes int64, logWait time.Duration) {
	return w.batches.Load(), w.batchBytes.Load(), time.Duration(w.logWait.Load())
}

// count notes a batch that was handed to the row log.
func (w *Worker) count(connection string, rows int64, bytes int) {
	w.batches.Add(1)
	w.batchBytes.Add(int64(bytes))
	if w.Rows != nil {
		w.Rows(connection, rows)
	}
}

// fenced is err, unless that is of an attempt alone: another worker of the same incarnation has the connection then.
func (w *Worker) fenced(ctx context.Context, run, connection string, incarnation int, err error) error {
	if !errors.Is(err, ErrFenced) {
		return err
	}
	cell, err := LoadConn(ctx, w.Runs, run, connection)
	if err != nil {
		return err
	}
	return cell.Value().Opened.Admits(incarnation)
}

// unlogged is the error of a worker that did not find its row log: ErrFenced if the run has gone on with another one.
func (w *Worker) unlogged(ctx context.Context, run string, o Opened, err error) error {
	if errors.Is(err, ErrNoLog) {
		err = errors.Join(readAgain(ctx, w.Runs, run, o), err)
	}
	return err
}

// finish records that the connection's eof is in the row log.
func (w *Worker) finish(ctx context.Context, cell *Cell[ConnRecord]) error {
	next := cell.Value()
	next.finish(time.Now())
	return cell.Write(ctx, next)
}

// giveUp records why the connection is tried no more.
func (w *Worker) giveUp(ctx context.Context, cell *Cell[ConnRecord], why error) error {
	next := cell.Value()
	next.exhaust(time.Now(), why)
	return cell.Write(ctx, next)
}

func (w *Worker) notify(m *Manifest, e Event) {
	if w.Notify != nil {
		e.Job, e.Run, e.Time = m.JobID, m.Run, time.Now().UTC()
		w.Notify(e)
	}
}

// jsonBody marshals the body of a frame that carries JSON. The types are this package's own and always marshal.
func jsonBody(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err))
	}
	return b
}
