package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fanmill/pipeline/failpoint"
)

// endPatience bounds the writes that follow a cancellation.
const endPatience = 10 * time.Second

// errUnrecorded is a stop that the store does not know of.
var errUnrecorded = errors.New("the stop of the run could not be recorded")

// interrupt records that the run stopped before its end, and returns why. If the store cannot be told, the run is
// taken for running until whoever has its trigger, or the next start, finds out; the error is errUnrecorded, too.
func (s *supervisor) interrupt(ctx context.Context, cause error) error {
	if errors.Is(cause, ErrFenced) || errors.Is(cause, ErrStore) { // in a store that took the place of ours there is no such run
		return cause
	}
	patience := endPatience
	if s.run.c.storeFails() {
		patience = brokenPatience
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	measures, stopped := s.measures(nil), ""
	switch {
	case errors.Is(cause, ErrMemory):
		stopped = StoppedMemory
	case errors.Is(cause, ErrCancelled):
		stopped = StoppedCancelled
	}
	if err := s.run.putManifest(ctx); err != nil { // which somebody may have damaged: a resume needs it
		s.run.c.Log.Debug("the manifest was not written again", "error", err)
	}
	err := s.run.recordEnd(ctx, s.mine, func(r *RunRecord) {
		r.interrupt(cause, stopped)
		r.Measures = measures
	})
	switch {
	case errors.Is(err, ErrFenced), errors.Is(err, ErrConflict):
		return Permanent(fmt.Errorf("run %s: %w; this process stops", s.run.m.Run, ErrFenced))
	case err != nil:
		s.run.c.Log.Debug("the end of the run was not recorded", "error", err)
		return errors.Join(cause, errUnrecorded)
	}
	s.publishCheckpoint(ctx, true)
	if err := s.run.c.dropCommands(ctx, s.run.m.Run, s.run.fixed.Resumes); err != nil {
		s.run.c.Log.Debug("the commands of the run were not dropped", "error", err)
	}
	return cause
}

// recordEnd writes how the run ended, also over what another program has made of its record.
func (r *run) recordEnd(ctx context.Context, mine func(*RunRecord) bool, end func(*RunRecord)) error {
	err := r.cell.Change(ctx, mine, end)
	if errors.Is(err, ErrForeign) {
		r.c.Log.Warn(fmt.Sprintf("%v. How the run ended is written in its place", err))
		rec := r.cell.Value()
		end(&rec)
		return r.cell.Overwrite(ctx, rec)
	}
	return err
}

// publishCheckpoint writes the public view, at most once a second unless forced.
func (s *supervisor) publishCheckpoint(ctx context.Context, force bool) {
	if !s.stale || !force && time.Since(s.published) < time.Second {
		return
	}
	s.stale, s.published = false, time.Now()
	c := s.run.checkpoint(s.records)
	if s.run.c.follower.Checkpoint != nil {
		s.run.c.follower.Checkpoint(c)
	}
	if err := s.run.c.Progress.Publish(ctx, c); err != nil && !errors.Is(err, context.Canceled) {
		s.run.c.Log.Warn("the public checkpoint was not written; the run is not affected", "error", err)
	}
}

// checkpoint derives the public view: a connection counts when all destinations have it, and fails when one will not
// get it. What a destination had when it was given up does not count: nobody knows whether its file shows that.
func (r *run) checkpoint(records map[string]CommitRecord) PublicCheckpoint {
	c := PublicCheckpoint{JobID: r.m.JobID, JobName: r.m.JobName, CompletedConnectionIDs: []string{}, FailedConnectionIDs: []string{},
		TotalConnections: len(r.m.Connections), LastUpdated: time.Now().UTC()}
	for i, conn := range r.m.Connections {
		settled, failed := 0, false
		for _, d := range r.m.Destinations {
			rec := records[d.ID]
			if _, ok := rec.Settled[i]; ok && rec.State != RecordDetached {
				settled++
			}
			_, f := rec.Failed[i]
			failed = failed || f
		}
		switch {
		case settled == len(r.m.Destinations):
			c.CompletedConnectionIDs = append(c.CompletedConnectionIDs, conn.ID)
		case failed:
			c.FailedConnectionIDs = append(c.FailedConnectionIDs, conn.ID)
		}
	}
	return c
}

// end records the run's outcome. What tidies up after the run comes before that: whoever waits for the run and is
// killed with this process begins another one if it finds this one complete, so there is to be nothing left that
// takes time then. All destinations have finished or given up, which their records say: a crash in between leaves a
// run whose resume finds nothing to do but this.
func (r *run) end(ctx context.Context, s *supervisor) (*Outcome, error) {
	records := s.records
	out := &Outcome{Run: r.m.Run, State: r.outcome(records), Started: r.cell.Value().Started, Owner: r.c.Owner}
	for i := range r.m.Destinations {
		d := &r.m.Destinations[i]
		reasons, err := r.c.Records.Errors(ctx, r.m.Run, d.ID)
		if err != nil {
			return nil, err
		}
		rec := records[d.ID]
		if err := r.c.Records.Tell(ctx, r.m.Run, d.ID, &rec); err != nil {
			return nil, err
		}
		out.Reports = append(out.Reports, NewReport(r.m, d, rec, reasons))
		out.Lost = out.Lost || records[d.ID].Lost || records[d.ID].Log.Stream == gapLog
	}
	out.Measures = s.measures(out.Reports)
	rec, cleaned, waits := r.cell.Value(), false, map[string][]string(nil)
	lost := r.c.renewing(ctx, r.cell, func() { cleaned, waits = r.tidy(ctx, rec, out.State, records) }, func() {})
	failpoint.Hit("before-ended")
	err := ErrFenced
	if !lost {
		err = r.recordEnd(ctx, s.mine, func(r *RunRecord) { r.end(out.State, out.Measures, cleaned, waits) })
	}
	if errors.Is(err, ErrFenced) || errors.Is(err, ErrConflict) {
		err = Permanent(fmt.Errorf("run %s: %w; this process stops", r.m.Run, ErrFenced))
	}
	if err != nil {
		return nil, err
	}
	failpoint.Hit("after-ended")
	r.c.event(r.stamp(Event{Kind: EventEnded, State: string(out.State)}))
	return out, nil
}

// tidy removes what the run, which is about to end, no longer needs, and reports whether that is all gone, and where
// something waits for other hosts. The outcome stands whether or not it succeeds; the next start tries again.
func (r *run) tidy(ctx context.Context, rec RunRecord, state RunState, records map[string]CommitRecord) (cleaned bool, waits map[string][]string) {
	var err error
	if state == RunComplete {
		homes := map[string][]string{}
		for _, d := range r.m.Destinations {
			homes[d.ID] = records[d.ID].Homes
		}
		if waits, err = r.c.clean(ctx, rec, r.m, homes, false); err == nil {
			cleaned = len(waits) == 0
		}
	} else {
		if cleaned, err = r.cleanPartial(ctx, records); err == nil {
			err = r.c.Progress.Publish(ctx, r.checkpoint(records))
		}
	}
	if err != nil {
		r.c.Log.Warn(fmt.Sprintf("run %s has ended; tidying up after it did not succeed", r.m.Run), "error", err)
		return cleaned, nil
	}
	return cleaned, waits
}

func (r *run) outcome(records map[string]CommitRecord) RunState {
	complete, any := true, false
	for _, d := range r.m.Destinations {
		rec := records[d.ID]
		complete = complete && rec.State == RecordFinished && len(rec.Settled) == len(r.m.Connections)
		any = any || len(rec.Settled)+len(rec.Sealed) > 0
	}
	switch {
	case complete:
		return RunComplete
	case any:
		return RunPartial
	}
	return RunFailed
}

// cleanPartial keeps what a resume needs. If every destination has read the log to its end, nobody needs that any
// more: then all is cleaned.
func (r *run) cleanPartial(ctx context.Context, records map[string]CommitRecord) (cleaned bool, _ error) {
	if err := r.c.dropCommands(ctx, r.m.Run, r.fixed.Resumes); err != nil {
		return false, err
	}
	for _, d := range r.m.Destinations {
		if rec := records[d.ID]; rec.State != RecordFinished && rec.State != RecordOwing {
			return false, nil
		}
	}
	err := r.c.RowLogs.Delete(ctx, r.m.Run, r.fixed.Generation)
	return err == nil, err
}

// Abandon gives up a job's unfinished run, and returns its id. A run that is going on is refused.
func (n *Coordinator) Abandon(ctx context.Context, job string) (string, error) {
	last, _, err := n.lastRun(ctx, job)
	switch {
	case err != nil:
		return "", err
	case last == nil || !last.Value().State.Resumable():
		return "", Permanent(fmt.Errorf("job %s has no unfinished run", job))
	}
	if err := n.refuseIfRunning(ctx, job, false); err != nil {
		return "", err
	}
	if err := n.takeOver(ctx, last); err != nil {
		return "", err
	}
	defer n.letGo(ctx, last)
	return RunOf(last), n.abandon(ctx, job, last, "")
}

// abandon gives up an unfinished run, which this process owns, in favour of a fresh one: its records first, so that
// nothing of it writes any more, then its log and parts. The artifact as published stays until the fresh run's first
// commit. hint is what else could have been done.
func (n *Coordinator) abandon(ctx context.Context, job string, cell *Cell[RunRecord], hint string) error {
	id := RunOf(cell)
	m, err := LoadManifest(ctx, n.Stores.Runs, id)
	if errors.Is(err, ErrForeign) || errors.Is(err, ErrNoKey) {
		return n.abandonBare(ctx, job, cell, err)
	}
	if err != nil {
		return err
	}
	done, homes := len(m.Connections), map[string][]string{}
	for _, d := range m.Destinations {
		settled := 0
		homes[d.ID] = nil // as of a record that is gone
		err := n.Records.Reset(ctx, id, d.ID, func(c *CommitRecord) {
			c.abandon()
			settled, homes[d.ID] = len(c.Settled), c.Homes
		})
		if errors.Is(err, ErrForeign) {
			n.pass(err)
			err = n.Records.Replace(ctx, id, d.ID, CommitRecord{State: RecordAbandoned})
		}
		done = min(done, settled)
		if err != nil && !errors.Is(err, ErrNoKey) {
			return fmt.Errorf("abandon run %s: %w", id, err)
		}
	}
	n.Log.Info(fmt.Sprintf("job %s has an unfinished run, %s, with %d of %d connections delivered everywhere; it is given up%s", job, id, done, len(m.Connections), hint))
	if err := cell.Change(ctx, owned(cell), (*RunRecord).abandon); err != nil {
		return err
	}
	waits, err := n.clean(ctx, cell.Value(), m, homes, true)
	if err == nil {
		err = n.markCleaned(ctx, cell, waits)
	}
	if err != nil {
		n.Log.Warn(fmt.Sprintf("abandoned run %s could not be tidied up; the next start tries again", id), "error", err)
	}
	return nil
}

// abandonBare gives up a run whose manifest is gone: where its files are nobody knows. What is private of them is
// found by whoever writes them next.
func (n *Coordinator) abandonBare(ctx context.Context, job string, cell *Cell[RunRecord], why error) error {
	n.Log.Warn(fmt.Sprintf("job %s has an unfinished run, %s, that cannot go on and is given up: %v", job, RunOf(cell), why))
	if err := errors.Join(n.dropCommands(ctx, RunOf(cell), cell.Value().Resumes), n.RowLogs.Delete(ctx, RunOf(cell), math.MaxInt)); err != nil {
		return err
	}
	return cell.Change(ctx, owned(cell), func(r *RunRecord) {
		r.abandon()
		r.clean(nil)
	})
}
