package deliver

import (
	"context"
	"log/slog"

	"fanmill/pipeline"
)

// span begins a span of the destination. They are per commit, never per batch.
func (v *delivery) span(ctx context.Context, name string) (_ context.Context, end func(error, ...slog.Attr)) {
	working, s := pipeline.BeginSpan(ctx, v.d.Tracing, v.trace, name, slog.String(pipeline.TraceJob, v.m.JobID), slog.String(pipeline.TraceRun, v.m.Run),
		slog.String(pipeline.TraceDestination, v.dest.ID), slog.String(pipeline.TraceKind, v.dest.Type))
	return working, func(err error, about ...slog.Attr) { pipeline.EndSpan(ctx, s, err, about...) }
}

// amount is how much was settled.
func (v *delivery) amount(settled map[int]pipeline.Settlement) []slog.Attr {
	rows := int64(0)
	for _, s := range settled {
		rows += v.taken(s.Rows)
	}
	return []slog.Attr{slog.Int(pipeline.TraceConnections, len(settled)), slog.Int64(pipeline.TraceRows, rows)}
}
