package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"fanmill/pipeline"
)

// hanging is a collector that takes nothing and says nothing.
type hanging struct{}

func (hanging) ExportSpans(ctx context.Context, _ []sdk.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hanging) Shutdown(context.Context) error { return nil }

// A collector that hangs holds up nobody: ends of spans wait for nothing, whatever waits to be sent, and the end of the
// process for two seconds.
func TestHangingCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tel := to(hanging{}, "test", nil)
		began := time.Now()
		run := tel.Run(pipeline.TraceContext{}, began)
		for range 20000 { // ten times what the queue holds
			_, s := tel.Span(t.Context(), run.Self, pipeline.SpanCommit)
			s.End(nil)
		}
		tel.Ran(run, nil)
		if d := time.Since(began); d != 0 {
			t.Errorf("spans took %s", d)
		}
		if err := tel.Close(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the end says %v", err)
		}
		if d := time.Since(began); d != closePatience {
			t.Errorf("the end took %s", d)
		}
		<-time.After(time.Hour) // of the bubble: what still waits gives up
	})
}

// kept keeps what is sent.
type kept struct{ spans []sdk.ReadOnlySpan }

func (k *kept) ExportSpans(_ context.Context, s []sdk.ReadOnlySpan) error {
	k.spans = append(k.spans, s...)
	return nil
}

func (k *kept) Shutdown(context.Context) error { return nil }

// The span of a run is told of once, by the name under which others went below it, also by another process than the one
// that began it. One that was not to be sampled is not told of, nor one that is the caller's.
func TestRunIsToldUnderItsName(t *testing.T) {
	for name, c := range map[string]struct {
		within pipeline.TraceContext
		told   bool
	}{
		"nobody asked": {pipeline.TraceContext{}, true},
		"somebody did": {pipeline.TraceContext{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", State: "a=1"}, true},
		"not sampled":  {pipeline.TraceContext{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}, false},
	} {
		first, second := to(&kept{}, "1", nil), &kept{}
		run := first.Run(c.within, time.Unix(1, 0))
		other := to(second, "2", nil)
		other.Ran(run, errors.New("partial"), slog.Int("n", 3))
		other.Ran(pipeline.RunSpan{Self: run.Self}, nil) // of who only passed the caller's on
		if err := errors.Join(first.Close(t.Context()), other.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		if !c.told {
			if len(second.spans) > 0 {
				t.Errorf("%s: told of %d", name, len(second.spans))
			}
			continue
		}
		if len(second.spans) != 1 {
			t.Fatalf("%s: told of %d", name, len(second.spans))
		}
		s := second.spans[0]
		is := fmt.Sprintf("00-%s-%s-%s", s.SpanContext().TraceID(), s.SpanContext().SpanID(), s.SpanContext().TraceFlags())
		if is != run.Self.Parent || !s.StartTime().Equal(time.Unix(1, 0)) || s.Status().Description != "partial" || len(s.Attributes()) != 1 {
			t.Errorf("%s: told is %s since %s, %v; want %+v", name, is, s.StartTime(), s.Status(), run)
		}
		if c.within.Parent != "" && (!strings.Contains(c.within.Parent, s.Parent().SpanID().String()) || run.Self.State != "a=1") {
			t.Errorf("%s: it is below %s, state %q", name, s.Parent().SpanID(), run.Self.State)
		}
	}
}

// Nothing is set up unless a collector is named.
func TestWanted(t *testing.T) {
	for _, v := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		t.Setenv(v, "")
	}
	if Wanted() {
		t.Error("a collector that nobody named is wanted")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/v1/traces")
	if !Wanted() {
		t.Error("one that is named is not wanted")
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	if Wanted() {
		t.Error("traces that are off are wanted")
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "zipkin")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, err := New(t.Context(), "1", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Errorf("gRPC: %v", err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "")
	if _, err := New(t.Context(), "1", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "zipkin") {
		t.Errorf("another exporter: %v", err)
	}
}

// What an attempt and a commit pay for their spans.
func BenchmarkSpan(b *testing.B) {
	for name, t := range map[string]pipeline.Tracing{"off": nil, "on": to(&kept{}, "1", nil)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, s := pipeline.BeginSpan(b.Context(), t, pipeline.TraceContext{}, pipeline.SpanAttempt, slog.String(pipeline.TraceJob, "gst"), slog.Int(pipeline.TraceAttempt, 1))
				s.End(nil, slog.Int64(pipeline.TraceRows, 1000))
			}
		})
	}
}
