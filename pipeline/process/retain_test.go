package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

const day = 24 * time.Hour

// past stores a run that ended a while ago, and was tidied up after.
func (w *world) past(job, run string, age time.Duration, state pipeline.RunState) {
	w.t.Helper()
	ctx, runs := w.t.Context(), w.node.Stores.Runs
	at := time.Now().Add(-age).UTC()
	rec := checkpoint.RunRecord{Job: job, State: state, Started: at, Ended: at, Cleaned: true}
	if _, err := checkpoint.CreateDocument(ctx, runs, checkpoint.RunKey(run), rec); err != nil {
		w.t.Fatal(err)
	}
	m, _ := json.Marshal(pipeline.Manifest{Run: run, JobID: job})
	_, err1 := runs.Put(ctx, checkpoint.ManifestKey(run), m)
	_, err2 := runs.Put(ctx, checkpoint.ConnKey(run, "a"), []byte("{}"))
	err3 := w.node.Records.Create(ctx, run, "d", checkpoint.CommitRecord{State: pipeline.RecordFinished})
	err4 := w.node.Records.SetError(ctx, run, "d", "a", "broken")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pointTo(job, run string) {
	w.t.Helper()
	data, err := checkpoint.EncodeRecord(checkpoint.JobRun{Run: run})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.node.Stores.Runs.Put(w.t.Context(), checkpoint.JobRunKey(job), data); err != nil {
		w.t.Fatal(err)
	}
}

// Of each job the newest hundred runs and those of the last two days stay, and its newest one, which may be resumed,
// whatever the clock said when it began; of the others nothing is left, also if a process ended in the middle of
// removing one.
func TestOldRunsAreForgotten(t *testing.T) {
	w := newWorld(t, 8*mb)
	ctx := t.Context()
	runs, records := w.node.Stores.Runs, w.node.Stores.Checkpoints
	for i := range 110 {
		w.past("many", fmt.Sprintf("many%03d", i), 3*day+time.Duration(i)*time.Hour, pipeline.RunComplete)
		w.past("busy", fmt.Sprintf("busy%03d", i), time.Duration(i)*time.Minute, pipeline.RunComplete)
	}
	w.past("many", "replaced", 30*day, pipeline.RunPartial)
	w.past("many", "abandoned", 31*day, pipeline.RunAbandoned)
	w.past("many", "unfinished", 32*day, pipeline.RunPartial)
	w.past("few", "few", 400*day, pipeline.RunComplete)
	w.pointTo("many", "unfinished")
	w.pointTo("busy", "busy000")
	w.pointTo("few", "few")
	if err := runs.Delete(ctx, checkpoint.ManifestKey("many109")); err != nil { // another process was about to
		t.Fatal(err)
	}

	w.connect("a", of(5, 10))
	w.deliverTo("d")
	w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)

	var want []string
	for i := range 110 {
		if i < 100 {
			want = append(want, fmt.Sprintf("many%03d", i))
		}
		want = append(want, fmt.Sprintf("busy%03d", i))
	}
	want = append(want, "unfinished", "few")
	slices.Sort(want)
	for name, kv := range map[string]pipeline.KV{"runs": runs, "checkpoints": records} {
		keys, err := kv.Keys(ctx, ">")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, key := range keys {
			run, _, _ := strings.Cut(key, ".")
			if strings.HasPrefix(run, "many") || strings.HasPrefix(run, "busy") || slices.Contains([]string{"unfinished", "replaced", "abandoned", "few"}, run) {
				got = append(got, run)
			}
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%s: %d runs are left, want %d: %q", name, len(got), len(want), got)
		}
	}
	all, err := w.node.View().List(ctx, "many")
	if err != nil || len(all) != 101 || all[0].Run != "many000" || all[100].Run != "unfinished" {
		t.Errorf("%d runs of the job are listed: %v", len(all), err)
	}
}

// A process that serves for months forgets old runs, too, and tidies up after processes that are gone.
func TestServingSweeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 8*mb)
	w.sweepEvery = time.Millisecond
	w.serve()
	for i := range 255 {
		w.past("old", fmt.Sprintf("old%03d", i), 3*day+time.Duration(i)*time.Hour, pipeline.RunComplete)
	}
	w.pointTo("old", "old000")
	dead := checkpoint.RunRecord{Job: "other", State: pipeline.RunRunning, Owner: pipeline.Owner{Token: "dead", Host: "here", LeaseMS: 1000}, Started: time.Now()}
	if _, err := checkpoint.CreateDocument(t.Context(), w.node.Stores.Runs, checkpoint.RunKey("dead"), dead); err != nil {
		t.Fatal(err)
	}
	changes, err := w.node.Stores.Runs.Watch(t.Context(), "*")
	if err != nil {
		t.Fatal(err)
	}
	for left := map[string]bool{}; len(left) != 100 || w.state("dead") != pipeline.RunInterrupted; {
		e := <-changes
		switch {
		case e.Deleted:
			delete(left, e.Key)
		case strings.HasPrefix(e.Key, "old"):
			left[e.Key] = true
		}
	}
}

// agedKV says that everything was written so long before it was.
type agedKV struct {
	pipeline.KV
	age time.Duration
}

func (k agedKV) Watch(ctx context.Context, pattern string) (<-chan pipeline.KVEntry, error) {
	in, err := k.KV.Watch(ctx, pattern)
	if err != nil {
		return nil, err
	}
	out := make(chan pipeline.KVEntry)
	go func() {
		defer close(out)
		for e := range in {
			if e.Key != "" {
				e.Modified = e.Modified.Add(-k.age)
			}
			select {
			case out <- e:
			case <-ctx.Done():
			}
		}
	}()
	return out, nil
}

// What became of triggers, and that they were to be cancelled, is known for as long as their runs would be. The
// cancellation of a run goes with the run.
func TestTriggersAreForgotten(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.deliverTo("x")
	ctx, runs := t.Context(), w.node.Stores.Runs
	w.past("many", "night", 30*day, pipeline.RunComplete)
	w.pointTo("many", "night")
	if err := errors.Join(checkpoint.NoteTrigger(ctx, runs, "skipped", checkpoint.TriggerNote{Job: "job", Skipped: true}),
		checkpoint.CancelRun(ctx, runs, "queued", 0, w.node.Owner), checkpoint.CancelRun(ctx, runs, "night", 0, w.node.Owner)); err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{day, 3 * day} {
		w.node.Stores.Runs = agedKV{runs, age}
		w.mustRun(pipeline.Trigger{}, pipeline.RunComplete)
		for _, key := range []string{"skipped.trigger", "queued.cancel", "night.cancel"} {
			_, err := runs.Get(ctx, key)
			if kept := age == day || key == "night.cancel"; kept != (err == nil) {
				t.Errorf("when %s is %s old: %v", key, age, err)
			}
		}
	}
}

// The keys of a run that is called job would be those that point to the newest runs of jobs.
func TestNoRunIsCalledJob(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.deliverTo("x")
	w.serve()
	if a := w.ask(pipeline.TopicTrigger("job"), "job", "{}"); !strings.Contains(a.Error, "Nats-Msg-Id") {
		t.Errorf("answered with %+v", a)
	}
}
