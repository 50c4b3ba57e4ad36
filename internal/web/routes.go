package web

import (
	"io/fs"
	"net/http"
)

// routes are the addresses of the page.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthy)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("POST /csp", s.violated)
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err)
	}
	files := http.StripPrefix("/static/", http.FileServerFS(static))
	mux.Handle("GET /static/", bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Etag", staticTag)
		files.ServeHTTP(w, r)
	})))

	open := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, bounded(s.known(h))) }
	open("GET /login", s.showLogin)
	open("POST /login", s.login)
	open("POST /logout", s.logout)

	in := func(pattern string, h http.Handler) { mux.Handle(pattern, bounded(s.known(s.inside(h)))) }
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, Backend) error{
		"GET /{$}": s.runs, "GET /runs/{run}": s.run, "GET /runs/{run}/log": s.log, "GET /runs/{run}/manifest": s.manifest,
		"GET /runs/{run}/files/{destination}/{number}": s.file, "GET /jobs": s.jobs, "GET /jobs/{job}": s.job,
		"GET /checkpoints": s.checkpoints, "GET /checkpoints/{job}/export": s.export, "GET /dead": s.letters, "GET /dead/{key}": s.letter,
		"GET /events": s.events,
	} {
		in(pattern, s.with(h))
	}
	for _, c := range s.changes() {
		if c.ask != nil {
			in("GET "+c.address, s.with(s.asked(c)))
		}
		in("POST "+c.address, s.with(s.done(c)))
	}
	in("POST /jobs/{job}/check", s.with(s.check))
	in("POST /jobs/{job}/preview", s.with(s.preview))
	for _, e := range s.endpoints() {
		in(e.method+" "+apiRoot+e.path, s.with(e.handle))
	}
	in("GET "+apiRoot+"/openapi.json", http.HandlerFunc(s.describe))
	in("GET /metrics", s.metrics.handler())
	if s.o.Pprof {
		in("/debug/pprof/", s.profile())
	}
	in("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &refused{http.StatusNotFound, "there is no such page"})
	}))
	return mux
}

// with hands the Backend to a handler, and turns its error into an answer.
func (s *Server) with(f func(w http.ResponseWriter, r *http.Request, b Backend) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := s.backend.Load()
		if b == nil {
			w.Header().Set("Retry-After", "2")
			s.fail(w, r, &refused{http.StatusServiceUnavailable, "the store is not open yet; try again in a moment"})
			return
		}
		if err := f(w, r, *b); err != nil {
			s.fail(w, r, err)
		}
	})
}
