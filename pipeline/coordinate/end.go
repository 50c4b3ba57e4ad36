package coordinate

import (
	"context"
	"errors"
	"fmt"

	"fanmill/pipeline/failpoint"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// end records the run's outcome. What tidies up after the run comes before that: whoever waits for the run and is
// killed with this process begins another one if it finds this one complete, so there is to be nothing left that
// takes time then. All destinations have finished or given up, which their records say: a crash in between leaves a
// run whose resume finds nothing to do but this.
func (r *run) end(ctx context.Context, s *supervisor) (*Outcome, error) {
	records := s.records
	out := &Outcome{Run: r.m.Run, State: r.outcome(records), Started: r.doc.Value().Started, Owner: r.c.Owner}
	told, reasons := map[string]checkpoint.CommitRecord{}, map[string]map[string]string{}
	for _, d := range r.m.Destinations {
		rec := records[d.ID]
		var err error
		if reasons[d.ID], err = r.c.Records.Errors(ctx, r.m.Run, d.ID); err != nil {
			return nil, err
		}
		if err := r.c.Records.Tell(ctx, r.m.Run, d.ID, &rec); err != nil {
			return nil, err
		}
		told[d.ID] = rec
		out.Lost = out.Lost || rec.Lost || rec.Log.Stream == checkpoint.GapLog
	}
	out.Reports = checkpoint.NewReports(r.m, told, reasons)
	out.Measures = s.measures(out.Reports)
	alerts := r.c.compare(ctx, r.m, out.Reports)
	r.remember(ctx, out.Reports)
	failpoint.Hit("figures-kept")
	rec, cleaned, waits := r.doc.Value(), false, map[string][]string(nil)
	lost := r.c.renewing(ctx, r.doc, func() { cleaned, waits = r.tidy(ctx, rec, out.State, records) }, func() {})
	failpoint.Hit("before-ended")
	err := pipeline.ErrFenced
	if !lost {
		err = r.recordEnd(ctx, s.mine, func(rec *checkpoint.RunRecord) { rec.End(out.State, out.Measures, cleaned, waits, r.job.Notify) })
	}
	if errors.Is(err, pipeline.ErrFenced) || errors.Is(err, pipeline.ErrConflict) {
		err = pipeline.Permanent(fmt.Errorf("run %s: %w; this process stops", r.m.Run, pipeline.ErrFenced))
	}
	if err != nil {
		return nil, err
	}
	failpoint.Hit("after-ended")
	r.ran(out.State, nil)
	r.tellOwn(ctx, out)
	r.c.askCleaners(ctx, r.m, waits)
	for _, c := range r.m.Connections {
		if text := alerts[c.ID]; text != "" {
			r.c.event(r.stamp(pipeline.Event{Kind: pipeline.EventChanged, Connection: c.ID, Error: pipeline.ShortError(errors.New(text))}))
		}
	}
	r.c.event(r.stamp(pipeline.Event{Kind: pipeline.EventEnded, State: string(out.State)}))
	return out, nil
}

// tidy removes what the run, which is about to end, no longer needs, and reports whether that is all gone, and where
// something waits for other hosts. The outcome stands whether or not it succeeds; the next start tries again.
func (r *run) tidy(ctx context.Context, rec checkpoint.RunRecord, state pipeline.RunState, records map[string]checkpoint.CommitRecord) (cleaned bool, waits map[string][]string) {
	var err error
	if state == pipeline.RunComplete {
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

func (r *run) outcome(records map[string]checkpoint.CommitRecord) pipeline.RunState {
	complete, any := true, false
	for _, d := range r.m.Destinations {
		rec := records[d.ID]
		complete = complete && rec.State == pipeline.RecordFinished && len(rec.Settled) == d.Expects(r.m)
		any = any || len(rec.Settled)+len(rec.Sealed) > 0
		for _, s := range rec.Settled {
			complete = complete && !s.Doubt
		}
	}
	switch {
	case complete:
		return pipeline.RunComplete
	case any:
		return pipeline.RunPartial
	}
	return pipeline.RunFailed
}

// cleanPartial keeps what a resume needs. If every destination has read the log to its end, nobody needs that any
// more: then all is cleaned.
func (r *run) cleanPartial(ctx context.Context, records map[string]checkpoint.CommitRecord) (cleaned bool, _ error) {
	if err := r.c.dropCommands(ctx, r.m.Run); err != nil {
		return false, err
	}
	for _, d := range r.m.Destinations {
		if rec := records[d.ID]; rec.State != pipeline.RecordFinished && rec.State != pipeline.RecordOwing {
			return false, nil
		}
	}
	err := r.c.RowLogs.Delete(ctx, r.m.Run, r.fixed.Generation)
	return err == nil, err
}
