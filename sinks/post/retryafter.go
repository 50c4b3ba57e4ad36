package post

import (
	"net/http"
	"strconv"
	"time"
)

// maxAfter bounds what a receiver can ask to wait.
const maxAfter = 24 * time.Hour

// retryAfter reads the header Retry-After, RFC 9110 section 10.2.3: seconds in digits, or a date in one of three forms.
// A date counts from the answer's own Date where there is one, so that the clocks of both sides do not matter. The
// result is between 0 and maxAfter; what cannot be read is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	if digits(text) {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(maxAfter/time.Second) {
			return maxAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxAfter)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
