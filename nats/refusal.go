package nats

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// refusal is a permission that the user lacks.
type refusal struct {
	verb, subject string
	cause         error
	at            time.Time
}

var refusedSubject = regexp.MustCompile(`(Publish|Subscription) to "([^"]*)"`)

func newRefusal(err error) *refusal {
	r := &refusal{cause: err, at: time.Now()}
	if m := refusedSubject.FindStringSubmatch(err.Error()); m != nil {
		r.verb, r.subject = map[string]string{"Publish": "publish", "Subscription": "subscribe"}[m[1]], m[2]
	}
	return r
}

func (r *refusal) Error() string {
	if r.verb == "" {
		return "the NATS user lacks a permission: " + r.cause.Error()
	}
	return `the NATS user lacks the permission to ` + r.verb + ` to "` + r.subject + `"; docs/nats.md lists what each command of fanmill needs`
}

func (r *refusal) Unwrap() error { return r.cause }

// refusals bring what the server does not permit to those who wait for it. A request that is not permitted has no
// answer: the server says so beside the requests, and names the subject.
type refusals struct {
	alone atomic.Bool // one call at a time goes on, so that what is refused is always its

	mu      sync.Mutex
	waiting map[*waiter]struct{}
	last    *refusal
	inbox   *refusal // no request has an answer any more
}

type waiter struct {
	concerns func(subject string) bool
	end      context.CancelCauseFunc
}

// during is a context that ends when the server refuses what concerns says. done must be called.
func (r *refusals) during(ctx context.Context, concerns func(subject string) bool) (_ context.Context, done func()) {
	ctx, end := context.WithCancelCause(ctx)
	w := &waiter{concerns, end}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inbox != nil {
		end(r.inbox)
	}
	if r.waiting == nil {
		r.waiting = map[*waiter]struct{}{}
	}
	r.waiting[w] = struct{}{}
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waiting, w)
		end(nil)
	}
}

// refusedIn is why a context of during has ended, if it was refused.
func refusedIn(ctx context.Context) *refusal {
	var r *refusal
	if errors.As(context.Cause(ctx), &r) {
		return r
	}
	return nil
}

// tell ends those who wait for what was refused, and reports whether there was any.
func (r *refusals) tell(err error) (told bool) {
	now := newRefusal(err)
	if now.ofService() {
		return true // Offer says it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = now
	inbox := now.verb == "subscribe" && !strings.HasPrefix(now.subject, "fanmill.")
	if inbox {
		r.inbox = now
	}
	for w := range r.waiting {
		if inbox || w.concerns(now.subject) {
			w.end(now)
			told = true
		}
	}
	return told
}

// since is what was last refused after a moment.
func (r *refusals) since(t time.Time) *refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && !r.last.at.Before(t) {
		return r.last
	}
	return nil
}

// forget is for a new connection, whose user may be permitted more.
func (r *refusals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inbox = nil
}

// concerns reports whether a call may have published to a subject: both name the same stream, bucket or topic.
func concerns(what, subject string) bool {
	object := what[strings.LastIndexByte(what, ' ')+1:]
	object, _, _ = strings.Cut(object, "/")
	return object != "" && strings.Contains(subject, object)
}

// subscribed reports a subscription that the server has refused, once it has answered what was sent after it.
func (c *Conn) subscribed(topic string) error {
	if err := c.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		if r := newRefusal(err); r.verb == "subscribe" && r.subject == topic {
			return r
		}
	}
	return nil
}
