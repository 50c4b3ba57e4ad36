package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"fanmill/pipeline"
)

// A notice counts every connection once: as complete, missing or in doubt; it names 20 of each, and says why.
func TestNewNotice(t *testing.T) {
	m := &pipeline.Manifest{Run: "r", JobID: "job", JobName: "Job", Destinations: []pipeline.ManifestDestination{{ID: "a", Path: "/x/a.xlsx"}, {ID: "b", Target: "https://example.com"}}}
	reports := []*pipeline.Report{{Destination: "a", State: pipeline.RecordFinished}, {Destination: "b", State: pipeline.RecordDetached, Error: "given up"}}
	for i := range 100 {
		m.Connections = append(m.Connections, pipeline.ManifestConnection{ID: fmt.Sprint("c", i), Name: fmt.Sprint("C", i)})
		for k, r := range reports {
			line := pipeline.ReportConnection{State: pipeline.ReportSettled, Rows: []int64{10}}
			switch {
			case i < 30 && k == 0:
				line = pipeline.ReportConnection{State: pipeline.ReportFailed, Error: strings.Repeat("ஸ்ரீ ", 100)}
			case i < 40 && k == 1:
				line = pipeline.ReportConnection{State: pipeline.ReportPending}
			case i < 65:
				line.Controls = []pipeline.Control{{Totals: []pipeline.ControlTotal{{Column: "total", Asked: "7", Delivered: "6", Differs: true}}}}
			case i < 75:
				line.Controls = []pipeline.Control{{Totals: []pipeline.ControlTotal{{Asked: "10", Delivered: "10"}}}}
			}
			if i >= 90 {
				line.Changes = []pipeline.Change{{Before: "20", Now: "10", Percent: -50, Alert: i > 90}}
			}
			r.Connections = append(r.Connections, line)
		}
	}
	n := pipeline.NewNotice(m, reports)
	if n.Connections != 100 || len(n.Missing) != 20 || n.More != 20 || len(n.Doubts) != 20 || n.MoreDoubts != 5 || n.Complete != 35 || n.Verified != 10 || len(n.Changes) != 9 || n.MoreChanges != 0 {
		t.Errorf("of %d connections %d are complete, %d and %d missing, %d and %d in doubt, %d verified, %d changed", n.Connections, n.Complete, len(n.Missing), n.More, len(n.Doubts), n.MoreDoubts, n.Verified, len(n.Changes))
	}
	if why := n.Missing[0].Why; len(why) > 310 || !utf8.ValidString(why) || !strings.HasSuffix(why, "…") {
		t.Errorf("a long reason is %q", why)
	}
	if got := n.Doubts[0].Why; !strings.Contains(got, "says 7, delivered were 6") {
		t.Errorf("a doubt is %q", got)
	}
	if got := n.Changes[0].Why; got != "rows: 10, last time 20 (-50.0 %)" {
		t.Errorf("a change is %q", got)
	}
	if len(n.Places) != 2 || n.Rows != 700 || n.Places[0].Rows != 700 || n.Places[0].File != "/x/a.xlsx" && n.Places[0].File != "" || n.Places[1].File != "" || n.Places[1].Error != "given up" {
		t.Errorf("the destinations are %+v", n.Places)
	}
}
