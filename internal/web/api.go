package web

import (
	"net/http"
	"strconv"

	"fanmill/pipeline"
)

// apiRoot is above the addresses of the HTTP API.
const apiRoot = "/api/v1"

// endpoint is one address of the HTTP API. The OpenAPI document is made from it, so that the two agree.
type endpoint struct {
	method, path string
	summary      string
	query        []parameter
	body         any // an example of what it takes, for its type; nil is nothing
	result       any // and of what it answers; nil is no JSON: media says what
	media        string
	handle       func(w http.ResponseWriter, r *http.Request, b Backend) error
}

// parameter is one of an address's query.
type parameter struct{ name, about string }

// endpoints are the addresses of the HTTP API. Ids in addresses are spelled by pipeline.Token, as in subjects.
func (s *Server) endpoints() []endpoint {
	return append(s.acts(), []endpoint{
		{method: "GET", path: "/session", summary: "The token for changes of a client without the bearer token", result: session{}, handle: s.apiSession},
		{method: "GET", path: "/about", summary: "The process that answers", result: About{}, handle: s.apiAbout},
		{method: "GET", path: "/runs", summary: "Runs, the newest first, those that wait among them", result: []RunLine{}, handle: s.apiRuns,
			query: []parameter{{"job", "id of the job"}, {"state", "state of the run"}, {"day", "day on which it began, 2026-04-01"}, {"limit", "how many, 20 otherwise; 0 is all"}}},
		{method: "GET", path: "/runs/{run}", summary: "A run: connections, destinations, files, charts, suggestions", result: Run{}, handle: s.apiRun},
		{method: "GET", path: "/runs/{run}/manifest", summary: "The run as it was resolved when it began", media: "application/json", handle: s.manifest},
		{method: "GET", path: "/runs/{run}/log", summary: "The run's log", media: "text/plain", handle: s.log, query: []parameter{{"bytes", "how much of its end"}}},
		{method: "GET", path: "/runs/{run}/files/{destination}/{number}", summary: "An artifact, compared with its SHA-256 before it is sent", media: "application/octet-stream", handle: s.file},
		{method: "GET", path: "/jobs", summary: "Jobs as they were last served or run", result: []Job{}, handle: s.apiJobs},
		{method: "GET", path: "/jobs/{job}", summary: "A job", result: Job{}, handle: s.apiJob},
		{method: "GET", path: "/checkpoints", summary: "Checkpoints of unfinished runs", result: []Checkpoint{}, handle: s.apiCheckpoints},
		{method: "GET", path: "/checkpoints/{job}", summary: "A job's checkpoint", result: Checkpoint{}, handle: s.apiCheckpoint},
		{method: "GET", path: "/dead", summary: "Dead requests, the oldest first", result: []Letter{}, handle: s.apiLetters},
		{method: "GET", path: "/dead/{key}", summary: "A dead request with the beginning of its body", result: Letter{}, handle: s.apiLetter},
	}...)
}

func (s *Server) apiAbout(w http.ResponseWriter, _ *http.Request, b Backend) error {
	answer(w, http.StatusOK, b.About())
	return nil
}

// apiLimit is how many runs are listed unless a request says otherwise.
const apiLimit = 20

func (s *Server) apiRuns(w http.ResponseWriter, r *http.Request, b Backend) error {
	all, err := b.Runs(r.Context())
	if err != nil {
		return err
	}
	limit := apiLimit
	if text := r.FormValue("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
			return &refused{http.StatusBadRequest, "limit is a whole number, and 0 is all"}
		}
	}
	f := filterOf(r)
	out := []RunLine{}
	for _, l := range all {
		if f.takes(&l) && (limit == 0 || len(out) < limit) {
			out = append(out, l)
		}
	}
	answer(w, http.StatusOK, out)
	return nil
}

func (s *Server) apiRun(w http.ResponseWriter, r *http.Request, b Backend) error {
	run, err := b.Run(r.Context(), r.PathValue("run"))
	return answerIf(w, run, err)
}

// answerIf answers with v, unless there is an error.
func answerIf(w http.ResponseWriter, v any, err error) error {
	if err == nil {
		answer(w, http.StatusOK, v)
	}
	return err
}

func (s *Server) apiJobs(w http.ResponseWriter, r *http.Request, b Backend) error {
	all, err := b.Jobs(r.Context())
	return answerIf(w, all, err)
}

func (s *Server) apiJob(w http.ResponseWriter, r *http.Request, b Backend) error {
	j, err := jobOf(r, b)
	return answerIf(w, j, err)
}

func (s *Server) apiCheckpoints(w http.ResponseWriter, r *http.Request, b Backend) error {
	all, err := b.Checkpoints(r.Context())
	return answerIf(w, all, err)
}

func (s *Server) apiCheckpoint(w http.ResponseWriter, r *http.Request, b Backend) error {
	c, err := checkpointOf(r, b)
	return answerIf(w, c, err)
}

func (s *Server) apiLetters(w http.ResponseWriter, r *http.Request, b Backend) error {
	all, err := b.Letters(r.Context())
	return answerIf(w, all, err)
}

func (s *Server) apiLetter(w http.ResponseWriter, r *http.Request, b Backend) error {
	l, err := b.Letter(r.Context(), pipeline.Untoken(r.PathValue("key")))
	return answerIf(w, l, err)
}
