package telemetry

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/trace"
)

// ids names spans at random, but for one that has its name already: the span of a run is named when that begins, and
// sent when it ends, maybe by another process.
type ids struct{}

type nameKey struct{}

// named has the next span that is begun be the one of this name.
func named(ctx context.Context, name trace.SpanContext) context.Context {
	return context.WithValue(ctx, nameKey{}, name)
}

// NewIDs implements the SDK's IDGenerator.
func (ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if name, ok := ctx.Value(nameKey{}).(trace.SpanContext); ok {
		return name.TraceID(), name.SpanID()
	}
	for !t.IsValid() {
		_, _ = rand.Read(t[:]) // it never fails
	}
	return t, newSpanID()
}

// NewSpanID implements the SDK's IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if name, ok := ctx.Value(nameKey{}).(trace.SpanContext); ok {
		return name.SpanID()
	}
	return newSpanID()
}

func newSpanID() (s trace.SpanID) {
	for !s.IsValid() {
		_, _ = rand.Read(s[:])
	}
	return s
}
