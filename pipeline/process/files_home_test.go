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

// replacingWorld has a job whose file each run replaces.
func replacingWorld(t *testing.T) *world {
	w := appendingWorld(t)
	w.job.Destinations[0].Mode = "replace"
	return w
}

// night has a coordinator of its own carry a run out, on a host of that name that has only this role.
func (w *world) night(id string) {
	w.t.Helper()
	_, stop := w.serveOn("head of "+id, pipeline.RoleCoordinator)
	defer stop()
	run := w.ask(pipeline.TopicTrigger("job"), id, "{}").Run
	w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.State == pipeline.RunComplete })
}

// filesOf is the home that a job's files are known to have.
func (w *world) filesOf(destination, folder string) string {
	w.t.Helper()
	rec, err := checkpoint.LoadFiles(w.t.Context(), w.node.Stores.Jobs, "job", func(err error) { w.t.Error(err) })
	if err != nil {
		w.t.Fatal(err)
	}
	at, _ := rec.Of(destination, folder)
	return at.Home
}

// Sequence 28: further hosts that could write a job's files break nothing, and get none of them, whatever the mode, and
// also where the coordinator itself could write them. A file that is replaced, too, waits for its host while others
// alone serve.
func TestFurtherHostsGetNoFiles(t *testing.T) {
	w := replacingWorld(t)
	first, stopFirst := w.serveOn("first", pipeline.RoleSink)
	w.serveOn("databases", pipeline.RoleQuery)
	w.night("night-1")
	if home := w.filesOf("csv", "."); home != "first 1" {
		t.Errorf("the files are known to be at %q", home)
	}
	second, _ := w.serveOn("second", pipeline.RoleSink)
	third, stopThird := w.serveOn("third", pipeline.RoleSink, pipeline.RoleCoordinator)
	run := w.ask(pipeline.TopicTrigger("job"), "night-2", "{}").Run
	w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.State == pipeline.RunComplete })
	stopThird()
	stopFirst()
	w.serveOn("head of night-3", pipeline.RoleCoordinator)
	run = w.ask(pipeline.TopicTrigger("job"), "night-3", "{}").Run
	w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.Awaited["csv"] == "first" })
	w.serveBy(first.Node)
	w.untilRecord(run, func(r checkpoint.RunRecord) bool { return r.State == pipeline.RunComplete })
	first.once(t, 8)
	for _, h := range []*host{second, third} {
		if entries, err := os.ReadDir(h.root); err != nil || len(entries) > 0 {
			t.Errorf("a further host has %v, %v", entries, err)
		}
	}
}

// The home of a job's files is changed by a person: adopted where they are now, or forgotten, so that one is chosen
// anew. Another folder of the destination, and another destination, are beside the first.
func TestFilesMoveByHand(t *testing.T) {
	w := replacingWorld(t)
	_, stopFirst := w.serveOn("first", pipeline.RoleSink)
	w.serveOn("databases", pipeline.RoleQuery)
	w.night("night-1")
	stopFirst()
	second, stopSecond := w.serveOn("second", pipeline.RoleSink)
	if moved, err := second.Coordinator().AdoptFiles(t.Context(), "job"); err != nil || moved["csv"] != "first 1" {
		t.Fatalf("moved %v, %v", moved, err)
	}
	w.night("night-2")
	second.once(t, 8)
	stopSecond()
	third, _ := w.serveOn("third", pipeline.RoleSink)
	w.serveOn("fourth", pipeline.RoleSink)
	if gone, err := third.Coordinator().ForgetFiles(t.Context(), "job", []string{"xlsx"}); err == nil {
		t.Errorf("a destination that has no files is forgotten: %v", gone)
	}
	if _, err := third.Coordinator().ForgetFiles(t.Context(), "job", nil); err != nil {
		t.Fatal(err)
	}
	if home := w.filesOf("csv", "."); home != "" {
		t.Errorf("the files are still known to be at %q", home)
	}
	dead := w.deadLetters()
	w.serveOn("head of night-3", pipeline.RoleCoordinator)
	w.ask(pipeline.TopicTrigger("job"), "night-3", "{}")
	<-dead // two could write them, and neither has them
}

// Files that have a home do not make another destination ambiguous: it goes where those are.
func TestFurtherDestinationGoesToTheJobsFiles(t *testing.T) {
	w := replacingWorld(t)
	first, _ := w.serveOn("first", pipeline.RoleSink)
	w.serveOn("databases", pipeline.RoleQuery)
	w.night("night-1")
	w.serveOn("second", pipeline.RoleSink)
	w.job.Destinations = append(w.job.Destinations, pipeline.Destination{ID: "more", Type: "csv", FilePath: "more/sales.csv", Mode: "replace"})
	w.night("night-2")
	if _, err := os.Stat(first.root + "/more/sales.csv"); err != nil {
		t.Error(err)
	}
	if home := w.filesOf("more", "more"); home != "first 1" {
		t.Errorf("the further files are at %q", home)
	}
}
