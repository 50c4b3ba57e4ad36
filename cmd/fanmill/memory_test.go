package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fiftySix is a world of as many branches, asked one at a time under a threshold of 512 MB that is passed after the 30th.
func fiftySix(t *testing.T) (w *world, relief string) {
	rows := make([]int, 56)
	for i := range rows {
		rows[i] = 100 + i
	}
	w = newWorld(t, rows...)
	for i := range w.conns { // the same eight databases under 56 names
		w.conns[i].name = "Branch_" + string(rune('A'+i/8)) + w.conns[i].name[len("Branch_"):]
	}
	w.queries = map[int]string{}
	for i, c := range w.conns {
		w.queries[i] = "select '" + c.name + "' as branch, invoice_no, total from sale order by rowid limit " + itoa(c.rows)
	}
	w.write()
	relief = filepath.Join(w.dir, "relief")
	w.env = append(w.env, "FANMILL_TEST_RELIEF="+relief, "MEMORY_THRESHOLD_MB=512")
	w.args = append(w.args, "--parallel", "1")
	return w, relief
}

// Memory that stays over the threshold stops a run before its 31st connection: the files hold 30 whole branches and open, the exit code
// says why, and the resume delivers the other 26, saying so in the lines that users search for.
func TestMemoryStop(t *testing.T) {
	w, relief := fiftySix(t)
	code, out := w.run(nil)
	if code != exitMemory {
		t.Fatalf("exit code %d, want %d; it said:\n%s", code, exitMemory, out)
	}
	for _, want := range []string{"💾 Memory usage: 250MB / 512MB (48.8%)", "600MB resident", "MEMORY_THRESHOLD_MB", "--parallel", "--resume",
		": interrupted, 30 of 56 connections", "30/56"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if n := w.whole(); n != 30 {
		t.Errorf("%d sheets were delivered, want 30", n)
	}
	if err := os.WriteFile(relief, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out = w.mustRun(exitComplete, nil, "--resume")
	if !strings.Contains(out, "⏩ Resuming job: Skipping 30 already-completed connections") || strings.Count(out, "▶️ Executing connection: ") != 26 ||
		strings.Count(out, "⏭️ Skipping already-completed connection: ") != 30 {
		t.Errorf("the resume said:\n%s", out)
	}
	if n := w.whole(); n != 56 {
		t.Errorf("%d sheets are there after the resume, want 56", n)
	}
	w.tabsInJobOrder()
}

// A serving process goes on after a stop for memory: the next trigger, a resume, delivers the rest.
func TestServeGoesOnAfterMemoryStop(t *testing.T) {
	w, relief := fiftySix(t)
	s := w.serve()
	defer s.stop()
	run := w.trigger("gst", exitComplete)
	s.says("was stopped: stopped for memory")
	if n := w.whole(); n != 30 {
		t.Errorf("%d sheets were delivered, want 30", n)
	}
	if err := os.WriteFile(relief, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if again := w.trigger("gst", exitComplete, "--resume"); again != run {
		t.Errorf("the resume is run %s, the run was %s", again, run)
	}
	s.says("run " + run + " ended: complete")
	if n := w.whole(); n != 56 {
		t.Errorf("%d sheets are there after the resume, want 56", n)
	}
	log, err := os.ReadFile(filepath.Join(w.dir, "logs", "gst", run+".log"))
	if err != nil || !strings.Contains(string(log), "⏩ Resuming job: Skipping 30 already-completed connections") {
		t.Errorf("the run's log is %v:\n%s", err, log)
	}
	counts := map[string]int{}
	for _, dsn := range w.askedSince() {
		counts[dsn]++
	}
	for dsn, n := range counts { // eight databases, read under seven names each, and one of them stopped in the middle
		if n > 7+1 {
			t.Errorf("%s was asked %d times", dsn, n)
		}
	}
}
