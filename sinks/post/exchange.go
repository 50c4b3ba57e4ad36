package post

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// exchange is one request given to the transport, which may put it on the wire more than once.
type exchange struct {
	s *sending
	w *watch

	mu       sync.Mutex
	bodies   []*section
	wire     int           // requests whose headers were written
	wrote    chan struct{} // closed when the last of them was written, or failed to be
	wroteErr error
	tlsErr   error
	conn     net.Conn // of the last request
}

func newExchange(s *sending, w *watch) *exchange {
	return &exchange{s: s, w: w, wrote: make(chan struct{})}
}

// build makes the request. A webhook that has "webhook-id" only would not be sent again by net/http when an idle
// connection turns out to be closed, so that Idempotency-Key is always there.
func (x *exchange) build(target *url.URL, expect bool, token, signature string, at time.Time) *http.Request {
	o, r := x.s.client.o, x.s.request
	h := http.Header{"User-Agent": {"fanmill"}}
	for name, value := range o.Headers {
		h.Set(name, value)
	}
	set := func(name, value string) {
		if value != "" && h.Get(name) == "" {
			h.Set(name, value)
		}
	}
	set("Content-Type", r.ContentType)
	set("Content-Encoding", r.ContentEncoding)
	h.Set("Idempotency-Key", r.Key)
	if r.Sequence > 0 {
		h.Set("Fanmill-Sequence", sequence(r))
	}
	if r.Partitions > 0 {
		h.Set("Fanmill-Partition", fmt.Sprintf("%d/%d", r.Partition, r.Partitions))
	}
	if expect {
		h.Set("Expect", "100-continue")
	}
	if o.signs() {
		h.Set("Webhook-Id", r.Key)
		h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		set("Webhook-Signature", signature)
	}
	u := *target
	request := &http.Request{Method: o.Method, URL: &u, Host: u.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: r.Length, Body: http.NoBody, GetBody: func() (io.ReadCloser, error) { return http.NoBody, nil }}
	if r.Length > 0 {
		request.Body = x.body()
		request.GetBody = func() (io.ReadCloser, error) { return x.body(), nil }
	}
	credentials(request, o.Auth, token)
	x.w.enter(Connecting, o.Stall)
	return request.WithContext(httptrace.WithClientTrace(x.w.ctx, x.trace()))
}

// credentials puts in who sends.
func credentials(r *http.Request, a Auth, token string) {
	switch {
	case a.Bearer != "":
		r.Header.Set("Authorization", "Bearer "+a.Bearer)
	case a.Basic != nil:
		r.SetBasicAuth(a.Basic.User, a.Basic.Password)
	case a.APIKey != nil && a.APIKey.In == "query":
		if !r.URL.Query().Has(a.APIKey.Name) { // the target of a redirect may have it already
			pair := url.QueryEscape(a.APIKey.Name) + "=" + url.QueryEscape(a.APIKey.Value)
			r.URL.RawQuery = strings.TrimPrefix(r.URL.RawQuery+"&"+pair, "&")
		}
	case a.APIKey != nil:
		r.Header.Set(a.APIKey.Name, a.APIKey.Value)
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

// body opens the section anew. The one before is used no more.
func (x *exchange) body() io.ReadCloser {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, old := range x.bodies {
		old.stop()
	}
	b := newSection(x.s.request, x.w.progress)
	x.bodies = append(x.bodies, b)
	return b
}

func (x *exchange) trace() *httptrace.ClientTrace {
	o := x.s.client.o
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			x.s.client.reached.Store(true)
			x.mu.Lock()
			x.conn = info.Conn
			x.mu.Unlock()
			x.w.enter(Uploading, o.Stall)
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.tlsErr = err
		},
		WroteHeaders: func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			if x.wire++; x.wire > 1 {
				x.wrote, x.wroteErr = make(chan struct{}), nil
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			x.mu.Lock()
			defer x.mu.Unlock()
			select {
			case <-x.wrote:
				return
			default:
			}
			x.wroteErr = info.Err
			close(x.wrote)
			if info.Err == nil {
				x.w.enter(Answering, o.Timeout)
			}
		},
	}
}

// written waits until the body is sent, or will never be: a receiver may answer before it has all of it.
func (x *exchange) written() {
	x.mu.Lock()
	wrote, conn := x.wrote, x.conn
	x.mu.Unlock()
	select {
	case <-wrote:
		return
	default:
		answered(conn)
	}
	select {
	case <-wrote:
	case <-x.w.ctx.Done():
	}
}

// progress returns how many bytes of the body the last request on the wire had, and whether those were all.
func (x *exchange) progress() (sent int64, whole bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.bodies) > 0 {
		sent, _ = x.bodies[len(x.bodies)-1].state()
	}
	select {
	case <-x.wrote:
		return sent, x.wroteErr == nil && sent == x.s.request.Length
	default:
		return sent, false
	}
}

func (x *exchange) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.wire
}

// earlier reports whether a request before the last one may have arrived: net/http sends again when a connection that
// it kept turns out to be closed.
func (x *exchange) earlier() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range x.bodies[:max(len(x.bodies)-1, 0)] {
		if sent, _ := b.state(); sent > 0 {
			return true
		}
	}
	return len(x.bodies) == 0 && x.wire > 1
}

// failed is the trouble of a request without an answer.
func (x *exchange) failed(err error) error {
	phase := x.w.now()
	x.mu.Lock()
	sent := int64(0)
	for _, b := range x.bodies {
		n, failed := b.state()
		sent += n
		if failed != nil {
			err = failed
		}
	}
	if len(x.bodies) == 0 && x.wire > 0 {
		sent = 1 // without a body the headers are all there is
	}
	x.mu.Unlock()
	if phase == Connecting {
		err = x.handshake(err)
	}
	if c := context.Cause(x.w.ctx); c != nil {
		err = c
	} else if phase != Connecting {
		err = x.alerted(err)
	}
	x.s.receipt.Wire += x.count()
	return x.s.lost(phase, err, sent)
}

// handshake marks the error of a TLS handshake that one side would not finish.
func (x *exchange) handshake(err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.tlsErr != nil && !unfinished(x.tlsErr) {
		return &handshakeError{err}
	}
	return err
}

// alerted looks for what the other side's TLS said when a connection broke. With TLS 1.3 a client certificate is
// refused behind the handshake: the alert ends the reading, and net/http may return the write that fails because of it.
// A tls.Conn keeps its alert; a connection of HTTP/2 is shared and left alone.
func (x *exchange) alerted(err error) error {
	x.mu.Lock()
	conn, ok := x.conn.(*tls.Conn)
	x.mu.Unlock()
	if !ok || conn.ConnectionState().NegotiatedProtocol == "h2" {
		return err
	}
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	if _, said := conn.Read(make([]byte, 1)); alert(said) {
		return said
	}
	return err
}

// stop keeps the transport from reading the file after Send has returned.
func (x *exchange) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range x.bodies {
		b.stop()
	}
}
