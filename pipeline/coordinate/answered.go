package coordinate

import (
	"context"
	"fmt"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// untoldFor is how long after a run's end a process that was killed in that moment is likely to be started again by
// what watches it. What comes later is a schedule's next turn, and a run of its own.
const untoldFor = 10 * time.Minute

// Answered looks whether a trigger of fanmill run has been carried out before: it names a run that is complete, or it
// asks for a resume and the process of the job's last run was killed between recording that as complete and telling
// whoever had started it. Then it returns how that run ended. own is the run that the trigger names, if there is one.
func (n *Coordinator) Answered(ctx context.Context, job string, t pipeline.Trigger) (own *checkpoint.Document[checkpoint.RunRecord], _ *Outcome, _ error) {
	if t.ID == "" && !t.Resume {
		return nil, nil, nil
	}
	last, _, err := n.LastRun(ctx, job)
	if err != nil {
		return nil, nil, err
	}
	if t.ID != "" {
		if own, err = n.RunOfTrigger(ctx, job, t.ID, last); err != nil || own == nil {
			return nil, nil, err
		}
		out, err := n.over(ctx, own)
		return own, out, err
	}
	if last == nil || n.Untold == nil {
		return nil, nil, nil
	}
	if rec := last.Value(); rec.State != pipeline.RunComplete || rec.Trigger != 0 || time.Since(rec.Ended) > untoldFor || !n.Untold(rec.Owner) {
		return nil, nil, nil
	}
	out, err := n.over(ctx, last)
	return nil, out, err
}

// over is how a run ended that a trigger names; nil if there is something left to do for it.
func (n *Coordinator) over(ctx context.Context, own *checkpoint.Document[checkpoint.RunRecord]) (*Outcome, error) {
	switch rec := own.Value(); {
	case rec.State.Resumable():
		return nil, nil
	case rec.State != pipeline.RunComplete:
		return nil, pipeline.BadRunID("run %s was given up, and a later run has taken its place; choose another id", checkpoint.RunOf(own))
	}
	info, err := n.View().Inspect(ctx, checkpoint.RunOf(own))
	if err != nil {
		return nil, err
	}
	n.Log.Info(fmt.Sprintf("run %s of job %s is complete already, since %s; nothing is left to do", info.Run, info.Record.Job,
		info.Record.Ended.Local().Format(time.DateTime)))
	return &Outcome{Run: info.Run, State: info.Record.State, Started: info.Record.Started, Reports: info.Reports, Measures: info.Record.Measures,
		Owner: info.Record.Owner, Already: true}, nil
}
