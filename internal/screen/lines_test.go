package screen_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// narrator logs the bare messages, with attributes where a line has some.
// sampleLabels are what the program calls its destinations.
var sampleLabels = map[string]string{"csv": "CSV", "excel": "Excel", "webhook": "Webhook"}

func narrator(t *testing.T, structured bool) (*screen.Lines, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	drop := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	var h slog.Handler = slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: drop})
	if structured {
		h = slog.NewJSONHandler(&b, &slog.HandlerOptions{ReplaceAttr: drop})
	}
	return screen.NewLines(slog.New(h), screen.ScopeOf(sampleJob(4), nil, 2).Labelled(sampleLabels), structured), &b
}

// The wordings and marks that users search for, to the letter.
func TestLinesKeepTheirWording(t *testing.T) {
	for _, c := range []struct {
		event pipeline.Event
		want  string
	}{
		{pipeline.Event{Kind: pipeline.EventConnected, Connection: "conn_1", Attempt: 1}, `level=INFO msg="▶️ Executing connection: Branch_001"`},
		{pipeline.Event{Kind: pipeline.EventCommitted, Connection: "conn_1", Destination: "csv", Rows: 10000}, `level=INFO msg="💾 Progressive CSV write: Branch_001 (10000 rows) appended"`},
		{pipeline.Event{Kind: pipeline.EventCommitted, Connection: "conn_1", Destination: "excel", Rows: 10000},
			`level=INFO msg="💾 Progressive Excel write: Branch_001 (10000 rows) appended"` + "\n" + `level=INFO msg="🧹 Memory cleaned for Branch_001"`},
		{pipeline.Event{Kind: pipeline.EventRejected, Connection: "conn_4", Destination: "excel", Error: "too many columns"}, `level=ERROR msg="Failed to write Excel progressively for Branch_004: too many columns"`},
		{pipeline.Event{Kind: pipeline.EventTrouble, Connection: "conn_4", Destination: "csv", Error: "no space left on device"}, `level=WARN msg="Failed to write CSV progressively for Branch_004: no space left on device"`},
		{pipeline.Event{Kind: pipeline.EventRetry, Connection: "conn_4", Attempt: 1, Error: "connection\nrefused"}, `level=WARN msg="connection Branch_004 failed in attempt 1: connection refused"`},
		{pipeline.Event{Kind: pipeline.EventFailed, Connection: "conn_4", Attempt: 3, Error: "refused"}, `level=ERROR msg="connection Branch_004 is missing from this run after 3 attempts: refused"`},
		{pipeline.Event{Kind: pipeline.EventDetached, Destination: "csv", Error: "disk full"}, `level=ERROR msg="destination csv is given up for this run, a resume brings it what it lacks: disk full"`},
		{pipeline.Event{Kind: pipeline.EventOwing, Destination: "csv", Error: "401: the token\nis revoked"}, `level=ERROR msg="destination csv owes what is not sent, which is safe and waits for a resume: 401: the token is revoked"`},
		{pipeline.Event{Kind: pipeline.EventLetter, Destination: "csv", Connection: "conn_1", Error: "request 3: 422"}, `level=ERROR msg="A request to CSV with rows of Branch_001 was refused and is kept among the dead letters: request 3: 422"`},
		{pipeline.Event{Kind: pipeline.EventDetached, Destination: "excel"}, `level=ERROR msg="destination excel is given up for this run, a resume brings it what it lacks"`},
		{pipeline.Event{Kind: pipeline.EventConnected, Connection: "unknown\x1b"}, `level=INFO msg="▶️ Executing connection: unknown\\x1b"`},
		{pipeline.Event{Kind: pipeline.EventDelivered, Connection: "conn_1"}, ``},
		{pipeline.Event{Kind: pipeline.EventStarted}, ``},
		{pipeline.Event{Kind: pipeline.EventEnded}, ``},
	} {
		l, b := narrator(t, false)
		if c.event.Kind == pipeline.EventCommitted && c.event.Destination == "excel" { // the csv has it already
			l.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Connection: c.event.Connection, Destination: "csv"})
			b.Reset()
		}
		l.Observe(c.event)
		if got := strings.TrimSpace(b.String()); got != c.want {
			t.Errorf("%s is told as\n%s\nwant\n%s", c.event.Kind, got, c.want)
		}
	}
}

// A machine reads the same facts as attributes, beside the same message.
func TestLinesAreStructuredForMachines(t *testing.T) {
	l, b := narrator(t, true)
	l.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Job: "j", Run: "r", Connection: "conn_1", Destination: "csv", Attempt: 2, Rows: 0, Millis: 12})
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{"msg": "💾 Progressive CSV write: Branch_001 (0 rows) appended", "job": "j", "run": "r", "connection": "conn_1",
		"destination": "csv", "attempt": 2.0, "rows": 0.0, "durationMs": 12.0} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	b.Reset()
	l.Observe(pipeline.Event{Kind: pipeline.EventRetry, Connection: "conn_2", Attempt: 1, Error: "a\nb"})
	if s := b.String(); !strings.Contains(s, `"error":"a\nb"`) {
		t.Errorf("logged %s", s)
	}
}

// Memory is cleaned once a connection that was written here is nowhere waited for, and that is told once.
func TestMemoryCleanedIsToldOnce(t *testing.T) {
	l, b := narrator(t, false)
	cleaned := func() (names string) {
		for line := range strings.Lines(b.String()) {
			if _, name, ok := strings.Cut(line, "🧹 Memory cleaned for "); ok {
				names += strings.Trim(name, "\"\n") + " "
			}
		}
		b.Reset()
		return strings.TrimSpace(names)
	}
	commit := func(connection, destination string) {
		l.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Connection: connection, Destination: destination})
	}
	commit("conn_1", "csv")
	if got := cleaned(); got != "" {
		t.Errorf("excel has yet to write, cleaned: %s", got)
	}
	commit("conn_1", "excel")
	commit("conn_1", "excel")
	if got := cleaned(); got != "Branch_001" {
		t.Errorf("both have it, cleaned: %q", got)
	}
	commit("conn_2", "csv")
	l.Observe(pipeline.Event{Kind: pipeline.EventRejected, Connection: "conn_2", Destination: "excel"})
	if got := cleaned(); got != "Branch_002" {
		t.Errorf("the other cannot hold it, cleaned: %q", got)
	}
	l.Observe(pipeline.Event{Kind: pipeline.EventFailed, Connection: "conn_3"})
	if got := cleaned(); got != "" {
		t.Errorf("nothing was written, cleaned: %s", got)
	}
	commit("conn_4", "csv")
	l.Checkpoint(pipeline.PublicCheckpoint{CompletedConnectionIDs: []string{"conn_1", "conn_4"}, TotalConnections: 4}) // excel had it before a resume
	if got := cleaned(); got != "Branch_004" {
		t.Errorf("the checkpoint says that it is everywhere, cleaned: %q", got)
	}

	l, b = narrator(t, false)
	commit("conn_1", "csv")
	commit("conn_2", "csv")
	l.Observe(pipeline.Event{Kind: pipeline.EventDetached, Destination: "excel"})
	if got := cleaned(); got != "Branch_001 Branch_002" {
		t.Errorf("excel is given up, cleaned: %q", got)
	}
	commit("conn_4", "csv")
	if got := cleaned(); got != "Branch_004" {
		t.Errorf("only the csv is left, cleaned: %q", got)
	}
}

// Of two destinations of one kind a line says which is meant.
func TestTwinsAreToldApart(t *testing.T) {
	var b bytes.Buffer
	scope := screen.ScopeOf(sampleJob(2), []string{"conn_2"}, 1).Labelled(sampleLabels)
	if len(scope.Connections) != 1 {
		t.Errorf("the scope of one connection has %d", len(scope.Connections))
	}
	scope.Destinations = []screen.ScopeDestination{{ID: "north", Type: "csv"}, {ID: "south", Type: "csv"}, {ID: "hook", Type: "webhook"}}
	l := screen.NewLines(slog.New(slog.NewTextHandler(&b, nil)), scope.Labelled(sampleLabels), false)
	l.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Connection: "conn_2", Destination: "south", Rows: 5})
	if s := b.String(); !strings.Contains(s, `appended" destination=south`) {
		t.Errorf("logged %s", s)
	}
	b.Reset()
	l.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Connection: "conn_2", Destination: "hook", Rows: 5})
	if s := b.String(); !strings.Contains(s, "Progressive Webhook write") {
		t.Errorf("logged %s", s)
	}
}

// Events come from several goroutines.
func TestLinesAreConcurrent(t *testing.T) {
	l, b := narrator(t, false)
	var all sync.WaitGroup
	for _, d := range []string{"csv", "excel"} {
		all.Go(func() {
			for n := 1; n <= 4; n++ {
				l.Observe(pipeline.Event{Kind: pipeline.EventCommitted, Connection: conn(n), Destination: d})
				l.Checkpoint(pipeline.PublicCheckpoint{TotalConnections: 4})
			}
		})
	}
	all.Wait()
	if n := strings.Count(b.String(), "Memory cleaned"); n != 4 {
		t.Errorf("cleaned %d times, want 4", n)
	}
}
