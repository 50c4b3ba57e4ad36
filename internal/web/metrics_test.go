package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fanmill/pipeline"
)

var descName = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// described are the metrics there are, with their labels.
func described(t *testing.T, s *Server) map[string][]string {
	t.Helper()
	ch := make(chan *prometheus.Desc, 1000)
	s.metrics.registry.Describe(ch)
	close(ch)
	all := map[string][]string{}
	for d := range ch {
		m := descName.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatal(d)
		}
		if strings.HasPrefix(m[1], "fanmill_") {
			all[m[1]] = slices.DeleteFunc(strings.Split(m[2], ","), func(l string) bool { return l == "" })
		}
	}
	return all
}

var (
	metricName = regexp.MustCompile(`fanmill_[a-z_]+`)
	byLabels   = regexp.MustCompile(`by \(([^)]*)\)`)
	matched    = regexp.MustCompile(`(\w+)(?:=~|!=|!~|=)"`)
)

// Rules, dashboard and documentation name metrics and labels that there are.
func TestMonitoringNamesWhatThereIs(t *testing.T) {
	s := New(Options{Words: words, Connections: true})
	all := described(t, s)
	root := filepath.Join("..", "..")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rules := read("examples/monitoring/alerts.yaml")
	var exprs []string
	for _, m := range regexp.MustCompile(`(?m)^\s+expr: (.*)$`).FindAllStringSubmatch(rules, -1) {
		exprs = append(exprs, m[1])
	}
	board := read("examples/monitoring/grafana.json")
	var parsed struct {
		Panels []struct {
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal([]byte(board), &parsed); err != nil {
		t.Fatal(err)
	}
	for _, p := range parsed.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
			for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !strings.Contains(target.Expr, m[1]) && m[1] != "instance" {
					t.Errorf("%s: the legend names %s", target.Expr, m[1])
				}
			}
		}
	}
	if len(exprs) < 15 {
		t.Fatalf("there are %d expressions", len(exprs))
	}
	for _, expr := range exprs {
		labels := []string{"le", "instance"}
		for _, name := range metricName.FindAllString(expr, -1) {
			name = strings.TrimSuffix(name, "_bucket")
			of, ok := all[name]
			if !ok {
				t.Errorf("%s: there is no metric %s", expr, name)
			}
			labels = append(labels, of...)
		}
		var used []string
		for _, m := range byLabels.FindAllStringSubmatch(expr, -1) {
			used = append(used, strings.Split(m[1], ", ")...)
		}
		for _, m := range matched.FindAllStringSubmatch(expr, -1) {
			used = append(used, m[1])
		}
		for _, label := range used {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: no metric in it has the label %s", expr, label)
			}
		}
		if strings.Count(expr, "(") != strings.Count(expr, ")") {
			t.Errorf("%s: parentheses", expr)
		}
		for _, kind := range regexp.MustCompile(`kind=~"([^"]*)"`).FindAllStringSubmatch(expr, -1) {
			for _, k := range strings.Split(kind[1], "|") {
				if !slices.Contains(slices.Collect(maps.Values(failureKinds)), k) {
					t.Errorf("%s: no failure is of the kind %s", expr, k)
				}
			}
		}
	}
	docs := read("docs/page.md")
	for name := range all {
		if !strings.Contains(docs, "`"+name) {
			t.Errorf("docs/page.md does not name %s", name)
		}
	}
	for _, name := range metricName.FindAllString(rules+board+docs, -1) {
		if _, ok := all[strings.TrimSuffix(name, "_bucket")]; !ok {
			t.Errorf("%s is named, and there is no such metric", name)
		}
	}
}

// scrape reads the samples of our own, by name and labels.
func scrape(t *testing.T, b *browser) map[string]string {
	t.Helper()
	r := b.get("/metrics")
	body := text(t, r)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("status %d:\n%s", r.StatusCode, body)
	}
	out := map[string]string{}
	for line := range strings.Lines(body) {
		if name, value, ok := cutLast(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "fanmill_") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			out[name] = strconv.FormatFloat(n, 'f', -1, 64)
		}
	}
	return out
}

// When a job was complete last is there before this process has run anything, also for one that never was; without a
// store nothing old is told.
func TestLastCompleteIsThereFromTheStart(t *testing.T) {
	f := newFake()
	at := time.Date(2026, 11, 30, 1, 30, 0, 0, time.UTC)
	f.gauges = &Gauges{Runs: map[string]int{"queued": 2}, Jobs: []JobGauges{{Job: "gst", LastComplete: at}, {Job: "never"}}, DeadLetters: map[string]int{"gst": 3}, Memory: Fill{1, 2}}
	s := New(Options{Words: words})
	s.Attach(f)
	b := browse(t, s)
	got := scrape(t, b)
	for name, want := range map[string]string{
		`fanmill_job_last_complete_timestamp_seconds{job="gst"}`:   fmt.Sprint(at.Unix()),
		`fanmill_job_last_complete_timestamp_seconds{job="never"}`: "0",
		`fanmill_runs{state="queued"}`:                             "2", `fanmill_runs{state="failed"}`: "0",
		`fanmill_dead_letters{job="gst"}`: "3", `fanmill_store_up`: "1", `fanmill_draining`: "0", `fanmill_build_info{version="v1"}`: "1",
	} {
		if v := got[name]; v != want {
			t.Errorf("%s is %q, want %s", name, v, want)
		}
	}
	f.mu.Lock()
	f.notReady = errors.New("away")
	f.mu.Unlock()
	s.Drain()
	got = scrape(t, b)
	if got["fanmill_store_up"] != "0" || got["fanmill_draining"] != "1" || got[`fanmill_dead_letters{job="gst"}`] != "" {
		t.Errorf("without a store: %v", got)
	}
}

// Labels stay few, whatever jobs triggers bring along and however many there are.
func TestLabelsAreBounded(t *testing.T) {
	s := New(Options{Words: words})
	f := newFake()
	s.Attach(f)
	for i := range maxJobs + 50 {
		event, ended := s.Meter(&pipeline.Job{ID: fmt.Sprint("job-", i), Connections: []pipeline.Connection{{ID: "c1", Driver: "sqlite"}}}, i%2 == 1, nil)
		event(pipeline.Event{Kind: pipeline.EventDelivered, Connection: "c1", Run: fmt.Sprint("run-", i), Error: hostile, Rows: 1})
		ended(Ended{State: "complete", Took: time.Second})
	}
	for i := range maxJobs * 2 {
		f.gauges.Jobs = append(f.gauges.Jobs, JobGauges{Job: fmt.Sprint("other-", i)})
	}
	got := scrape(t, browse(t, s))
	series := 0
	for name := range got {
		if strings.Contains(name, "run-") || strings.Contains(name, "c1") || strings.Contains(name, "img") {
			t.Fatal(name)
		}
		if strings.HasPrefix(name, "fanmill_rows_read_total") || strings.HasPrefix(name, "fanmill_job_last") {
			series++
		}
	}
	if series > 2*maxJobs+2 || got[`fanmill_rows_read_total{database="sqlite",job="other"}`] != fmt.Sprint((maxJobs+50)/2) {
		t.Errorf("%d series, other has %s", series, got[`fanmill_rows_read_total{database="sqlite",job="other"}`])
	}
}

// What happens in a run is counted once, by its kind.
func TestRunIsCounted(t *testing.T) {
	s := New(Options{Words: words, Connections: true})
	s.Attach(newFake())
	event, ended := s.Meter(&pipeline.Job{ID: "gst", Connections: []pipeline.Connection{{ID: "a", Driver: "mysql"}, {ID: "b", Driver: "mysql"}}}, false, []pipeline.ManifestDestination{{ID: "csv", Type: "csv"}})
	for _, e := range []pipeline.Event{
		{Kind: pipeline.EventStarted}, {Kind: pipeline.EventConnected, Connection: "a"}, {Kind: pipeline.EventRetry, Connection: "a"}, {Kind: pipeline.EventConnected, Connection: "a"},
		{Kind: pipeline.EventDelivered, Connection: "a", Rows: 10, Millis: 1500}, {Kind: pipeline.EventCommitted, Connection: "a", Destination: "csv", Rows: 10},
		{Kind: pipeline.EventFailed, Connection: "b"}, {Kind: pipeline.EventRejected, Connection: "b"}, {Kind: pipeline.EventTrouble}, {Kind: pipeline.EventDetached}, {Kind: pipeline.EventOwing}, {Kind: pipeline.EventLetter}, {Kind: pipeline.EventEnded},
	} {
		event(e)
	}
	ended(Ended{State: "partial", Took: time.Minute, Sizes: map[string]int64{"csv": 99}, Paused: 2 * time.Second, LogWait: 3 * time.Second, BudgetWaits: 4})
	ended(Ended{State: "interrupted"})
	got := scrape(t, browse(t, s))
	for name, want := range map[string]string{
		`fanmill_attempts_total{database="mysql",job="gst"}`: "2", `fanmill_retries_total{database="mysql",job="gst"}`: "1", `fanmill_rows_read_total{database="mysql",job="gst"}`: "10",
		`fanmill_rows_delivered_total{destination="csv",job="gst",type="csv"}`: "10", `fanmill_connection_duration_seconds_sum{database="mysql",job="gst"}`: "1.5",
		`fanmill_delivery_lag_seconds_count{destination="csv",job="gst"}`: "1", `fanmill_runs_ended_total{job="gst",state="partial"}`: "1", `fanmill_runs_ended_total{job="gst",state="interrupted"}`: "1",
		`fanmill_run_duration_seconds_count{job="gst"}`: "1", `fanmill_artifact_bytes{destination="csv",job="gst"}`: "99", `fanmill_memory_paused_seconds_total{job="gst"}`: "2",
		`fanmill_row_log_wait_seconds_total{job="gst"}`: "3", `fanmill_budget_waits_total{job="gst"}`: "4", `fanmill_connection_rows_total{connection="a",job="gst"}`: "10", `fanmill_connection_failures_total{connection="b",job="gst"}`: "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, kind := range failureKinds {
		if name := `fanmill_failures_total{job="gst",kind="` + kind + `"}`; got[name] != "1" {
			t.Errorf("%s is %q", name, got[name])
		}
	}
}
