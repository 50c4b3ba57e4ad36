package web

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"

	"fanmill/pipeline"
)

// acts are the addresses of the HTTP API that change something, or ask databases.
func (s *Server) acts() []endpoint {
	return []endpoint{
		{method: "POST", path: "/jobs/{job}/runs", summary: "Ask for a new run", body: Start{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Start) (*Done, error) {
			j, err := jobOf(r, b)
			if err != nil {
				return nil, err
			}
			if last := unfinished(j); last != nil && v.GiveUp != last.Run && v.ID != last.Run {
				return nil, &refused{http.StatusConflict, "run " + last.Run + " is " + last.State + ", and a new one gives it up: say giveUp with its id, or resume it"}
			}
			return b.Start(ctx, by(r), j.ID, v)
		})},
		{method: "POST", path: "/jobs/{job}/schedule/pause", summary: "Have a job not run by itself", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.PauseSchedule(ctx, by(r), pipeline.Untoken(r.PathValue("job")), v.Revision)
		})},
		{method: "POST", path: "/jobs/{job}/schedule/resume", summary: "Have a job run by itself again, from its next time on", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.ResumeSchedule(ctx, by(r), pipeline.Untoken(r.PathValue("job")), v.Revision)
		})},
		{method: "POST", path: "/jobs/{job}/check", summary: "Reach every connection and destination", body: CheckAsk{}, result: Check{}, handle: act(s, func(_ context.Context, r *http.Request, b Backend, v CheckAsk) (*Check, error) {
			return b.Check(r.Context(), pipeline.Untoken(r.PathValue("job")), v.Connections, v.Params)
		})},
		{method: "POST", path: "/jobs/{job}/preview", summary: "The first 20 rows of a connection", body: Preview{}, result: Rows{}, handle: act(s, func(_ context.Context, r *http.Request, b Backend, v Preview) (*Rows, error) {
			return b.Preview(r.Context(), pipeline.Untoken(r.PathValue("job")), v)
		})},
		{method: "POST", path: "/runs/{run}/resume", summary: "Go on with an unfinished run", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.Resume(ctx, by(r), r.PathValue("run"), v.Revision)
		})},
		{method: "POST", path: "/runs/{run}/cancel", summary: "Stop a run, or take one that waits out of line", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.Cancel(ctx, by(r), r.PathValue("run"), v.Revision)
		})},
		{method: "DELETE", path: "/runs/{run}", summary: "Forget a run; its files stay", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.Forget(ctx, by(r), r.PathValue("run"), v.Revision)
		})},
		{method: "DELETE", path: "/checkpoints/{job}", summary: "Give a job's unfinished run up; its files stay", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.GiveUp(ctx, by(r), pipeline.Untoken(r.PathValue("job")), v.Revision)
		})},
		{method: "POST", path: "/dead/{key}/replay", summary: "Have a dead request sent again by the next resume of its run", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.Replay(ctx, by(r), r.PathValue("key"), v.Revision, v.Resend)
		})},
		{method: "DELETE", path: "/dead/{key}", summary: "Give a dead request up", body: Change{}, result: Done{}, handle: act(s, func(ctx context.Context, r *http.Request, b Backend, v Change) (*Done, error) {
			return b.Drop(ctx, by(r), r.PathValue("key"), v.Revision)
		})},
	}
}

// session is what a program without a token needs for a change: it keeps the cookie, and sends the token back as
// X-Csrf-Token.
type session struct {
	CSRF string `json:"csrf"`
}

func (s *Server) apiSession(w http.ResponseWriter, r *http.Request, _ Backend) error {
	answer(w, http.StatusOK, session{s.csrf(callerOf(r))})
	return nil
}

// act is the handler of a change: our own page, or a program with the token, sends JSON. Nothing else is JSON: a form
// of another site can be sent without asking its browser first.
func act[In, Out any](s *Server, do func(context.Context, *http.Request, Backend, In) (*Out, error)) func(http.ResponseWriter, *http.Request, Backend) error {
	return func(w http.ResponseWriter, r *http.Request, b Backend) error {
		if err := s.own(r); err != nil {
			return err
		}
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			return &refused{http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json"}
		}
		var v In
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return &refused{http.StatusBadRequest, "the body cannot be read: " + err.Error()}
		}
		unbounded(w)
		out, err := do(context.WithoutCancel(r.Context()), r, b, v)
		return answerIf(w, out, err)
	}
}
