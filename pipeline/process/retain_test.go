package process_test

import (
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

// A process that serves for months forgets old runs, too, a bounded number at a time.
func TestServingForgetsOldRuns(t *testing.T) {
	w := newWorld(t, 8*mb)
	w.deliverTo("x") // nothing to ask: its runs are short
	w.serve()
	for i := range 155 {
		w.past("old", fmt.Sprintf("old%03d", i), 3*day+time.Duration(i)*time.Hour, pipeline.RunComplete)
	}
	w.pointTo("old", "old000")
	left := func() int {
		runs, err := w.node.View().List(t.Context(), "old")
		if err != nil {
			t.Fatal(err)
		}
		return len(runs)
	}
	trigger := func(from, to int) {
		for i := from; i < to; i++ {
			w.ask(pipeline.TopicTrigger("job"), fmt.Sprint("t", i), "{}")
			w.until(pipeline.EventEnded, fmt.Sprint("t", i))
		}
	}
	trigger(0, 49)
	if n := left(); n != 155 {
		t.Errorf("%d runs are left after 49 triggers", n)
	}
	trigger(49, 50)
	for left() != 105 {
		time.Sleep(2 * time.Millisecond)
	}
	trigger(50, 100)
	for left() != 100 {
		time.Sleep(2 * time.Millisecond)
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
