// Package minitds is a small SQL Server for tests: it speaks TDS 7.4 over TCP [MS-TDS], with or without TLS, and says
// what a script tells it to. It knows no SQL. What it can do is what drivers get wrong: every data type and its NULL,
// errors before, between and after rows, several results, connections that drop, cancels that are confirmed or never,
// logins that are refused, and servers that are too old to describe a query.
//
// It records what clients sent, typed, so that a test can look.
package minitds

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Encryption is what the server answers in PRELOGIN [MS-TDS] 2.2.6.5.
type Encryption byte

// The server's stand on encryption, by the numbers of the protocol.
const (
	EncryptOff          Encryption = 0 // the login only, unless the client wants everything
	EncryptOn           Encryption = 1 // everything
	EncryptNotSupported Encryption = 2
	EncryptRequired     Encryption = 3
)

// Config is how a server behaves. The zero Config lets everyone in, encrypts what the client wants encrypted, and is
// a SQL Server 2019.
type Config struct {
	User, Password string   // who may log in; "" is anybody
	Databases      []string // that exist; none: any
	Encryption     Encryption
	TLSMin, TLSMax uint16 // versions of crypto/tls; 0: 1.0 to 1.2
	Major, Minor   int    // version; 0 is 15.0. Before 11 a query cannot be described by a procedure
	Babelfish      bool   // PostgreSQL that speaks TDS: SET FMTONLY does nothing, no procedure describes a query
	NoSnapshot     bool   // the database does not allow snapshot isolation
	DeafToCancel   bool   // an attention is never confirmed, and ends nothing
	CutTLS         bool   // the connection drops when TLS begins, as Windows does that does not like a client's version
	Silent         bool   // connections are accepted and never answered
	RouteTo        string // host:port that every login is sent on to
}

// Handler answers one request. An *Error that it returns is sent to the client; any other error cuts the connection
// without a word. ctx ends with an attention and with the connection.
type Handler func(ctx context.Context, q *Request, w *Response) error

// Server is listening until it is closed.
type Server struct {
	config   Config
	handler  Handler
	listener net.Listener
	cert     tls.Certificate
	wait     sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	record  Record
	changed chan struct{} // closed when the record changes
}

// Record is what a server has seen.
type Record struct {
	Logins     []Login   // accepted or not, in order
	Requests   []Request // in order
	Attentions int       // cancels
	Running    int       // requests being answered
	Open       int       // connections
	Begun      []int     // isolation levels of the transactions begun, by the numbers of [MS-TDS] 2.2.6.9
	RolledBack int       // transactions that a client rolled back
	Committed  int
	Kept       []string // what was written and not undone
}

// Start listens on a free port of 127.0.0.1.
func Start(config Config, h Handler) (*Server, error) {
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start minitds: %w", err)
	}
	s := &Server{config: config, handler: h, listener: l, cert: cert, conns: map[net.Conn]struct{}{}, changed: make(chan struct{})}
	s.wait.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.note(func(r *Record) { s.conns[nc] = struct{}{}; r.Open++ })
		s.wait.Go(func() {
			newSession(s, nc).serve()
			_ = nc.Close()
			s.note(func(r *Record) { delete(s.conns, nc); r.Open-- })
		})
	}
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Certificate is the server's own, self-signed, as a client would be given it to trust.
func (s *Server) Certificate() *x509.Certificate { return s.cert.Leaf }

// Close stops listening, drops every connection and waits until nothing runs.
func (s *Server) Close() {
	_ = s.listener.Close()
	s.Drop()
	s.wait.Wait()
}

// Drop cuts every connection, as a network does that goes away.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Record returns a copy of what the server has seen so far.
func (s *Server) Record() Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copyRecord()
}

func (s *Server) copyRecord() Record {
	r := s.record
	r.Logins = append([]Login(nil), r.Logins...)
	r.Requests = append([]Request(nil), r.Requests...)
	r.Begun = append([]int(nil), r.Begun...)
	r.Kept = append([]string(nil), r.Kept...)
	return r
}

// Await waits until the record satisfies f, for at most a minute: a watchdog, and no measure.
func (s *Server) Await(ctx context.Context, f func(Record) bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		s.mu.Lock()
		r, changed := s.copyRecord(), s.changed
		s.mu.Unlock()
		if f(r) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.New("minitds: what was waited for did not happen")
		}
	}
}

func (s *Server) note(f func(*Record)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.record)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Error is sent as an ERROR token [MS-TDS] 2.2.7.10.
type Error struct {
	Number  int32
	Message string
	Class   byte // severity; 0 is 16. From 20 on the server hangs up
	State   byte
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Number) }
