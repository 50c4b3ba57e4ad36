package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// Tracing tells a tracing system what is done for runs. Nothing of it waits for that system: what cannot be sent is
// dropped. nil tells nobody; see BeginSpan and BeginRun.
type Tracing interface {
	// Run names the span of an incarnation of a run that began then, within what asked for it. It is only a name, for
	// others to go below: Ran tells of it.
	Run(within TraceContext, began time.Time) RunSpan
	// Ran tells of an incarnation that has ended now. It is called once, by the process that has recorded the end. An
	// error marks it as failed.
	Ran(s RunSpan, err error, about ...slog.Attr)
	// Span begins a span below the one that ctx has, and where it has none, below within. The context returned has it.
	Span(ctx context.Context, within TraceContext, name string, about ...slog.Attr) (context.Context, Span)
}

// Span is something that takes time. End must follow, once; an error marks it as failed, and its text is shown.
type Span interface {
	End(err error, about ...slog.Attr)
}

// TraceContext names a span, in any process, as the headers traceparent and tracestate do ([W3C Trace Context] 3.2 and
// 3.3). The zero value names none.
type TraceContext struct {
	Parent string `json:"traceparent,omitempty"`
	State  string `json:"tracestate,omitempty"`
}

// RunSpan is the span of an incarnation of a run. It stands in the store, as those who work on the run go below it, and
// as another process may end the incarnation than the one that began it.
type RunSpan struct {
	Self   TraceContext `json:"self"`
	Within TraceContext `json:"within,omitzero"` // what asked for the run
	// Began is zero of a span that is not the run's: its coordinator traces nothing, and passes on what asked for it.
	Began time.Time `json:"began,omitzero"`
}

// Context is where spans of the run go; those of no run have none.
func (s *RunSpan) Context() TraceContext {
	if s == nil {
		return TraceContext{}
	}
	return s.Self
}

// Names of spans.
const (
	SpanRun        = "run"
	SpanConnection = "connection" // from a worker's claim to the connection's end with that worker
	SpanAttempt    = "attempt"
	SpanCommit     = "commit"
	SpanSeal       = "seal" // a spooled destination has rows safe
	SpanSend       = "send" // requests to a receiver
	SpanFinish     = "finish"
)

// Names of attributes of spans.
const (
	TraceJob         = "fanmill.job"
	TraceRun         = "fanmill.run"
	TraceIncarnation = "fanmill.incarnation" // how often the run was resumed
	TraceOutcome     = "fanmill.outcome"
	TraceConnection  = "fanmill.connection"
	TraceDatabase    = "fanmill.database" // the kind of database
	TraceAttempt     = "fanmill.attempt"
	TraceRows        = "fanmill.rows"
	TraceDestination = "fanmill.destination"
	TraceKind        = "fanmill.destination.type"
	TraceConnections = "fanmill.connections" // how many
	TraceRequests    = "fanmill.requests"
)

// OutcomeStopped is of what was taken away from its process, which is no failure.
const OutcomeStopped = "stopped"

// BeginRun names the span of an incarnation of a run that began then; nil where nothing traces it.
func BeginRun(t Tracing, within TraceContext, began time.Time) *RunSpan {
	switch {
	case t != nil:
		s := t.Run(within, began)
		return &s
	case within == TraceContext{}:
		return nil
	}
	return &RunSpan{Self: within}
}

// BeginSpan begins a span; see Tracing.Span. t may be nil.
func BeginSpan(ctx context.Context, t Tracing, within TraceContext, name string, about ...slog.Attr) (context.Context, Span) {
	if t == nil {
		return ctx, noSpan{}
	}
	return t.Span(ctx, within, name, about...)
}

// EndSpan ends a span of work that ctx bounds. What was stopped, or is another process's by now, has not failed.
func EndSpan(ctx context.Context, s Span, err error, about ...slog.Attr) {
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrFenced) || errors.Is(err, ErrNoLog)) {
		err, about = nil, append(about, slog.String(TraceOutcome, OutcomeStopped))
	}
	s.End(err, about...)
}

type noSpan struct{}

func (noSpan) End(error, ...slog.Attr) {}

// maxTraceState is what every receiver of a tracestate must pass on, [W3C Trace Context] 3.3.1.5.
const maxTraceState = 512

// ReadTraceContext understands the headers traceparent and tracestate, which may be anybody's. What cannot be
// understood names no span.
func ReadTraceContext(parent, state string) TraceContext {
	const length = len("00-") + 32 + len("-") + 16 + len("-00")
	if len(parent) < length || len(parent) > length && (parent[:2] == "00" || parent[length] != '-') {
		return TraceContext{}
	}
	version, trace, span, flags := parent[:2], parent[3:35], parent[36:52], parent[53:55]
	if parent[2] != '-' || parent[35] != '-' || parent[52] != '-' || version == "ff" || !isHex(version+trace+span+flags) ||
		strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return TraceContext{}
	}
	if len(state) > maxTraceState || strings.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		state = ""
	}
	return TraceContext{Parent: "00" + parent[2:length], State: state} // a later version's is a 00 for who knows only that
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}
