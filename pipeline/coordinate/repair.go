package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// What a resume makes of records that are gone or cannot be read.

// errAttempts is a row log with frames of a connection whose attempts nobody knows any more.
var errAttempts = errors.New("the record of its attempts is gone or cannot be read, and its rows are in the row log: a new one takes the place of that")

// askAgain marks a connection's record so that a worker asks it; last is its newest frame in the row log. A record
// that is gone or cannot be read, which damage says, is made anew, with an attempt number that no destination has
// seen. One that is left out is given up for this time.
func (r *run) askAgain(ctx context.Context, records []checkpoint.CommitRecord, i int, last *pipeline.Frame, doc *checkpoint.Document[checkpoint.ConnRecord], damage error, leftOut bool) error {
	id := r.m.Connections[i].ID
	next, write := doc.Value(), doc.Write
	if last != nil && (damage != nil || last.Attempt > next.Attempt) {
		return fmt.Errorf("connection %s: %w", id, errors.Join(errAttempts, damage))
	}
	if damage != nil {
		next, write = checkpoint.ConnRecord{}, doc.Overwrite
	}
	was := next.Attempt
	for k := range records {
		next.Begun(records[k].Attempt(i))
	}
	run := r.doc.Value()
	died := run.Died && next.State == checkpoint.ConnRunning && next.Owner != r.c.Owner.Token
	// The coordinator ended just before it could record that.
	if next.State == checkpoint.ConnGivenUp && told(records, i, last) {
		next.Fail()
	}
	next.Reopen(run.Opens(), r.c.Owner.Token, died, reached(records, i, was, last))
	if leftOut {
		next.LeaveOut()
	}
	if err := write(ctx, next); err != nil {
		return err
	}
	if died {
		r.c.Log.Warn(death(id, next))
	}
	return nil
}

// told reports whether the destinations were told that a connection has failed.
func told(records []checkpoint.CommitRecord, i int, last *pipeline.Frame) bool {
	return last != nil && last.Kind == pipeline.FrameFailed || slices.ContainsFunc(records, func(c checkpoint.CommitRecord) bool {
		f, failed := c.Failed[i]
		return failed && !f.Rejected
	})
}

// found records what the row log says: a connection's eof is there. Its worker may have ended just before it could.
func found(ctx context.Context, doc *checkpoint.Document[checkpoint.ConnRecord], last *pipeline.Frame) error {
	rec := doc.Value()
	if doc.Revision() == 0 { // nobody needs it
		return nil
	}
	if rec.State == checkpoint.ConnDone || rec.State == checkpoint.ConnFailed || !delivered(last, rec.Floor) {
		return nil
	}
	rec.Found()
	if err := doc.Write(ctx, rec); !errors.Is(err, pipeline.ErrConflict) {
		return err
	}
	return nil // by that worker
}

// loadRecord reads a commit record for a resume, which opens records for o. One that is gone or cannot be read is
// replaced by an empty one: its destination is delivered anew, all of it. What the earlier claims have left beside the
// artifact says what was there before the run, so that nothing stands there twice.
func (n *Coordinator) loadRecord(ctx context.Context, m *pipeline.Manifest, destination string, o checkpoint.Opened) (checkpoint.CommitRecord, error) {
	rec, err := n.Records.Load(ctx, m.Run, destination)
	empty := checkpoint.OpenRecord(o)
	var damage error
	switch {
	case err == nil:
		if damage = rec.Check(m, destination); damage == nil {
			return rec, nil
		}
		err = n.Records.Reset(ctx, m.Run, destination, func(c *checkpoint.CommitRecord) { *c = empty })
	case errors.Is(err, pipeline.ErrForeign), errors.Is(err, pipeline.ErrNoKey):
		damage = err
		err = n.Records.Replace(ctx, m.Run, destination, empty)
	}
	if err != nil {
		return rec, fmt.Errorf("read commit record: %w", err)
	}
	n.pass(fmt.Errorf("destination %s is delivered anew: %w", destination, damage))
	return empty, nil
}

// resumable reports whether a run's manifest is there.
func (n *Coordinator) resumable(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) bool {
	_, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, checkpoint.RunOf(doc))
	return !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, pipeline.ErrNoKey)
}
