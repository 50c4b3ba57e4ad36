package pipeline_test

import (
	"slices"
	"testing"

	"fanmill/pipeline"
)

// Rows and control totals stand beside those of the last time, exactly; what changed by more than the job says is
// marked, and a connection of which nothing was known is not.
func TestCompareWithTheLastTime(t *testing.T) {
	sums := func(value string) []pipeline.Control {
		return []pipeline.Control{{Totals: []pipeline.ControlTotal{{Delivered: "1"}, {Column: "total", Asked: value, Delivered: value}}}}
	}
	connection := func(id string, rows int64, total string) pipeline.ReportConnection {
		return pipeline.ReportConnection{ID: id, Rows: []int64{rows}, Controls: sums(total)}
	}
	before := map[string]pipeline.Figures{}
	for id, f := range map[string]struct {
		rows  int64
		total string
	}{"same": {100, "10.00"}, "fewer": {100, "10.00"}, "more": {100, "99999999999999999999.99"}, "none": {0, "0"}, "gone": {100, "1"}, "sign": {10, "-4"}} {
		before[id] = pipeline.Figures{Run: "one", Rows: []int64{f.rows}, Sums: []pipeline.Sum{{Column: "total", Value: f.total}}}
	}
	r := &pipeline.Report{Connections: []pipeline.ReportConnection{connection("same", 100, "10.0"), connection("fewer", 69, "7.00"), connection("more", 130, "100000000000000000000.00"),
		connection("none", 1, "0"), {ID: "gone", State: pipeline.ReportFailed}, connection("new", 5, "1"), connection("sign", 10, "4")}}
	r.Compare(before, &pipeline.Alert{Rows: 30, Total: 30})
	want := map[string][]string{
		"same":  {"rows: 100, last time 100 (+0.0 %)", "total: 10.0, last time 10.00 (+0.0 %)"},
		"fewer": {"! rows: 69, last time 100 (-31.0 %)", "total: 7.00, last time 10.00 (-30.0 %)"},
		"more":  {"rows: 130, last time 100 (+30.0 %)", "total: 100000000000000000000.00, last time 99999999999999999999.99 (under 0.1 %)"},
		"none":  {"! rows: 1, last time 0 (+100.0 %)", "total: 0, last time 0 (+0.0 %)"},
		"sign":  {"rows: 10, last time 10 (+0.0 %)", "! total: 4, last time -4 (+200.0 %)"},
	}
	for i := range r.Connections {
		c := &r.Connections[i]
		var got []string
		for _, change := range c.Changes {
			text := change.String()
			if change.Alert {
				text = "! " + text
			}
			got = append(got, text)
		}
		if !slices.Equal(got, want[c.ID]) {
			t.Errorf("%s: %q, want %q", c.ID, got, want[c.ID])
		}
		if _, known := before[c.ID]; (c.Before != nil) != known {
			t.Errorf("%s is beside %+v", c.ID, c.Before)
		}
	}
	quiet := &pipeline.Report{Connections: []pipeline.ReportConnection{connection("fewer", 1, "1")}}
	if quiet.Compare(before, nil); len(quiet.Connections[0].Alerts()) > 0 {
		t.Errorf("without alert there is %+v", quiet.Connections[0].Alerts())
	}
}

// One figure that differs weighs more than any number that are not known.
func TestVerifiedIsTheWorst(t *testing.T) {
	equal := pipeline.ControlTotal{Asked: "1", Delivered: "1"}
	unknown := pipeline.ControlTotal{Delivered: "1", Note: "it is not known"}
	differs := pipeline.ControlTotal{Asked: "2", Delivered: "1", Differs: true}
	for _, c := range []struct {
		controls []pipeline.Control
		want     pipeline.Verified
	}{
		{nil, ""},
		{[]pipeline.Control{{Totals: []pipeline.ControlTotal{equal}}}, pipeline.VerifiedEqual},
		{[]pipeline.Control{{Totals: []pipeline.ControlTotal{equal, unknown}}, {Totals: []pipeline.ControlTotal{equal}}}, pipeline.VerifiedUnknown},
		{[]pipeline.Control{{Error: "it failed", Totals: []pipeline.ControlTotal{unknown}}, {Totals: []pipeline.ControlTotal{differs}}}, pipeline.VerifiedDiffers},
		{[]pipeline.Control{{Totals: []pipeline.ControlTotal{differs}}, {Error: "it failed"}}, pipeline.VerifiedDiffers},
	} {
		if got := pipeline.VerifiedOf(c.controls); got != c.want {
			t.Errorf("%+v is %q, want %q", c.controls, got, c.want)
		}
	}
}
