package web

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// codes are what fanmill ui opens a browser with: each is good once, for codeFor.
type codes struct {
	mu   sync.Mutex
	good map[string]time.Time
}

// codeFor is how long the browser may take to start.
const codeFor = time.Minute

// Code makes a code that logs a browser in once, by the page login#CODE: a fragment is in no log and no Referer.
func (s *Server) Code() string {
	s.codes.mu.Lock()
	defer s.codes.mu.Unlock()
	if s.codes.good == nil {
		s.codes.good = map[string]time.Time{}
	}
	code := random()
	s.codes.good[code] = time.Now().Add(codeFor)
	return code
}

// take uses a code up.
func (c *codes) take(code string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.good[code]
	delete(c.good, code)
	return ok && time.Now().Before(until)
}

// throttle slows down who guesses: after burst failures one more is looked at each pause.
type throttle struct {
	mu   sync.Mutex
	full time.Time // when all failures so far are paid for
}

const (
	failurePause = 2 * time.Second
	failureBurst = 10
)

// open reports whether one more attempt is looked at.
func (t *throttle) open() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Until(t.full) <= (failureBurst-1)*failurePause
}

func (t *throttle) failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); t.full.Before(now) {
		t.full = now
	}
	t.full = t.full.Add(failurePause)
}

// inside lets those through who may see the page. Who follows a link from a mail comes without the cookie, as that is
// for our own pages alone: they get a page that loads itself anew, from this site.
func (s *Server) inside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(r)
		api := strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/metrics" || r.URL.Path == "/events"
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case c.In:
			next.ServeHTTP(w, r)
		case api:
			w.Header().Set("WWW-Authenticate", `Bearer realm="fanmill"`)
			s.fail(w, r, &refused{http.StatusUnauthorized, "log in first: send the token as Authorization: Bearer TOKEN"})
		case r.Method == http.MethodGet && (site == "cross-site" || site == "same-site"):
			s.render(w, r, http.StatusOK, "away", page{})
		default:
			s.render(w, r, http.StatusUnauthorized, "login", page{Title: "Log in", Data: loginView{Next: here(r)}})
		}
	})
}

// loginView is what the page for the token shows.
type loginView struct {
	Next  string // where to go then, seen from the page's root
	Error string
	Token bool // there is a token: without, only the proxy lets people in
}

// here is a request's address, seen from the page's root.
func here(r *http.Request) string { return strings.TrimPrefix(r.URL.RequestURI(), "/") }

// within is an address below the page's root; "" for any other.
func within(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.Opaque != "" || strings.HasPrefix(next, "/") || strings.ContainsAny(next, "\\\r\n") || strings.Contains(u.Path, "..") {
		return ""
	}
	return next
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	if callerOf(r).In {
		s.goTo(w, r, "")
		return
	}
	s.render(w, r, http.StatusOK, "login", page{Title: "Log in", Data: loginView{}})
}

// login takes the token, or a code, and sends the cookie.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if err := s.own(r); err != nil {
		s.fail(w, r, err)
		return
	}
	view := loginView{Next: within(r.PostFormValue("next"))}
	if !s.failures.open() {
		view.Error = "too many wrong tokens; wait a few seconds"
		s.render(w, r, http.StatusTooManyRequests, "login", page{Title: "Log in", Data: view})
		return
	}
	code, token := r.PostFormValue("code"), r.PostFormValue("token")
	if (code == "" || !s.codes.take(code)) && (s.o.Token == "" || !same(token, s.o.Token)) {
		s.failures.failed()
		view.Error = "this is not the token"
		if code != "" {
			view.Error = "the link was used before, or is too old: start fanmill ui again, or give the token"
		}
		s.render(w, r, http.StatusForbidden, "login", page{Title: "Log in", Data: view})
		return
	}
	s.begin(w, r, sessionIn, loginFor)
	s.goTo(w, r, view.Next)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.own(r); err != nil {
		s.fail(w, r, err)
		return
	}
	s.begin(w, r, sessionOpen, 0)
	s.goTo(w, r, "login")
}
