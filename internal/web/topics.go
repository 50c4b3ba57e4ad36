package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
)

// The names of topics; that of a run follows its prefix.
const (
	topicRuns = "runs"
	topicJobs = "jobs"
	topicRun  = "run/"
)

// topicOf says how a topic is looked at; ok is false if there is no such topic.
func (s *Server) topicOf(name string) (look func(context.Context) (*snapshot, error), ok bool) {
	of := func(f func(context.Context, Backend) (*snapshot, error)) func(context.Context) (*snapshot, error) {
		return func(ctx context.Context) (*snapshot, error) {
			b := s.backend.Load()
			if b == nil {
				return nil, &refused{503, "the store is not open yet"}
			}
			return f(ctx, *b)
		}
	}
	run, isRun := strings.CutPrefix(name, topicRun)
	switch {
	case isRun && run != "" && pipeline.Token(run) == run:
		return of(func(ctx context.Context, b Backend) (*snapshot, error) { return lookAtRun(ctx, b, run) }), true
	case name == topicRuns:
		return of(lookAtRuns), true
	case name == topicJobs:
		return of(lookAtJobs), true
	}
	return nil, false
}

// seen is a topic's view as a page is made from it, and the mark from which its stream goes on.
func (s *Server) seen(ctx context.Context, name string) (view any, mark string, err error) {
	look, ok := s.topicOf(name)
	if !ok {
		return nil, "", &refused{404, "there is no such page"}
	}
	view, seq, err := s.hub.of(name, look).current(ctx, s.hub.next, s.made)
	return view, s.hub.mark(seq), err
}

// listed is how many runs a list shows at a time.
const listed = 50

// lookAtRuns looks at all runs. The newest are parts.
func lookAtRuns(ctx context.Context, b Backend) (*snapshot, error) {
	runs, err := b.Runs(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{view: runs, lists: map[string][]string{"runs": {}}}
	for i, r := range runs {
		s.going = s.going || r.Going()
		if i < listed {
			row := rowOf(r)
			s.parts = append(s.parts, piece{row.Part, "run-row", row})
			s.lists["runs"] = append(s.lists["runs"], row.Part)
		}
	}
	return s, nil
}

// runRow is a run in a list.
type runRow struct {
	RunLine
	Part  string
	Since time.Time // what its time is counted from, while it goes on
}

func rowOf(r RunLine) runRow {
	row := runRow{RunLine: r, Part: "r-" + r.Run}
	if r.Going() { // the time is counted by the page
		row.Millis, row.Since = 0, r.Started
		if r.State == "queued" {
			row.Since = r.Asked
		}
	}
	return row
}

// lookAtJobs looks at all jobs.
func lookAtJobs(ctx context.Context, b Backend) (*snapshot, error) {
	jobs, err := b.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	s := &snapshot{view: jobs, lists: map[string][]string{"jobs": {}}}
	for _, j := range jobs {
		for i := range j.Last {
			s.going = s.going || j.Last[i].Going()
			if j.Last[i].Going() {
				j.Last[i].Millis = 0
			}
		}
		id := "j-" + pipeline.Token(j.ID)
		s.parts = append(s.parts, piece{id, "job-row", jobRow{j, id}})
		s.lists["jobs"] = append(s.lists["jobs"], id)
	}
	return s, nil
}

type jobRow struct {
	Job
	Part string
}

// Marks are the last runs, the oldest first.
func (j jobRow) Marks() []RunLine {
	out := slices.Clone(j.Last)
	slices.Reverse(out)
	return out
}

// logTail is how much of a run's log its page shows, in bytes.
const logTail = 6 << 10

// lookAtRun looks at one run.
func lookAtRun(ctx context.Context, b Backend, id string) (*snapshot, error) {
	r, err := b.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	log, err := b.Log(ctx, id, logTail)
	if err != nil {
		return nil, err
	}
	v := &runView{Run: *r, Tail: log}
	s := &snapshot{view: v, going: r.Going(), lists: map[string][]string{"connections": {}, "destinations": {}}}
	head := v.head()
	s.parts = append(s.parts, piece{"head", "run-head", head}, piece{"acts", "run-acts", head}, piece{"counts", "run-counts", countsOf(r)}, piece{"charts", "run-charts", chartsOf(r)},
		piece{"advice", "run-advice", adviceOf(r)}, piece{"log", "run-log", logView{r.Run, log}})
	for i := range r.Destinations {
		d := destinationRow{Destination: r.Destinations[i], Part: "d-" + pipeline.Token(r.Destinations[i].ID), Run: r.Run}
		s.parts = append(s.parts, piece{d.Part, "destination-row", d})
		s.lists["destinations"] = append(s.lists["destinations"], d.Part)
	}
	for i := range r.Connections {
		c := connectionRow{r.Connections[i], "c-" + pipeline.Token(r.Connections[i].ID)}
		s.parts = append(s.parts, piece{c.Part, "connection-row", c})
		s.lists["connections"] = append(s.lists["connections"], c.Part)
	}
	return s, nil
}

// runView is a run's page.
type runView struct {
	Run  Run
	Tail string
}

// headView is what stands above everything of a run.
type headView struct {
	RunLine
	Part  string
	Since time.Time // as in runRow

	Owner, Resume, Again, Cancel, TimeZone string
	Selected                               bool
	Params                                 []Param
}

func (v *runView) head() headView {
	row := rowOf(v.Run.RunLine)
	return headView{row.RunLine, row.Part, row.Since, v.Run.Owner, v.Run.Resume, v.Run.Again, v.Run.Cancel, v.Run.TimeZone, v.Run.Selected, v.Run.Params}
}

type destinationRow struct {
	Destination
	Part, Run string
}

type connectionRow struct {
	Connection
	Part string
}

type logView struct{ Run, Text string }

type adviceView struct {
	Suggestions, Drift, Told []string
}

func adviceOf(r *Run) adviceView { return adviceView{r.Suggestions, r.Drift, r.Told} }

// Rows are the parts of the page as it is made, the same that its stream sends.
func (v *runView) Rows() (out []connectionRow) {
	for _, c := range v.Run.Connections {
		out = append(out, connectionRow{c, "c-" + pipeline.Token(c.ID)})
	}
	return out
}

// Into are the destinations as rows.
func (v *runView) Into() (out []destinationRow) {
	for _, d := range v.Run.Destinations {
		out = append(out, destinationRow{Destination: d, Part: "d-" + pipeline.Token(d.ID), Run: v.Run.Run})
	}
	return out
}

// Head, Counts, Charts, Advice and Log are the other parts.
func (v *runView) Head() headView     { return v.head() }
func (v *runView) Counts() countsView { return countsOf(&v.Run) }
func (v *runView) Plots() []plot      { return chartsOf(&v.Run) }
func (v *runView) Advice() adviceView { return adviceOf(&v.Run) }
func (v *runView) End() logView       { return logView{v.Run.Run, v.Tail} }
