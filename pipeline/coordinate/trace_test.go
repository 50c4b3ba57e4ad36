package coordinate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
)

// tracer notes the spans of runs; their names are numbers.
type tracer struct {
	named int
	told  []string
}

func (t *tracer) Run(within pipeline.TraceContext, began time.Time) pipeline.RunSpan {
	t.named++
	return pipeline.RunSpan{Self: pipeline.TraceContext{Parent: fmt.Sprint("named ", t.named)}, Within: within, Began: began}
}

func (t *tracer) Ran(s pipeline.RunSpan, err error, about ...slog.Attr) {
	t.told = append(t.told, fmt.Sprintf("%s within %q: %v", s.Self.Parent, s.Within.Parent, err))
}

func (t *tracer) Span(ctx context.Context, _ pipeline.TraceContext, _ string, _ ...slog.Attr) (context.Context, pipeline.Span) {
	panic("a coordinator has no other spans")
}

// traced is a world whose run has a span, named "first".
func tracedWorld(t *testing.T) (*adoptWorld, *pipeline.RunSpan) {
	w := newAdoptWorld(t)
	span := &pipeline.RunSpan{Self: pipeline.TraceContext{Parent: "first"}, Within: pipeline.TraceContext{Parent: "caller"}, Began: time.Unix(1, 0).UTC()}
	s, err := spec.New(w.job, w.m, nil)
	if err == nil {
		err = s.Traced(span).Store(t.Context(), w.kv, "r", 0, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w, span
}

// Who adopts a run has its span, and tells of it when the run ends.
func TestAdoptedRunKeepsItsSpan(t *testing.T) {
	w, span := tracedWorld(t)
	w.dies("a")
	b, seen := w.node("b"), &tracer{}
	b.Tracing = seen
	r, _, err := b.begin(t.Context(), w.definition(), spec.Request{Run: "r", Seq: 5})
	if err != nil || r.handover == nil {
		t.Fatalf("the run was not adopted: %v", err)
	}
	if !reflect.DeepEqual(r.span, span) || seen.named > 0 {
		t.Errorf("the adopted run has the span %+v, and %d were named", r.span, seen.named)
	}
	r.ran(pipeline.RunPartial, nil)
	if want := []string{`first within "caller": the run is partial`}; !reflect.DeepEqual(seen.told, want) {
		t.Errorf("told: %q, want %q", seen.told, want)
	}
}

// A resume goes below who asks for it, or below the incarnation before it. Of one whose process died it tells, once the
// run goes on; of one that ended in order its own process has told. Without a tracer the caller's span is passed on.
func TestResumedRunHasASpanOfItsOwn(t *testing.T) {
	w, _ := tracedWorld(t)
	n, seen := w.node("b"), &tracer{}
	n.Tracing = seen
	for _, c := range []struct {
		asked  string
		died   bool
		within string
		told   []string
	}{
		{"", false, "first", nil},
		{"somebody", false, "somebody", nil},
		{"somebody", true, "somebody", []string{`first within "caller": its process ended without a word`}},
	} {
		seen.told = nil
		span, told := n.resumed(t.Context(), pipeline.TraceContext{Parent: c.asked}, "r", checkpoint.RunRecord{Job: "job", Died: c.died})
		if span.Within.Parent != c.within || span.Self.Parent != fmt.Sprint("named ", seen.named) || seen.told != nil {
			t.Errorf("%+v: the span is %+v, told before it goes on: %q", c, span, seen.told)
		}
		if told(); !reflect.DeepEqual(seen.told, c.told) {
			t.Errorf("%+v: told %q", c, seen.told)
		}
	}
	n.Tracing = nil
	if span, _ := n.resumed(t.Context(), pipeline.TraceContext{Parent: "somebody"}, "r", checkpoint.RunRecord{}); span.Self.Parent != "somebody" || !span.Began.IsZero() {
		t.Errorf("without a tracer the span is %+v", span)
	}
	if s := pipeline.BeginRun(nil, pipeline.TraceContext{}, time.Now()); s != nil {
		t.Errorf("nobody asked, and nothing traces: %+v", s)
	}
	n.Tracing = seen
	(&run{c: n, m: w.m}).ran(pipeline.RunInterrupted, errors.New("x")) // a run of an earlier version has none
}
