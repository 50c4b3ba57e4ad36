package deliver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// commit stages the ready parts for the artifact and records them. The order is what makes a crash harmless:
//
//  1. Stage: the private file has the rows and is fsynced. A crash here leaves bytes past the recorded length, which
//     the next claim does not copy.
//  2. The record names the new length. From here on the connections are settled; a crash leaves the public file one
//     commit behind, and the next claim publishes.
//  3. Release: link and rename. Readers see the old artifact or the new one.
func (v *delivery) commit(ctx context.Context) (err error) {
	if v.sender != nil {
		return v.seal(ctx)
	}
	var settled map[int]pipeline.Settlement
	ctx, end := v.span(ctx, pipeline.SpanCommit)
	defer func() { end(err, v.amount(settled)...) }()
	var parts []pipeline.Part
	if parts, settled, err = v.finishReady(ctx); err != nil {
		return err
	}
	var staged pipeline.Staged
	if len(parts) > 0 {
		if staged, err = v.sink.Stage(ctx, parts, 1, nil); err != nil {
			v.trouble(err, slices.Sorted(maps.Keys(settled))...)
			return fmt.Errorf("append to %s: %w", v.dest.Where(), err)
		}
	}
	failpoint.Hit("before-cas")
	err = v.record(ctx, func(r *checkpoint.CommitRecord) { r.Commit(settled, staged.State) })
	if err != nil {
		return err
	}
	failpoint.Hit("after-cas")
	if _, err := v.sink.Release(ctx, nil, v.report(), false); err != nil {
		return fmt.Errorf("publish %s: %w", v.dest.Where(), err)
	}
	for i, s := range settled {
		v.d.notify(v.m, pipeline.Event{Kind: pipeline.EventCommitted, Destination: v.dest.ID, Connection: v.m.Connections[i].ID, Attempt: s.Attempt, Rows: v.taken(s.Rows), Millis: s.Millis})
	}
	return nil
}

// finishReady completes the ready parts. One whose last rows were turned away fails instead.
func (v *delivery) finishReady(ctx context.Context) ([]pipeline.Part, map[int]pipeline.Settlement, error) {
	var parts []pipeline.Part
	settled := make(map[int]pipeline.Settlement, len(v.ready))
	for _, p := range v.ready {
		i := p.id.Connection
		if err := p.wait(); err != nil {
			return nil, nil, err
		}
		reason := p.rejected()
		var summary pipeline.Summary
		if reason == "" {
			var turned *pipeline.RejectError
			var err error
			if summary, err = p.part.Finish(ctx); errors.As(err, &turned) {
				reason = turned.Reason
			} else if err != nil {
				return nil, nil, fmt.Errorf("finish part of %s: %w", v.m.Connections[i].ID, err)
			}
		}
		if reason != "" {
			v.trash = append(v.trash, p)
			v.refuse(i, pipeline.Refusal{Attempt: p.id.Attempt, Attempts: p.ending.Attempts, Millis: p.ending.Millis, Rejected: true}, reason)
			continue
		}
		p.close()
		v.spent = append(v.spent, p.spent...)
		s := v.settlement(p)
		s.Losses, s.Notes = summary.Losses, append(s.Notes, summary.Notes...)
		settled[i] = s
		parts = append(parts, p.part)
	}
	v.ready = v.ready[:0]
	return parts, settled, nil
}

// cut makes all open parts durable at the present position, so that the row log can be trimmed inside a connection
// larger than the log. It happens only when half the log waits for this destination.
func (v *delivery) cut(ctx context.Context) error {
	var g errgroup.Group
	for _, p := range v.open {
		g.Go(func() error { return p.save(ctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, p := range v.open { // one whose rows do not fit must not hold the log until its next frame
		if reason := p.rejected(); reason != "" {
			v.reject(i, p, reason)
		}
	}
	for _, p := range v.open { // saved has those rows
		v.spent, p.spent = append(v.spent, p.spent...), nil
	}
	failpoint.Hit("mid-cut")
	if err := v.record(ctx, func(*checkpoint.CommitRecord) {}); err != nil {
		return err
	}
	v.holding()
	return nil
}

// record writes the commit record: what change says, the failures noted since the last one, the open parts as of the
// last cut, and the position that all of it covers. Afterwards nothing references the discarded parts.
func (v *delivery) record(ctx context.Context, change func(*checkpoint.CommitRecord)) error {
	at := checkpoint.Reading{Seq: v.pos, Failed: v.failed, Reopened: v.reopened, Attempts: map[int]int{}}
	for i, p := range v.open {
		if p.firstVolatile != 0 {
			at.Seq = min(at.Seq, p.firstVolatile-1)
		}
		if p.saved != nil {
			at.Parts = append(at.Parts, *p.saved)
		}
		at.Attempts[i] = p.id.Attempt
	}
	for i := range v.failed { // before the record: a failed connection always has its reason
		id := v.m.Connections[i].ID
		if err := v.d.Records.SetError(ctx, v.m.Run, v.dest.ID, id, pipeline.ShortError(errors.New(v.reason(id)))); err != nil {
			return err
		}
	}
	err := v.claim.Commit(ctx, func(r *checkpoint.CommitRecord) {
		change(r)
		r.Read(at)
	})
	if err != nil {
		return err
	}
	v.moved()
	for i, f := range v.failed {
		if id := v.m.Connections[i].ID; f.Rejected {
			v.d.notify(v.m, pipeline.Event{Kind: pipeline.EventRejected, Destination: v.dest.ID, Connection: id, Attempt: f.Attempt, Error: v.reason(id)})
		}
	}
	clear(v.reopened)
	clear(v.failed)
	if at.Seq == v.pos {
		v.volatile = 0
	}
	for _, p := range v.trash {
		p.close()
		if err := errors.Join(p.part.Discard(), p.dropPieces()); err != nil {
			v.log.Warn("a discarded part was left behind; the end of the run removes it", "error", err)
		}
	}
	v.trash = v.trash[:0]
	v.dropSpent()
	if v.reader != nil {
		v.reader.Acked(at.Seq)
	}
	return nil
}

// finish makes the final artifact, records it, publishes it. Each step can be repeated: a claim after a crash in
// between does so.
func (v *delivery) finish(ctx context.Context) (err error) {
	ctx, end := v.span(ctx, pipeline.SpanFinish)
	defer func() { end(err) }()
	if err := v.claim.Commit(ctx, (*checkpoint.CommitRecord).StartFinal); err != nil {
		return err
	}
	if len(v.claim.Record().Settled) > 0 {
		staged, err := v.sink.Stage(ctx, nil, 1, v.report())
		if err != nil {
			return fmt.Errorf("finish %s: %w", v.dest.Where(), err)
		}
		if err := v.claim.Commit(ctx, func(r *checkpoint.CommitRecord) { r.Final(staged.State) }); err != nil {
			return err
		}
		failpoint.Hit("before-final-publish")
		if _, err := v.sink.Release(ctx, nil, v.finalReport(), true); err != nil {
			return fmt.Errorf("publish %s: %w", v.dest.Where(), err)
		}
	} else if _, err := v.sink.Release(ctx, nil, v.finalReport(), false); err != nil {
		return fmt.Errorf("publish %s: %w", v.dest.Where(), err)
	}
	if err := v.claim.Commit(ctx, (*checkpoint.CommitRecord).Finish); err != nil {
		return err
	}
	failpoint.Hit("after-finished")
	v.moved()
	return nil
}

// closeParts ends the goroutines of every part still held, and closes what it has in the spool.
func (v *delivery) closeParts() {
	all := slices.Collect(maps.Values(v.open))
	for _, p := range slices.Concat(all, v.ready, v.trash) {
		p.close()
		if s, ok := p.part.(*spooledPart); ok {
			_ = s.w.Close() // what counts of it is saved
		}
		p.closeHeld()
	}
}

// takes reports whether the destination takes a query: it may be the file of another one alone.
func (v *delivery) takes(query int) bool { return v.dest.Query == nil || *v.dest.Query == query }

// taken is how many rows of a connection, given by query, the destination takes.
func (v *delivery) taken(rows []int64) (n int64) {
	for q, r := range rows {
		if v.takes(q) {
			n += r
		}
	}
	return n
}
