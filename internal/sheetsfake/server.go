// Package sheetsfake is a local server that speaks the part of Google Sheets' API v4 which fanmill uses, for tests and
// crash runs. It is as strict as Google's: both quotas of a minute, subrequests in order and all or nothing, the limits
// of grids, cells and titles, field masks that reset, unique ids, tabs that take their metadata along. Where Google's
// behaviour is not documented it does what is worse for the caller.
package sheetsfake

import (
	"context"
	"crypto/rsa"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options of a server. The zero value is Google's quotas by the wall clock.
type Options struct {
	Now        func() time.Time // of the quotas; nil is time.Now
	PerUser    int              // requests of a kind (read, write) a minute and user; 0 is 60
	PerProject int              // requests of a kind a minute; 0 is 300
	MostCells  int64            // of a spreadsheet's grids together; 0 is 10,000,000
}

// Server is the fake. Its methods may be called while requests run.
type Server struct {
	opt      Options
	server   *http.Server
	url      string
	key      *rsa.PrivateKey
	mu       sync.Mutex
	books    map[string]*Book
	tokens   map[string]string // access token -> email
	quota    quota
	onCall   func(Call) Fault
	number   map[string]int // calls by kind
	counts   Counts
	tokenErr string        // what the token endpoint answers instead of a token; "" is none
	skew     time.Duration // of the server's Date header
}

// Counts are the requests that a server has seen.
type Counts struct {
	Reads, Writes, Tokens int
	Refused               int // by a quota
}

// Call is one request before it is answered.
type Call struct {
	Kind   string // get, batchUpdate, values, search, token
	Number int    // of this kind, from 1
	Book   string
	User   string
	Body   []byte
}

// Fault is what happens to a request instead of its answer.
type Fault struct {
	Status  int    // answered in place of doing anything; 0 is none
	Reason  string // of Status: error.details[].reason
	Message string // of Status
	Drop    bool   // the connection ends before anything is done
	Lost    bool   // the request is done, and the connection ends without an answer
	Late    int    // the request is done, and this status is answered
	Hang    bool   // the request is done, and no answer comes until the caller gives up
}

// Start starts a server on a free port of 127.0.0.1.
func Start(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.PerUser == 0 {
		o.PerUser = 60
	}
	if o.PerProject == 0 {
		o.PerProject = 300
	}
	if o.MostCells == 0 {
		o.MostCells = 10_000_000
	}
	key, err := signingKey()
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{opt: o, key: key, url: "http://" + l.Addr().String(), books: map[string]*Book{}, tokens: map[string]string{}, number: map[string]int{}}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// URL is the server's address: the client's endpoint.
func (s *Server) URL() string { return s.url + "/" }

// Close ends the server and its connections.
func (s *Server) Close() error { return s.server.Close() }

// OnCall has f decide on every request; nil lets all through.
func (s *Server) OnCall(f func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCall = f
}

// Counts counts the requests so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Skew moves the clock of the answers' Date headers.
func (s *Server) Skew(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = d
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := readAll(r)
	if err != nil {
		return
	}
	call, ok := route(r)
	if !ok {
		writeError(w, newError(http.StatusNotFound, "NOT_FOUND", "no such method: "+r.Method+" "+r.URL.Path))
		return
	}
	call.Body = body
	s.mu.Lock()
	s.number[call.Kind]++
	call.Number = s.number[call.Kind]
	call.User = s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	hook, now := s.onCall, time.Now().Add(s.skew)
	s.mu.Unlock()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	var fault Fault
	if hook != nil {
		fault = hook(call)
	}
	switch {
	case fault.Drop:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		writeError(w, newError(fault.Status, fault.Reason, fault.Message))
		return
	}
	s.mu.Lock()
	answer, failed := s.answer(r, &call)
	s.mu.Unlock()
	switch {
	case fault.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case fault.Lost:
		panic(http.ErrAbortHandler)
	case fault.Late != 0:
		writeError(w, newError(fault.Late, "backendError", "the service is currently unavailable"))
	case failed != nil:
		writeError(w, failed)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// route says what a request asks for.
func route(r *http.Request) (Call, bool) {
	if r.URL.Path == tokenPath && r.Method == http.MethodPost {
		return Call{Kind: "token"}, true
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/v4/spreadsheets/")
	if !ok {
		return Call{}, false
	}
	post := r.Method == http.MethodPost
	if id, ok := strings.CutSuffix(rest, ":batchUpdate"); ok && post {
		return Call{Kind: "batchUpdate", Book: id}, true
	}
	if id, ok := strings.CutSuffix(rest, "/developerMetadata:search"); ok && post {
		return Call{Kind: "search", Book: id}, true
	}
	if id, ok := strings.CutSuffix(rest, "/values:batchGetByDataFilter"); ok && post {
		return Call{Kind: "values", Book: id}, true
	}
	if r.Method != http.MethodGet {
		return Call{}, false
	}
	if id, _, ok := strings.Cut(rest, "/values/"); ok {
		return Call{Kind: "values", Book: id}, true
	}
	return Call{Kind: "get", Book: rest}, !strings.Contains(rest, "/")
}

// answer does what a request asks for. The server is locked.
func (s *Server) answer(r *http.Request, c *Call) (any, *apiError) {
	if c.Kind == "token" {
		return s.token(r, c.Body)
	}
	if c.User == "" {
		return nil, newError(http.StatusUnauthorized, "authError", "Request had invalid authentication credentials.")
	}
	if err := s.quota.take(s.opt, c.Kind == "batchUpdate", c.User); err != nil {
		s.counts.Refused++
		return nil, err
	}
	if c.Kind == "batchUpdate" {
		s.counts.Writes++
	} else {
		s.counts.Reads++
	}
	b := s.books[c.Book]
	if b == nil {
		return nil, newError(http.StatusNotFound, "notFound", "Requested entity was not found.")
	}
	role := b.shared[c.User]
	if role == "" || role == Reader && c.Kind == "batchUpdate" {
		return nil, newError(http.StatusForbidden, "forbidden", "The caller does not have permission")
	}
	switch c.Kind {
	case "batchUpdate":
		return b.batchUpdate(s.opt, c)
	case "search":
		return b.search(c.Body)
	case "values":
		return b.valuesOf(r, c.Body)
	default:
		return b.get(r)
	}
}
