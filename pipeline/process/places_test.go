package process_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/coordinate"
	"fanmill/pipeline/deliver"
)

// Files are at their place, whoever has the same path: two hosts, with real files. What a kill between the two writes
// of a nonce leaves is tried in package deliver.

// half carries a run out on a host until b is delivered and a is asked. It leaves a file with b's rows.
func (w *world) half(h *host) (run string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	gate := make(chan struct{})
	s := waiting(of(5, 10), gate)
	w.rescript("a", s)
	settled := func(e pipeline.Event) {
		if e.Kind == pipeline.EventCommitted && e.Connection == "b" && e.Destination == "csv" {
			cancel()
		}
	}
	node := *h.Node
	node.Follow = func(*pipeline.Job, string, []pipeline.ManifestDestination) coordinate.Follower {
		return coordinate.Follower{Log: node.Log, Event: settled}
	}
	if _, err := node.Run(ctx, w.definition(), pipeline.Trigger{}); err == nil {
		w.t.Fatal("the run was not interrupted")
	}
	close(gate)
	w.rescript("a", of(5, 10))
	w.db.askedSince()
	docs, err := checkpoint.RunRecords(w.t.Context(), w.node.Stores.Runs, func(error) {})
	if err != nil || len(docs) != 1 {
		w.t.Fatalf("%d runs: %v", len(docs), err)
	}
	return checkpoint.RunOf(docs[0])
}

// resumed goes on with the run on a host.
func (w *world) resumed(h *host, want pipeline.RunState) *coordinate.Outcome {
	w.t.Helper()
	out, err := h.Run(w.t.Context(), w.definition(), pipeline.Trigger{Resume: true})
	if err != nil {
		w.t.Fatalf("resume on %s: %v", h.Owner.Host, err)
	}
	if out.State != want {
		w.t.Fatalf("the run on %s is %s, want %s: %s", h.Owner.Host, out.State, want, reports(out))
	}
	return out
}

func (w *world) commitRecord(run string) checkpoint.CommitRecord {
	w.t.Helper()
	rec, err := w.node.Records.Load(w.t.Context(), run, "csv")
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// all lists a folder, with the sizes of its files.
func all(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && !e.IsDir() {
			names = append(names, fmt.Sprint(path, " ", info.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// halfWorld is a run of two connections into a file on a host, one of them delivered.
func halfWorld(t *testing.T) (w *world, first *host, run string) {
	w = newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", of(3, 10))
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "csv", Type: "csv", FilePath: "sales.csv", Mode: "replace"})
	first = w.host("first")
	return w, first, w.half(first)
}

// waits checks that a host leaves a run's file alone, and that the record says nothing of a loss.
func (w *world) waits(h *host, run string) {
	w.t.Helper()
	before, was := all(w.t, h.root), w.commitRecord(run)
	out := w.resumed(h, pipeline.RunPartial)
	if r := out.Reports[0]; r.State != pipeline.RecordDetached || !strings.Contains(r.Error, "waiting for first") {
		w.t.Errorf("the destination is %s: %s", r.State, r.Error)
	}
	rec := w.commitRecord(run)
	if rec.Lost || rec.Home != was.Home || rec.Nonce != was.Nonce || len(rec.Settled) != len(was.Settled) || string(rec.Artifact) != string(was.Artifact) || slices.Contains(rec.Homes, h.Owner.Home) {
		w.t.Errorf("the record was %+v, and is %+v", was, rec)
	}
	if after := all(w.t, h.root); !slices.Equal(before, after) {
		w.t.Errorf("under the path of the host there was %q, and is %q", before, after)
	}
}

// goesOn checks that a host completes the run, without asking b again.
func (w *world) goesOn(h *host) {
	w.t.Helper()
	w.resumed(h, pipeline.RunComplete)
	if slices.Contains(w.db.askedSince(), "b") {
		w.t.Error("a delivered connection was asked again")
	}
	h.once(w.t, 8)
	if left := h.private(); left != nil {
		w.t.Errorf("there is left %q", left)
	}
}

// A host that has another disk under the path waits for the one that wrote there. Nothing is taken for lost.
func TestFilesOfAnotherHostAreWaitedFor(t *testing.T) {
	w, first, run := halfWorld(t)
	w.waits(w.host("second"), run)
	w.db.askedSince()
	w.goesOn(first)
}

// Whoever starts the run on a host that has its files, as a container of another name has them on a volume, goes on
// with them. From then on the first host waits.
func TestRunGoesOnWhereItIsStarted(t *testing.T) {
	w, first, run := halfWorld(t)
	second := w.host("second")
	second.root = first.root
	third := w.host("third")
	w.waits(third, run)
	w.db.askedSince()
	w.goesOn(second)
	if rec := w.commitRecord(run); rec.Home != second.Owner.Home {
		t.Errorf("the record is of %q", rec.Home)
	}
}

// Letter c: somebody removes the private folder, and the file, on the host that has them: all is delivered anew.
func TestPrivateFolderIsRemoved(t *testing.T) {
	w, first, _ := halfWorld(t)
	if err := os.RemoveAll(filepath.Join(first.root, ".fanmill")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first.file()); err != nil {
		t.Fatal(err)
	}
	w.resumed(first, pipeline.RunComplete)
	first.once(t, 8)
}

// placed is a host that offers a folder as the place reports.
type placed struct {
	*host
	looks chan bool // whether what another host left was there
}

// shared is a host that offers a folder as the place reports, and hears of claims there.
func (w *world) shared(name, folder string) *placed {
	w.t.Helper()
	h := &placed{w.host(name), make(chan bool, 100)}
	h.root = folder
	h.Disks = &deliver.Places{Home: h.Owner.Home, Folders: map[string]string{"reports": folder}}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	witness := &deliver.Witness{Places: h.Disks, Runs: h.Stores.Runs, Sinks: h.Sinks, StoreID: h.StoreID, Log: h.Log,
		Looked: func(_ checkpoint.PlaceNote, here bool) { h.looks <- here }}
	go func() {
		defer close(done)
		witness.Run(ctx, func() { close(ready) })
	}()
	<-ready
	w.t.Cleanup(func() { cancel(); <-done })
	return h
}

// placedWorld is halfWorld with the file in the folder of a place that two hosts offer. second makes the other one.
func placedWorld(t *testing.T, second func(w *world, first *placed) *placed) (w *world, a, b *placed, run string) {
	w = newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", of(3, 10))
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "csv", Type: "csv", Place: "reports", FilePath: "sales.csv", Mode: "replace"})
	a = w.shared("first", t.TempDir())
	b = second(w, a)
	return w, a, b, w.half(a.host)
}

// A host that has the same folder, and saw that a claim's nonce came there, goes on when the one that wrote is gone;
// and that one does after it, as it hears of the other's claims, too.
func TestSharedPlaceIsTakenOver(t *testing.T) {
	w, a, b, run := placedWorld(t, func(w *world, first *placed) *placed { return w.shared("second", first.root) })
	if here := <-b.looks; !here {
		t.Fatal("what the first host left is not there")
	}
	for i := range 5 {
		h, other := b, a
		if i%2 == 1 {
			h, other = a, b
		}
		w.stoppedOnceSeen(h, other, true)
		if rec := w.commitRecord(run); rec.Home != h.Owner.Home {
			t.Errorf("after a claim by %s: the record is of %q", h.Owner.Host, rec.Home)
		}
	}
	w.db.askedSince()
	w.goesOn(a.host)
}

// stoppedOnceSeen goes on with the run on a host until another one has looked at what that left.
func (w *world) stoppedOnceSeen(h, other *placed, want bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	s := of(5, 10)
	s.before = func(ctx context.Context, _, _, _ int) error {
		select {
		case here := <-other.looks:
			if here != want {
				w.t.Errorf("what %s left is at %s: %t", h.Owner.Host, other.Owner.Host, here)
			}
			cancel()
		case <-ctx.Done():
		}
		<-ctx.Done()
		return ctx.Err()
	}
	w.rescript("a", s)
	if _, err := h.Run(ctx, w.definition(), pipeline.Trigger{Resume: true}); err == nil {
		w.t.Fatal("the run was not interrupted")
	}
	w.rescript("a", of(5, 10))
}

// Letter b: the folder is copied once a claim was seen in it. The copy lacks the next claim's nonce, so whoever has it
// learns that it is none, and leaves the file to the host that has it.
func TestPlaceIsCopied(t *testing.T) {
	t.Parallel()
	w, a, b, run := placedWorld(t, func(w *world, first *placed) *placed { return w.shared("second", first.root) })
	if here := <-b.looks; !here {
		t.Fatal("what the first host left is not there")
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(a.root)); err != nil {
		t.Fatal(err)
	}
	b.Disks.Folders["reports"], b.root = copied, copied
	w.stoppedOnceSeen(a, b, false)
	w.waits(b.host, run)
	w.db.askedSince()
	w.goesOn(a.host)
}

// A host whose place of that name is another folder waits for the one that wrote there.
func TestPlaceIsAnotherFolder(t *testing.T) {
	w, a, b, run := placedWorld(t, func(w *world, _ *placed) *placed { return w.shared("second", t.TempDir()) })
	if here := <-b.looks; here {
		t.Fatal("another folder has what the first host left")
	}
	w.waits(b.host, run)
	w.db.askedSince()
	w.goesOn(a.host)
}
