package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fanmill/internal/gst"
	"fanmill/internal/receiver"
)

// dies waits until a process that a failpoint kills is gone.
func (s *server) dies() {
	s.w.t.Helper()
	gone := make(chan error, 1)
	go func() { gone <- s.cmd.Wait() }()
	select {
	case err := <-gone:
		if err == nil {
			s.w.t.Fatal("it was to be killed")
		}
	case <-time.After(2 * time.Minute):
		s.w.t.Fatal("it was to be killed, and is not")
	}
}

// folderOfJob has a folder of jobs serve the job as it is now.
func (w *world) folderOfJob(jobs string) {
	w.t.Helper()
	data, err := os.ReadFile(w.job())
	if err == nil {
		err = os.MkdirAll(jobs, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(jobs, "gst.json"), data, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// A webhook in four partitions is sent to by three processes at a time. Two are killed, one after an answer, one when
// requests are staged and not recorded; others go on. A branch fails, the run ends partial and is closed; a resume
// brings that branch and one more, while another process is killed, and closes again. The receiver has every row once,
// and no key has other bytes.
func TestPartitionsKilled(t *testing.T) {
	t.Parallel()
	hook := map[string]any{"type": "webhook", "mode": "stream", "partitions": 4, "signingSecrets": []string{"${HOOK_SECRET}"}, "maxRowsPerRequest": 60}
	w := newRequestsWorld(t, receiver.Options{Seed: 9, Percent: receiver.Percent{Fail: 5, Drop: 5}, Secrets: []string{signingSecret}}, map[string]map[string]any{"hook": hook})
	branches, err := gst.Generate(t.Context(), t.TempDir(), 9, 2000, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	connect := func(i int) {
		w.conns = append(w.conns, worldConn{id: "conn_" + itoa(i+1), name: branches[i].Name, dsn: filepath.ToSlash(branches[i].Path), rows: 300})
	}
	for i := range 8 {
		connect(i)
	}
	job := func() {
		w.write()
		w.edit(func([]any) []any {
			d := map[string]any{"id": "hook", "url": w.targets["hook"].url + "/in"}
			maps.Copy(d, hook)
			return []any{d}
		})
		w.folderOfJob(filepath.Join(w.dir, "jobs"))
	}
	w.queries = map[int]string{3: "select * from nothing"}
	job()
	url := natsWith(t, "max_payload: 8MB")
	w.args = append(w.args, "--nats", url, "--lease", "3s")
	coordinator := w.worker(nil, "coordinator", "--jobs", filepath.Join(w.dir, "jobs"))
	answered := w.worker([]string{"FANMILL_FAILPOINT=after-answer:3"}, "sink")
	staged := w.worker([]string{"FANMILL_FAILPOINT=after-stage:2"}, "sink")
	w.worker(nil, "sink")
	w.worker(nil, "query", "--parallel", "3")
	w.trigger("gst", exitComplete, "--id", "night", "--nats", url)
	answered.dies()
	staged.dies()
	w.worker(nil, "sink")
	coordinator.says("run night ended: partial")
	w.queries = nil
	connect(8)
	job()
	// Of the two branches that come now one may be this one's, or what closes.
	w.worker([]string{"FANMILL_FAILPOINT=after-seal:1"}, "sink")
	w.trigger("gst", exitComplete, "--resume", "--nats", url)
	coordinator.says("run night ended: complete")
	w.exactly("hook")
	partitions, closings := map[string]int{}, 0
	for _, q := range w.targets["hook"].Stored() {
		if p := q.Header.Get("Fanmill-Partition"); p != "" {
			partitions[p]++
		} else {
			closings++
		}
	}
	if len(partitions) != 4 || partitions["1/4"] == 0 || closings != 2 {
		t.Errorf("requests of partitions: %v; %d close", partitions, closings)
	}
}
