package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"
)

// readyPatience bounds the look at the store.
const readyPatience = 3 * time.Second

// healthy says whether the process is to be killed: only if it is stuck. A store that is away is no reason, as a
// process that is killed in the middle of a commit has to do it again.
func (s *Server) healthy(w http.ResponseWriter, r *http.Request) {
	if b := s.backend.Load(); b != nil {
		if err := (*b).Alive(); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
	}
	plain(w, http.StatusOK, "ok")
}

// ready says whether triggers and requests are to be sent here: the store answers, and the process is not about to end.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	b := s.backend.Load()
	switch {
	case s.draining.Load():
		plain(w, http.StatusServiceUnavailable, "draining: the process is about to end")
		return
	case b == nil:
		plain(w, http.StatusServiceUnavailable, "the store is not open yet")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
	defer cancel()
	if err := (*b).Ready(ctx); err != nil {
		s.o.Log.Debug("not ready", "error", err)
		plain(w, http.StatusServiceUnavailable, "the store does not answer") // why is in the log: anybody may ask here
		return
	}
	plain(w, http.StatusOK, "ready")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// profile serves pprof to clients of this host.
func (s *Server) profile() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Through a proxy of this host everybody's requests come from here.
		if !peer(r).IsLoopback() || len(s.o.Proxies) > 0 {
			s.fail(w, r, &refused{http.StatusForbidden, "profiles are for clients of this host only"})
			return
		}
		unbounded(w)
		mux.ServeHTTP(w, r)
	})
}
