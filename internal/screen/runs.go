package screen

import (
	"slices"
	"time"

	"fanmill/pipeline"
)

// RunsView lists runs, in the order given, those that wait for their turn among them. Its JSON is the list.
type RunsView struct {
	Runs []RunLine
	Job  string // whose runs they are; "" is all jobs'
}

// StateQueued is the state of a run that a trigger asks for and that has not begun.
const StateQueued pipeline.RunState = pipeline.AnswerQueued

// RunLine is a run in a list.
type RunLine struct {
	Run     string            `json:"run"`
	JobID   string            `json:"jobId"`
	State   pipeline.RunState `json:"state"`
	Started time.Time         `json:"started,omitzero"`
	Asked   time.Time         `json:"asked,omitzero"` // for one that is queued
	Millis  int64             `json:"durationMs"`     // so far, if it has not ended; of one that is queued, how long it waits
	Done    int               `json:"done"`           // connections that every destination has
	Total   int               `json:"total"`
	Rows    int64             `json:"rows"`            // of these
	Owing   []string          `json:"owing,omitempty"` // destinations that have yet to send what is safe
	// Scheduled is for which time a schedule asked for it; nil if none did.
	Scheduled *pipeline.Scheduled `json:"scheduled,omitempty"`
}

func (v RunsView) data() any { return list(v.Runs) }

func (v RunsView) text(s *sheet) {
	if len(v.Runs) == 0 && v.Job != "" {
		s.line(0, plain, "no run of a job "+clean(v.Job)+"; `fanmill runs` lists those of all jobs")
		return
	}
	if len(v.Runs) == 0 {
		s.line(0, plain, "no runs yet; `fanmill run JOB` begins one, and so does a trigger for `fanmill serve`")
		return
	}
	t := &table{columns: []column{{head: "Run", min: 22}, {head: "Job", min: 6}, {head: "State"}, {head: "Started", spare: 4},
		{head: "Time", right: true, spare: 3}, {head: "Connections", right: true, spare: 1}, {head: "Rows", right: true, spare: 2}}}
	byItself := slices.ContainsFunc(v.Runs, func(r RunLine) bool { return r.Scheduled != nil })
	if byItself {
		t.columns = append(t.columns, column{head: "Scheduled for", spare: 5})
	}
	for _, r := range v.Runs {
		took := ""
		if r.Millis > 0 {
			took = millis(r.Millis)
		}
		if r.State == StateQueued {
			t.add(cell{text: clean(r.Run)}, cell{text: clean(r.JobID)}, cell{text: string(StateQueued)}, cell{}, cell{took, dim}, cell{}, cell{}, cell{})
			continue
		}
		state := clean(string(r.State))
		if len(r.Owing) > 0 {
			state += ", owing"
		}
		line := []cell{{text: clean(r.Run)}, {text: clean(r.JobID)}, {state, stateStyle(string(r.State))}, {s.when(r.Started), dim},
			{took, dim}, {text: Count(int64(r.Done)) + "/" + Count(int64(r.Total))}, {text: Count(r.Rows)}, {}}
		if r.Scheduled != nil {
			line[len(line)-1] = cell{s.when(r.Scheduled.For), dim}
		}
		t.add(line...)
	}
	s.table(t, 0)
}
