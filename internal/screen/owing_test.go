package screen_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

// owing is a run whose workbook is whole and whose webhook has one connection of three: one waits, one was refused.
func owing(reason string) screen.RunView {
	excel := &pipeline.Report{Destination: "excel", Artifact: "D:/Reports/a.xlsx", State: pipeline.RecordFinished}
	hook := &pipeline.Report{Destination: "hook", Artifact: "https://erp.example/rows", State: pipeline.RecordOwing, Error: reason,
		Delivery: &pipeline.Delivery{Requests: 3, Sent: 1, Refused: 1, Rows: 10, Bytes: 2048, Last: &pipeline.Receipt{Number: 1, Status: 201, At: at}, IDs: []string{"inv-7"}}}
	for i, id := range []string{"a", "b", "c"} {
		c := pipeline.ReportConnection{ID: id, Name: "Branch_" + id, State: pipeline.ReportSettled, Rows: []int64{10}, Attempts: 1}
		excel.Connections = append(excel.Connections, c)
		if i > 0 {
			c.State = pipeline.ReportSealed
		}
		if id == "c" {
			c.Refused, c.Error = true, "request 3 was refused: 422: a row is not valid"
		}
		hook.Connections = append(hook.Connections, c)
	}
	v := screen.RunView{Run: "r", JobID: "j", State: pipeline.RunPartial, Resume: "fanmill run j.json --resume"}
	v.Connections, v.Destinations = screen.FromReports([]*pipeline.Report{excel, hook})
	return v
}

// What a destination owes, why, and what sends it stands with the destination; what waits, with the connection.
func TestOwingIsTold(t *testing.T) {
	out := text(t, owing("401: the token is revoked"), screen.Page{Width: 200})
	for _, want := range []string{"hook lacks it: sealed, waits to be sent", "hook lacks it: sealed: request 3 was refused: 422: a row is not valid",
		"owes 2 of 3 connections: 401: the token is revoked; fanmill run j.json --resume sends them", "1 of 3 requests sent, 1 refused; 10 rows, 2.0 KB; the last answer was 201, at",
		"ids inv-7", "owing: hook", "https://erp.example/rows"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// Where all that is owed was refused, a resume sends nothing, and nobody is told that it would.
func TestRefusedIsNotSentByAResume(t *testing.T) {
	d := screen.DestinationView{State: pipeline.RecordOwing, Error: "1 of 3 requests was not taken", Sealed: 2, Refused: 2}
	if got, want := d.Owes(3, "x --resume"), "owes 2 of 3 connections: 1 of 3 requests was not taken"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Programs find the same under stable names.
func TestOwingAsJSON(t *testing.T) {
	var b strings.Builder
	if err := screen.JSON(&b, owing("why")); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Done         int
		Connections  []struct{ State string }
		Destinations []struct {
			State, Error    string
			Sealed, Refused int
			Delivery        struct{ Requests, Sent, Refused int }
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &v); err != nil {
		t.Fatal(err)
	}
	d := v.Destinations[1]
	if v.Done != 1 || v.Connections[1].State != screen.StatePartial || d.State != "owing" || d.Error != "why" || d.Sealed != 2 || d.Refused != 1 || d.Delivery.Requests != 3 {
		t.Errorf("%s", b.String())
	}
}

// A connection that every destination owes is sealed itself.
func TestSealedEverywhere(t *testing.T) {
	r := &pipeline.Report{Destination: "hook", State: pipeline.RecordOwing, Error: "why", Connections: []pipeline.ReportConnection{{ID: "a", Name: "a", State: pipeline.ReportSealed}}}
	v := screen.RunView{State: pipeline.RunPartial}
	v.Connections, v.Destinations = screen.FromReports([]*pipeline.Report{r})
	if got := v.Connections[0].State; got != screen.StateSealed {
		t.Errorf("it is %s", got)
	}
	if out := text(t, v, screen.Page{Width: 120}); !strings.Contains(out, "sealed: the rows are safe, and wait to be sent") {
		t.Errorf("%s", out)
	}
}

// The bar counts what is settled. What only waits to be sent is counted beside it, and has no line of its own.
func TestProgressCountsSettledOnly(t *testing.T) {
	s := &stage{vt: newVT(t, 100, 30), now: at}
	scope := screen.ScopeOf(sampleJob(3), nil, 2).Into([]pipeline.ManifestDestination{{ID: "excel", Type: "excel"}, {ID: "hook", Type: "webhook", Target: "https://erp.example"}})
	s.p = screen.Manual(s.vt, scope, false, func() time.Time { return s.now })
	t.Cleanup(s.p.Close)
	for n := 1; n <= 2; n++ {
		s.connected(n, 1)
		s.delivered(n, 100, 1000)
		s.p.Observe(pipeline.Event{Kind: pipeline.EventSealed, Connection: conn(n), Destination: "hook"})
	}
	if out := s.see(); strings.Contains(out, "waiting to be sent") || !strings.Contains(out, "0/3") {
		t.Errorf("the workbook does not have them yet:\n%s", out)
	}
	s.committed(1, 100, "excel")
	s.committed(2, 100, "excel")
	if out := s.see(); !strings.Contains(out, "0/3 connections") || !strings.Contains(out, "2 sealed, waiting to be sent") || strings.Contains(out, "Branch_001") {
		t.Errorf("%s", out)
	}
	s.committed(1, 100, "hook")
	if out := s.see(); !strings.Contains(out, "1/3 connections") || !strings.Contains(out, "1 sealed, waiting to be sent") {
		t.Errorf("%s", out)
	}
}

// Only where rows are sent is a sealed connection worth a line: a file is written in a moment. It is told once.
func TestSealedLines(t *testing.T) {
	var b strings.Builder
	scope := screen.ScopeOf(sampleJob(1), nil, 1).Into([]pipeline.ManifestDestination{{ID: "parquet", Type: "parquet"}, {ID: "hook", Type: "webhook", Target: "https://erp.example"}})
	l := screen.NewLines(slog.New(slog.NewTextHandler(&b, nil)), scope, false)
	for _, d := range []string{"parquet", "hook", "hook"} {
		l.Observe(pipeline.Event{Kind: pipeline.EventSealed, Connection: "conn_1", Destination: d})
	}
	if out := b.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, "Sealed for webhook: the rows of Branch_001 are safe and wait to be sent") {
		t.Errorf("%s", out)
	}
}
