package screen

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// RunView is a run that has ended. Its JSON has, besides the fields below, "done" and "total" (connections) and
// "rows", of the connections that every destination has, and "suggestions".
type RunView struct {
	Run          string              `json:"run"`
	JobID        string              `json:"jobId"`
	JobName      string              `json:"jobName,omitempty"`
	State        pipeline.RunState   `json:"state"`
	Error        string              `json:"error,omitempty"`     // why it did not come to its end
	Scheduled    *pipeline.Scheduled `json:"scheduled,omitempty"` // where a schedule asked for it
	Started      time.Time           `json:"started,omitzero"`
	Millis       int64               `json:"durationMs"`
	Connections  []ConnectionView    `json:"connections"`
	Destinations []DestinationView   `json:"destinations"`
	Measures     *pipeline.Measures  `json:"measures,omitempty"`
	Resumed      bool                `json:"resumed,omitempty"` // some of its rows are an earlier process's
	Already      bool                `json:"already,omitempty"` // it was complete before it was asked for
	Resume       string              `json:"resume,omitempty"`  // the command that brings what is missing
	Again        string              `json:"again,omitempty"`   // delivers all anew: control totals do not agree
}

// totals counts the connections that every destination has, and their rows.
func (v *RunView) totals() (done int, rows int64) {
	for i := range v.Connections {
		if v.Connections[i].State == StateDone {
			done++
			rows += v.Connections[i].Rows
		}
	}
	return done, rows
}

// inState names the destinations in a state.
func (v *RunView) inState(state pipeline.RecordState) (ids []string) {
	for i := range v.Destinations {
		if d := &v.Destinations[i]; d.State == state {
			ids = append(ids, clean(d.ID))
		}
	}
	return ids
}

// suggestions are from what the run measured, with the slowest connection by its name.
func (v *RunView) suggestions() []string {
	if v.Measures == nil {
		return nil
	}
	m := *v.Measures
	out := Suggest(m)
	for i := range v.Connections {
		if c := &v.Connections[i]; c.ID == m.Slowest && c.Name != c.ID {
			for n := range out { // the id stays: it is what a command wants
				out[n] = strings.Replace(out[n], "connection "+c.ID+" ", clean(c.Name)+" ("+c.ID+") ", 1)
			}
		}
	}
	return out
}

// runJSON is a RunView with what follows from it.
type runJSON struct {
	RunView
	follows
}

// follows is what follows from a RunView.
type follows struct {
	Done        int      `json:"done"`
	Total       int      `json:"total"`
	Rows        int64    `json:"rows"`
	Suggestions []string `json:"suggestions"`
}

func (v RunView) json() runJSON {
	out := runJSON{v, follows{Total: len(v.Connections), Suggestions: list(v.suggestions())}}
	out.Done, out.Rows = v.totals()
	out.Connections, out.Destinations = make([]ConnectionView, len(v.Connections)), list(v.Destinations)
	for i, c := range v.Connections {
		out.Connections[i] = c.complete()
	}
	return out
}

func (v RunView) data() any { return v.json() }

func (v RunView) text(s *sheet) {
	s.connections(v.Connections)
	s.blank()
	done, rows := v.totals()
	took := time.Duration(v.Millis) * time.Millisecond
	state := clean(string(v.State))
	if v.Already {
		state = "already " + state
	}
	sum := fmt.Sprintf("run %s: %s, %s of %s, %s", clean(v.Run), state, Count(int64(done)), Of(int64(len(v.Connections)), "connection"), Of(rows, "row"))
	if took > 0 {
		sum += " in " + Duration(took)
		if !v.Resumed {
			sum += " (" + Rate(rows, took) + ")"
		}
	}
	if given := v.inState(pipeline.RecordDetached); len(given) > 0 {
		sum += "; given up: " + strings.Join(given, ", ")
	}
	if owing := v.inState(pipeline.RecordOwing); len(owing) > 0 {
		sum += "; owing: " + strings.Join(owing, ", ")
	}
	s.line(0, stateStyle(string(v.State)), sum)
	if v.Error != "" {
		s.line(2, red, oneLine(v.Error))
	}
	v.rest(s)
}

// wrong reports whether anything is named that must be repaired. That a run was interrupted is no such thing.
func (v *RunView) wrong() bool {
	return v.Error != "" && v.State != pipeline.RunInterrupted || slices.ContainsFunc(v.Connections, func(c ConnectionView) bool {
		return slices.ContainsFunc(c.Missing, func(m MissingView) bool {
			return m.State != StatePending && m.State != StateSealed || m.Error != ""
		})
	}) || slices.ContainsFunc(v.Destinations, func(d DestinationView) bool { return d.State == pipeline.RecordOwing })
}

// rest is what a run that has ended and one that goes on have in common: files, losses, suggestions, what to do next.
func (v *RunView) rest(s *sheet) {
	if len(v.Destinations) > 0 {
		s.blank()
		s.destinations(v.Destinations, len(v.Connections), v.Resume)
	}
	s.losses(v.Connections)
	if all := v.suggestions(); len(all) > 0 {
		s.heading("Suggestions")
		for _, text := range all {
			s.line(2, plain, text)
		}
	}
	if v.State != pipeline.RunComplete && v.State != pipeline.RunRunning && v.Resume != "" {
		first := ""
		if v.wrong() {
			first = "repair what is named above and "
		}
		s.heading("To get what is missing, " + first + "run")
		s.raw(2, cyan, v.Resume)
	}
	if v.Again != "" {
		s.heading("Every row is delivered. Look at what does not agree; to deliver all anew, run")
		s.raw(2, cyan, v.Again)
	}
}
