package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fanmill/internal/web"
)

// scrape reads the page's metrics of our own.
func scrape(t *testing.T, page string) map[string]string {
	t.Helper()
	status, body := get(t, page+"metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d:\n%s", status, body)
	}
	out := map[string]string{}
	for line := range strings.Lines(body) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, "fanmill_") {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			out[line[:i]] = strconv.FormatFloat(n, 'f', -1, 64)
		}
	}
	return out
}

// A scrape during a run has what goes on; after it, its figures are those of the run. When a job was complete last is
// there from the start, and after a restart.
func TestMetricsAgreeWithTheRun(t *testing.T) {
	w := newWorld(t, 300, 40, 1)
	w.queries = map[int]string{2: "with recursive n(i) as (select 1 union all select i + 1 from n) select * from sale, n"}
	w.write()
	s := w.serve("--http", "127.0.0.1:0", "--metrics-connections")
	page := s.page()
	before := scrape(t, page)
	if before[`fanmill_job_last_complete_timestamp_seconds{job="gst"}`] != "0" || before["fanmill_store_up"] != "1" {
		t.Fatalf("before the first run: %v", before)
	}
	if code, said := w.ask("trigger", "gst", "--id", "one"); code != exitComplete {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	var during map[string]string
	for { // until the two that end are everywhere; the third goes on
		during = scrape(t, page)
		if during[`fanmill_rows_delivered_total{destination="csv",job="gst",type="csv"}`] == "340" && during[`fanmill_rows_delivered_total{destination="excel",job="gst",type="excel"}`] == "340" {
			break
		}
	}
	run := api[web.Run](t, page, "runs/one")
	for name, want := range map[string]string{`fanmill_runs{state="running"}`: "1", `fanmill_rows_read_total{database="sqlite",job="gst"}`: "340", `fanmill_attempts_total{database="sqlite",job="gst"}`: "3",
		`fanmill_connection_rows_total{connection="conn_1",job="gst"}`: "300", `fanmill_row_log_max_bytes{job="gst"}`: "4194304"} {
		if got := during[name]; got != want {
			t.Errorf("during the run %s is %q, want %s", name, got, want)
		}
	}
	if during["fanmill_memory_bytes"] == "0" || during[`fanmill_row_log_bytes{job="gst"}`] == "" {
		t.Errorf("during the run: %v", during)
	}
	delivered := int64(0)
	for _, d := range run.Destinations {
		delivered += d.Rows
	}
	if delivered != 680 {
		t.Errorf("the run has delivered %d rows, its metrics 680", delivered)
	}
	if code, said := w.ask("cancel", "one"); code != exitComplete {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	s.says("was cancelled")
	w.queries = nil
	w.write()
	job, err := os.ReadFile(w.job())
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "jobs", "gst.json"), job, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, said := w.ask("trigger", "gst", "--resume", "--wait"); code != exitComplete {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	run = api[web.Run](t, page, "runs/one")
	after := scrape(t, page)
	for name, want := range map[string]string{`fanmill_rows_read_total{database="sqlite",job="gst"}`: "341", `fanmill_runs_ended_total{job="gst",state="complete"}`: "1",
		`fanmill_rows_delivered_total{destination="csv",job="gst",type="csv"}`: "341", `fanmill_runs{state="complete"}`: "1"} {
		if after[name] != want {
			t.Errorf("after the run %s is %q, want %s", name, after[name], want)
		}
	}
	for _, d := range run.Destinations { // as its manifest has it
		if got := after[`fanmill_artifact_bytes{destination="`+d.ID+`",job="gst"}`]; len(d.Files) != 1 || got != strconv.FormatInt(d.Files[0].Bytes, 10) {
			t.Errorf("the size of %s is %s, its manifest says %+v", d.ID, got, d.Files)
		}
	}
	last := after[`fanmill_job_last_complete_timestamp_seconds{job="gst"}`]
	if last == "0" {
		t.Error("a complete run is not seen")
	}
	s.stop()
	again := w.serve("--http", "127.0.0.1:0")
	if got := scrape(t, again.page())[`fanmill_job_last_complete_timestamp_seconds{job="gst"}`]; got != last {
		t.Errorf("after a restart the last complete run was at %s, before at %s", got, last)
	}
}
