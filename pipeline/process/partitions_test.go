package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/process"
	"fanmill/pipeline/spool"
)

// parted makes a world whose receiver gets its connections by so many partitions.
func parted(t *testing.T, logBytes int64, partitions int) (*world, *receiver) {
	t.Helper()
	return partedOf(newWorld(t, logBytes), partitions)
}

func partedOf(w *world, partitions int) (*world, *receiver) {
	w.t.Helper()
	w, r := remoteOf(w, false)
	w.job.Destinations[0].Partitions = partitions
	return w, r
}

// closing are the rounds that were closed, and whether each came behind all that was sent before it was.
func (r *receiver) rounds(t *testing.T) (closed []int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range r.order {
		var body remoteBody
		if err := json.Unmarshal([]byte(r.bodies[key]), &body); err != nil {
			t.Fatal(err)
		}
		if body.Closing {
			closed = append(closed, body.Round)
		} else if body.Round != len(closed)+1 {
			t.Errorf("rows of round %d come when %v are closed", body.Round, closed)
		}
	}
	return closed
}

// whole is the report of the only destination, as people see it.
func whole(t *testing.T, reports []*pipeline.Report) *pipeline.Report {
	t.Helper()
	if len(reports) != 1 || reports[0].Destination != "hook" {
		t.Fatalf("%d destinations are reported, the first of them %s; people know one, hook", len(reports), reports[0].Destination)
	}
	return reports[0]
}

// Invariant 10 over partitions: three of them, and what closes them, are written by processes of their own. The
// receiver gets every connection once, then one closing request; people see one destination.
func TestPartitionsOverProcesses(t *testing.T) {
	w, r := partedOf(newRealWorld(t, 8*mb), 3) // a server spreads commands over processes
	ids := branches(w, 10, of(20, 100))
	coordinator, _ := w.worker(pipeline.RoleCoordinator)
	asker, _ := w.worker(pipeline.RoleQuery)
	nodes := []*process.Node{coordinator, asker}
	for range 4 {
		sink, _ := w.worker(pipeline.RoleSink)
		sink.SinkSlots = 1
		sink.Spool = &spool.Root{Dir: t.TempDir(), Store: "s", Space: &spool.Space{}}
		sink.Owner.Home = pipeline.NewToken() + " sink"
		nodes = append(nodes, sink)
	}
	for _, node := range nodes {
		w.serveBy(node)
	}
	run := w.ask(pipeline.TopicTrigger("job"), "one", "{}").Run
	w.until(pipeline.EventEnded, run)
	r.exact(w, ids...)
	if closed := r.rounds(t); !slices.Equal(closed, []int{1}) {
		t.Errorf("closed: %v", closed)
	}
	info, err := w.node.View().Inspect(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	report := whole(t, info.Reports)
	if d := report.Delivery; report.State != pipeline.RecordFinished || d == nil || d.Sent != 11 || d.Requests != 11 {
		t.Errorf("reported: %s, %+v", report.State, report.Delivery)
	}
	homes, taken := map[string]bool{}, map[int]int{}
	for _, d := range info.Manifest.Destinations {
		rec, err := w.node.Records.Load(t.Context(), run, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		homes[rec.Home] = true
		for i := range rec.Settled {
			if !d.Takes(i) {
				t.Errorf("%s has connection %d, which is another's", d.ID, i)
			}
			taken[i]++
		}
	}
	if len(homes) != 4 || len(taken) != 10 {
		t.Errorf("%d processes have had the 4 records, which have %d connections", len(homes), len(taken))
	}
	events := 0
	for _, e := range w.seenEvents() {
		if e.Destination != "" && e.Destination != "hook" {
			t.Errorf("an event %s is of destination %s", e.Kind, e.Destination)
		}
		if e.Kind == pipeline.EventCommitted {
			events++
		}
	}
	if events != 10 {
		t.Errorf("%d connections were told of as delivered", events)
	}
}

func (w *world) seenEvents() []pipeline.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// A run with partitions that ends at any step is gone on with, like one without.
func TestPartitionsStoppedEverywhere(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		w, r := parted(t, 8*mb, 2)
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
		if closed := r.closings(); closed != 1 {
			t.Errorf("stopped at step %d: %d closing requests", n, closed)
		}
		if names := left(t, w); len(names) > 0 {
			t.Errorf("stopped at step %d: left in the spool: %q", n, names)
		}
	}
}

// A resume brings a connection that failed, and one that the job has gained: each to one partition, in a round of its
// own, which is closed once more. One that brings nothing closes nothing.
func TestPartitionsResumeWithAnotherConnection(t *testing.T) {
	w, r := parted(t, 8*mb, 3)
	w.job.Retry.Attempts = 1
	ids := branches(w, 4, of(20, 100))
	broken := of(20, 100)
	broken.open = func(int) error { return errBroken }
	w.rescript(ids[2], broken)
	first := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	if report := whole(t, first.Reports); report.State != pipeline.RecordFinished || report.Connections[2].State != pipeline.ReportFailed || report.Connections[2].Error == "" {
		t.Errorf("reported: %s, %+v", report.State, report.Connections[2])
	}
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunPartial)
	if closed := r.rounds(t); !slices.Equal(closed, []int{1}) {
		t.Errorf("closed after a resume that brought nothing: %v", closed)
	}
	before, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, first.Run)
	if err != nil {
		t.Fatal(err)
	}
	w.rescript(ids[2], of(20, 100))
	w.connect("added", of(5, 10))
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); !slices.Equal(asked, slices.Sorted(slices.Values([]string{"added", ids[2]}))) {
		t.Errorf("asked: %v", asked)
	}
	r.exact(w, append(ids, "added")...)
	if closed := r.rounds(t); !slices.Equal(closed, []int{1, 2}) {
		t.Errorf("closed: %v", closed)
	}
	m, err := checkpoint.LoadManifest(t.Context(), w.node.Stores.Runs, first.Run)
	if err != nil {
		t.Fatal(err)
	}
	takers := 0
	for i, d := range m.Destinations {
		if d.Takes(4) {
			takers++
		}
		for c := range 4 {
			if d.Takes(c) != before.Destinations[i].Takes(c) {
				t.Errorf("connection %d is of another partition than before", c)
			}
		}
	}
	if takers != 1 {
		t.Errorf("the added connection is of %d partitions", takers)
	}
	text, err := os.ReadFile(filepath.Join(w.node.Reports, "job", "hook.json"))
	var report pipeline.Report
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || report.State != pipeline.RecordFinished || len(report.Connections) != 5 || report.Connections[4].State != pipeline.ReportSettled || report.Delivery.Sent != 7 {
		t.Errorf("the report that is kept: %v, %s", err, text)
	}
}

// A partition whose connection waits holds the row log for nobody: the others bring many times what fits, and none of
// it is read by it. Also while it is in the middle of a connection.
func TestIdlePartitionHoldsNobody(t *testing.T) {
	w, r := partedOf(newRealWorld(t, 2*mb), 2) // whose reader looks when nothing comes
	gate := make(chan struct{})
	slow := of(40, 100)
	slow.before = func(ctx context.Context, _, _, row int) error {
		if row < 20 {
			return nil
		}
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	w.node.Parallel = 6
	w.connect("big1", of(8000, 1000))
	w.connect("slow", slow)
	w.connect("big2", of(8000, 1000))
	w.connect("idle", waiting(of(3, 10), gate))
	go func() {
		committed := 0
		for committed < 2 {
			w.mu.Lock()
			changed := w.changed
			committed = 0
			for _, e := range w.events {
				if e.Kind == pipeline.EventCommitted {
					committed++
				}
			}
			w.mu.Unlock()
			if committed >= 2 {
				break
			}
			select {
			case <-changed:
			case <-t.Context().Done():
				return
			}
		}
		close(gate)
	}()
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
	r.exact(w, "big1", "slow", "big2", "idle")
}

// A partition that owes leaves its destination owing, which says which and why; nothing is closed. A resume sends the
// rest, asks nobody, and closes.
func TestPartitionOwes(t *testing.T) {
	w, r := parted(t, 8*mb, 2)
	w.node.Timeout = time.Millisecond
	ids := branches(w, 4, of(20, 100))
	r.set(func() {
		r.answer = func(_, body string, kept bool) error {
			if strings.Contains(body, `"`+ids[1]+`"`) && !kept {
				return &pipeline.Trouble{Scope: pipeline.OfRequest, Err: errors.New("422")}
			}
			return nil
		}
	})
	out := w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	report := whole(t, out.Reports)
	if report.State != pipeline.RecordOwing || !strings.HasPrefix(report.Error, "partition 2 of 2: ") || strings.Count(report.Error, "partition") != 1 {
		t.Errorf("reported: %s, %s", report.State, report.Error)
	}
	if n := w.count(pipeline.EventOwing); n != 1 {
		t.Errorf("%d events tell that it owes", n)
	}
	if n := r.closings(); n > 0 {
		t.Errorf("%d closing requests", n)
	}
	letters, err := w.node.Letters().List(t.Context(), "job")
	if err != nil || len(letters) != 1 {
		t.Fatalf("letters: %v, %v", letters, err)
	}
	r.set(func() { r.answer = nil })
	if err := w.node.Letters().Replay(t.Context(), letters[0].Letter, false); err != nil {
		t.Fatal(err)
	}
	w.db.askedSince()
	w.mustRun(pipeline.Trigger{Resume: true}, pipeline.RunComplete)
	if asked := w.db.askedSince(); len(asked) > 0 {
		t.Errorf("asked: %v", asked)
	}
	r.exact(w, ids...)
	if n := r.closings(); n != 1 {
		t.Errorf("%d closing requests", n)
	}
}

// Whoever changes the number of partitions cannot resume: which connections a record has would be another thing.
func TestPartitionsChanged(t *testing.T) {
	w, _ := parted(t, 8*mb, 2)
	w.job.Retry.Attempts = 1
	ids := branches(w, 3, of(5, 10))
	broken := of(5, 10)
	broken.open = func(int) error { return errBroken }
	w.rescript(ids[0], broken)
	w.mustRun(pipeline.Trigger{}, pipeline.RunPartial)
	w.job.Destinations[0].Partitions = 3
	_, err := w.run(t.Context(), pipeline.Trigger{Resume: true})
	if want := "destination hook had partitions: 2, has 3"; err == nil || !strings.Contains(err.Error(), want) || strings.Count(fmt.Sprint(err), "hook") != 1 {
		t.Errorf("%v; want %q", err, want)
	}
}
