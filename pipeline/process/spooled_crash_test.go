package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
	"fanmill/pipeline/dead"
	"fanmill/pipeline/spool"
)

// stopped ends a run at the nth step of its sink: from then on nothing that the sink has to compose, stage or send
// happens, as if the process were gone. What was delivered whole is sealed still: a run that is stopped waits for that.
// It reports whether there was such a step, and the run did not come to its end.
func stopped(w *world, r *receiver, n int) bool {
	ctx, stop := context.WithCancel(w.t.Context())
	defer stop()
	steps, dead := 0, false
	count := func(works bool) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if steps++; steps == n {
			dead = true
			stop()
		}
		if dead && !works {
			return &pipeline.Trouble{Err: errors.New("the process is gone")}
		}
		return nil
	}
	r.set(func() {
		r.step = func(step string) error { return count(step == "recover" || step == "release") }
		r.answer = func(string, string, bool) error { return count(false) } // before the body is kept, and after
	})
	_, err := w.run(ctx, pipeline.Trigger{})
	if err != nil && !dead {
		w.t.Fatalf("stopped at step %d of %d: %v", n, steps, err)
	}
	r.set(func() { r.step, r.answer = nil, nil })
	return err != nil
}

// A run that ends at any step is gone on with: every row once, one body a key, nobody asked twice whose rows were
// sealed.
func TestSpooledStoppedEverywhere(t *testing.T) {
	t.Parallel()
	modes(t, func(t *testing.T, atEnd bool) {
		for n := 1; ; n++ {
			w, r := remote(t, 8*mb, atEnd)
			w.connect("a", of(40, 20))
			w.connect("b", of(0, 20))
			w.connect("c", of(20, 2000))
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
	})
}

// owing makes a run whose receiver takes nothing, and returns its id.
func owing(t *testing.T, w *world, r *receiver) string {
	t.Helper()
	w.node.Timeout = time.Millisecond
	r.set(func() {
		r.answer = func(string, string, bool) error {
			return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("401")}
		}
	})
	run := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial).Run
	r.set(func() { r.answer = nil })
	w.db.askedSince()
	return run
}

// Rows that lie on another disk are waited for: they are not lost, and nobody is asked again.
func TestRowsOnAnotherDisk(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(40, 20))
	owing(t, w, r)
	here := w.node.Spool
	w.node.Spool = &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}}
	out := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
	if report := out.Reports[0]; report.State != pipeline.RecordOwing || !strings.Contains(report.Error, "waiting for ") {
		t.Errorf("%s: %s", report.State, report.Error)
	}
	w.node.Spool = here
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); len(asked) > 0 {
		t.Errorf("asked: %v", asked)
	}
	r.exact(w, "a")
}

// files are the spool's files whose names begin so.
func files(t *testing.T, w *world, prefix string) (paths []string) {
	t.Helper()
	return slices.DeleteFunc(left(t, w), func(path string) bool { return !strings.HasPrefix(filepath.Base(path), prefix) })
}

// Rows that are gone, or rotten, and that no request has yet, are asked again; what was delivered stays.
func TestSealedRowsAreLost(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"gone":   os.Remove,
		"rotten": func(path string) error { return flip(path) },
		"short":  func(path string) error { return os.Truncate(path, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			w, r := remote(t, 8*mb, true)
			w.connect("a", of(40, 20))
			w.connect("b", of(40, 20))
			r.set(func() {
				r.step = func(step string) error {
					if step == "stage" {
						return &pipeline.Owing{Reason: "held"}
					}
					return nil
				}
			})
			w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
			r.set(func() { r.step = nil })
			w.db.askedSince()
			rows := files(t, w, "c000000")
			if len(rows) != 1 {
				t.Fatalf("the rows are in %q", rows)
			}
			if err := harm(rows[0]); err != nil {
				t.Fatal(err)
			}
			w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
			if asked := w.db.askedSince(); !slices.Equal(asked, []string{"a"}) {
				t.Errorf("asked: %v", asked)
			}
			r.exact(w, "a", "b")
		})
	}
}

// flip changes a bit in the middle of a file.
func flip(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return os.WriteFile(path, text, 0o600)
}

// A body that is gone is not made again: its request is a letter, and what it had is owed.
func TestBodyIsLost(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(40, 20))
	owing(t, w, r)
	bodies := files(t, w, "body-")
	if len(bodies) == 0 {
		t.Fatalf("the spool has %q", left(t, w))
	}
	for _, path := range bodies {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	out := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
	if report := out.Reports[0]; report.State != pipeline.RecordOwing || report.Delivery.Refused != 1 {
		t.Errorf("%s: %s, %+v", report.State, report.Error, report.Delivery)
	}
	r.exact(w)
}

// A request that was tried, and whose key the receiver may have forgotten, is not sent again by itself.
func TestForgottenKey(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(40, 20))
	owing(t, w, r)
	kind := r.kind(false)
	kind.KeyTTL = func(*pipeline.ManifestDestination) time.Duration { return time.Nanosecond }
	w.node.Sinks["remote"] = kind
	out := w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
	if report := out.Reports[0]; report.State != pipeline.RecordOwing || report.Delivery.Refused != 1 {
		t.Errorf("%s: %s, %+v", report.State, report.Error, report.Delivery)
	}
	if n := r.closings(); n != 1 {
		t.Errorf("%d closing requests: it was never tried, and is sent", n)
	}
	r.exact(w)
}

// Nor is one that this claim has sent, when the receiver may have forgotten its key meanwhile: what goes out once, and
// gets no answer, goes out once.
func TestForgottenKeyOfOneClaim(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	kind := r.kind(false)
	kind.KeyTTL = func(*pipeline.ManifestDestination) time.Duration { return time.Nanosecond }
	w.node.Sinks["remote"] = kind
	w.connect("a", of(40, 20))
	r.set(func() {
		r.answer = func(_, body string, kept bool) error {
			if kept && !strings.Contains(body, `"Closing":true`) {
				return &pipeline.Trouble{Scope: pipeline.OfMoment, Err: errors.New("the line broke after the body")}
			}
			return nil
		}
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	report := out.Reports[0]
	if report.State != pipeline.RecordOwing || report.Delivery.Refused != 1 || report.Delivery.Sent != 1 {
		t.Errorf("%s: %s, %+v", report.State, report.Error, report.Delivery)
	}
	if r.sends != 2 { // the closing one, too
		t.Errorf("%d requests were sent", r.sends)
	}
	letters, err := w.node.Letters().List(t.Context(), "")
	if err != nil || len(letters) != 1 || letters[0].State != dead.Unknown || !strings.Contains(letters[0].Error, "keyTTL") {
		t.Errorf("%+v, %v", letters, err)
	}
	r.exact(w, "a")
}

// A store that comes back from a backup has forgotten requests that were sent. The outbox has not: they are neither
// made nor sent again.
func TestStoreForgetsRequests(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(40, 20))
	w.connect("b", of(40, 20))
	broken := errors.New("the line broke after the body")
	r.set(func() {
		r.answer = func(_, _ string, kept bool) error {
			if kept {
				return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: broken}
			}
			return nil
		}
	})
	w.node.Timeout = time.Millisecond
	run := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial).Run
	before := len(r.order)
	// The record as it was before the outbox had anything.
	err := w.node.Records.Reset(t.Context(), run, "hook", func(c *checkpoint.CommitRecord) { c.Outbox, c.Delivery = 0, nil })
	if err != nil {
		t.Fatal(err)
	}
	r.set(func() { r.answer = nil })
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	r.exact(w, "a", "b")
	if got := len(r.order) - before; got > 2 { // the second one, perhaps, and the closing one
		t.Errorf("%d new keys", got)
	}
}

// An old claim that wakes is told by the epoch, and changes nothing.
func TestEpochsHaveAnOrder(t *testing.T) {
	w, r := remote(t, 8*mb, false)
	w.connect("a", of(40, 20))
	run := owing(t, w, r)
	first := r.epoch["hook"]
	rec, err := w.node.Records.Load(t.Context(), run, "hook")
	if err != nil || rec.Epoch < first || first == 0 {
		t.Fatalf("epoch %d, the target shows %d (%v)", rec.Epoch, first, err)
	}
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if r.epoch["hook"] <= first {
		t.Errorf("the claims had the epochs %d and %d", first, r.epoch["hook"])
	}
	var text []byte
	if text, err = json.Marshal(rec); err != nil || len(text) > 2000 {
		t.Errorf("the record of one sealed connection has %d bytes (%v)", len(text), err)
	}
}

// A sender that froze before it sent, and wakes when its run was given up for another one, sends nothing more.
func TestFrozenSenderOfAnAbandonedRun(t *testing.T) {
	t.Parallel()
	w, r := remote(t, 8*mb, false)
	w.node.Sinks["remote"].Parallel = nil
	w.node.Timeout = 3 * time.Second // for which the run waits for somebody to claim the destination
	w.connect("a", of(40, 20))
	w.connect("b", of(40, 20))
	var run string
	w.watch = func(e pipeline.Event) {
		if run == "" {
			run = e.Run
		}
	}
	lost := false
	r.set(func() {
		r.answer = func(_, _ string, kept bool) error {
			r.mu.Lock()
			mine := kept && !lost
			lost = lost || kept
			r.mu.Unlock()
			if mine { // while the sender waits for this answer its record is given away
				return w.node.Records.Reset(t.Context(), run, "hook", func(c *checkpoint.CommitRecord) { c.State = pipeline.RecordAbandoned })
			}
			return nil
		}
	})
	out, err := w.run(t.Context(), pipeline.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	if out.State != pipeline.RunPartial || out.Reports[0].State != pipeline.RecordDetached {
		t.Errorf("the run is %s: %s", out.State, reports(out))
	}
	if len(r.order) != 1 {
		t.Errorf("%d requests were sent, the first one before the run was given up", len(r.order))
	}
}
