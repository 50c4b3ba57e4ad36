package telemetry

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"fanmill/pipeline"
)

// wire spells span contexts as headers do. It knows no baggage.
var wire propagation.TraceContext

// in has spans go below one that another process may have.
func in(ctx context.Context, c pipeline.TraceContext) context.Context {
	return wire.Extract(ctx, propagation.MapCarrier{"traceparent": c.Parent, "tracestate": c.State})
}

func contextOf(ctx context.Context) pipeline.TraceContext {
	m := propagation.MapCarrier{}
	wire.Inject(ctx, m)
	return pipeline.TraceContext{Parent: m.Get("traceparent"), State: m.Get("tracestate")}
}

// Run implements pipeline.Tracing. The span is begun for its name, and for whether it is to be sampled; never ended, it
// is sent nowhere.
func (t *Telemetry) Run(within pipeline.TraceContext, began time.Time) pipeline.RunSpan {
	ctx, _ := t.tracer.Start(in(context.Background(), within), pipeline.SpanRun)
	return pipeline.RunSpan{Self: contextOf(ctx), Within: within, Began: began}
}

// Ran implements pipeline.Tracing.
func (t *Telemetry) Ran(s pipeline.RunSpan, err error, about ...slog.Attr) {
	self := trace.SpanContextFromContext(in(context.Background(), s.Self))
	if s.Began.IsZero() || !self.IsValid() || !self.IsSampled() {
		return
	}
	_, ended := t.tracer.Start(named(in(context.Background(), s.Within), self), pipeline.SpanRun, trace.WithTimestamp(s.Began), trace.WithSpanKind(trace.SpanKindConsumer))
	span{ended}.End(err, about...)
}

// Span implements pipeline.Tracing.
func (t *Telemetry) Span(ctx context.Context, within pipeline.TraceContext, name string, about ...slog.Attr) (context.Context, pipeline.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = in(ctx, within)
	}
	ctx, s := t.tracer.Start(ctx, name, trace.WithAttributes(attributes(about)...))
	return ctx, span{s}
}

// span implements pipeline.Span.
type span struct{ s trace.Span }

func (s span) End(err error, about ...slog.Attr) {
	s.s.SetAttributes(attributes(about)...)
	if err != nil {
		s.s.SetStatus(codes.Error, pipeline.ShortError(err))
	}
	s.s.End()
}

// attributes are numbers and texts; of anything else its text.
func attributes(about []slog.Attr) []attribute.KeyValue {
	all := make([]attribute.KeyValue, 0, len(about))
	for _, a := range about {
		if a.Value.Kind() == slog.KindInt64 {
			all = append(all, attribute.Int64(a.Key, a.Value.Int64()))
		} else {
			all = append(all, attribute.String(a.Key, a.Value.String()))
		}
	}
	return all
}
