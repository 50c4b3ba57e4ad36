package screen_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

func text(t *testing.T, v screen.View, p screen.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := screen.Text(&b, v, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Each view looks as it was looked at, on a page of 80 cells, on a narrow one, and in a file.
func TestViewsLookAsLookedAt(t *testing.T) {
	for name, v := range samples() {
		for _, w := range []int{80, 40, 0} {
			golden(t, name+"-"+strconv.Itoa(w), []byte(text(t, v, screen.Page{Width: w, Zone: time.UTC})))
		}
	}
}

// The names in JSON are stable: scripts rely on them. Lists are never null.
func TestJSONIsStable(t *testing.T) {
	all := samples()
	delete(all, "long-run")
	delete(all, "long-check")
	all["empty-run"], all["empty-runs"] = screen.RunView{Run: "r", State: pipeline.RunFailed, Started: at}, screen.RunsView{}
	all["empty-status"], all["empty-check"], all["empty-preview"] = screen.StatusView{}, screen.CheckView{}, screen.PreviewView{}
	for name, v := range all {
		var b bytes.Buffer
		if err := screen.JSON(&b, v); err != nil {
			t.Fatal(err)
		}
		var any any
		if err := json.Unmarshal(b.Bytes(), &any); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "preview" && bytes.Contains(b.Bytes(), []byte("null")) {
			t.Errorf("%s has a null:\n%s", name, b.Bytes())
		}
		golden(t, name+"-json", b.Bytes())
	}
}

// No line of any view is wider than its page, but the command that is there to be copied.
func TestNoLineIsWiderThanThePage(t *testing.T) {
	for name, v := range samples() {
		for w := 10; w <= 200; w++ {
			for line := range strings.Lines(text(t, v, screen.Page{Width: w, Zone: time.UTC})) {
				line = strings.TrimSuffix(line, "\n")
				if n := screen.Width(line); n > w && !strings.Contains(line, "--resume") {
					t.Fatalf("%s on a page of %d has a line of %d: %q", name, w, n, line)
				}
			}
		}
	}
}

// Colours change nothing but colours.
func TestColoursSayNothingThemselves(t *testing.T) {
	codes := regexp.MustCompile("\x1b\\[[0-9]+m")
	for name, v := range samples() {
		for _, w := range []int{0, 40, 80} {
			coloured := text(t, v, screen.Page{Width: w, Color: true, Zone: time.UTC})
			if !codes.MatchString(coloured) {
				t.Errorf("%s has no colours", name)
			}
			if bare := codes.ReplaceAllString(coloured, ""); bare != text(t, v, screen.Page{Width: w, Zone: time.UTC}) {
				t.Errorf("%s at %d reads differently with colours:\n%s", name, w, bare)
			}
		}
	}
}

// A file holds everything, whole: every name, reason and path.
func TestAFileIsNeverCut(t *testing.T) {
	seen := text(t, sampleRun(12), screen.Page{})
	for _, c := range sampleJob(12).Connections {
		if !strings.Contains(seen, c.Name) {
			t.Errorf("%s is missing", c.Name)
		}
	}
	for _, want := range []string{nobody, "D:/Reports/GST Sale Data - All Branches 2026-11-24.xlsx", "16,500 columns, a sheet has at most 16,384; ask for fewer, or take a CSV"} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(seen, "…") {
		t.Errorf("something is cut:\n%s", seen)
	}
}

// A long run lists what is missing, all of it, and counts the rest; --verbose lists everything.
func TestALongRunListsWhatIsMissing(t *testing.T) {
	v := sampleRun(1000)
	brief, whole := text(t, v, screen.Page{Width: 80}), text(t, v, screen.Page{Width: 80, Verbose: true})
	for i, c := range v.Connections {
		listed := strings.Contains(brief, "\n"+c.Name+" ")
		if listed != (i == 3 || i == 5) {
			t.Errorf("%s, %s: listed is %v", c.Name, c.State, listed)
		}
		if i > 11 && !strings.Contains(whole, "\n"+c.Name+" ") {
			t.Errorf("%s is not in the whole list", c.Name)
		}
	}
	if !strings.Contains(brief, "998 connections done") {
		t.Errorf("the others are not counted:\n%s", brief)
	}
	reports := sampleReports(1000) // ended before it was the others' turn
	for _, r := range reports {
		for i := 20; i < 1000; i++ {
			r.Connections[i] = pipeline.ReportConnection{ID: r.Connections[i].ID, Name: r.Connections[i].Name, State: pipeline.ReportPending}
		}
	}
	v.Connections, _ = screen.FromReports(reports)
	if brief = text(t, v, screen.Page{}); !strings.Contains(brief, "980 connections pending, not listed") || strings.Contains(brief, "Branch_021") {
		t.Errorf("those whose turn it was not are not counted:\n%s", brief)
	}
	if n := strings.Count(text(t, sampleRun(60), screen.Page{}), "done\n"); n != 58 {
		t.Errorf("of 60 connections, %d done ones are listed, want 58", n)
	}
}

// A connection that a destination lacks is never shown as done, and counts neither as done nor with its rows.
func TestWhatIsMissingSomewhereIsNotDone(t *testing.T) {
	connections, destinations := screen.FromReports(sampleReports(12))
	for i, want := range map[int]string{0: screen.StateDone, 3: screen.StateFailed, 5: screen.StatePartial} {
		if connections[i].State != want {
			t.Errorf("connection %d is %s, want %s", i, connections[i].State, want)
		}
	}
	if m := connections[3].Missing; len(m) != 1 || m[0].Destination != "" {
		t.Errorf("one reason for all destinations is told as %+v", m)
	}
	if destinations[0].Connections != 10 || destinations[1].Connections != 11 {
		t.Errorf("excel has %d, csv %d; want 10 and 11", destinations[0].Connections, destinations[1].Connections)
	}
	reports := sampleReports(12) // now for two reasons
	reports[1].Connections[3].Error = "something else"
	if connections, _ = screen.FromReports(reports); len(connections[3].Missing) != 2 || connections[3].State != screen.StateFailed {
		t.Errorf("two reasons are told as %+v", connections[3])
	}
	if c, d := screen.FromReports(nil); c != nil || d != nil {
		t.Errorf("no reports make %v, %v", c, d)
	}
}

// The record of an attempt completes what destinations do not know yet, and contradicts nothing that they have.
func TestAskedCompletesWhatIsPending(t *testing.T) {
	now := at.Add(time.Minute)
	pending := screen.ConnectionView{State: screen.StatePending, Missing: []screen.MissingView{{State: screen.StatePending}}}
	half := screen.ConnectionView{State: screen.StatePartial, Missing: []screen.MissingView{{Destination: "excel", State: screen.StatePending}}}
	for _, c := range []struct {
		name string
		view screen.ConnectionView
		rec  checkpoint.ConnState
		want string
	}{
		{"asked now", pending, checkpoint.ConnRunning, screen.StateRunning},
		{"read", pending, checkpoint.ConnDone, screen.StateDelivered},
		{"given up", pending, checkpoint.ConnGivenUp, screen.StateFailed},
		{"to be asked", pending, checkpoint.ConnPending, screen.StatePending},
		{"written to one", half, checkpoint.ConnDone, screen.StateDelivered},
		{"written", screen.ConnectionView{State: screen.StateDone}, checkpoint.ConnRunning, screen.StateDone},
		{"turned away", screen.ConnectionView{State: screen.StatePartial, Missing: []screen.MissingView{{State: screen.StateRejected}}}, checkpoint.ConnDone, screen.StatePartial},
	} {
		v := c.view
		v.Asked(checkpoint.ConnRecord{State: c.rec, Started: at, Attempts: 1, Error: "no"}, now)
		if v.State != c.want {
			t.Errorf("%s: %s, want %s", c.name, v.State, c.want)
		}
	}
}

// A name or message from outside cannot move the cursor or break a table's lines.
func TestViewsAreSafe(t *testing.T) {
	evil := "x\x1b[2J\ny\u202e"
	v := sampleRun(2)
	v.Connections[0].Name, v.Error, v.Resume, v.Destinations[0].File, v.Destinations[0].Error = evil, evil, evil, evil, evil
	v.Connections[1].State, v.Connections[1].Missing = evil, []screen.MissingView{{Destination: evil, State: evil, Error: evil}}
	c := sampleCheck(2)
	c.Connections[0] = screen.CheckLine{Name: evil, Server: evil, Error: evil, Missing: []string{evil}, Retyped: []screen.RetypedView{{Column: evil, Type: evil, Usual: evil}}}
	p := samplePreview()
	p.Connection, p.Query, p.Columns[0].Name, p.Rows[0][0].Text = evil, evil, evil, evil
	s := screen.StatusView{RunView: v, Owner: evil}
	l := screen.RunsView{Runs: []screen.RunLine{{Run: evil, JobID: evil}}}
	for _, v := range []screen.View{v, c, p, s, l} {
		for _, w := range []int{0, 80} {
			if seen := text(t, v, screen.Page{Width: w}); strings.ContainsAny(seen, "\x1b\u202e") || strings.Contains(seen, "\ny") {
				t.Errorf("%T lets control characters through:\n%q", v, seen)
			}
		}
	}
}

// Why a destination was given up is told once, and not of each connection that it lacks.
func TestWhyADestinationWasGivenUpIsToldOnce(t *testing.T) {
	reports := sampleReports(3)
	reports[0].State, reports[0].Error = pipeline.RecordDetached, "its columns differ"
	for i := range reports[0].Connections {
		c := &reports[0].Connections[i]
		*c = pipeline.ReportConnection{ID: c.ID, Name: c.Name, State: pipeline.ReportPending}
	}
	v := sampleRun(3)
	v.Connections, v.Destinations = screen.FromReports(reports)
	got := text(t, v, screen.Page{})
	if strings.Count(got, "its columns differ") != 1 || strings.Count(got, "excel lacks it: given up for this run") != 3 {
		t.Errorf("it says\n%s", got)
	}
	if v.Connections[0].Missing[0].Error != "its columns differ" { // which programs read
		t.Errorf("of the first connection it is said: %+v", v.Connections[0].Missing)
	}
}

// A destination that was given up when it had all connections has not delivered them: none is done, none is counted,
// and the line that sums the run up names it.
func TestGivenUpAtTheEndIsNotDone(t *testing.T) {
	for name, c := range map[string]struct {
		reports []*pipeline.Report
		state   string
	}{
		"one of two": {sampleReports(3), screen.StatePartial},
		"the only":   {sampleReports(3)[:1], screen.StatePartial},
	} {
		for _, r := range c.reports {
			r.State, r.Error = pipeline.RecordFinished, ""
			for i := range r.Connections {
				r.Connections[i] = pipeline.ReportConnection{ID: r.Connections[i].ID, Name: r.Connections[i].Name, State: pipeline.ReportSettled, Rows: []int64{7}}
			}
		}
		c.reports[0].State, c.reports[0].Error = pipeline.RecordDetached, "it is a mount point"
		v := screen.RunView{Run: "r", State: pipeline.RunPartial, Started: at, Resume: "fanmill run gst.json --resume"}
		v.Connections, v.Destinations = screen.FromReports(c.reports)
		got := text(t, v, screen.Page{})
		for _, want := range []string{"run r: partial, 0 of 3 connections, 0 rows; given up: excel\n", "excel was given up before its file was finished",
			"it is a mount point", "To get what is missing, repair what is named above and run"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: it does not say %q:\n%s", name, want, got)
			}
		}
		if strings.Contains(got, "  "+screen.StateDone) || v.Connections[0].State != c.state || v.Connections[0].Rows != 7 {
			t.Errorf("%s: the first connection is %+v:\n%s", name, v.Connections[0], got)
		}
		if m := v.Connections[0].Missing; len(m) != 1 || m[0].Destination != "excel" || m[0].Error != "it is a mount point" {
			t.Errorf("%s: what it lacks is %+v", name, m)
		}
	}
}

// Of a run that was only interrupted nothing is to be repaired.
func TestWhatToDoAfterAnInterruption(t *testing.T) {
	v := screen.RunView{Run: "r", State: pipeline.RunInterrupted, Error: "interrupt signal received", Started: at, Resume: "fanmill run gst.json --resume"}
	v.Connections = []screen.ConnectionView{{ID: "a", Name: "A", State: screen.StatePending, Missing: []screen.MissingView{{State: screen.StatePending}}}}
	if got := text(t, v, screen.Page{}); !strings.Contains(got, "To get what is missing, run\n") {
		t.Errorf("it says\n%s", got)
	}
	v.Connections[0].State, v.Connections[0].Missing[0] = screen.StateFailed, screen.MissingView{State: screen.StateFailed, Error: "no such table"}
	if got := text(t, v, screen.Page{}); !strings.Contains(got, "To get what is missing, repair what is named above and run\n") {
		t.Errorf("it says\n%s", got)
	}
}

// NULL, the empty text and a text that says NULL are three things, and JSON has them as such.
func TestPreviewTellsNullFromText(t *testing.T) {
	v := screen.PreviewView{Columns: []screen.PreviewColumn{{Name: "a", Type: "text"}, {Name: "b", Type: "text"}, {Name: "c", Type: "text"}},
		Rows: [][]screen.PreviewCell{{{Null: true}, {Text: ""}, {Text: "NULL"}}}}
	if seen := text(t, v, screen.Page{}); !strings.Contains(seen, "<NULL>  \"\"    NULL") {
		t.Errorf("shown as\n%s", seen)
	}
	var b bytes.Buffer
	if err := screen.JSON(&b, v); err != nil {
		t.Fatal(err)
	}
	if seen := strings.Join(strings.Fields(b.String()), ""); !strings.Contains(seen, `[null,"","NULL"]`) {
		t.Errorf("JSON has %s", seen)
	}
}

// What onDrift would do is told for each policy, and only where columns differ.
func TestCheckTellsWhatDriftWouldDo(t *testing.T) {
	for policy, want := range map[string]string{
		pipeline.DriftUnion: "onDrift union: discount would be NULL here; remarks, created_by would be added, NULL elsewhere\n",
		pipeline.DriftFail:  "onDrift fail: the run would end before anything is written\n",
		pipeline.DriftSkip:  "onDrift skip: the connection would be left out, and named\n",
		"":                  "  nothing to do: each connection keeps its own columns\n",
	} {
		v := sampleCheck(8)
		v.OnDrift = policy
		if seen := text(t, v, screen.Page{}); strings.Count(seen, want) != 1 {
			t.Errorf("onDrift %q does not say %q once:\n%s", policy, want, seen)
		}
	}
}

// Who cancels a run sees that somebody has heard it, before its process obeys.
func TestCancellingIsShown(t *testing.T) {
	v := sampleStatus()
	if out := text(t, v, screen.Page{Width: 120}); strings.Contains(out, "cancelled") {
		t.Errorf("a run that nobody has cancelled: %s", out)
	}
	v.Cancelling = at
	if out := text(t, v, screen.Page{Width: 120}); !strings.Contains(out, "it was cancelled") {
		t.Errorf("a run that is to stop: %s", out)
	}
}
