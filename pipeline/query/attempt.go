package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/pipeline/columnar"
	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// A batch is cut when it is expected to encode to about batchTarget bytes. The row log pays per message and the
// database waits for the acknowledgement of each, so small batches are slow; large ones cost memory in every stage.
const (
	batchTarget = 384 << 10
	minBatch    = 256 << 10 // of rows in memory, however well they compress
	logShare    = 8         // but never more than this part of the row log, however badly they compress
)

// attempt is one try at one connection. Its frames are published one at a time, in order; while one is being stored
// the next batch is read.
type attempt struct {
	worker  *Worker
	m       *pipeline.Manifest
	conn    *pipeline.Connection
	held    bool // the store does not have its address
	out     *checkpoint.Publisher
	tries   int
	started time.Time

	snapshot    bool
	maxDuration pipeline.Duration
	last        bool // no other attempt follows
	controls    controls

	rows       []int64
	frame      uint64 // number of the last frame handed to the publisher
	chain      pipeline.Chain
	target     int // bytes of rows in memory at which a batch is cut
	spare      []byte
	pending    chan error // the outcome of the frame being stored; nil if there is none
	stallTimer stallTimer
	budget     int64 // bytes taken from it
	forced     int64 // bytes that a huge row takes beyond that
}

func (a *attempt) millis() int64 { return time.Since(a.started).Milliseconds() }

// run tries the connection once. The database's silence and the job's maxDuration end it; neither runs before there
// is room for its rows.
func (a *attempt) run(ctx context.Context) (err error) {
	if a.budget, err = a.worker.Budget.Queries.Take(ctx, 2*minBatch); err != nil {
		return err
	}
	defer a.giveBack()
	a.started = time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	watched := a.stallTimer.keep(ctx, a.worker.QueryTimeout, stop)
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause // what came of it is no news
		}
		stop(nil)
		<-watched
	}()
	if limit := time.Duration(a.maxDuration); limit > 0 {
		defer time.AfterFunc(limit, func() {
			stop(errTooLong(limit))
		}).Stop()
	}
	return a.stream(ctx)
}

// errTooLong ends an attempt that takes longer than the job gives it.
func errTooLong(limit time.Duration) error {
	return pipeline.Permanent(fmt.Errorf("it took longer than maxDuration, %s; raise that in the job, or ask for less", limit))
}

// giveBack returns what the attempt took of the budget.
func (a *attempt) giveBack() {
	a.worker.Budget.Queries.Force(-a.forced)
	a.worker.Budget.Queries.Give(a.budget)
	a.budget, a.forced = 0, 0
}

// stream brings the rows of all queries into the row log.
func (a *attempt) stream(ctx context.Context) (err error) {
	kind, ok := a.worker.Databases[a.conn.Driver]
	if !ok {
		return pipeline.Permanent(fmt.Errorf("no driver %q", a.conn.Driver))
	}
	dsn, err := a.worker.address(a.m.JobID, a.conn, a.held)
	if err != nil {
		return pipeline.Permanent(err)
	}
	session, err := a.open(ctx, kind, dsn)
	if err != nil {
		return err // says itself what could not be opened
	}
	defer func() { // an attempt whose rows are all in the log does not fail because goodbye did
		if cerr := session.Close(); cerr != nil {
			a.worker.Log.Debug("close session", "connection", a.conn.ID, "error", cerr)
		}
	}()
	columns := make([][]columnar.Column, len(a.conn.Queries))
	for q := range columns {
		columns[q] = session.Columns(q)
	}
	a.controls.find(columns)
	back := a.stallTimer.away()
	err = a.publish(ctx, &pipeline.Frame{Kind: pipeline.FrameOpen, Body: pipeline.JSONBody(pipeline.NewOpening(a.conn.Queries, columns))})
	back()
	if err != nil {
		return err
	}
	defer func() {
		if werr := a.settle(); err == nil { // the publisher uses our buffers: it has an owner that waits for it
			err = werr
		}
	}()
	a.rows, a.target = make([]int64, len(columns)), minBatch
	notes := map[int][]string{}
	for q := range columns {
		b := columnar.NewBuilder(columns[q])
		emit := func(b *columnar.Builder) error { return a.emit(ctx, q, b) }
		if err := session.Stream(ctx, q, b, a.due, emit); err != nil {
			return err // names the query
		}
		if err := a.emit(ctx, q, b); err != nil {
			return err
		}
		if noting, ok := session.(pipeline.NotingSession); ok {
			if n := noting.Notes(q); len(n) > 0 {
				notes[q] = n
			}
		}
	}
	defer a.stallTimer.away()() // the database has done its part
	if err := a.settle(); err != nil {
		return err
	}
	if err := a.askControls(ctx, session); err != nil {
		return err
	}
	failpoint.Hit("before-eof")
	end := pipeline.Ending{Rows: a.rows, Frames: a.frame, Checksum: uint64(a.chain), Millis: a.millis(), Attempts: a.tries, Notes: notes, Controls: a.controls.compare(a.rows)}
	return a.publish(ctx, &pipeline.Frame{Kind: pipeline.FrameEOF, Number: a.frame + 1, Body: pipeline.JSONBody(end)})
}

// queries are the connection's, with the values of this run.
func (a *attempt) queries() []pipeline.Query {
	if len(a.m.Params) == 0 {
		return a.conn.Queries
	}
	out := slices.Clone(a.conn.Queries)
	for i := range out {
		out[i].Args = a.m.Params
	}
	return out
}

func (a *attempt) due(b *columnar.Builder) bool {
	a.stallTimer.row()
	return b.Bytes() >= a.target
}

// emit encodes a batch and hands it to the publisher.
func (a *attempt) emit(ctx context.Context, query int, b *columnar.Builder) error {
	rows := b.Rows()
	if rows == 0 {
		return nil
	}
	defer a.stallTimer.away()()
	if err := a.worker.Memory.Wait(ctx); err != nil {
		return err
	}
	encoded, err := b.Encode()
	if err != nil {
		return pipeline.Permanent(err)
	}
	a.account(int64(b.Bytes()+len(encoded)) + a.controls.takes(query, b.Bytes()))
	// Steer the next batch by how well this one compressed.
	a.aim(min(max(b.Bytes()*batchTarget/len(encoded), minBatch), pipeline.MaxBatch, int(a.m.LogMaxBytes/logShare)))
	a.rows[query] += int64(rows)
	b.Reset()
	if err := a.settle(); err != nil {
		return err
	}
	a.worker.count(a.conn.ID, pipeline.SumRows(a.rows), len(encoded))
	body := append(a.spare[:0], encoded...)
	a.spare = body
	frames, err := a.split(query, rows, body)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	a.pending = done
	go func() {
		if err := a.controls.add(query, body); err != nil {
			done <- err
			return
		}
		for _, f := range frames {
			if err := a.publish(ctx, f); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return nil
}

// account counts what a batch of a huge row takes beyond what the attempt has of the budget.
func (a *attempt) account(n int64) {
	extra := max(n-a.budget, 0)
	a.worker.Budget.Queries.Force(extra - a.forced)
	a.forced = extra
}

// aim sets the size of the next batch, which the budget must have room for twice: while one is stored the next is
// read. Where it has not, batches stay small, and nobody waits.
func (a *attempt) aim(target int) {
	if more := 2*int64(target) - a.budget; more > 0 {
		if !a.worker.Budget.Queries.Try(more) {
			target = max(int(a.budget/2), 1)
		} else {
			a.budget += more
		}
	}
	a.target = target
}

// split makes the frames of a batch: one, unless it is larger than a message. Only a batch of one huge row, or a few,
// can be.
func (a *attempt) split(query, rows int, body []byte) ([]*pipeline.Frame, error) {
	size := a.out.Log.MaxBody()
	if bound := a.m.LogMaxBytes / 2; int64(len(body)) > bound {
		return nil, pipeline.Permanent(fmt.Errorf("a batch of %d row(s) takes %d MB, more than half of the row log's %d MB; raise it with --log-max-mb", rows, len(body)>>20, a.m.LogMaxBytes>>20))
	}
	pieces := slices.Collect(slices.Chunk(body, size))
	frames := make([]*pipeline.Frame, len(pieces))
	for i, piece := range pieces {
		a.frame++
		a.chain = a.chain.Add(piece)
		frames[i] = &pipeline.Frame{Kind: pipeline.FrameRows, Number: a.frame, Query: query, Fragment: i, Fragments: len(pieces), Body: piece}
	}
	frames[len(frames)-1].Rows = rows
	return frames, nil
}

// settle waits for the frame being stored.
func (a *attempt) settle() error {
	if a.pending == nil {
		return nil
	}
	started := time.Now()
	err := <-a.pending
	a.worker.logWait.Add(int64(time.Since(started)))
	a.pending = nil
	return err
}

func (a *attempt) publish(ctx context.Context, f *pipeline.Frame) error {
	if err := a.out.Append(ctx, f); err != nil {
		if ctx.Err() == nil && !errors.Is(err, pipeline.ErrPermanent) {
			err = pipeline.Transient(err)
		}
		return fmt.Errorf("store rows in the row log: %w", err)
	}
	return nil
}
