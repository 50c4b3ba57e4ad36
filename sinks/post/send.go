package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline"
)

// sending is one call of Send: mostly one request, a few if one was refused before its body was read.
type sending struct {
	client  *Client
	request Request
	began   time.Time
	receipt Receipt
	maybe   bool // an earlier request of this call may have arrived
}

func (s *sending) what() string {
	r := s.request
	number := ""
	if r.Sequence > 0 {
		number = " " + sequence(r)
	}
	return fmt.Sprintf("send request%s (%d bytes, key %s) to %s", number, r.Length, r.Key, s.client.origin)
}

func sequence(r Request) string {
	if r.Of > 0 {
		return fmt.Sprintf("%d/%d", r.Sequence, r.Of)
	}
	return strconv.Itoa(r.Sequence)
}

func (s *sending) note(format string, args ...any) {
	s.receipt.Notes = append(s.receipt.Notes, escaped(s.client.mask.text(fmt.Sprintf(format, args...))))
}

// noteOnce makes a note with the first request that it is true of.
func (s *sending) noteOnce(text string) {
	if _, told := s.client.told.LoadOrStore(text, true); !told {
		s.note("%s", text)
	}
}

func (s *sending) run(ctx context.Context) error {
	c := s.client
	if err := s.request.check(); err != nil {
		return s.lost(Verifying, err, 0)
	}
	if s.request.OnPhase != nil {
		s.request.OnPhase(Waiting)
	}
	release, err := c.governor.enter(ctx, c.now, c.after)
	var paused *pausedError
	switch {
	case errors.As(err, &paused):
		return c.trouble(Waiting, pipeline.OfMoment, paused.left, false, err, s.what(),
			"the receiver asked for no request in the next %s", paused.left.Round(time.Second))
	case err != nil:
		return s.lost(Waiting, err, 0)
	}
	defer release()
	return s.follow(ctx)
}

// follow sends the request, and again where the answer says that its body was not read and where it should go instead.
func (s *sending) follow(ctx context.Context) error {
	c, target, hops := s.client, s.client.url, 0
	expect := s.request.Length > expectOver && !c.o.NoExpect && !c.noExpect.Load()
	for {
		a, err := s.once(ctx, target, expect)
		if err != nil {
			return err
		}
		switch {
		case expect && a.status == http.StatusExpectationFailed:
			c.noExpect.Store(true)
			s.noteOnce(`the receiver does not know "Expect: 100-continue": it is no longer sent; expect: false says so from the start`)
			expect = false
		case expect && a.status < 300 && a.sent == 0:
			expect = false // it said yes without having the body
		case hops < c.o.Redirects && sameOrigin(a.location, target) && (a.status == 307 || a.status == 308):
			hops++
			target = a.location
			s.note("followed a redirect %d to %s", a.status, shown(target))
		default:
			return s.judge(ctx, a)
		}
	}
}

// sameOrigin reports whether a redirect stays with the receiver: scheme, host and port.
func sameOrigin(to, from *url.URL) bool {
	return to != nil && to.User == nil && strings.EqualFold(to.Scheme, from.Scheme) && hostPort(to) == hostPort(from)
}

// shown is an address without what may be secret in it: user and query.
func shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// once makes one request. The error is a *pipeline.Trouble; any answer of the receiver is none.
func (s *sending) once(ctx context.Context, target *url.URL, expect bool) (*answer, error) {
	c, r := s.client, s.request
	s.receipt.Status, s.receipt.At, s.receipt.Answer = 0, time.Time{}, nil
	w := newWatch(ctx, c.after, r.OnPhase)
	defer w.stop()
	token, kept, err := s.authorize(w)
	if err != nil {
		return nil, err
	}
	w.enter(Verifying, 0)
	at := c.now()
	signature, err := verify(w.ctx, r, c.secrets, at)
	if err != nil {
		return nil, s.lost(Verifying, err, 0)
	}
	x := newExchange(s, w)
	defer x.stop()
	response, err := c.transport.RoundTrip(x.build(target, expect, token, signature, at))
	if err != nil {
		return nil, x.failed(err)
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, header: response.Header, at: c.now(), token: token, kept: kept}
	a.location, _ = response.Location()
	s.receipt.Status, s.receipt.At = a.status, a.at
	if a.status < 300 {
		x.written()
	}
	a.sent, a.whole = x.progress()
	if a.status < 300 && !a.whole && ctx.Err() != nil {
		return nil, x.failed(context.Cause(ctx))
	}
	a.read(w, response.Body, c.o.Stall)
	s.maybe = s.maybe || x.earlier()
	if n := x.count(); n > 1 {
		s.note("was %d times on the wire: a connection had been closed", n)
	}
	s.receipt.Wire += x.count()
	s.receipt.Answer = c.bounded(a)
	return a, nil
}

func (s *sending) authorize(w *watch) (token string, kept bool, err error) {
	c := s.client
	if c.tokens == nil {
		return "", false, nil
	}
	token, kept, err = c.tokens.get(w.ctx, func() { w.enter(Authorizing, c.o.Timeout) })
	if err != nil {
		return "", false, s.tokenLost(w, err)
	}
	if !kept {
		c.mask.add(token)
	}
	return token, kept, nil
}

// tokenLost is the trouble of a token that was not given. What the token's server refuses it refuses for all requests.
func (s *sending) tokenLost(w *watch, err error) error {
	c, what := s.client, "ask for a token for "+s.client.origin
	if cause := context.Cause(w.ctx); cause != nil {
		return c.trouble(Authorizing, pipeline.OfMoment, 0, s.maybe, cause, what, "%s", cause)
	}
	refused, network := tokenAnswer(err)
	switch {
	case network != nil:
		rule := ruleFor(kindOf(network, c.reached.Load()))
		return c.trouble(Authorizing, rule.Scope, 0, s.maybe, network, what, "%s", network)
	case refused == nil:
		return c.trouble(Authorizing, pipeline.OfTarget, 0, s.maybe, err, what, "the answer has no token: %s; check auth.oauth2.tokenUrl", err)
	}
	status := refused.Response.StatusCode
	scope, after := ruleOf(status).Scope, retryAfter(refused.Response.Header, c.now())
	if scope != pipeline.OfMoment || status < 300 {
		scope, after = pipeline.OfTarget, 0
	}
	text := strings.TrimSpace(refused.ErrorCode + " " + refused.ErrorDescription)
	if text == "" {
		text = c.mask.cut(string(refused.Body[:min(len(refused.Body), excerptBytes)]))
	}
	return c.trouble(Authorizing, scope, after, s.maybe, err, what, "the token's server answers %d %s: %s; check auth.oauth2",
		status, http.StatusText(status), text)
}

// lost is the trouble of a request that got no answer; sent is how much of its body was given away.
func (s *sending) lost(phase Phase, err error, sent int64) error {
	c := s.client
	k := kindOf(err, c.reached.Load())
	rule := ruleFor(k)
	maybe := s.maybe || rule.Maybe && sent > 0
	text := rule.Text
	if k == ended || k == stalled {
		text = "stopped while " + phase.String() + "; " + text
	}
	return c.trouble(phase, rule.Scope, 0, maybe, err, s.what(), "%s; %s", cause(err), text)
}

// cause is an error's text. A body's early end is what net/http calls an answer's.
func cause(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the receiver closed the connection without an answer"
	}
	return err.Error()
}
