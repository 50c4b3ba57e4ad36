package post

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"fanmill/pipeline"
)

// Probe looks whether the receiver can be reached, through the proxy if there is one: TCP and TLS, without a request,
// or a request HEAD with Options.Probe "HEAD". It changes nothing, and does not pass through the governor. It returns
// what it found in words; the error is a *pipeline.Trouble.
func (c *Client) Probe(ctx context.Context) (string, error) {
	if c.o.Probe == http.MethodHead {
		return c.head(ctx)
	}
	return c.connect(ctx)
}

// connect makes a connection of its own and closes it before the transport can write a request to it.
func (c *Client) connect(ctx context.Context) (string, error) {
	w := newWatch(ctx, c.after, nil)
	defer w.stop()
	w.enter(Connecting, c.o.Stall)
	t := c.transport.Clone()
	t.DisableKeepAlives = true
	defer t.CloseIdleConnections()
	var found atomic.Pointer[string]
	s := &sending{client: c}
	x := newExchange(s, w)
	trace := x.trace()
	trace.WroteHeaders, trace.WroteRequest = nil, nil
	trace.GotConn = func(info httptrace.GotConnInfo) {
		text := "reached " + c.origin
		if conn, ok := info.Conn.(*tls.Conn); ok {
			text += " by " + describe(conn.ConnectionState())
		}
		found.Store(&text)
		_ = info.Conn.Close() // nothing was written
	}
	request := (&http.Request{Method: http.MethodHead, URL: c.url, Host: c.url.Host, Header: http.Header{}}).
		WithContext(httptrace.WithClientTrace(w.ctx, trace))
	response, err := t.RoundTrip(request)
	if err == nil {
		response.Body.Close()
	}
	if text := found.Load(); text != nil {
		c.reached.Store(true)
		return *text, nil
	}
	return "", c.unreached(x, err)
}

func describe(s tls.ConnectionState) string {
	text := tls.VersionName(s.Version)
	if len(s.PeerCertificates) > 0 {
		text += ", certificate valid until " + s.PeerCertificates[0].NotAfter.UTC().Format(time.DateOnly)
	}
	return text
}

func (c *Client) unreached(x *exchange, err error) error {
	err = x.handshake(err)
	if ended := context.Cause(x.w.ctx); ended != nil {
		err = ended
	}
	rule := ruleFor(kindOf(err, c.reached.Load()))
	return c.trouble(x.w.now(), rule.Scope, 0, false, err, "reach "+c.origin, "%s; %s", cause(err), rule.Text)
}

func (c *Client) head(ctx context.Context) (string, error) {
	w := newWatch(ctx, c.after, nil)
	defer w.stop()
	s := &sending{client: c}
	token, _, err := s.authorize(w)
	if err != nil {
		return "", err
	}
	x := newExchange(s, w)
	request := &http.Request{Method: http.MethodHead, URL: c.url, Host: c.url.Host, Header: http.Header{"User-Agent": {"fanmill"}}}
	u := *c.url
	request.URL = &u
	for name, value := range c.o.Headers {
		request.Header.Set(name, value)
	}
	credentials(request, c.o.Auth, token)
	w.enter(Connecting, c.o.Stall)
	response, err := c.transport.RoundTrip(request.WithContext(httptrace.WithClientTrace(w.ctx, x.trace())))
	if err != nil {
		return "", c.unreached(x, err)
	}
	defer response.Body.Close()
	return c.headAnswer(response)
}

// headAnswer says what an answer to HEAD tells. An address that takes POST only has nothing for HEAD: 400, 404, 405 and
// their like say that the server is there.
func (c *Client) headAnswer(r *http.Response) (string, error) {
	rule, text := ruleOf(r.StatusCode), fmt.Sprintf("HEAD %s answers %d %s", c.origin, r.StatusCode, http.StatusText(r.StatusCode))
	switch {
	case rule.Yes:
		return text, nil
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusMethodNotAllowed, r.StatusCode == http.StatusNotImplemented, rule.Scope == pipeline.OfRequest:
		return text + "; whether it takes " + c.o.Method + " is not known", nil
	}
	s := &sending{client: c}
	hint := ""
	if to, err := r.Location(); err == nil {
		hint = s.hint(&answer{status: r.StatusCode, location: to})
	}
	return "", c.trouble(Reading, rule.Scope, retryAfter(r.Header, c.now()), false, nil, "reach "+c.origin, "%s: %s%s", text, rule.Text, hint)
}
