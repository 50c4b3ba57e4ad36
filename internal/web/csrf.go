package web

import (
	"crypto/hmac"
	"encoding/base64"
	"net/http"
)

// csrfHeader and csrfField carry the token of a change that a browser asks for.
const (
	csrfHeader = "X-Csrf-Token"
	csrfField  = "csrf"
)

// csrf is the token that belongs to a session. It is good for as long as the session is.
func (s *Server) csrf(c caller) string {
	if c.Session == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sign(s.key, "csrf "+c.Session))
}

// own lets a change through that our page, or a program with the token, asks for. A request without Origin and
// Sec-Fetch-Site passes CrossOriginProtection: with a cookie alone that would be too little.
func (s *Server) own(r *http.Request) error {
	if err := s.guard.Check(r); err != nil {
		return &refused{http.StatusForbidden, "another site asks for this: " + err.Error()}
	}
	c := callerOf(r)
	if c.Bearer {
		return nil
	}
	got := r.Header.Get(csrfHeader)
	if got == "" {
		got = r.PostFormValue(csrfField)
	}
	if want := s.csrf(c); want == "" || !hmac.Equal([]byte(got), []byte(want)) {
		return &refused{http.StatusForbidden, "the page that asks for this is an old one: load it anew and try again"}
	}
	return nil
}

// refused is an answer that is no success, in words for people.
type refused struct {
	status int
	text   string
}

func (e *refused) Error() string { return e.text }
