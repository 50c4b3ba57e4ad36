package post

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"fanmill/pipeline"
)

// maxSkew is how far the clocks of both sides may be apart before that is taken for the reason of a refusal. Receivers
// of Standard Webhooks take 5 minutes, some less.
const maxSkew = 2 * time.Minute

// judge says what an answer means: nil, or a *pipeline.Trouble.
func (s *sending) judge(ctx context.Context, a *answer) error {
	s.general(a)
	rule := ruleOf(a.status)
	switch {
	case rule.Yes:
		return s.accepted(a)
	case a.status == http.StatusConflict:
		return s.conflict(a, rule)
	}
	s.client.conflicts.forget(s.request.Key)
	switch {
	case a.status == http.StatusUnauthorized && a.kept:
		s.client.tokens.drop(ctx, a.token)
		return s.refused(a, rule, pipeline.OfMoment, "the token is no longer accepted; the next attempt asks for a new one")
	case s.skew(a) != 0:
		return s.refused(a, rule, pipeline.OfTarget, skewText(s.skew(a)))
	}
	return s.refused(a, rule, rule.Scope, rule.Text+s.hint(a))
}

// general notes what is true of any answer.
func (s *sending) general(a *answer) {
	if a.longer {
		s.note("the answer is longer than %d KB", answerBytes>>10)
	}
	if a.err != nil {
		s.note("the answer ended early")
	}
}

// accepted looks at what a status of 2xx does not say.
func (s *sending) accepted(a *answer) error {
	c := s.client
	c.conflicts.forget(s.request.Key)
	if !a.whole {
		return s.early(a)
	}
	if c.success != nil && !c.success.holds(a.body) {
		if _, found := c.success.path.find(a.body); !found && a.err != nil {
			return c.trouble(Reading, pipeline.OfMoment, 0, true, a.err, s.what(), "%d, but the answer ended before it said whether %s", a.status, c.success.text)
		}
		return c.trouble(Reading, pipeline.OfRequest, 0, true, nil, s.what(), "%d, but not %s, which success asks for%s", a.status, c.success.text, c.excerpt(a))
	}
	if a.status == http.StatusMultiStatus {
		s.note("207: counted as delivered; the answer may name parts that were not taken")
	}
	s.takeID(a)
	return nil
}

// early is a yes to a request that was not sent whole.
func (s *sending) early(a *answer) error {
	if a.sent < s.request.Length {
		return s.client.trouble(Uploading, pipeline.OfTarget, 0, true, a.err, s.what(),
			"%d after %d of %d bytes: the receiver does not read requests, or something else answers in its place; check url%s", a.status, a.sent, s.request.Length, s.client.excerpt(a))
	}
	return s.client.trouble(Uploading, pipeline.OfMoment, 0, true, nil, s.what(), "%d, but the connection broke before the request's end", a.status)
}

func (s *sending) takeID(a *answer) {
	if s.client.receipt == nil {
		return
	}
	v, found := s.client.receipt.find(a.body)
	if !found {
		s.noteOnce(fmt.Sprintf("the answer %d has no %s: the receipt has no id", a.status, s.client.o.Receipt))
		return
	}
	s.receipt.ID = escaped(s.client.mask.text(receiptText(v)))
}

// conflict is an answer 409: another attempt with this key may still be at work there.
func (s *sending) conflict(a *answer, rule Rule) error {
	c := s.client
	switch c.o.Conflict {
	case "accept":
		s.note("409: counted as delivered, as conflict: accept says")
		s.takeID(a)
		return nil
	case "fail":
		return s.refused(a, rule, pipeline.OfRequest, "conflict: fail makes that final")
	}
	if n := c.conflicts.count(s.request.Key); n < conflictTries {
		return s.refused(a, rule, pipeline.OfMoment, "another attempt with this key may still be at work")
	}
	c.conflicts.forget(s.request.Key)
	return s.refused(a, rule, pipeline.OfRequest, fmt.Sprintf("that was answer %d of this kind; set conflict: accept if it means that the receiver has the request", conflictTries))
}

func (s *sending) refused(a *answer, rule Rule, scope pipeline.Scope, text string) error {
	c, after := s.client, time.Duration(0)
	if scope == pipeline.OfMoment {
		if after = retryAfter(a.header, c.now()); after > 0 {
			c.governor.pause(c.now().Add(after))
		}
	}
	return c.trouble(Reading, scope, after, s.maybe || rule.Maybe && (a.sent > 0 || s.request.Length == 0), nil, s.what(), "%d %s: %s%s",
		a.status, http.StatusText(a.status), text, c.excerpt(a))
}

// skew is how far the answer's clock is ahead of ours, if that may be why a signed request was refused; else 0.
func (s *sending) skew(a *answer) time.Duration {
	refusal := a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
	if !refusal || len(s.client.secrets) == 0 {
		return 0
	}
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return 0
	}
	if d := date.Sub(a.at).Round(time.Second); d.Abs() > maxSkew {
		return d
	}
	return 0
}

func skewText(d time.Duration) string {
	direction := "behind"
	if d < 0 {
		direction = "ahead of"
	}
	return fmt.Sprintf("this computer's clock is %s %s the receiver's, so that signatures look too old or too new; set the clock", d.Abs(), direction)
}

// hint adds what the request's own values tell.
func (s *sending) hint(a *answer) string {
	switch {
	case a.location != nil && a.status >= 300 && a.status < 400:
		return "; it points to " + escaped(s.client.mask.text(shown(a.location)))
	case a.status == http.StatusRequestEntityTooLarge:
		return fmt.Sprintf(" below %d", s.request.Length)
	case a.status == http.StatusUnsupportedMediaType && s.request.ContentEncoding != "":
		return ", or set gzip: false: the body was sent compressed"
	}
	return ""
}

// conflicts counts answers 409 by key.
type conflicts struct {
	mu    sync.Mutex
	byKey map[string]int
}

func (c *conflicts) count(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[string]int{}
	}
	c.byKey[key]++
	return c.byKey[key]
}

func (c *conflicts) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byKey, key)
}
