package query

import (
	"context"
	"log/slog"

	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// What became of a connection that a worker had taken; see also pipeline.OutcomeStopped.
const (
	outcomeDelivered = "delivered"
	outcomeGivenUp   = "given up"
)

// span begins that of a connection.
func (w *Worker) span(ctx context.Context, run *spec.Run, c *pipeline.Connection) (context.Context, pipeline.Span) {
	return pipeline.BeginSpan(ctx, w.Tracing, run.Spec.Span().Context(), pipeline.SpanConnection, slog.String(pipeline.TraceJob, run.Manifest.JobID),
		slog.String(pipeline.TraceRun, run.Manifest.Run), slog.String(pipeline.TraceConnection, c.ID), slog.String(pipeline.TraceDatabase, c.Driver))
}

// traced runs the attempt in a span of its own.
func (a *attempt) traced(ctx context.Context) error {
	working, span := pipeline.BeginSpan(ctx, a.worker.Tracing, pipeline.TraceContext{}, pipeline.SpanAttempt, slog.String(pipeline.TraceJob, a.m.JobID), slog.String(pipeline.TraceRun, a.m.Run),
		slog.String(pipeline.TraceConnection, a.conn.ID),
		slog.Int(pipeline.TraceAttempt, a.tries))
	err := a.run(working)
	pipeline.EndSpan(ctx, span, err, slog.Int64(pipeline.TraceRows, pipeline.SumRows(a.rows)))
	return err
}
