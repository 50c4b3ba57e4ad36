package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"fanmill/pipeline"
)

// collector takes spans as OpenTelemetry's does over HTTP.
type collector struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	spans   []toldSpan
	said    string // everything, as text
	changed chan struct{}
}

// toldSpan is a span as it arrived.
type toldSpan struct {
	*tracepb.Span
	service string // OTEL_SERVICE_NAME of its process
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t, changed: make(chan struct{})}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var asked collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &asked)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		c.t.Errorf("%s %s: %v", r.URL.Path, r.Header, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said += asked.String()
	for _, res := range asked.ResourceSpans {
		service := attributeOf(res.Resource.Attributes, "service.name")
		for _, scope := range res.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, toldSpan{s, service})
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func attributeOf(all []*commonpb.KeyValue, key string) string {
	for _, a := range all {
		if a.Key != key {
			continue
		}
		if n, ok := a.Value.Value.(*commonpb.AnyValue_IntValue); ok {
			return fmt.Sprint(n.IntValue)
		}
		return a.Value.GetStringValue()
	}
	return ""
}

func (s toldSpan) of(key string) string { return attributeOf(s.Attributes, key) }

// until waits until so many spans of each name have come.
func (c *collector) until(want map[string]int) []toldSpan {
	c.t.Helper()
	deadline := time.After(time.Minute)
	for {
		c.mu.Lock()
		spans, changed := append([]toldSpan(nil), c.spans...), c.changed
		c.mu.Unlock()
		got := map[string]int{}
		for _, s := range spans {
			got[s.Name]++
		}
		missing := false
		for name, n := range want {
			missing = missing || got[name] < n
		}
		if !missing {
			return spans
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatalf("spans that came: %v, want %v", got, want)
		}
	}
}

// A run that several processes carry out is one trace, below the span of who asked for it: connections and commits are
// below the run, attempts below their connections. An attempt that failed says why. Nothing of a query's text, of rows
// or of a stranger's baggage is in it.
func TestOneTraceOverProcesses(t *testing.T) {
	t.Parallel()
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	c := newCollector(t)
	w := newWorld(t, 300, 400, 500)
	w.queries = map[int]string{1: "select * from nowhere where pin = 'hunter2'"}
	w.write()
	w.putJob()
	url := natsWith(t, "max_payload: 8MB")
	w.args = append(w.args, "--nats", url)
	as := func(role string, more ...string) {
		w.worker([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_SERVICE_NAME=" + role}, role, more...)
	}
	as("coordinator", "--jobs", w.dir+"/jobs")
	as("query")
	as("sink")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.PublishMsg(&nats.Msg{Subject: pipeline.TopicTrigger("gst"), Header: nats.Header{"traceparent": {"00-" + trace + "-" + caller + "-01"}, "tracestate": {"shop=7"},
		"baggage": {"pin=hunter2"}, nats.MsgIdHdr: {"night"}}}); err != nil {
		t.Fatal(err)
	}
	// A destination's commits come before its finish.
	spans := c.until(map[string]int{"run": 1, "connection": 3, "attempt": 3, "finish": 2})
	byID, run := map[string]toldSpan{}, toldSpan{}
	for _, s := range spans {
		byID[hex.EncodeToString(s.SpanId)] = s
		if s.Name == "run" {
			run = s
		}
		if got := hex.EncodeToString(s.TraceId); got != trace || s.TraceState != "shop=7" || s.of("fanmill.run") != "night" || s.of("fanmill.job") != "gst" {
			t.Errorf("%s is of trace %s, state %q: %s", s.Name, got, s.TraceState, s.Attributes)
		}
		if s.EndTimeUnixNano < s.StartTimeUnixNano {
			t.Errorf("%s ends before it begins", s.Name)
		}
	}
	services := map[string]string{"run": "coordinator", "connection": "query", "attempt": "query", "commit": "sink", "finish": "sink"}
	settled := map[string]int{} // rows, by destination
	for _, s := range spans {
		parent := byID[hex.EncodeToString(s.ParentSpanId)]
		switch s.Name {
		case "run":
			if hex.EncodeToString(s.ParentSpanId) != caller || s.Status.Code != tracepb.Status_STATUS_CODE_ERROR || s.of("fanmill.outcome") != "partial" {
				t.Errorf("the run is %s", s)
			}
		case "commit":
			rows, err := strconv.Atoi(s.of("fanmill.rows"))
			if settled[s.of("fanmill.destination")] += rows; err != nil {
				t.Error(err)
			}
			fallthrough
		case "connection", "finish":
			if hex.EncodeToString(s.ParentSpanId) != hex.EncodeToString(run.SpanId) {
				t.Errorf("%s is not below the run", s)
			}
		case "attempt":
			if parent.Name != "connection" || parent.of("fanmill.connection") != s.of("fanmill.connection") {
				t.Errorf("an attempt at %s is below %s %s", s.of("fanmill.connection"), parent.Name, parent.of("fanmill.connection"))
			}
		default:
			t.Errorf("there is a span %s", s)
		}
		if s.service != services[s.Name] {
			t.Errorf("%s is told by %s", s.Name, s.service)
		}
		if s.Name != "attempt" && s.Name != "connection" {
			continue
		}
		failed := s.of("fanmill.connection") == "conn_2"
		if (s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR) != failed || failed && !strings.Contains(s.Status.Message, "nowhere") {
			t.Errorf("%s of %s has status %s", s.Name, s.of("fanmill.connection"), s.Status)
		}
		if s.Name == "attempt" && !failed && s.of("fanmill.rows") != fmt.Sprint(map[string]int{"conn_1": 300, "conn_3": 500}[s.of("fanmill.connection")]) {
			t.Errorf("an attempt at %s has %s rows", s.of("fanmill.connection"), s.of("fanmill.rows"))
		}
	}
	if len(settled) != 2 {
		t.Errorf("commits of %v", settled)
	}
	for d, rows := range settled {
		if rows != 800 {
			t.Errorf("the commits of %s have %d rows, want 800", d, rows)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.Contains(c.said, "hunter2") {
		t.Errorf("a query, or baggage, is in the trace: %s", c.said)
	}
}
