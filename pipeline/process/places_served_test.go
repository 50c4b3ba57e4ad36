package process_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// commitsOf waits until a destination's record is as it should be.
func (w *world) commitsOf(run string, is func(checkpoint.CommitRecord) bool) checkpoint.CommitRecord {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	changes, err := w.node.Records.Watch(ctx, run)
	if err != nil {
		w.t.Fatal(err)
	}
	for u := range changes {
		if u.Destination == "csv" && is(u.Record) {
			cancel()
			for range changes { // the store closes it
			}
			return u.Record
		}
	}
	w.t.Fatal("the record does not become so")
	return checkpoint.CommitRecord{}
}

// A coordinator that offers no place has its destination written by one of two hosts that share a folder. That host
// ends in mid-run; the other one, which saw the claim's nonce come to its folder, goes on. No connection that is
// delivered is asked again, and the file is exact. What the run keeps beside it is removed by the host that has it: the
// coordinator does not reach it.
func TestPlaceIsServedByTwoHosts(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.node.StoreID, w.node.Owner.Home, w.node.Owner.Host = "store", "coordinator 0", "coordinator"
	w.node.Roles = []string{pipeline.RoleCoordinator, pipeline.RoleQuery}
	w.sweepEvery = 100 * time.Millisecond
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	w.connect("a", waiting(of(5, 10), gate))
	w.connect("b", of(3, 10))
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "csv", Type: "csv", Place: "reports", FilePath: "sales.csv", Mode: "replace"})
	folder := t.TempDir()
	hosts := map[string]*placed{"first 1": w.shared("first", folder), "second 1": w.shared("second", folder)}
	w.node.Sinks = hosts["first 1"].Sinks
	stops := map[string]func(){}
	for home, h := range hosts {
		h.Roles = []string{pipeline.RoleSink}
		stops[home] = w.serveBy(h.Node)
	}
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	rec := w.commitsOf("night", func(r checkpoint.CommitRecord) bool { return len(r.Settled) == 1 })
	was, next := "first 1", "second 1"
	if rec.Home != was {
		was, next = next, was
	}
	if here := <-hosts[next].looks; !here {
		t.Error("the other host does not see what was left")
	}
	w.db.askedSince()
	stops[was]()
	if rec = w.commitsOf("night", func(r checkpoint.CommitRecord) bool { return r.Home == next }); len(rec.Settled) != 1 {
		t.Errorf("the successor has %v", rec.Settled)
	}
	open()
	w.becomes("night", pipeline.RunComplete)
	hosts[next].once(t, 8)
	w.untilRecord("night", func(r checkpoint.RunRecord) bool { return r.Cleaned && len(r.Waits) == 0 })
	if left := hosts[next].private(); left != nil {
		t.Errorf("there is left %q", left)
	}
	if asked := w.db.askedSince(); slices.Contains(asked, "b") {
		t.Errorf("asked again: %q", asked)
	}
}

// Nobody offers the place of a destination: it is given up, and its run says for what it waits, and until when. The
// other destination has all.
func TestNobodyOffersThePlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.node.Owner.LeaseMS, w.node.Timeout = 1500, 2*time.Second
	w.connect("a", of(5, 10))
	w.deliverTo("here")
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "csv", Type: "csv", Place: "reports", FilePath: "sales.csv", Mode: "replace"})
	w.node.Sinks = w.host("any").Sinks
	w.serve()
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	const whom = "a process with --place reports=FOLDER"
	w.untilRecord("night", func(r checkpoint.RunRecord) bool { return r.Awaited["csv"] == whom && !r.Unclaimed["csv"].IsZero() })
	w.becomes("night", pipeline.RunPartial)
	rec := w.commitRecord("night")
	if rec.State != pipeline.RecordDetached || !strings.Contains(rec.Error, "no process has claimed it for 2s; it waits for "+whom) {
		t.Errorf("the record is %+v", rec)
	}
	w.exact("here", "a")
	if r := w.runRecord("night"); len(r.Awaited)+len(r.Unclaimed) > 0 {
		t.Errorf("the run has ended, and waits for %v until %v", r.Awaited, r.Unclaimed)
	}
}

// The place of a destination is part of what a resume compares: a job that names another one since is refused.
func TestResumeIntoAnotherPlace(t *testing.T) {
	w, a, _, _ := placedWorld(t, func(*world, *placed) *placed { return nil })
	w.job.Destinations[0].Place = "others"
	_, err := a.Run(t.Context(), w.definition(), pipeline.Trigger{Resume: true})
	if err == nil || !strings.Contains(err.Error(), "destination csv was csv sales.csv (place reports) (replace), is csv sales.csv (place others) (replace)") {
		t.Errorf("the resume: %v", err)
	}
	w.job.Destinations[0].Place = "reports"
	w.goesOn(a.host)
}
