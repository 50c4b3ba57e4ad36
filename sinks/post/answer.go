package post

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// excerptBytes is how much of an answer an error shows.
const excerptBytes = 300

// answer is what the receiver said.
type answer struct {
	status   int
	header   http.Header
	location *url.URL // nil without one
	at       time.Time
	body     []byte
	longer   bool  // the body has more than was read
	err      error // why reading the body ended early
	sent     int64 // bytes of the request's body that were sent
	whole    bool  // all of it was sent
	token    string
	kept     bool // the token was used before
}

// read reads at most answerBytes. All of them together have as long as one byte may take elsewhere.
func (a *answer) read(w *watch, body io.Reader, limit time.Duration) {
	w.enter(Reading, limit)
	a.body, a.err = io.ReadAll(io.LimitReader(body, answerBytes+1))
	if len(a.body) > answerBytes {
		a.body, a.longer = a.body[:answerBytes], true
	}
}

// text is the answer as a message may show it.
func (c *Client) text(a *answer) string {
	if a.longer || a.err != nil {
		return c.mask.cut(string(a.body))
	}
	return c.mask.text(string(a.body))
}

func (c *Client) bounded(a *answer) []byte { return cutRunes(escaped(c.text(a)), answerBytes) }

func cutRunes(s string, n int) []byte {
	if len(s) <= n {
		return []byte(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return []byte(s[:n])
}

func (c *Client) excerpt(a *answer) string {
	text := escaped(strings.TrimSpace(c.text(a)))
	switch {
	case text == "":
		return ""
	case len(text) > excerptBytes:
		text = string(cutRunes(text, excerptBytes)) + "..."
	}
	return "; it answered: " + text
}
