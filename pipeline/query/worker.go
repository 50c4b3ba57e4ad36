package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/memory"
	"fanmill/pipeline/spec"
)

// Worker runs query commands: the query loop. Several commands may run at once.
type Worker struct {
	Runs      pipeline.KV
	Specs     *spec.Cache
	Jobs      *spec.Jobs // that the process holds: for references, and for addresses that the store does not have
	RowLogs   pipeline.RowLogs
	Databases map[string]*pipeline.DatabaseKind
	Owner     pipeline.Owner
	Notify    func(pipeline.Event)
	Rows      func(connection string, rows int64) // sees how far an attempt is, often; may be nil
	Log       *slog.Logger

	Budget       *memory.Budget
	Memory       *memory.Watch    // may be nil
	QueryTimeout time.Duration    // without a row; 0 is no limit
	Tracing      pipeline.Tracing // may be nil

	batches, batchBytes, logWait atomic.Int64 // the last in nanoseconds, of all attempts together
}

// Query carries a command out: it brings one connection's rows into the row log, attempt after attempt, until its eof
// is there, it is given up, or ctx ends. It returns nil also when there is nothing to do, or another worker has the
// connection; an error means that the command should be delivered again, unless it is ErrFenced: then the run is
// somebody else's. A connection that it had taken stays its own then, until the coordinator finds that nobody asks it.
//
// What is to be asked, and how, the store tells: the specification that the connection's record was opened for. The
// record may be opened for a later incarnation than the command's, and its row log is that which the record names. Who
// opens the record for a later one changes it, so that a worker which froze anywhere in between finds a conflict.
//
// claimed is called right after the connection was taken, by compare-and-set, and before it is asked: from then on the
// record tells who has it, and the command is needed no more. Its error changes nothing, as a command that is delivered
// once more finds the connection taken. It may be nil.
//
// A process that lacks what the connection's address refers to takes nothing: the record says so, and the connection
// stays pending for others. That is no try. claimed is called then, too: the coordinator publishes another command.
func (w *Worker) Query(ctx context.Context, command pipeline.QueryCommand, claimed func(context.Context) error) error {
	connection, incarnation := command.Connection, command.Incarnation
	doc, err := checkpoint.LoadDocument[checkpoint.ConnRecord](ctx, w.Runs, checkpoint.ConnKey(command.Run, connection))
	if err != nil {
		return err
	}
	opened := doc.Value().Opened
	if err := opened.Admits(incarnation); err != nil {
		return fmt.Errorf("connection %s: %w", connection, err)
	}
	next := doc.Value()
	if next.State == checkpoint.ConnPending && next.DenyAgain(w.Owner.Token) {
		return w.leave(ctx, doc, next, connection, claimed)
	}
	if !next.Claim(w.Owner, time.Now().UTC()) {
		return nil // it is done, or another worker has it
	}
	run, err := w.Specs.Run(ctx, command.Run, opened.Spec(incarnation))
	if err != nil {
		return err
	}
	m := run.Manifest
	c, held, err := run.Spec.Connection(connection)
	if err != nil {
		return err
	}
	if _, err := w.address(m.JobID, c, held); pipeline.Missing(err) != nil {
		return w.refuse(ctx, doc, connection, err, claimed)
	}
	log, err := checkpoint.OpenLog(ctx, w.RowLogs, m.Run, opened)
	if err != nil {
		return w.unlogged(ctx, m.Run, opened, err)
	}
	if err := doc.Write(ctx, next); err != nil {
		return err
	}
	w.done(ctx, connection, claimed)
	ctx, asking := w.span(ctx, run, c)
	outcome, failure := pipeline.OutcomeStopped, error(nil)
	defer func() { asking.End(failure, slog.String(pipeline.TraceOutcome, outcome)) }()
	retry := run.Spec.Retry()
	pauses := pauses(retry)
	var again pipeline.SecondTries
	for {
		failpoint.Hit("asking-" + connection)
		out := checkpoint.NewPublisher(log, w.Runs, m.Run, connection, next)
		err := out.Look(ctx)
		if errors.Is(err, checkpoint.ErrDelivered) { // a worker before this one may have ended between its eof and saying so
			outcome = outcomeDelivered
			return w.finish(ctx, doc)
		}
		if err != nil {
			return w.fenced(ctx, m.Run, connection, incarnation, err)
		}
		w.notify(m, pipeline.Event{Kind: pipeline.EventConnected, Connection: connection, Attempt: next.Attempts})
		a := &attempt{worker: w, m: m, conn: c, held: held, out: out, tries: next.Attempts, started: time.Now(),
			snapshot: run.Spec.Snapshot(), maxDuration: run.Spec.MaxDuration(), last: next.Attempts >= retry.Attempts}
		err = a.traced(ctx)
		switch {
		case err == nil:
			outcome = outcomeDelivered
			w.notify(m, pipeline.Event{Kind: pipeline.EventDelivered, Connection: connection, Attempt: next.Attempts, Rows: pipeline.SumRows(a.rows), Millis: a.millis()})
			w.notifyUnverified(m, connection, a)
			// Also when the run is being stopped: what is in the log whole is still delivered.
			return w.finish(context.WithoutCancel(ctx), doc)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, pipeline.ErrFenced): // which is no try
			return w.fenced(ctx, m.Run, connection, incarnation, err)
		case errors.Is(err, pipeline.ErrNoLog): // nor is that
			return w.unlogged(ctx, m.Run, opened, err)
		case errors.Is(err, pipeline.ErrLogin):
			failure = err
			return w.deny(ctx, doc, connection, err)
		case pipeline.IsPermanent(err) || next.Attempts >= retry.Attempts || again.Spent(err):
			outcome, failure = outcomeGivenUp, err
			return w.giveUp(ctx, doc, err)
		}
		most := retry.Attempts
		if again > 0 {
			most = next.Attempts + 1
		}
		pause := pauses()
		w.notify(m, pipeline.Event{Kind: pipeline.EventRetry, Connection: connection, Attempt: next.Attempts,
			Error: pipeline.ShortError(fmt.Errorf("%w; attempt %d of %d follows in %s", err, next.Attempts+1, most, pause.Round(time.Millisecond)))})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		next.Retry(time.Now().UTC())
		if err := doc.Write(ctx, next); err != nil {
			return err
		}
	}
}

// address is where a connection is, its references replaced. Its text is held where the store does not have it.
func (w *Worker) address(job string, c *pipeline.Connection, held bool) (string, error) {
	dsn := c.DSN
	if held {
		known := false
		if dsn, known = w.Jobs.DSN(job, c.ID); !known {
			return "", &heldError{job, c.ID}
		}
	}
	return w.Jobs.Expand(job)(dsn)
}

// heldError is an address that this process does not have.
type heldError struct{ job, connection string }

func (e *heldError) Error() string {
	return fmt.Sprintf("the address of %s has no reference ${...}, so that it is in the file of job %s alone, and this process does not serve that: put the address, or its password, into a variable, or serve the job here", e.connection, e.job)
}

// Missing names what is missing; see pipeline.Missing.
func (e *heldError) Missing() string { return "the file of job " + e.job }

// refuse notes that this process cannot ask a connection. Who has written the record meanwhile knows better.
func (w *Worker) refuse(ctx context.Context, doc *checkpoint.Document[checkpoint.ConnRecord], connection string, why error, claimed func(context.Context) error) error {
	next := doc.Value()
	next.Refuse(w.Owner, pipeline.Missing(why), why)
	w.Log.Warn(fmt.Sprintf("this process cannot ask connection %s, and leaves it to others: %v", connection, why))
	return w.leave(ctx, doc, next, connection, claimed)
}

// leave writes that this process cannot ask a connection.
func (w *Worker) leave(ctx context.Context, doc *checkpoint.Document[checkpoint.ConnRecord], next checkpoint.ConnRecord, connection string, claimed func(context.Context) error) error {
	if err := doc.Write(ctx, next); err != nil && !errors.Is(err, pipeline.ErrConflict) || errors.Is(err, pipeline.ErrForeign) {
		return err
	}
	w.done(ctx, connection, claimed)
	return nil
}

// deny gives back a connection that the database does not let this process to. Whether another one tries, the
// coordinator decides: it knows who there is.
func (w *Worker) deny(ctx context.Context, doc *checkpoint.Document[checkpoint.ConnRecord], connection string, why error) error {
	next := doc.Value()
	next.Deny(w.Owner, why)
	w.Log.Warn(fmt.Sprintf("the database of connection %s does not let this process in: %v", connection, why))
	return doc.Write(ctx, next)
}

// done has a command acknowledged.
func (w *Worker) done(ctx context.Context, connection string, claimed func(context.Context) error) {
	if claimed == nil {
		return
	}
	if err := claimed(ctx); err != nil && ctx.Err() == nil {
		w.Log.Debug("the command of a connection could not be acknowledged", "connection", connection, "error", err)
	}
}

// pauses makes the pauses between the attempts at one connection, one after the other. They vary, so that branches
// behind one router do not come back together.
func pauses(r pipeline.Retry) (next func() time.Duration) {
	most := time.Duration(cmp.Or(r.Max, pipeline.DefaultBackoffMax))
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = min(time.Duration(cmp.Or(r.Backoff, pipeline.DefaultBackoff)), most), most, 2
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
	if !errors.Is(err, pipeline.ErrFenced) {
		return err
	}
	doc, err := checkpoint.LoadConn(ctx, w.Runs, run, connection)
	if err != nil {
		return err
	}
	return doc.Value().Opened.Admits(incarnation)
}

// unlogged is the error of a worker that did not find its row log: ErrFenced if the run has gone on with another one.
func (w *Worker) unlogged(ctx context.Context, run string, o checkpoint.Opened, err error) error {
	if errors.Is(err, pipeline.ErrNoLog) {
		err = errors.Join(checkpoint.ReadAgain(ctx, w.Runs, run, o), err)
	}
	return err
}

// finish records that the connection's eof is in the row log.
func (w *Worker) finish(ctx context.Context, doc *checkpoint.Document[checkpoint.ConnRecord]) error {
	next := doc.Value()
	next.Finish(time.Now())
	return doc.Write(ctx, next)
}

// giveUp records why the connection is tried no more.
func (w *Worker) giveUp(ctx context.Context, doc *checkpoint.Document[checkpoint.ConnRecord], why error) error {
	next := doc.Value()
	next.Exhaust(time.Now(), why)
	return doc.Write(ctx, next)
}

func (w *Worker) notify(m *pipeline.Manifest, e pipeline.Event) {
	if w.Notify != nil {
		e.Job, e.Run, e.Time = m.JobID, m.Run, time.Now().UTC()
		w.Notify(e)
	}
}
