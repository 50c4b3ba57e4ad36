package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/nats"
	"fanmill/pipeline"
)

// dueAt has the store of the world know the job's schedule with this next time, as if it had been served before, and
// returns the run of that.
func (w *world) dueAt(next time.Time) string {
	w.t.Helper()
	file, err := config.Load(w.job(), jobOptions(false, nil))
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := nats.Open(w.t.Context(), nats.Options{DataDir: filepath.Join(w.dir, "data")})
	if err != nil {
		w.t.Fatal(err)
	}
	var table checkpoint.Timetable
	table.Take(&file.Job, checkpoint.Edition{From: "another host"}, next)
	run := ""
	for id, e := range table.Entries {
		e.Next = next
		table.Entries[id], run = e, pipeline.ScheduledRunID(id, next)
	}
	_, err = checkpoint.CreateDocument(w.t.Context(), conn.Stores().Jobs, checkpoint.TimetableKey("gst"), table)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if cerr := conn.Close(ctx); err != nil || cerr != nil {
		w.t.Fatal(err, cerr)
	}
	return run
}

// A process that serves is killed between any two steps of a time that has come: the next one has that run, once.
func TestAScheduleOfAKilledProcess(t *testing.T) {
	for _, point := range []string{"schedule-asked", "schedule-moved", "schedule-armed"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 30)
			w.setSchedule("UTC", "30 1 1 1 *")
			next := time.Now().UTC().Add(2 * time.Second).Truncate(time.Second)
			run := w.dueAt(next)
			w.putJob()
			killed := w.serveAs([]string{"FANMILL_FAILPOINT=" + point}, "serving 1 job of")
			if err := killed.cmd.Wait(); err == nil {
				t.Fatal("it was to be killed")
			}
			s := w.serve()
			if code, said := w.ask("trigger", "gst", "--id", run, "--wait"); code != exitComplete {
				t.Fatalf("the run of the schedule: code %d: %s", code, said)
			}
			var runs []screen.RunLine
			w.asked1(&runs, "runs", "--json")
			if len(runs) != 1 || runs[0].Run != run || runs[0].Scheduled == nil || !runs[0].Scheduled.For.Equal(next) {
				t.Errorf("runs: %+v, want %s alone", runs, run)
			}
			var lines []scheduleLine
			for deadline := time.Now().Add(time.Minute); ; { // the alarm comes again some seconds after the kill
				w.asked1(&lines, "schedule", "ls", "--json")
				if len(lines) == 1 && lines[0].Run == run && lines[0].Next.Format("01-02 15:04") == "01-01 01:30" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the schedule does not go on: %+v", lines)
				}
			}
			s.stop()
			w.exact()
		})
	}
}
