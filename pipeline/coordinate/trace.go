package coordinate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Each incarnation of a run has a span. Its name stands in the specification, from before the run's record says that
// the incarnation goes on, so that spans of all processes go below it. It is told of after the record that ends the
// incarnation: by the process that wrote that, which may have adopted the run. A kill in between loses the span.

// ran tells of the incarnation, which has ended so.
func (r *run) ran(state pipeline.RunState, why error) {
	if state == pipeline.RunPartial || state == pipeline.RunFailed {
		why = fmt.Errorf("the run is %s", state)
	}
	r.c.ran(r.span, r.m.JobID, r.m.Run, r.fixed.Resumes, state, why)
}

func (n *Coordinator) ran(s *pipeline.RunSpan, job, run string, incarnation int, state pipeline.RunState, why error) {
	if n.Tracing != nil && s != nil {
		n.Tracing.Ran(*s, why, slog.String(pipeline.TraceJob, job), slog.String(pipeline.TraceRun, run), slog.Int(pipeline.TraceIncarnation, incarnation),
			slog.String(pipeline.TraceOutcome, string(state)))
	}
}

// resumed names the span of the next incarnation of a run, in the trace of who asks for it; where nobody knows that,
// below the incarnation before it. told is to be called once the run's record says that the run goes on: of an
// incarnation whose process went without a word nobody has told.
func (n *Coordinator) resumed(ctx context.Context, asked pipeline.TraceContext, run string, was checkpoint.RunRecord) (_ *pipeline.RunSpan, told func()) {
	before := n.spanOf(ctx, run, was.Resumes)
	if asked == (pipeline.TraceContext{}) {
		asked = before.Context()
	}
	return pipeline.BeginRun(n.Tracing, asked, time.Now()), func() {
		if was.Died {
			n.ran(before, was.Job, run, was.Resumes, pipeline.RunInterrupted, errors.New("its process ended without a word"))
		}
	}
}

// spanOf is that of an incarnation. No run is held up for it: where it cannot be read there is none.
func (n *Coordinator) spanOf(ctx context.Context, run string, incarnation int) *pipeline.RunSpan {
	head, err := checkpoint.LoadDocument[checkpoint.SpecRecord](ctx, n.Stores.Runs, checkpoint.SpecKey(run, incarnation))
	if err != nil {
		n.Log.Debug("the trace of a run is not known", "run", run, "error", err)
		return nil
	}
	return head.Value().Trace
}
