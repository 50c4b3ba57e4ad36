package process_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline/process"

	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/sinks/artifact"
)

// host is a process on a host of its own: it shares the store with the world's, and has another disk under the same
// paths.
type host struct {
	*process.Node
	root string
	dirt error // what cleaning after a file answers; nil cleans
}

func (w *world) host(name string) *host {
	h := &host{root: w.t.TempDir()}
	node := *w.node
	node.StoreID = "store"
	node.Owner = pipeline.Owner{Token: pipeline.NewToken(), Host: name, Home: name + " 1", PID: 1, LeaseMS: 15000}
	node.Alive = func(o pipeline.Owner) (bool, bool) { return o.Token == node.Owner.Token, o.Token == node.Owner.Token }
	csv := *sinks.Kinds()["csv"]
	here := func(spec pipeline.SinkSpec) pipeline.SinkSpec {
		d := *spec.Destination
		if d.Place != "" {
			return spec
		}
		d.Path = filepath.Join(h.root, d.Path)
		spec.Destination = &d
		return spec
	}
	make, clean, has := csv.New, csv.Clean, csv.HasNonce
	csv.New = func(spec pipeline.SinkSpec) (pipeline.Sink, error) { return make(here(spec)) }
	csv.Clean = func(ctx context.Context, spec pipeline.SinkSpec, keepPrevious bool) ([]string, error) {
		if h.dirt != nil {
			return nil, h.dirt
		}
		return clean(ctx, here(spec), keepPrevious)
	}
	csv.HasNonce = func(spec pipeline.SinkSpec, nonce string) (bool, error) { return has(here(spec), nonce) }
	node.Sinks = map[string]*pipeline.SinkKind{"memory": w.disk.kind(pipeline.Traits{}), "csv": &csv}
	h.Node = &node
	return h
}

func (h *host) file() string { return filepath.Join(h.root, "sales.csv") }

// lines are the rows of the file, without the header.
func (h *host) lines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(h.file())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")[1:]
}

// once checks that the file has so many rows, none of them twice.
func (h *host) once(t *testing.T, want int) {
	t.Helper()
	lines := h.lines(t)
	slices.Sort(lines)
	if each := slices.Compact(slices.Clone(lines)); len(each) != want || len(lines) != want {
		t.Errorf("the file has %d rows, %d different ones, want %d", len(lines), len(each), want)
	}
}

// private lists what is left in the private folder.
func (h *host) private() (names []string) {
	entries, _ := os.ReadDir(filepath.Join(h.root, ".fanmill", "sales.csv"))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// on carries a run out on a host.
func (w *world) on(h *host, want pipeline.RunState) string {
	w.t.Helper()
	out, err := h.Run(w.t.Context(), w.definition(), pipeline.Trigger{})
	if err != nil {
		w.t.Fatalf("run on %s: %v", h.Owner.Host, err)
	}
	if out.State != want {
		w.t.Fatalf("the run on %s is %s, want %s: %s", h.Owner.Host, out.State, want, reports(out))
	}
	return out.Run
}

// interruptedOn carries a run out on a host until its first row is asked for.
func (w *world) interruptedOn(h *host) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	s := of(5, 10)
	s.before = func(ctx context.Context, _, _, _ int) error { cancel(); <-ctx.Done(); return ctx.Err() }
	w.rescript("a", s)
	if _, err := h.Run(ctx, w.definition(), pipeline.Trigger{}); err == nil {
		w.t.Fatal("the run was not interrupted")
	}
	w.rescript("a", of(5, 10))
}

func (w *world) runRecord(id string) checkpoint.RunRecord {
	w.t.Helper()
	cell, err := checkpoint.LoadDocument[checkpoint.RunRecord](w.t.Context(), w.node.Stores.Runs, checkpoint.RunKey(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return cell.Value()
}

// appendingWorld has a job that appends to a file.
func appendingWorld(t *testing.T) *world {
	w := newWorld(t, 8*mb)
	w.connect("a", of(5, 10))
	w.connect("b", of(3, 10))
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "csv", Type: "csv", FilePath: "sales.csv", Mode: "append"})
	return w
}

// A run on one host has all its rows in the file that it appends to, and not in another destination. It is given up
// on another host, in favour of a run that is interrupted, too. The next one on the first host takes its rows back: no
// mark could be written there, and the report beside the file says that all is well.
func TestRunGivenUpOnAnotherHostIsTakenBack(t *testing.T) {
	w := appendingWorld(t)
	w.deliverTo("other")
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "other" && step == "stage" {
			return pipeline.Permanent(errBroken)
		}
		return nil
	})
	first, second := w.host("first"), w.host("second")
	partial := w.on(first, pipeline.RunPartial)
	first.once(t, 8)
	w.disk.failing(nil)

	w.interruptedOn(second)
	rec := w.runRecord(partial)
	if want := map[string][]string{"csv": {"first 1"}, "other": {"first 1"}}; rec.State != pipeline.RunAbandoned || rec.Cleaned ||
		len(rec.Waits) != len(want) || !slices.Equal(rec.Waits["csv"], want["csv"]) {
		t.Errorf("the run that was given up is %s, cleaned %v, waits for %v", rec.State, rec.Cleaned, rec.Waits)
	}

	w.on(first, pipeline.RunComplete)
	first.once(t, 8)
	if rec := w.runRecord(partial); !rec.Cleaned || rec.Waits != nil {
		t.Errorf("once its host has started again: cleaned %v, waits for %v", rec.Cleaned, rec.Waits)
	}
	if left := first.private(); left != nil {
		t.Errorf("there is left of it %q", left)
	}
}

// The same, where the host does not start again before its next run: it serves all the time.
func TestRunGivenUpOnAnotherHostIsTakenBackWithoutAStart(t *testing.T) {
	w := appendingWorld(t)
	w.deliverTo("other")
	w.disk.failing(func(dest, step, _ string) error {
		if dest == "other" && step == "stage" {
			return pipeline.Permanent(errBroken)
		}
		return nil
	})
	first, second := w.host("first"), w.host("second")
	w.on(first, pipeline.RunPartial)
	w.disk.failing(nil)
	w.interruptedOn(second)
	w.interruptedOn(second) // and what is known of the first one is handed on
	first.dirt = pipeline.Transient(errBroken)
	w.on(first, pipeline.RunComplete)
	first.once(t, 8)
}

// A run is complete, and the process ends before it has tidied up. A start on another host finds nothing of it, and
// does not say that it is gone. Somebody removes the report; the next run on the first host goes on after those
// rows all the same.
func TestCompleteRunIsCleanedAtItsPlace(t *testing.T) {
	w := appendingWorld(t)
	first, second := w.host("first"), w.host("second")
	first.dirt = pipeline.Transient(errBroken)
	complete := w.on(first, pipeline.RunComplete)
	other := artifact.New(artifact.Spec{Path: second.file(), StoreID: "another", Job: "job", Destination: "csv", Run: "theirs"})
	if _, err := other.Claim(t.Context(), "token", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	theirs := second.private()

	id := w.job.ID
	w.job.ID = "another" // whatever it does, its start looks at all runs
	w.job.Destinations = []pipeline.Destination{{ID: "elsewhere", Type: "memory", FilePath: "elsewhere"}}
	for range 2 {
		w.on(second, pipeline.RunComplete)
		if rec := w.runRecord(complete); rec.Cleaned || !slices.Equal(rec.Waits["csv"], []string{"first 1"}) {
			t.Errorf("the start of another host says of the run: cleaned %v, waits for %v", rec.Cleaned, rec.Waits)
		}
	}
	if left := second.private(); !slices.Equal(left, theirs) {
		t.Errorf("another store's files there were %q, and are %q", theirs, left)
	}

	w.job.ID = id
	w.job.Destinations = []pipeline.Destination{{ID: "csv", Type: "csv", FilePath: "sales.csv", Mode: "append"}}
	if err := os.Remove(first.file() + ".manifest.json"); err != nil {
		t.Fatal(err)
	}
	w.on(first, pipeline.RunComplete) // its files cannot be removed yet: the claim goes by what the run was told
	if n := len(first.lines(t)); n != 16 {
		t.Errorf("the file has %d rows after two complete runs of 8", n)
	}
	first.dirt = nil
	w.on(first, pipeline.RunComplete)
	if rec := w.runRecord(complete); !rec.Cleaned || rec.Waits != nil {
		t.Errorf("once its host could remove its files: cleaned %v, waits for %v", rec.Cleaned, rec.Waits)
	}
	if n, left := len(first.lines(t)), first.private(); n != 24 || left != nil {
		t.Errorf("after three complete runs of 8 rows the file has %d, and there is left %q", n, left)
	}
}
