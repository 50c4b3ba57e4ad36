package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// What a resume makes of records that are gone or cannot be read.

// errAttempts is a row log with frames of a connection whose attempts nobody knows any more.
var errAttempts = errors.New("the record of its attempts is gone or cannot be read, and its rows are in the row log: a new one takes the place of that")

// askAgain marks a connection's record so that a worker asks it; last is its newest frame in the row log. A record
// that is gone or cannot be read is made anew, with an attempt number that no destination has seen.
func (r *run) askAgain(ctx context.Context, records []CommitRecord, i int, last *Frame) (*Cell[ConnRecord], error) {
	id := r.m.Connections[i].ID
	cell, err := LoadConn(ctx, r.c.Stores.Runs, r.m.Run, id)
	damaged := errors.Is(err, ErrForeign)
	if err != nil && !damaged {
		return nil, err
	}
	next, write := cell.Value(), cell.Write
	if last != nil && (damaged || last.Attempt > next.Attempt) {
		return nil, fmt.Errorf("connection %s: %w", id, errors.Join(errAttempts, err))
	}
	if damaged {
		next, write = ConnRecord{}, cell.Overwrite
	}
	was := next.Attempt
	for k := range records {
		next.Attempt = max(next.Attempt, records[k].attempt(i))
	}
	run := r.cell.Value()
	died := run.Died && next.State == ConnRunning && next.Owner != r.c.Owner.Token
	if next.State == ConnGivenUp && told(records, i, last) { // the coordinator ended just before it could record that
		next.fail()
	}
	next.reopen(run.opens(), r.c.Owner.Token, died, reached(records, i, was, last))
	if err := write(ctx, next); err != nil {
		return nil, err
	}
	if died {
		r.c.Log.Warn(death(id, next))
	}
	return cell, nil
}

// told reports whether the destinations were told that a connection has failed.
func told(records []CommitRecord, i int, last *Frame) bool {
	return last != nil && last.Kind == FrameFailed || slices.ContainsFunc(records, func(c CommitRecord) bool {
		f, failed := c.Failed[i]
		return failed && !f.Rejected
	})
}

// found records what the row log says: a connection's eof is there. Its worker may have ended just before it could.
func (r *run) found(ctx context.Context, id string, last *Frame) error {
	cell, err := LoadCell[ConnRecord](ctx, r.c.Stores.Runs, ConnKey(r.m.Run, id))
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrNoKey) {
		return nil // nobody needs it
	}
	if err != nil {
		return err
	}
	rec := cell.Value()
	if rec.State == ConnDone || rec.State == ConnFailed || !delivered(last, rec.Floor) {
		return nil
	}
	rec.found()
	if err := cell.Write(ctx, rec); !errors.Is(err, ErrConflict) {
		return err
	}
	return nil // by that worker
}

// attempt is the highest attempt at a connection that has begun as far as a record knows. A floor is the number of
// one that may be yet to come.
func (c *CommitRecord) attempt(i int) int {
	n := max(c.Settled[i].Attempt, c.Sealed[i].Attempt, c.Failed[i].Attempt, c.Floor[i]-1)
	for _, p := range c.Parts {
		if p.Connection == i {
			n = max(n, p.Attempt)
		}
	}
	return n
}

// loadRecord reads a commit record for a resume, which opens records for o. One that is gone or cannot be read is
// replaced by an empty one: its destination is delivered anew, all of it. What the earlier claims have left beside the
// artifact says what was there before the run, so that nothing stands there twice.
func (n *Coordinator) loadRecord(ctx context.Context, m *Manifest, destination string, o Opened) (CommitRecord, error) {
	rec, err := n.Records.Load(ctx, m.Run, destination)
	empty := openRecord(o)
	var damage error
	switch {
	case err == nil:
		if why := rec.of(m); why == nil {
			return rec, nil
		} else {
			damage = foreign(RecordKey(m.Run, destination), why)
		}
		err = n.Records.Reset(ctx, m.Run, destination, func(c *CommitRecord) { *c = empty })
	case errors.Is(err, ErrForeign), errors.Is(err, ErrNoKey):
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
func (n *Coordinator) resumable(ctx context.Context, cell *Cell[RunRecord]) bool {
	_, err := LoadManifest(ctx, n.Stores.Runs, RunOf(cell))
	return !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNoKey)
}
