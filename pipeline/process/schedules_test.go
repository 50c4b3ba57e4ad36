package process_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/nats"
	"fanmill/pipeline"
	"fanmill/pipeline/trigger"
)

// comes waits until something is so.
func (w *world) comes(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.After(30 * time.Second); !is(); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			w.t.Fatalf("never: %s", what)
		}
	}
}

// oneJob is what processes serve that have one job.
type oneJob struct{ w *world }

func (o oneJob) Scheduled() []trigger.ServedJob {
	return []trigger.ServedJob{{Job: o.w.job, From: checkpoint.Edition{From: "job.json on here"}}}
}

func (oneJob) Gone(context.Context, string, checkpoint.Edition) bool { return false }

// scheduled gives the world's job a schedule whose next time is next, as if a process had had it until a moment before
// that.
func (w *world) scheduled(spec string, next time.Time) (id string) {
	w.t.Helper()
	w.job.Schedules = []pipeline.Schedule{{At: spec}}
	var t checkpoint.Timetable
	t.Take(w.job, checkpoint.Edition{From: "job.json on here"}, next)
	for id = range t.Entries {
		e := t.Entries[id]
		e.Next = next
		t.Entries[id] = e
	}
	if _, err := checkpoint.CreateDocument(w.t.Context(), w.node.Stores.Jobs, checkpoint.TimetableKey(w.job.ID), t); err != nil {
		w.t.Fatal(err)
	}
	w.served, w.alarms = oneJob{w}, w.conn.(*nats.Conn).Alarms()
	return id
}

// soon is a time that is about to come, to the second.
func soon() time.Time { return time.Now().UTC().Add(1500 * time.Millisecond).Truncate(time.Second) }

// ranOnce waits for the run of a time, and checks that it is the only one.
func (w *world) ranOnce(run string, of time.Time, missed int) {
	w.t.Helper()
	w.until(pipeline.EventEnded, run)
	m, err := checkpoint.LoadManifest(w.t.Context(), w.node.Stores.Runs, run)
	if err != nil || m.Scheduled == nil || !m.Scheduled.For.Equal(of) || m.Scheduled.Missed != missed {
		w.t.Fatalf("run %s: %+v, %v", run, m, err)
	}
	// Whoever else had the alarm in hand is done with it when the next one is set, and nothing is left to be taken.
	w.comes("the next alarm is set", func() bool {
		a, err := w.alarms.Alarm(w.t.Context(), "job", strings.Split(run, "-")[1])
		return err == nil && a.At.After(time.Now())
	})
	all, err := w.node.View().List(w.t.Context(), "job")
	if err != nil || len(all) != 1 {
		w.t.Errorf("%d runs, want one: %v", len(all), err)
	}
	if waiting, err := w.node.View().Waiting(w.t.Context(), "job"); err != nil || len(waiting) > 0 {
		w.t.Errorf("triggers wait: %v, %v", waiting, err)
	}
}

// Three processes serve, and a time that comes has one run.
func TestAScheduleFiresOnceWithThreeProcesses(t *testing.T) {
	w := newRealWorld(t, 8*mb)
	w.connect("a", of(10, 100))
	w.deliverTo("out")
	next := soon()
	id := w.scheduled("0 0 1 1 *", next)
	for range 3 {
		w.serveBy(w.another())
	}
	w.ranOnce(pipeline.ScheduledRunID(id, next), next, 0)
}

// A time comes while nobody serves: whoever serves next has it run, once.
func TestAScheduleFiresThroughARestart(t *testing.T) {
	w := newRealWorld(t, 8*mb)
	w.connect("a", of(10, 100))
	w.deliverTo("out")
	next := soon().Add(time.Second)
	id := w.scheduled("0 0 1 1 *", next)
	stop := w.serve()
	w.comes("the alarm is set", func() bool {
		a, err := w.alarms.Alarm(t.Context(), "job", id)
		return err == nil && a.At.Equal(next)
	})
	stop()
	w.comes("the alarm has gone off", func() bool {
		a, err := w.alarms.Alarm(t.Context(), "job", id)
		return err == nil && a.Revision == 0
	})
	w.serveBy(w.another())
	w.ranOnce(pipeline.ScheduledRunID(id, next), next, 0)
}

// Nobody served for three days: on return there is one run, and it says how many times were missed.
func TestMissedTimesHaveOneRun(t *testing.T) {
	w := newRealWorld(t, 8*mb)
	w.connect("a", of(10, 100))
	w.deliverTo("out")
	last := time.Now().UTC().Truncate(24 * time.Hour)
	id := w.scheduled("0 0 * * *", last.AddDate(0, 0, -3))
	for range 2 {
		w.serveBy(w.another())
	}
	w.ranOnce(pipeline.ScheduledRunID(id, last), last, 3)
}
