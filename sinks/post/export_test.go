package post

import (
	"net/http"
	"time"
)

// SetNow gives a client another clock.
func (c *Client) SetNow(now func() time.Time) { c.now = now }

// Timer is what SetAfter's function returns.
type Timer = timer

// SetAfter gives a client other timers.
func (c *Client) SetAfter(after func(p Phase, d time.Duration, f func()) Timer) { c.after = after }

// RuleOfError is the row of the table for what kept a request from getting an answer.
func RuleOfError(err error, reached bool) Rule { return ruleFor(kindOf(err, reached)) }

// HandshakeError marks an error as one of a handshake.
func HandshakeError(err error) error { return &handshakeError{err} }

// ProxyError is a proxy's answer.
func ProxyError(status int) error { return &proxyError{status: status} }

// StalledError is a phase that took too long.
func StalledError(p Phase) error { return &stalledError{p, time.Second} }

// RetryAfter is retryAfter.
func RetryAfter(h http.Header, now time.Time) time.Duration { return retryAfter(h, now) }

// Find looks up a path in an answer.
func Find(path, answer string) (any, bool) {
	p, err := parsePath(path)
	if err != nil {
		return err, false
	}
	return p.find([]byte(answer))
}

// Holds evaluates a condition.
func Holds(condition, answer string) (bool, error) {
	c, err := parseCondition(condition)
	if err != nil {
		return false, err
	}
	return c.holds([]byte(answer)), nil
}

// Masked is a text without the options' secrets; cut says that the text was cut off.
func Masked(o Options, text string, cut bool) string {
	if cut {
		return newMasker(o).cut(text)
	}
	return newMasker(o).text(text)
}

// Governors is how many hosts and credentials have one.
func Governors() int {
	governors.mu.Lock()
	defer governors.mu.Unlock()
	return len(governors.byID)
}

// Forms is how many forms of the options' secrets are masked.
func Forms(o Options) int { return len(newMasker(o).forms) }
