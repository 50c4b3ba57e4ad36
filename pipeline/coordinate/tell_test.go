package coordinate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

// toldWorld is a store in which runs of one job end, one after the other.
type toldWorld struct {
	t    *testing.T
	kv   *memstore.KV
	runs int
}

var toldTargets = []pipeline.NotifyTarget{
	{ID: "all", Type: "x", On: pipeline.NoticeEvents()},
	{ID: "bad", Type: "x", On: []pipeline.NoticeEvent{pipeline.NoticePartial, pipeline.NoticeRecovered}},
	{ID: "good", Type: "x", On: []pipeline.NoticeEvent{pipeline.NoticeComplete}},
}

func (w *toldWorld) coordinator() *Coordinator {
	return &Coordinator{Stores: pipeline.Stores{Runs: w.kv}, Records: checkpoint.NewRecords(w.kv), Owner: processOf("b"), Log: slog.New(slog.DiscardHandler)}
}

// ends makes a run whose end is recorded, and nothing after that.
func (w *toldWorld) ends(state pipeline.RunState, change func(*pipeline.Manifest)) *checkpoint.Document[checkpoint.RunRecord] {
	w.t.Helper()
	w.runs++
	run := fmt.Sprintf("run%d", w.runs)
	m := &pipeline.Manifest{Run: run, JobID: "job", JobName: "Job", LogMaxBytes: 64 << 20, Destinations: []pipeline.ManifestDestination{{ID: "d", Type: "memory", Path: "out"}},
		Connections: []pipeline.ManifestConnection{{ID: "c", Name: "C", Queries: make([]pipeline.ManifestQuery, 1)}, {ID: "e", Name: "E", Queries: make([]pipeline.ManifestQuery, 1)}}}
	if change != nil {
		change(m)
	}
	if err := checkpoint.StoreManifest(w.t.Context(), w.kv, m, func(string) []pipeline.Option { return nil }); err != nil {
		w.t.Fatal(err)
	}
	rec := checkpoint.OpenRecord(checkpoint.Opened{Epoch: 1, Generation: 1})
	rec.State, rec.Artifact, rec.Settled = pipeline.RecordFinished, []byte("{}"), map[int]pipeline.Settlement{0: {Rows: []int64{7}}}
	if state == pipeline.RunComplete {
		rec.Settled[1] = pipeline.Settlement{Rows: []int64{5}}
	}
	if err := w.coordinator().Records.Create(w.t.Context(), run, "d", rec); err != nil {
		w.t.Fatal(err)
	}
	r := checkpoint.RunRecord{Job: "job", State: pipeline.RunRunning, Owner: processOf("a"), Epoch: 1, Started: time.Now()}
	r.End(state, nil, true, nil, toldTargets)
	doc, err := checkpoint.CreateDocument(w.t.Context(), w.kv, checkpoint.RunKey(run), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// told are the notices of a run: target and event.
func (w *toldWorld) told(run string) (all []string) {
	w.t.Helper()
	docs, err := checkpoint.NoticesOf(w.t.Context(), w.kv, run, func(err error) { w.t.Error(err) })
	if err != nil {
		w.t.Fatal(err)
	}
	for _, doc := range docs {
		rec := doc.Value()
		all = append(all, rec.Target.ID+" "+string(rec.Event))
	}
	slices.Sort(all)
	return all
}

func (w *toldWorld) load(run string) *checkpoint.Document[checkpoint.RunRecord] {
	w.t.Helper()
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](w.t.Context(), w.kv, checkpoint.RunKey(run))
	if err != nil {
		w.t.Fatal(err)
	}
	return doc
}

// Whoever ends a run is killed before, in or behind each of its writes; then another process tidies up. Every target
// has exactly one notice of each end, with the right event, and the one after something bad is a recovery.
func TestEachTargetIsToldOnceWhateverIsKilledWhen(t *testing.T) {
	for _, happens := range []bool{false, true} {
		for kill := range 12 {
			w := &toldWorld{t: t, kv: &memstore.KV{}}
			for _, step := range []struct {
				state pipeline.RunState
				want  []string
			}{
				{pipeline.RunPartial, []string{"all partial", "bad partial"}},
				{pipeline.RunComplete, []string{"all recovered", "bad recovered", "good complete"}},
				{pipeline.RunComplete, []string{"all complete", "good complete"}},
				{pipeline.RunPartial, []string{"all partial", "bad partial"}},
			} {
				doc := w.ends(step.state, nil)
				run := checkpoint.RunOf(doc)
				ctx, end := context.WithCancel(t.Context())
				writes := 0
				w.kv.Lose = func() (bool, bool) {
					writes++
					if writes < kill+1 {
						return true, false
					}
					end()
					return happens && writes == kill+1, true
				}
				_ = w.coordinator().tell(ctx, doc, nil)
				w.kv.Lose = nil
				end()
				w.coordinator().tellLater(t.Context(), w.load(run))
				w.coordinator().tellLater(t.Context(), w.load(run))
				if got := w.told(run); !slices.Equal(got, step.want) {
					t.Fatalf("killed at write %d (happened: %v): of %s, %s, there are the notices %q, not %q", kill, happens, run, step.state, got, step.want)
				}
				if rec := w.load(run).Value(); rec.Tell != nil {
					t.Fatalf("killed at write %d: the run's record still says who is to be told", kill)
				}
			}
		}
	}
}

// A resume that ends as the run had ended before is no news; one that ends otherwise is. A run of chosen connections is
// no recovery, and ends none.
func TestNoticesAreOfChanges(t *testing.T) {
	w := &toldWorld{t: t, kv: &memstore.KV{}}
	doc := w.ends(pipeline.RunPartial, nil)
	c := w.coordinator()
	c.tellLater(t.Context(), doc)
	again := func(state pipeline.RunState) {
		doc := w.load("run1")
		if err := doc.Change(t.Context(), checkpoint.Anybody, func(r *checkpoint.RunRecord) {
			r.Resume(0, false, "")
			r.End(state, nil, true, nil, toldTargets)
		}); err != nil {
			t.Fatal(err)
		}
		c.tellLater(t.Context(), doc)
	}
	again(pipeline.RunPartial)
	if got := w.told("run1"); len(got) != 2 {
		t.Errorf("after a resume that changed nothing there are %q", got)
	}
	chosen := w.ends(pipeline.RunComplete, func(m *pipeline.Manifest) { m.Selected = true })
	c.tellLater(t.Context(), chosen)
	if got, want := w.told("run2"), []string{"all complete", "good complete"}; !slices.Equal(got, want) {
		t.Errorf("of a run of chosen connections there are %q, not %q", got, want)
	}
	doc = w.ends(pipeline.RunComplete, nil)
	c.tellLater(t.Context(), doc)
	if got, want := w.told("run3"), []string{"all recovered", "bad recovered", "good complete"}; !slices.Equal(got, want) {
		t.Errorf("of the run after that there are %q, not %q", got, want)
	}
	docs, err := checkpoint.NoticesOf(t.Context(), w.kv, "run3", func(error) {})
	if err != nil || docs[0].Value().Notice == nil {
		t.Fatal(err)
	}
	n := docs[0].Value().Notice
	if n.Complete != 2 || n.Rows != 12 || n.Last == nil || n.Last.Run != "run2" || len(n.Places) != 1 {
		t.Errorf("the notice is %+v", n)
	}
}

// What is told of a run goes with the run, and what was told of days long past goes, too.
func TestNoticesAreForgotten(t *testing.T) {
	w := &toldWorld{t: t, kv: &memstore.KV{}}
	old := time.Now().Add(-keepNotices - time.Hour)
	for i, rec := range []checkpoint.NoticeRecord{
		{Job: "job", State: checkpoint.NoticeSent, Made: old}, {Job: "job", State: checkpoint.NoticeWaiting, Made: old}, {Job: "job", State: checkpoint.NoticeSent, Made: time.Now()}} {
		if _, err := checkpoint.PutNotice(t.Context(), w.kv, checkpoint.LateNoticeKey("job", fmt.Sprintf("2026-01-0%d", i+1), "x"), rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.coordinator().forgetNotices(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	left, err := checkpoint.Notices(t.Context(), w.kv, func(error) {})
	if err != nil || len(left) != 2 {
		t.Errorf("%d notices are left, %v", len(left), err)
	}
}

// A notice that is made after a crash says what one made at the run's end does: also what changed since the last time.
func TestNoticeAfterACrashNamesChanges(t *testing.T) {
	w := &toldWorld{t: t, kv: &memstore.KV{}}
	doc := w.ends(pipeline.RunComplete, func(m *pipeline.Manifest) { m.Alert = &pipeline.Alert{Rows: 30} })
	run := checkpoint.RunOf(doc)
	if err := checkpoint.StoreBefore(t.Context(), w.kv, run, map[string]pipeline.Figures{"c": {Run: "run0", Rows: []int64{70}}, "e": {Run: "run0", Rows: []int64{5}}}); err != nil {
		t.Fatal(err)
	}
	w.coordinator().tellLater(t.Context(), doc)
	docs, err := checkpoint.NoticesOf(t.Context(), w.kv, run, func(err error) { t.Error(err) })
	if err != nil || len(docs) == 0 {
		t.Fatalf("%d notices, %v", len(docs), err)
	}
	for _, doc := range docs {
		rec := doc.Value()
		if c := rec.Notice.Changes; len(c) != 1 || c[0].ID != "c" {
			t.Errorf("the notice to %s names the changes %+v, want those of c", rec.Target.ID, c)
		}
	}
}
