package process_test

import (
	"os"
	"strings"
	"testing"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// serveOn has a host serve by some roles.
func (w *world) serveOn(name string, roles ...string) (h *host, stop func()) {
	h = w.host(name)
	h.Roles = roles
	return h, w.serveBy(h.Node)
}

// The files of a run whose coordinator writes none are those of the host that does, and what the run keeps to itself
// there is removed by that host, which is asked to.
func TestFilesOfACoordinatorThatWritesNone(t *testing.T) {
	w := appendingWorld(t)
	sink, _ := w.serveOn("files", pipeline.RoleSink)
	w.serveOn("databases", pipeline.RoleQuery)
	coordinator, _ := w.serveOn("head", pipeline.RoleCoordinator)
	run := w.ask(pipeline.TopicTrigger("job"), "night", "{}").Run
	w.untilRecord(run, func(r checkpoint.RunRecord) bool {
		return r.State == pipeline.RunComplete && r.Cleaned && r.Waits == nil
	})
	sink.once(t, 8)
	if left := sink.private(); left != nil {
		t.Errorf("there is left of it %q", left)
	}
	if entries, err := os.ReadDir(coordinator.root); err != nil || len(entries) > 0 {
		t.Errorf("the coordinator's disk has %v, %v", entries, err)
	}
}

// Where several hosts could write the files of a job that does not say where, and never ran, its trigger is refused,
// and told what to do.
func TestFilesThatSeveralHostsCouldWrite(t *testing.T) {
	w := appendingWorld(t)
	for _, name := range []string{"first", "second"} {
		w.serveOn(name, pipeline.RoleSink)
	}
	w.serveOn("head", pipeline.RoleCoordinator) // which sees who serves when it starts
	dead := w.deadLetters()
	w.ask(pipeline.TopicTrigger("job"), "night", "{}")
	<-dead
	note, err := checkpoint.LoadTriggerNote(t.Context(), w.node.Stores.Runs, "night")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first and second", "--place NAME=FOLDER", "place: NAME"} {
		if !strings.Contains(note.Refused, want) {
			t.Errorf("the trigger is refused by %q, which does not say %q", note.Refused, want)
		}
	}
}

// The files stay on the host of the job's last run, whoever else could write them by now. A file that rows are appended
// to is waited for.
func TestFilesStayWhereTheyWere(t *testing.T) {
	w := appendingWorld(t)
	first, stopFirst := w.serveOn("first", pipeline.RoleSink)
	w.serveOn("databases", pipeline.RoleQuery)
	complete := func(id string) {
		_, stop := w.serveOn("head of "+id, pipeline.RoleCoordinator)
		run := w.ask(pipeline.TopicTrigger("job"), id, "{}").Run
		w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.State == pipeline.RunComplete })
		stop()
	}
	complete("night-1")
	w.serveOn("second", pipeline.RoleSink)
	complete("night-2")
	if n := len(first.lines(t)); n != 16 {
		t.Errorf("the file on the host of the first run has %d rows, want 16", n)
	}
	stopFirst()
	w.serveOn("head of night-3", pipeline.RoleCoordinator)
	run := w.ask(pipeline.TopicTrigger("job"), "night-3", "{}").Run
	w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.State == pipeline.RunRunning })
	w.serveBy(first.Node)
	w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.State == pipeline.RunComplete })
	if n := len(first.lines(t)); n != 24 {
		t.Errorf("once its host is back the file has %d rows, want 24", n)
	}
}
