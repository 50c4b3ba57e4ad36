package minitds

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
)

// session is one connection.
type session struct {
	server *Server
	net    net.Conn
	tls    *tls.Conn
	r      io.Reader
	w      *packetWriter

	describing bool // SET FMTONLY ON
	tran       transaction

	mu     sync.Mutex
	cancel context.CancelFunc // of the running request
}

func newSession(s *Server, nc net.Conn) *session {
	x := &session{server: s, net: nc, cancel: func() {}}
	x.use(nc)
	return x
}

// use reads from and writes to nc from now on. Nothing is read ahead before the login is over, so that nothing is lost.
func (s *session) use(nc net.Conn) {
	size := 4096
	if s.w != nil {
		size = s.w.size
	}
	s.r, s.w = nc, newPacketWriter(nc, msgReply, size)
}

func (s *session) serve() {
	if s.server.config.Silent {
		_, _ = io.Copy(io.Discard, s.net)
		return
	}
	if !s.login() {
		return
	}
	s.r = bufio.NewReader(s.r)
	messages := make(chan message)
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { s.read(messages, stop) })
	for m := range messages {
		if s.answer(m) != nil {
			break
		}
	}
	close(stop)
	_ = s.net.Close()
	reading.Wait()
}

// read passes messages on; an attention ends the running request before it is passed on itself.
func (s *session) read(messages chan<- message, stop <-chan struct{}) {
	defer close(messages)
	for {
		m, err := readMessage(s.r)
		if err != nil {
			s.stopRequest()
			return
		}
		if m.kind == msgAttention {
			s.server.note(func(r *Record) { r.Attentions++ })
			if s.server.config.DeafToCancel {
				continue
			}
			s.stopRequest()
		}
		select {
		case messages <- m:
		case <-stop:
			return
		}
	}
}

func (s *session) stopRequest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel()
}

// answer says what there is to say to one message; an error ends the connection.
func (s *session) answer(m message) error {
	w := &Response{session: s}
	switch m.kind {
	case msgAttention: // [MS-TDS] 2.2.1.7
		w.done(tokenDone, doneAttention, 0)
	case msgTransaction:
		if err := w.transaction(m.body); err != nil {
			return err
		}
	case msgBatch, msgRPC:
		if err := s.request(m, w); err != nil {
			return err
		}
	default:
		return errPacket
	}
	return w.finish()
}

var errHangUp = errors.New("minitds: a fatal error ends the connection")

func (s *session) request(m message, w *Response) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	w.ctx = ctx
	q, err := parseRequest(m)
	w.procedure = q.Procedure != ""
	s.server.note(func(r *Record) { r.Requests = append(r.Requests, q); r.Running++ })
	defer s.server.note(func(r *Record) { r.Running-- })
	if err == nil {
		err = s.server.handler(ctx, &q, w)
	}
	var failed *Error
	switch {
	case ctx.Err() != nil:
		w.done(tokenDone, doneError, 0) // what was sent ends here; the answer to the attention follows
		return nil
	case errors.As(err, &failed):
		if s.tran.abort && s.tran.level > 0 {
			_ = w.rollback()
		}
		w.error(failed)
		if failed.Class >= 20 {
			w.done(tokenDone, doneServerError, 0)
			return errors.Join(w.finish(), errHangUp)
		}
		w.end(doneError)
		return nil
	case err != nil:
		return err
	}
	w.end(0)
	return nil
}
