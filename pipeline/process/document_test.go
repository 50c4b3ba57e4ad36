package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline/coordinate"

	"fanmill/pipeline"
	"fanmill/pipeline/spool"
)

// documentKind is a kind whose target keeps a ledger itself, as a spreadsheet does: it makes no requests, and a
// connection is delivered when the target says so. Its target is the receiver, under the connections' names.
func (r *receiver) documentKind() *pipeline.SinkKind {
	return &pipeline.SinkKind{Name: "document", Traits: pipeline.Traits{Target: pipeline.TargetDocument, Spooled: true, SettlesOnRelease: true, Gathers: true},
		Gather: func(*pipeline.ManifestDestination) pipeline.Gathering {
			return pipeline.Gathering{Rows: 60, Time: time.Hour}
		},
		New: func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
			return &documentSink{remoteSink: remoteSink{r: r, spec: spec}, staged: map[int]*remotePart{}}, nil
		}}
}

type documentSink struct {
	remoteSink
	staged map[int]*remotePart
}

func (s *documentSink) Recover(ctx context.Context, f pipeline.Fence, st pipeline.State, parts []pipeline.PartState) (pipeline.Recovered, error) {
	found, err := s.remoteSink.Recover(ctx, f, st, parts)
	if err != nil {
		return found, err
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	found.Settled = map[int]pipeline.Settlement{}
	for i, c := range s.spec.Manifest.Connections {
		if _, ok := s.r.bodies[c.ID]; ok {
			found.Settled[i] = pipeline.Settlement{Rows: make([]int64, len(c.Queries)), Attempt: 1}
		}
	}
	return found, nil
}

func (s *documentSink) Stage(_ context.Context, parts []pipeline.Part, _ int, _ *pipeline.Report) (pipeline.Staged, error) {
	out := pipeline.Staged{State: json.RawMessage(`{}`)}
	if err := s.r.at("stage"); err != nil {
		return out, err
	}
	for _, p := range parts {
		p := p.(*remotePart)
		s.staged[p.index] = p
		out.Allocated = append(out.Allocated, p.index)
	}
	return out, nil
}

func (s *documentSink) Release(_ context.Context, next []pipeline.WireRequest, report *pipeline.Report, _ bool) (out pipeline.Released, err error) {
	if err := s.r.at("release"); err != nil {
		return out, err
	}
	if len(next) > 0 {
		return out, pipeline.Permanent(errors.New("a document has no requests"))
	}
	out.Settled, out.Rejected = map[int]pipeline.Settlement{}, map[int]string{}
	for _, i := range slices.Sorted(maps.Keys(s.staged)) {
		p := s.staged[i]
		if report == nil {
			return out, pipeline.Permanent(errors.New("something is staged before the claim's first release"))
		}
		text, err := json.Marshal(remoteBody{Rows: []remoteEntry{p.entry}})
		if err != nil {
			return out, err
		}
		var turned *pipeline.RejectError
		err = s.r.take(p.entry.Connection, string(text))
		switch {
		case errors.As(err, &turned):
			out.Rejected[i] = turned.Reason
		case err != nil:
			return out, err
		default:
			out.Settled[i] = pipeline.Settlement{Attempt: p.id.Attempt}
		}
		delete(s.staged, i)
	}
	return out, nil
}

// document makes a world with a document in place of a disk.
func document(t *testing.T) (*world, *receiver) {
	t.Helper()
	w := newWorld(t, 8*mb)
	r := newReceiver()
	w.node.Sinks["document"] = r.documentKind()
	w.node.Spool = &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}}
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "doc", Type: "document"})
	return w, r
}

// settled checks what the report says of connections: rows, and that nothing is said twice.
func settled(t *testing.T, out *coordinate.Outcome, rows ...int64) {
	t.Helper()
	for i, want := range rows {
		c := out.Reports[0].Connections[i]
		if c.State != pipeline.ReportSettled || len(c.Rows) != 1 || c.Rows[0] != want || len(c.Notes) != 1 {
			t.Errorf("%s is %s with rows %v, want %d; notes %q", c.ID, c.State, c.Rows, want, c.Notes)
		}
	}
}

// noted is a script with a note, which is to be told once.
func noted(s script) script {
	s.notes = map[int][]string{0: {"a note"}}
	return s
}

// Every connection reaches a document once, whole, and nothing stays in the spool.
func TestDocumentGetsAll(t *testing.T) {
	w, r := document(t)
	w.connect("a", noted(of(300, 50)))
	w.connect("b", noted(of(0, 0)))
	w.connect("c", noted(of(10, 5)))
	settled(t, w.mustRun(pipeline.Trigger{}, pipeline.RunComplete), 300, 0, 10)
	r.exact(w, "a", "b", "c")
	if names := left(t, w); len(names) > 0 {
		t.Errorf("left in the spool: %q", names)
	}
}

// A run that ends at any step is gone on with: by the document's own ledger, and without asking for what was sealed.
func TestDocumentStoppedEverywhere(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w, r := document(t)
		w.connect("a", noted(of(40, 20)))
		w.connect("b", noted(of(0, 20)))
		w.connect("c", noted(of(20, 2000)))
		if !stopped(w, r, n) {
			if n < 8 {
				t.Errorf("there are %d steps only", n-1)
			}
			return
		}
		w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
		r.exact(w, "a", "b", "c")
		if names := left(t, w); len(names) > 0 {
			t.Errorf("stopped at step %d: left in the spool: %q", n, names)
		}
	}
}

// What the document has although its answer was lost is not lost, not doubled, and keeps what the record said of it.
func TestDocumentAnswersAreLost(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"moment": &pipeline.Trouble{Err: errors.New("the line broke")}, "other": pipeline.Transient(errors.New("broken"))} {
		t.Run(name, func(t *testing.T) {
			w, r := document(t)
			for _, id := range []string{"a", "b", "c"} {
				w.connect(id, noted(of(50, 20)))
			}
			lost := map[string]int{}
			r.answer = func(key, _ string, kept bool) error {
				r.mu.Lock()
				defer r.mu.Unlock()
				if kept && lost[key] == 0 {
					lost[key]++
					return failure
				}
				return nil
			}
			settled(t, w.mustRun(pipeline.Trigger{}, pipeline.RunComplete), 50, 50, 50)
			r.exact(w, "a", "b", "c")
			if len(lost) != 3 {
				t.Errorf("lost: %v", lost)
			}
		})
	}
}

// Trouble and other errors at each step, once each, change nothing.
func TestDocumentFailsOnceEverywhere(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"moment": &pipeline.Trouble{Err: errors.New("busy")}, "other": pipeline.Transient(errors.New("broken"))} {
		t.Run(name, func(t *testing.T) {
			w, r := document(t)
			w.connect("a", noted(of(50, 20)))
			w.connect("b", noted(of(20, 20)))
			seen := map[string]bool{}
			r.step = func(step string) error {
				r.mu.Lock()
				defer r.mu.Unlock()
				if seen[step] {
					return nil
				}
				seen[step] = true
				return failure
			}
			settled(t, w.mustRun(pipeline.Trigger{}, pipeline.RunComplete), 50, 20)
			r.exact(w, "a", "b")
			if len(seen) < 5 {
				t.Errorf("it failed at %v only", seen)
			}
		})
	}
}

// A document that may not be written ends the run as owing. A resume asks nobody and writes what waits, also where some
// connections had been written.
func TestDocumentOwing(t *testing.T) {
	w, r := document(t)
	w.node.Timeout = time.Millisecond
	for _, id := range []string{"a", "b"} {
		w.connect(id, noted(of(70, 20)))
	}
	r.answer = func(key, _ string, _ bool) error {
		if key == "b" {
			return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("403: share it")}
		}
		return nil
	}
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	if report := out.Reports[0]; report.State != pipeline.RecordOwing || !strings.Contains(report.Error, "403") || report.Connections[1].State != pipeline.ReportSealed {
		t.Errorf("%s: %s; b is %s", report.State, report.Error, report.Connections[1].State)
	}
	w.db.askedSince()
	r.set(func() { r.answer = nil })
	settled(t, w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete), 70, 70)
	if asked := w.db.askedSince(); len(asked) > 0 {
		t.Errorf("asked: %v", asked)
	}
	r.exact(w, "a", "b")
}

// A connection that the document will never take is turned away alone, by name; a resume asks for it again.
func TestDocumentTurnsAway(t *testing.T) {
	w, r := document(t)
	w.connect("a", noted(of(50, 20)))
	w.connect("odd", noted(of(50, 20)))
	r.answer = func(key, _ string, _ bool) error {
		if key == "odd" {
			return &pipeline.RejectError{Reason: "row 7 is refused"}
		}
		return nil
	}
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	r.exact(w, "a")
	if c := out.Reports[0].Connections[1]; c.State != pipeline.ReportRejected || c.Error != "row 7 is refused" {
		t.Errorf("%+v", c)
	}
	if names := left(t, w); len(files(t, w, "c")) > 0 {
		t.Errorf("left in the spool: %q", names)
	}
	r.set(func() { r.answer = nil })
	w.db.askedSince()
	settled(t, w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete), 50, 50)
	if asked := w.db.askedSince(); !slices.Equal(asked, []string{"odd"}) {
		t.Errorf("asked: %v", asked)
	}
	r.exact(w, "a", "odd")
}

// A branch that failed is written by the resume alone.
func TestDocumentLateBranch(t *testing.T) {
	w, r := document(t)
	w.connect("a", noted(of(50, 20)))
	broken := of(30, 20)
	broken.open = func(int) error { return pipeline.Permanent(errors.New("the branch is closed")) }
	w.connect("late", broken)
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	r.exact(w, "a")
	sends := r.sends
	w.rescript("late", noted(of(30, 20)))
	settled(t, w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete), 50, 30)
	r.exact(w, "a", "late")
	if r.sends != sends+1 {
		t.Errorf("%d were written again", r.sends-sends-1)
	}
}

// Connections go out once there are so many rows of them, before all have ended.
func TestDocumentGathers(t *testing.T) {
	w, r := document(t)
	written := make(chan struct{})
	w.connect("a", noted(of(40, 20)))
	w.connect("b", noted(of(40, 20)))
	w.connect("c", waiting(of(5, 20), written))
	r.answer = func(_, _ string, kept bool) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if kept && len(r.order) == 2 {
			close(written)
		}
		return nil
	}
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	r.exact(w, "a", "b", "c")
}

// A new run over one that has appended some of its rows would append them once more: it is refused. Where rows are
// replaced it is none of a question.
func TestDocumentHalfWritten(t *testing.T) {
	for mode, refused := range map[string]bool{"append": true, "replace": false} {
		t.Run(mode, func(t *testing.T) {
			w, r := document(t)
			w.node.Timeout = time.Millisecond
			w.job.Destinations[0].Mode = mode
			w.connect("a", of(70, 20))
			w.connect("b", of(70, 20))
			r.answer = func(key, _ string, _ bool) error {
				if key == "b" {
					return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("403: share it")}
				}
				return nil
			}
			w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
			r.set(func() { r.answer = nil })
			_, err := w.run(t.Context(), pipeline.Trigger{})
			if said := err != nil && strings.Contains(err.Error(), "the rows of 1 of 2 connections"); said != refused {
				t.Errorf("a new run: %v", err)
			}
		})
	}
}
