package screen

import (
	"fmt"
	"strings"
	"time"

	"fanmill/pipeline"
)

// StatusView is a run at this moment, or as it ended. Its JSON has the fields of RunView and its own.
type StatusView struct {
	RunView
	Asked  time.Time `json:"asked,omitzero"`   // when its trigger came, if it is queued
	Cancel string    `json:"cancel,omitempty"` // the command that drops it, if it is queued
	Owner  string    `json:"owner,omitempty"`  // who carries it out: process 12887 on vm
	// Cancelling is since when somebody wants it to stop, as long as its process has not obeyed.
	Cancelling time.Time `json:"cancelling,omitzero"`
	// Unserved is what no process does that the run waits for.
	Unserved []string `json:"unserved,omitempty"`
	// LacksRoom is what the run waits for before it begins.
	LacksRoom string    `json:"lacksRoom,omitempty"`
	Resumes   int       `json:"resumes"`
	Ended     time.Time `json:"ended,omitzero"`
	Log       *LogView  `json:"log,omitempty"` // absent where the row log is gone
	// Notices are who was told how the run ended, or is to be.
	Notices []NoticeLine `json:"notices,omitempty"`
}

// LogView is how full a run's row log is.
type LogView struct {
	Bytes int64 `json:"bytes"`
	Max   int64 `json:"maxBytes"`
}

type statusJSON struct {
	RunView
	follows
	Asked  time.Time `json:"asked,omitzero"`
	Cancel string    `json:"cancel,omitempty"`
	Owner  string    `json:"owner,omitempty"`

	Cancelling time.Time `json:"cancelling,omitzero"`
	Unserved   []string  `json:"unserved,omitempty"`
	LacksRoom  string    `json:"lacksRoom,omitempty"`

	Resumes int       `json:"resumes"`
	Ended   time.Time `json:"ended,omitzero"`
	Log     *LogView  `json:"log,omitempty"`

	Notices []NoticeLine `json:"notices,omitempty"`
}

func (v StatusView) data() any {
	run := v.json()
	return statusJSON{run.RunView, run.follows, v.Asked, v.Cancel, v.Owner, v.Cancelling, v.Unserved, v.LacksRoom, v.Resumes, v.Ended, v.Log, v.Notices}
}

func (v StatusView) text(s *sheet) {
	if v.State == StateQueued {
		v.queued(s)
		return
	}
	s.line(0, bold, fmt.Sprintf("run %s of %s", clean(v.Run), clean(v.JobName)))
	state := clean(string(v.State))
	if v.Resumes > 0 {
		state += ", resumed " + Of(int64(v.Resumes), "time")
	}
	s.fact("state", state, stateStyle(string(v.State)))
	if !v.Cancelling.IsZero() {
		s.fact("", "it was cancelled "+s.when(v.Cancelling)+", and stops when its process has seen that", yellow)
	}
	if len(v.Unserved) > 0 {
		s.fact("", "nobody serves: "+oneLine(strings.Join(v.Unserved, ", "))+"; start fanmill serve with the roles for that", yellow)
	}
	if v.LacksRoom != "" {
		s.fact("", "it waits for "+oneLine(v.LacksRoom), yellow)
	}
	s.fact("", oneLine(v.Error), red)
	s.fact("job", clean(v.JobID), plain)
	started := s.when(v.Started)
	switch {
	case !v.Ended.IsZero():
		started += ", ended " + s.when(v.Ended) + ", took " + millis(v.Millis)
	case v.Millis > 0:
		started += ", " + millis(v.Millis) + " ago"
	}
	if v.Scheduled != nil {
		s.fact("scheduled", scheduled(s, v.Scheduled), plain)
	}
	s.fact("started", started, plain)
	s.fact("by", clean(v.Owner), plain)
	s.fact("connections", v.states(), plain)
	if v.Log != nil {
		s.fact("row log", fmt.Sprintf("%s of %s (%s)", Size(v.Log.Bytes), Size(v.Log.Max), share(v.Log.Bytes, v.Log.Max)), plain)
	}
	for i := range v.Notices {
		text, look := v.Notices[i].words(s)
		s.fact("told", fmt.Sprintf("%s of %s: %s", clean(v.Notices[i].Target), clean(v.Notices[i].Event), text), look)
	}
	if len(v.Connections) > 0 {
		s.blank()
		s.connections(v.Connections)
	}
	v.rest(s)
}

// scheduled says for which time of its schedule a run is.
func scheduled(s *sheet, of *pipeline.Scheduled) string {
	text := "for " + s.when(of.For)
	if of.Missed > 0 {
		text += ", and for " + Of(int64(of.Missed), "time") + " before that, which nobody served"
	}
	return text
}

// queued writes of a run that has not begun: all that is known is its trigger.
func (v *StatusView) queued(s *sheet) {
	s.line(0, bold, fmt.Sprintf("run %s of job %s", clean(v.Run), clean(v.JobID)))
	s.fact("state", string(StateQueued)+": it begins when `fanmill serve` runs and its turn has come", plain)
	s.fact("asked for", s.when(v.Asked)+", "+millis(v.Millis)+" ago", plain)
	s.fact("to drop it", clean(v.Cancel), plain)
}

// states counts the connections by their states: 16 of 56 done, 4 running, 36 pending; 1,234 rows.
func (v *StatusView) states() string {
	done, rows := v.totals()
	text := fmt.Sprintf("%s of %s done", Count(int64(done)), Count(int64(len(v.Connections))))
	for _, state := range []string{StateDelivered, StateRunning, StateSealed, StatePending, StatePartial, StateRejected, StateFailed} {
		n := 0
		for i := range v.Connections {
			if v.Connections[i].State == state {
				n++
			}
		}
		if n > 0 {
			text += fmt.Sprintf(", %s %s", Count(int64(n)), state)
		}
	}
	return text + "; " + Of(rows, "row")
}
