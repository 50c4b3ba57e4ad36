package web

import (
	"io"
	"net/http"
)

// policy lets a page of ours load and ask what is ours, run no script and no style that stands in it, and be in no
// frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers are what every answer has.
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy+"; report-uri "+root(r)+"csp")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// maxReport bounds what is logged of a violation.
const maxReport = 2 << 10

// violated logs what a browser did not let a page do. The page has a mistake then, or somebody tries something.
func (s *Server) violated(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusNoContent)
	text, _ := io.ReadAll(io.LimitReader(r.Body, maxReport))
	s.violations.Add(1)
	if !s.reports.open() { // anybody may send one
		return
	}
	s.reports.failed()
	s.o.Log.Warn("a browser reports that the page broke its own content policy", "report", string(text))
}

// Violations is how often a browser has reported that the page broke its own content policy.
func (s *Server) Violations() int64 { return s.violations.Load() }
