package web

import (
	"context"
	"net/http"
	"strings"

	"fanmill/pipeline"
)

// confirmView asks before something is done that cannot be undone.
type confirmView struct {
	Question, Button string
	Lines            []string
	Fields           []field // that go on to the change
	Back             string  // where to go instead, seen from the root
}

type field struct{ Name, Value string }

// change is one thing that a page can do. Its address is asked with GET, which shows the question, and done with POST.
type change struct {
	address string
	ask     func(ctx context.Context, r *http.Request, b Backend) (*confirmView, error) // nil is done at once
	do      func(ctx context.Context, r *http.Request, b Backend) (*Done, error)
	back    func(r *http.Request, d *Done) string // the page that follows, seen from the root
}

// runBack leads to the page of the run that an address names, or of the one that was begun.
func runBack(r *http.Request, d *Done) string {
	if d.Run != "" {
		return "runs/" + d.Run
	}
	return "runs/" + r.PathValue("run")
}

// jobBack leads to the page of the job that an address names.
func jobBack(r *http.Request, _ *Done) string { return "jobs/" + r.PathValue("job") }

func to(page string) func(*http.Request, *Done) string {
	return func(*http.Request, *Done) string { return page }
}

func by(r *http.Request) string         { return callerOf(r).Name }
func revisionIn(r *http.Request) string { return r.PostFormValue("revision") }

// changes are what pages can do.
func (s *Server) changes() []change {
	return []change{
		{address: "/runs/{run}/resume", back: runBack, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.Resume(ctx, by(r), r.PathValue("run"), revisionIn(r))
		}},
		{address: "/runs/{run}/cancel", back: runBack, ask: askCancel, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.Cancel(ctx, by(r), r.PathValue("run"), revisionIn(r))
		}},
		{address: "/runs/{run}/forget", back: to(""), ask: askForget, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.Forget(ctx, by(r), r.PathValue("run"), revisionIn(r))
		}},
		{address: "/checkpoints/{job}/drop", back: to("checkpoints"), ask: askGiveUp, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.GiveUp(ctx, by(r), pipeline.Untoken(r.PathValue("job")), revisionIn(r))
		}},
		{address: "/dead/{key}/replay", back: to("dead"), ask: askReplay, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.Replay(ctx, by(r), r.PathValue("key"), revisionIn(r), r.PostFormValue("resend") != "")
		}},
		{address: "/dead/{key}/drop", back: to("dead"), ask: askDrop, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.Drop(ctx, by(r), r.PathValue("key"), revisionIn(r))
		}},
		{address: "/jobs/{job}/schedule/pause", back: jobBack, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.PauseSchedule(ctx, by(r), pipeline.Untoken(r.PathValue("job")), revisionIn(r))
		}},
		{address: "/jobs/{job}/schedule/resume", back: jobBack, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.ResumeSchedule(ctx, by(r), pipeline.Untoken(r.PathValue("job")), revisionIn(r))
		}},
		{address: "/jobs/{job}/start", back: runBack, do: func(ctx context.Context, r *http.Request, b Backend) (*Done, error) {
			return b.Start(ctx, by(r), pipeline.Untoken(r.PathValue("job")), startOf(r))
		}},
	}
}

// asked shows a change's question.
func (s *Server) asked(c change) func(http.ResponseWriter, *http.Request, Backend) error {
	return func(w http.ResponseWriter, r *http.Request, b Backend) error {
		v, err := c.ask(r.Context(), r, b)
		if err != nil {
			return err
		}
		s.render(w, r, http.StatusOK, "confirm", page{Title: v.Question, Data: v})
		return nil
	}
}

// done does a change, and leads to the page that shows it, with what the command would say.
func (s *Server) done(c change) func(http.ResponseWriter, *http.Request, Backend) error {
	return func(w http.ResponseWriter, r *http.Request, b Backend) error {
		if err := s.own(r); err != nil {
			return err
		}
		ctx := context.WithoutCancel(r.Context()) // a browser that leaves takes nothing back
		if c.address == "/jobs/{job}/start" {
			if ask, err := askStart(r, b); err != nil || ask != nil {
				if err == nil {
					s.render(w, r, http.StatusOK, "confirm", page{Title: ask.Question, Data: ask})
				}
				return err
			}
		}
		d, err := c.do(ctx, r, b)
		if err != nil {
			return err
		}
		s.hub.changed(d.Run)
		s.goTo(w, r, c.back(r, d)+"?said="+s.said.keep(strings.TrimSpace(d.Said)))
		return nil
	}
}

func askCancel(ctx context.Context, r *http.Request, b Backend) (*confirmView, error) {
	run, err := b.Run(ctx, r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	v := &confirmView{Question: "Stop run " + run.RunLine.Run + "?", Button: "Stop it", Back: "runs/" + run.RunLine.Run, Fields: []field{{"revision", run.Revision}},
		Lines: []string{"Its queries end. What they have delivered whole is written, and a resume goes on from there."}}
	if run.State == "queued" {
		v.Lines = []string{"It waits for its turn, and is taken out of line."}
	}
	return v, nil
}

func askForget(ctx context.Context, r *http.Request, b Backend) (*confirmView, error) {
	run, err := b.Run(ctx, r.PathValue("run"))
	if err != nil {
		return nil, err
	}
	return &confirmView{Question: "Forget run " + run.RunLine.Run + "?", Button: "Forget it", Back: "runs/" + run.RunLine.Run, Fields: []field{{"revision", run.Revision}},
		Lines: []string{"Its records and its row log are removed. Its files stay as they are."}}, nil
}

func askGiveUp(_ context.Context, r *http.Request, b Backend) (*confirmView, error) {
	c, err := checkpointOf(r, b)
	if err != nil {
		return nil, err
	}
	return &confirmView{Question: "Drop the checkpoint of " + c.JobName + "?", Button: "Drop it", Back: "checkpoints", Fields: []field{{"revision", c.Revision}},
		Lines: []string{"Run " + c.Run + " is given up: nothing is left to resume, and the next run asks every connection again.", "Its files stay as they were last published."}}, nil
}

func askReplay(ctx context.Context, r *http.Request, b Backend) (*confirmView, error) {
	l, err := b.Letter(ctx, r.PathValue("key"))
	if err != nil {
		return nil, err
	}
	v := &confirmView{Question: "Send the request again?", Button: "Send it again", Back: "dead/" + l.Key, Fields: []field{{"revision", l.Revision}},
		Lines: []string{"The next resume of run " + l.Run + " sends it to " + l.Where + ", with the same bytes under the same key."}}
	if l.Unknown {
		v.Lines = append(v.Lines, "Its receiver may have it: "+l.Error+". Look there first.")
		v.Fields = append(v.Fields, field{"resend", "yes"})
	}
	return v, nil
}

func askDrop(ctx context.Context, r *http.Request, b Backend) (*confirmView, error) {
	l, err := b.Letter(ctx, r.PathValue("key"))
	if err != nil {
		return nil, err
	}
	return &confirmView{Question: "Drop the request?", Button: "Drop it", Back: "dead/" + l.Key, Fields: []field{{"revision", l.Revision}},
		Lines: []string{"Its bytes go at once. Its connections are missing in " + l.Destination + " for good."}}, nil
}

// startOf reads the form of a new run.
func startOf(r *http.Request) Start {
	_ = r.ParseForm() // own has
	return Start{Params: paramsOf(r), Connections: r.PostForm["connection"], GiveUp: r.PostFormValue("giveUp"), StartOver: r.PostFormValue("startOver") != ""}
}

// paramsOf are the parameters of a form, which are called param.NAME; what was left empty is the job's.
func paramsOf(r *http.Request) map[string]any {
	out := map[string]any{}
	for name, values := range r.PostForm {
		if name, ok := strings.CutPrefix(name, "param."); ok && values[0] != "" {
			out[name] = values[0]
		}
	}
	return out
}

// askStart asks before a new run gives an unfinished one up; nil if there is none, or it was asked.
func askStart(r *http.Request, b Backend) (*confirmView, error) {
	j, err := jobOf(r, b)
	if err != nil {
		return nil, err
	}
	last := unfinished(j)
	if last == nil || r.PostFormValue("giveUp") == last.Run {
		return nil, nil
	}
	v := &confirmView{Question: "Start over?", Button: "Give it up and start", Back: "jobs/" + pipeline.Token(j.ID), Fields: []field{{"giveUp", last.Run}},
		Lines: []string{"Run " + last.Run + " is " + last.State + ". A new run gives it up, and asks every connection again; a resume asks only for what is missing."}}
	if len(last.Owing) > 0 {
		v.Lines = append(v.Lines, "Some of its rows may have been sent to "+strings.Join(last.Owing, ", ")+". They are sent again.")
		v.Fields = append(v.Fields, field{"startOver", "yes"})
	}
	for name, values := range r.PostForm {
		if strings.HasPrefix(name, "param.") || name == "connection" {
			for _, value := range values {
				v.Fields = append(v.Fields, field{name, value})
			}
		}
	}
	return v, nil
}

// unfinished is a job's run that a resume can go on with; nil if there is none.
func unfinished(j *Job) *RunLine {
	for i := range j.Last {
		if j.Last[i].Resumable {
			return &j.Last[i]
		}
	}
	return nil
}

// probed is the job whose databases are to be asked. That takes its time and changes nothing; only our own page may
// have it done.
func (s *Server) probed(w http.ResponseWriter, r *http.Request, b Backend) (*Job, error) {
	if err := s.own(r); err != nil {
		return nil, err
	}
	unbounded(w)
	return jobOf(r, b)
}

// check and preview show what they find.
func (s *Server) check(w http.ResponseWriter, r *http.Request, b Backend) error {
	j, err := s.probed(w, r, b)
	if err != nil {
		return err
	}
	c, err := b.Check(r.Context(), j.ID, r.PostForm["connection"], paramsOf(r))
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "check", page{Title: "Check of " + j.Name, Tab: "jobs", Data: checkView{*j, *c}})
	return nil
}

type checkView struct {
	Job
	Found Check
}

func (s *Server) preview(w http.ResponseWriter, r *http.Request, b Backend) error {
	j, err := s.probed(w, r, b)
	if err != nil {
		return err
	}
	rows, err := b.Preview(r.Context(), j.ID, Preview{Connection: r.PostFormValue("of"), Query: r.PostFormValue("query"), Params: paramsOf(r)})
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "preview", page{Title: "First rows of " + rows.Connection, Tab: "jobs", Data: previewView{*j, *rows}})
	return nil
}

type previewView struct {
	Job
	First Rows
}
