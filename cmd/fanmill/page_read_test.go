package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"fanmill/internal/web"
)

// api asks the page's API of a serving child.
func api[T any](t *testing.T, page, path string) (v T) {
	t.Helper()
	status, body := get(t, page+"api/v1/"+path)
	if status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%s: %v:\n%s", path, err, body)
	}
	return v
}

// What the page shows of a run is what fanmill status says, and its files are those that were delivered.
func TestPageShowsARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 500, 20)
	w.conns[1].dsn = w.dir + "/missing.db"
	w.write()
	s := w.serve("--http", "127.0.0.1:0")
	page := s.page()
	if code, said := w.ask("trigger", "gst", "--wait"); code != exitPartial {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	runs := api[[]web.RunLine](t, page, "runs?state=partial")
	if len(runs) != 1 || runs[0].Done != 1 || runs[0].Failed != 1 || runs[0].Total != 2 || runs[0].Rows != 500 || !runs[0].Resumable {
		t.Fatalf("the runs are %+v", runs)
	}
	run := api[web.Run](t, page, "runs/"+runs[0].Run)
	if run.State != "partial" || len(run.Connections) != 2 || !strings.Contains(run.Connections[1].Missing[0].Error, "missing.db") || !strings.Contains(run.Resume, "--resume") {
		t.Errorf("the run is %+v", run)
	}
	for _, d := range run.Destinations {
		if len(d.Files) != 1 || d.Files[0].Why != "" || d.Rows != 500 || d.Label == "" {
			t.Fatalf("destination %s is %+v", d.ID, d)
		}
		status, body := get(t, page+"runs/"+run.Run+"/files/"+d.ID+"/0")
		sum := sha256.Sum256([]byte(body))
		if status != http.StatusOK || int64(len(body)) != d.Files[0].Bytes || hex.EncodeToString(sum[:]) != d.Files[0].SHA256 {
			t.Errorf("the file of %s: status %d, %d bytes", d.ID, status, len(body))
		}
	}
	if err := os.WriteFile(w.csv(), []byte("somebody's own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, page+"runs/"+runs[0].Run+"/files/csv/0"); status == http.StatusOK || strings.Contains(body, "somebody's own") {
		t.Errorf("a file that is not the manifest's: status %d:\n%s", status, body)
	}
	if err := os.Remove(w.csv()); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, page+"runs/"+runs[0].Run+"/files/csv/0"); status != http.StatusNotFound || !strings.Contains(body, "moved or removed") {
		t.Errorf("a file that is gone: status %d:\n%s", status, body)
	}
	jobs := api[[]web.Job](t, page, "jobs")
	if len(jobs) != 1 || !jobs[0].Served || len(jobs[0].Connections) != 2 || len(jobs[0].Last) != 1 || jobs[0].Destinations[0].Label != "Excel" {
		t.Errorf("the jobs are %+v", jobs)
	}
	points := api[[]web.Checkpoint](t, page, "checkpoints")
	if len(points) != 1 || points[0].Run != runs[0].Run || points[0].State != "partial" || len(points[0].Completed) != 1 || len(points[0].Failed) != 1 {
		t.Errorf("the checkpoints are %+v", points)
	}
	if status, log := get(t, page+"runs/"+runs[0].Run+"/log"); status != http.StatusOK || !strings.Contains(log, "ended: partial") {
		t.Errorf("the log: status %d:\n%s", status, log)
	}
	if status, m := get(t, page+"runs/"+runs[0].Run+"/manifest"); status != http.StatusOK || !strings.Contains(m, `"birth"`) || strings.Contains(m, "dsn") {
		t.Errorf("the manifest: status %d:\n%s", status, m)
	}
	for _, path := range []string{"", "runs/" + runs[0].Run, "jobs", "jobs/gst", "checkpoints", "dead"} {
		if status, body := get(t, page+path); status != http.StatusOK || !strings.Contains(body, "</html>") {
			t.Errorf("/%s: status %d", path, status)
		}
	}
}
