package receiver

import (
	"net/http"
	"strconv"
	"time"
)

// Step is what happens to one request.
type Step struct {
	Early  bool // before the body is read
	Store  bool // the request is stored, or found to be there
	Status int  // 0: the end says what happens
	Header http.Header
	Body   string
	End    End
	// Reached is closed, if set, when the receiver is about to do what Status and End say.
	Reached chan struct{}
}

// End is what happens instead of an answer, or behind its beginning.
type End uint8

const (
	Answer  End = iota // the answer is sent whole
	Drop               // the connection breaks; with a Status behind half of the answer
	Hang               // nothing more is sent until the sender gives up or the receiver stops
	Trickle            // the answer's header and Body are sent, and nothing more: its end never comes
)

// Say answers without storing.
func Say(status int, body string) Step { return Step{Status: status, Body: body} }

// With returns the step with one more header.
func (s Step) With(name, value string) Step {
	h := s.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set(name, value)
	s.Header = h
	return s
}

// Redirect answers with another address.
func Redirect(status int, location string) Step { return Say(status, "").With("Location", location) }

// Throttle answers 429; after is in seconds or a date, as RetryAfter and RetryDate make them.
func Throttle(after string) Step {
	return Say(http.StatusTooManyRequests, "slow down").With("Retry-After", after)
}

// RetryAfter is the header's first form.
func RetryAfter(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// RetryDate is its second form.
func RetryDate(at time.Time) string { return at.UTC().Format(http.TimeFormat) }

// StoreAndDrop stores, and the answer is lost.
func StoreAndDrop() Step { return Step{Store: true, End: Drop} }

// StoreAndHang stores, and the answer never comes.
func StoreAndHang() Step { return Step{Store: true, End: Hang} }

// next takes a step of the script, or one by chance.
func (r *Receiver) next() Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.script) > 0 {
		step := r.script[0]
		r.script = r.script[1:]
		return step
	}
	p, n := r.o.Percent, r.random.IntN(100)
	switch {
	case n < p.Fail:
		return Say([]int{500, 502, 503, 504}[r.random.IntN(4)], "failed at random")
	case n < p.Fail+p.Drop:
		return StoreAndDrop()
	case n < p.Fail+p.Drop+p.Hang:
		return StoreAndHang()
	case n < p.Fail+p.Drop+p.Hang+p.Throttle:
		if r.random.IntN(2) == 0 {
			return Throttle("0")
		}
		return Throttle(RetryDate(time.Now()))
	}
	return Step{Store: true}
}
