// Package web is the page, its HTTP API, health and metrics. It shows what a Backend tells, and asks the Backend for
// what people do; it knows no store, no job file and no command line, and imports nothing of the module but pipeline.
//
// Every request walks the same way: host.go (which name was asked for), headers.go, session.go (who asks), csrf.go
// (changes only), then the handler.
package web

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how the page is reached, and by whom.
type Options struct {
	Token      string         // what people and programs log in with; "" lets everybody in
	Hosts      []string       // names under which the page may be asked for, besides IP addresses and localhost
	UserHeader string         // a header in which a reverse proxy names the user that it has let in; "" is none
	Proxies    []netip.Prefix // whose UserHeader and X-Forwarded-Proto count
	TLS        bool           // cookies are for TLS only
	// Connections has metrics of each connection: as many series as there are branches.
	Connections bool
	Pprof       bool   // serve /debug/pprof/, to clients of this host only
	Name        string // of the cookie: pages on other ports of this host have their own
	Words       Words  // how numbers are written
	Log         *slog.Logger
}

// Words write numbers as the rest of the program does.
type Words struct {
	Count    func(int64) string              // 12,345
	Size     func(int64) string              // 12.3 MB, of bytes
	Duration func(time.Duration) string      // 1m30s
	Of       func(n int64, of string) string // 3 connections
}

// Server serves the page. Its Backend may be exchanged while it serves, and be missing for a while.
type Server struct {
	o        Options
	key      []byte // of sessions and CSRF tokens
	handler  http.Handler
	backend  atomic.Pointer[Backend]
	draining atomic.Bool
	guard    *http.CrossOriginProtection
	hub      *hub
	metrics  *metrics
	said     said

	templates map[string]*template.Template

	codes    codes
	failures throttle // of logins
	reports  throttle // of violations

	violations atomic.Int64

	streams context.Context // ends when the server stops: streams end with it
	end     context.CancelFunc
	work    sync.WaitGroup // what goes on besides requests
	unhear  func()         // of the present Backend
}

// New makes a server that has no Backend yet.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = "fanmill"
	}
	s := &Server{o: o, key: sessionKey(o.Token), guard: http.NewCrossOriginProtection(), hub: newHub(), templates: parse(o.Words), unhear: func() {}}
	s.streams, s.end = context.WithCancel(context.Background())
	s.metrics = newMetrics(s)
	s.handler = s.named(s.headers(s.routes()))
	return s
}

// Attach has the server show a Backend; nil takes the last one away, while its store is exchanged. It is called by one
// goroutine.
func (s *Server) Attach(b Backend) {
	s.unhear()
	s.unhear = func() {}
	if b == nil {
		s.backend.Store(nil)
		return
	}
	s.backend.Store(&b)
	ctx, stop := context.WithCancel(s.streams)
	heard := make(chan struct{})
	s.work.Go(func() {
		defer close(heard)
		b.Changes(ctx, s.hub.changed)
	})
	s.unhear = func() {
		stop()
		<-heard
	}
}

// Drain says that the process is about to end: it is not ready any more, and still shows how its runs come to an end.
func (s *Server) Drain() { s.draining.Store(true) }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// The bounds of a request. A stream and a download have none for their answer.
const (
	headerPatience = 10 * time.Second
	readPatience   = 30 * time.Second
	answerPatience = 2 * time.Minute
	idlePatience   = 2 * time.Minute
	stopPatience   = 2 * time.Second
	maxHeader      = 32 << 10
	maxBody        = 1 << 20
)

// Serve serves connections of l until ctx ends. Then open streams end, answers that are under way have stopPatience,
// and l is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s, ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug)}
	srv.RegisterOnShutdown(s.end)
	var work sync.WaitGroup
	served := make(chan struct{})
	work.Go(func() {
		select {
		case <-ctx.Done():
		case <-served:
		}
		stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
		defer stop()
		if srv.Shutdown(stopping) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(l)
	close(served)
	work.Wait()
	s.end()
	s.work.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the page: %w", err)
}

// bounded bounds how long a request's body may come, and how long its answer may take.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(readPatience)) // a test's recorder has none
		_ = c.SetWriteDeadline(time.Now().Add(answerPatience))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// unbounded is for answers that take as long as they take.
func unbounded(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{})
}
