package process_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fanmill/pipeline/spec"

	"fanmill/pipeline"
)

// until is an Open that takes its time: until its context ends.
func until(ctx context.Context, _ pipeline.Request) error {
	<-ctx.Done()
	return ctx.Err()
}

// The time that a job gives an attempt holds while columns are compared, too, as does that for a database that says
// nothing; and what is said of it is the limit, not a context's words.
func TestLimitsHoldWhileColumnsAreCompared(t *testing.T) {
	for name, c := range map[string]struct {
		silence time.Duration
		most    pipeline.Duration
		want    string
	}{
		"maxDuration":       {time.Hour, pipeline.Duration(20 * time.Millisecond), "it took longer than maxDuration, 20ms"},
		"the query limit":   {20 * time.Millisecond, pipeline.Duration(time.Hour), "QUERY_TIMEOUT_MS=20"},
		"maxDuration alone": {0, pipeline.Duration(20 * time.Millisecond), "it took longer than maxDuration, 20ms"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 8*mb)
			w.node.Sinks["memory"] = w.disk.kind(pipeline.Traits{OneSchema: true})
			w.node.QueryTimeout, w.job.MaxDuration, w.job.Retry.Attempts = c.silence, c.most, 1
			slow := of(5, 10)
			slow.opens = until
			w.connect("a", slow)
			w.connect("b", slow)
			w.deliverTo("x")
			out := w.mustRun(pipeline.Trigger{}, pipeline.RunFailed)
			if got := reports(out); strings.Count(got, c.want) != 2 {
				t.Errorf("the run says%s", got)
			}
			_, _, err := w.node.Describer().Describe(t.Context(), spec.Probe{Definition: w.definition(), Connection: "b", Hosts: pipeline.NewHosts(1)})
			if err == nil || !strings.Contains(err.Error(), c.want) || pipeline.IsPermanent(err) != strings.HasPrefix(name, "max") {
				t.Errorf("describing says %v", err)
			}
		})
	}
}

// heard passes on what is logged.
type heard struct {
	slog.Handler
	lines chan<- string
}

func (h heard) Enabled(context.Context, slog.Level) bool { return true }
func (h heard) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h heard) WithGroup(string) slog.Handler            { return h }
func (h heard) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.lines <- r.Message:
	default:
	}
	return nil
}

// A comparison of columns that takes its time says how far it is and who is waited for.
func TestComparisonIsNotSilent(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.Sinks["memory"] = w.disk.kind(pipeline.Traits{OneSchema: true})
	w.node.News = time.Millisecond
	lines := make(chan string, 1)
	w.node.Log = slog.New(heard{Handler: slog.DiscardHandler, lines: lines})
	answer := make(chan struct{})
	slow := of(5, 10)
	slow.opens = func(ctx context.Context, _ pipeline.Request) error {
		select {
		case <-answer:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.connect("a", of(5, 10))
	w.connect("b", slow)
	w.deliverTo("x")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for line := range lines {
			if strings.HasPrefix(line, "comparing columns before anything is written: 1 of 2 connections have answered") && strings.HasSuffix(line, "; waiting for B") {
				close(answer)
				return
			}
		}
	}()
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	<-done
	w.exact("x", "a", "b")
}

// A connection alone has nobody to be compared with: its query is not run only to be described. Where there are
// several, all are described.
func TestQueryOfOneConnectionRunsOnce(t *testing.T) {
	for _, several := range []bool{false, true} {
		w := newWorld(t, 8*mb)
		w.node.Sinks["memory"] = w.disk.kind(pipeline.Traits{OneSchema: true})
		var ran atomic.Int32
		opaque := of(5, 10)
		opaque.opens = func(_ context.Context, r pipeline.Request) error {
			if r.NoRun {
				return pipeline.Permanent(pipeline.ErrMustRun)
			}
			ran.Add(1)
			return nil
		}
		w.connect("a", opaque)
		want := int32(1)
		if several {
			w.connect("b", of(5, 10))
			want = 2
		}
		w.deliverTo("x")
		w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
		if got := ran.Load(); got != want {
			t.Errorf("it ran %d times, want %d", got, want)
		}
	}
}
