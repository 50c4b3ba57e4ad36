package web

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"fanmill/pipeline"
)

// runsView is the list of runs, filtered.
type runsView struct {
	Rows            []runRow
	Jobs, States    []string // to choose from
	Job, State, Day string   // what was chosen
	Filtered        bool
	Before, After   string // addresses of the pages beside this one, seen from the root
}

// runStates are the states that a list of runs may be filtered by.
var runStates = []string{"queued", "running", "complete", "partial", "failed", "interrupted", "abandoned"}

// filter chooses runs.
type filter struct{ job, state, day string }

func filterOf(r *http.Request) filter {
	return filter{r.FormValue("job"), r.FormValue("state"), r.FormValue("day")}
}

// takes reports whether a run is chosen. A day is one of this host's time zone.
func (f filter) takes(l *RunLine) bool {
	at := l.Started
	if at.IsZero() {
		at = l.Asked
	}
	return (f.job == "" || l.JobID == f.job) && (f.state == "" || l.State == f.state) && (f.day == "" || at.Local().Format(time.DateOnly) == f.day)
}

// where is the address of a page of the list.
func (f filter) where(page int) string {
	q := url.Values{}
	for name, value := range map[string]string{"job": f.job, "state": f.state, "day": f.day} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if page > 0 {
		q.Set("page", strconv.Itoa(page))
	}
	return "?" + q.Encode()
}

func (s *Server) runs(w http.ResponseWriter, r *http.Request, _ Backend) error {
	view, mark, err := s.seen(r.Context(), topicRuns)
	if err != nil {
		return err
	}
	f := filterOf(r)
	number, _ := strconv.Atoi(r.FormValue("page"))
	v := runsView{States: runStates, Job: f.job, State: f.state, Day: f.day, Filtered: f != filter{} || number > 0}
	var chosen []RunLine
	for _, line := range view.([]RunLine) {
		if !slices.Contains(v.Jobs, line.JobID) {
			v.Jobs = append(v.Jobs, line.JobID)
		}
		if f.takes(&line) {
			chosen = append(chosen, line)
		}
	}
	slices.Sort(v.Jobs)
	from := min(max(number, 0)*listed, len(chosen))
	to := min(from+listed, len(chosen))
	for _, line := range chosen[from:to] {
		v.Rows = append(v.Rows, rowOf(line))
	}
	if from > 0 {
		v.Before = f.where(number - 1)
	}
	if to < len(chosen) {
		v.After = f.where(number + 1)
	}
	s.render(w, r, http.StatusOK, "runs", page{Title: "Runs", Tab: "runs", Topic: topicRuns, Mark: mark, Data: v})
	return nil
}

func (s *Server) run(w http.ResponseWriter, r *http.Request, _ Backend) error {
	topic := topicRun + r.PathValue("run")
	view, mark, err := s.seen(r.Context(), topic)
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "run", page{Title: "Run " + r.PathValue("run"), Tab: "runs", Topic: topic, Mark: mark, Data: view})
	return nil
}

func (s *Server) jobs(w http.ResponseWriter, r *http.Request, _ Backend) error {
	view, mark, err := s.seen(r.Context(), topicJobs)
	if err != nil {
		return err
	}
	rows := []jobRow{}
	for _, j := range view.([]Job) {
		rows = append(rows, jobRow{j, "j-" + pipeline.Token(j.ID)})
	}
	s.render(w, r, http.StatusOK, "jobs", page{Title: "Jobs", Tab: "jobs", Topic: topicJobs, Mark: mark, Data: rows})
	return nil
}

func (s *Server) job(w http.ResponseWriter, r *http.Request, b Backend) error {
	j, err := jobOf(r, b)
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "job", page{Title: j.Name, Tab: "jobs", Data: jobRow{*j, ""}})
	return nil
}

// jobOf is the job that an address names.
func jobOf(r *http.Request, b Backend) (*Job, error) {
	all, err := b.Jobs(r.Context())
	if err != nil {
		return nil, err
	}
	id := pipeline.Untoken(r.PathValue("job"))
	if i := slices.IndexFunc(all, func(j Job) bool { return j.ID == id }); i >= 0 {
		return &all[i], nil
	}
	return nil, None("there is no job %q", id)
}

func (s *Server) checkpoints(w http.ResponseWriter, r *http.Request, b Backend) error {
	all, err := b.Checkpoints(r.Context())
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "checkpoints", page{Title: "Checkpoints", Tab: "checkpoints", Data: all})
	return nil
}

// checkpointOf is the checkpoint of the job that an address names.
func checkpointOf(r *http.Request, b Backend) (*Checkpoint, error) {
	all, err := b.Checkpoints(r.Context())
	if err != nil {
		return nil, err
	}
	id := pipeline.Untoken(r.PathValue("job"))
	if i := slices.IndexFunc(all, func(c Checkpoint) bool { return c.JobID == id }); i >= 0 {
		return &all[i], nil
	}
	return nil, None("job %q has no checkpoint: its last run is complete or given up, or it never ran", id)
}

func (s *Server) export(w http.ResponseWriter, r *http.Request, b Backend) error {
	c, err := checkpointOf(r, b)
	if err != nil {
		return err
	}
	attach(w, "checkpoint "+c.JobID+".json")
	answer(w, http.StatusOK, c)
	return nil
}

func (s *Server) letters(w http.ResponseWriter, r *http.Request, b Backend) error {
	all, err := b.Letters(r.Context())
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "dead", page{Title: "Dead letters", Tab: "dead", Data: all})
	return nil
}

func (s *Server) letter(w http.ResponseWriter, r *http.Request, b Backend) error {
	l, err := b.Letter(r.Context(), r.PathValue("key"))
	if err != nil {
		return err
	}
	s.render(w, r, http.StatusOK, "letter", page{Title: "Request " + l.Key[:min(12, len(l.Key))], Tab: "dead", Data: l})
	return nil
}

// wholeLog is how much of a log is sent, in bytes.
const wholeLog = 64 << 20

func (s *Server) log(w http.ResponseWriter, r *http.Request, b Backend) error {
	most := int64(wholeLog)
	if n, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64); err == nil && n > 0 {
		most = min(n, wholeLog)
	}
	text, err := b.Log(r.Context(), r.PathValue("run"), most)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text)
	return nil
}

func (s *Server) manifest(w http.ResponseWriter, r *http.Request, b Backend) error {
	text, err := b.Manifest(r.Context(), r.PathValue("run"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(text)
	return nil
}

// file sends an artifact: the address names a run, a destination and a number, and never a path.
func (s *Server) file(w http.ResponseWriter, r *http.Request, b Backend) error {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		return None("there is no such file")
	}
	unbounded(w)
	c, err := b.Open(r.Context(), r.PathValue("run"), pipeline.Untoken(r.PathValue("destination")), number)
	if err != nil {
		return err
	}
	defer c.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", `"`+c.File.SHA256+`"`)
	w.Header().Set("X-Sha256", c.File.SHA256)
	attach(w, c.File.Name)
	http.ServeContent(w, r, "", c.File.At, c)
	return nil
}

// attach has a browser save an answer under a name [RFC 6266], whatever is in it.
func attach(w http.ResponseWriter, name string) {
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	if w.Header().Get("Content-Disposition") == "" { // no such name can be sent
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename*=UTF-8''%s", url.PathEscape(name)))
	}
}
